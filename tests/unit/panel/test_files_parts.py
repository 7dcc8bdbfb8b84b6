"""What the Files pages decide by themselves: names, paths, line ends, whose code a file is. No files, no agent."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hostel.panel.files.code_of import websites_of
from hostel.panel.files.listing import encode_name, parse_listing, shown
from hostel.panel.files.modes import SCRIPTS, Mode, find_mode
from hostel.panel.files.paths import BadName, crumbs, decode_name, resolve
from hostel.panel.files.text import digest_of, read_text, write_text
from hostel.panel.websites.models import Website
from hostel.wire.errors import FilesUnreachable

HOME = "/home/xanthippe"


@pytest.mark.parametrize(
    ("name", "is_shown_as"),
    [
        ("plain ä.txt", "plain ä.txt"),
        ("a\nb", r"a\nb"),
        ("b\udcff", r"b\xff"),
        ("x\u202egnp.py", r"x\u202egnp.py"),
        ("\x1b[31m", r"\x1b[31m"),
        ("<b>&\"'", "<b>&\"'"),
    ],
)
def test_a_name_is_shown_with_escapes_for_what_is_not_visible(name: str, is_shown_as: str) -> None:
    assert shown(name) == is_shown_as
    assert encode_name(name).isascii()
    assert decode_name(encode_name(name)) == name


@pytest.mark.parametrize(
    "wrong", ["", ".", "..", "a/b", "a\0b", "ä" * 128, "/etc/passwd", "../../bob/x", "~/../bob/x", "/home/xanthippe"]
)
def test_a_name_that_cannot_be_is_refused(wrong: str) -> None:
    if wrong in ("/etc/passwd", "../../bob/x", "~/../bob/x", "/home/xanthippe", "a/b", ".", ".."):
        if wrong != "a/b":
            with pytest.raises(BadName, match=f"below {HOME}"):
                resolve(HOME, wrong, home=HOME)
    else:
        with pytest.raises(BadName, match=r"^Give a name"):
            resolve(f"{HOME}/site", wrong, home=HOME)
    if "/" in wrong or len(wrong) < 3:
        with pytest.raises(BadName):
            decode_name(encode_name(wrong))


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        ("notes.txt", f"{HOME}/site/notes.txt"),
        ("../notes.txt", f"{HOME}/notes.txt"),
        ("~/a/b", f"{HOME}/a/b"),
        (f"{HOME}/c", f"{HOME}/c"),
        ("d/e", f"{HOME}/site/d/e"),
    ],
)
def test_what_is_typed_is_a_name_or_a_path(typed: str, leads_to: str) -> None:
    assert resolve(f"{HOME}/site", typed, home=HOME) == leads_to


def test_crumbs_begin_with_the_home() -> None:
    assert [(each.name, each.path) for each in crumbs(f"{HOME}/a\nb/c")] == [
        ("home/xanthippe", HOME),
        (r"a\nb", f"{HOME}/a\nb"),
        ("c", f"{HOME}/a\nb/c"),
    ]
    assert [each.name for each in crumbs("/var/log")] == ["var/log"]


@pytest.mark.parametrize(
    ("data", "newline", "is_mixed"),
    [(b"a\nb\n", "lf", False), (b"a\r\nb\r\n", "crlf", False), (b"a\r\nb\n", "lf", True), (b"a\rb", "lf", True)],
)
def test_line_ends_outlast_a_text_field(data: bytes, newline: str, is_mixed: bool) -> None:
    text = read_text(data)
    assert text is not None
    assert (text.newline, text.is_mixed, text.digest) == (newline, is_mixed, digest_of(data))
    as_browsers_send_it = text.text.replace("\n", "\r\n")
    if not is_mixed:
        assert write_text(as_browsers_send_it, newline=text.newline) == data


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b", b"\x89PNG\r\n\x1a\n\0"])
def test_what_is_no_text_is_not_edited(data: bytes) -> None:
    assert read_text(data) is None


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"entries": 1},
        {"entries": [{"name": "a/b"}]},
        {"entries": [{"name": ".."}]},
        {"entries": [{"name": 1}]},
        {"entries": [{"name": "\ud800"}]},
        {"entries": [{"name": "x" * 256}]},
    ],
)
def test_a_listing_that_no_door_gives_is_none(answer: object) -> None:
    with pytest.raises(FilesUnreachable):
        parse_listing(answer)


def test_odd_figures_in_a_listing_harm_nobody() -> None:
    odd = {"name": "a", "kind": "<b>", "size": -5, "modified": 1e300, "target": 7, "leads_to": []}
    (entry,) = parse_listing({"entries": [odd, 3], "seen": "x", "has_more": "yes"}).entries
    assert (entry.kind, entry.size, entry.target, entry.leads_to) == ("other", 0, "", "")
    assert entry.modified == datetime(9999, 12, 31, tzinfo=UTC)


def site(name: str, command: str, working_directory: str = "") -> Website:
    return Website(domain_name=name, canonical_name=name, command=command, working_directory=working_directory)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("mysite/views.py", ["app-dir"]),
        ("mysite/shop/x.py", ["shop", "app-dir"]),
        ("other/x.py", ["cd"]),
        ("worker/main.py", ["working"]),
        ("loose.py", ["plain"]),
        (".virtualenvs/venv/lib/x.py", ["plain"]),
    ],
)
def test_a_file_is_the_code_of_the_websites_whose_directory_it_is_in(path: str, names: list[str]) -> None:
    binary = f"{HOME}/.virtualenvs/venv/bin/uvicorn --uds $DOMAIN_SOCKET"
    websites = [
        site("app-dir", f"{binary} --app-dir {HOME}/mysite mysite.asgi:application"),
        site("shop", f"{binary} --app-dir ~/mysite/shop main:app"),
        site("cd", "cd ~/other/ && exec python3 -m http.server"),
        site("working", binary, working_directory="worker"),
        site("plain", "python3 serve.py"),
    ]
    found = [each.domain_name for each in websites_of(f"{HOME}/{path}", websites, username="xanthippe")]
    expected = names if names == ["plain"] else [*names, "plain"]
    assert found == expected


def test_files_are_coloured_by_what_debians_package_has() -> None:
    assert find_mode("/home/x/views.py") == Mode("python", ("python",))
    assert find_mode("/home/x/INDEX.HTML") is find_mode("a.htm")
    assert find_mode("/home/x.py/notes") is None
    assert find_mode("/home/x/README") is None
    for script in SCRIPTS:
        assert Path(f"/usr/share/javascript/codemirror/mode/{script}/{script}.js").is_file(), "make install"
