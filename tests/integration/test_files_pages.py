"""The Files pages without a browser, as somebody without JavaScript uses them: hostile homes, refusals, the editor."""

import hashlib
import html
import os
import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from live import Platform, User, answering

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "a\nb",
    "\"quoted\" & 'more'",
    "x\u202egnp.py",
    "100%25 ?#;",
    "-rf",
    "{{ 7|add:7 }}",
)


@pytest.fixture(scope="module")
def fila(platform: Platform) -> User:
    return platform.add_user_with_server("fila")


@pytest.fixture(scope="module")
def browser(platform: Platform, fila: User) -> Iterator[httpx.Client]:
    """Logged in, relative to the panel."""
    with platform.visitor(base_url=platform.panel_url, follow_redirects=True) as client:
        page = client.get("login/")
        sent = {"username": fila.name, "password": fila.password, "csrfmiddlewaretoken": csrf_of(page)}
        assert client.post("login/", data=sent, headers={"Referer": platform.panel_url}).url.path == "/user/fila/"
        client.headers["Referer"] = platform.panel_url
        yield client


def csrf_of(page: httpx.Response) -> str:
    return re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[0]


def address(path: str) -> str:
    return f"user/fila/files{quote(path)}/"


def open_(browser: httpx.Client, path: str, **query: str) -> httpx.Response:
    return browser.get(address(path), params=query)


def do(browser: httpx.Client, path: str, deed: str, files: object = None, **fields: str) -> httpx.Response:
    """Send a form of the page at `path`."""
    token = csrf_of(open_(browser, os.path.dirname(path) if deed == "save" else path))
    data = {"deed": deed, "csrfmiddlewaretoken": token, **fields}
    return browser.post(address(path), data=data, files=files)  # type: ignore[arg-type]


def save(browser: httpx.Client, path: str, text: str, digest: str, **fields: str) -> httpx.Response:
    field = {"text": (None, text.replace("\n", "\r\n"))}  # as browsers send text fields
    return do(browser, path, "save", files=field, digest=digest, newline="lf", **fields)


def words(page: httpx.Response) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page.text))


def names(page: httpx.Response) -> list[str]:
    """As they are shown."""
    cells = re.findall(r'<td class="name[^"]*"><bdi>(.*?)</bdi>', page.text, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in cells]


def lists(platform: Platform, path: str) -> list[str]:
    return sorted(os.listdir(platform.paths.homes / "fila" / path))


def test_g5_hostile_names_are_shown_opened_renamed_and_deleted(platform: Platform, browser: httpx.Client) -> None:
    made = "\n".join(f"open({name!r}, 'w').write({name!r})" for name in HOSTILE)
    platform.in_home("fila", "mkdir -p odd && cd odd && python3 -", stdin=made)
    page = open_(browser, "/home/fila/odd")
    assert sorted(names(page)) == sorted(name.replace("\n", r"\n").replace("\u202e", r"\u202e") for name in HOSTILE)
    assert "<img src=x" not in page.text
    for name in HOSTILE:
        assert open_(browser, f"/home/fila/odd/{name}", download="1").content.decode() == name
        shown = open_(browser, f"/home/fila/odd/{name}")
        assert f">\n{html.escape(name)}</textarea>" in shown.text.replace("&quot;", "&quot;").replace(
            "&#x27;", "&#x27;"
        )
        asked = open_(browser, "/home/fila/odd", rename=quote(name, safe=""))
        (code,) = re.findall(r'name="name" value="([^"]*)"', asked.text)
        assert do(browser, "/home/fila/odd", "rename", name=code, to="renamed").status_code == 200
        assert "renamed" in lists(platform, "odd")
        assert do(browser, "/home/fila/odd", "delete", name="renamed").status_code == 200
    assert lists(platform, "odd") == []


def test_a_name_that_is_not_utf8_can_be_renamed_and_deleted(platform: Platform, browser: httpx.Client) -> None:
    platform.in_home("fila", "mkdir -p bytes; echo x > bytes/$'b\\xff'; echo y > bytes/$'c\\xfe'")
    page = open_(browser, "/home/fila/bytes")
    assert names(page) == [r"b\xff", r"c\xfe"]
    codes = re.findall(r"\?rename=([^\"]+)", page.text)
    assert codes == ["b%25FF", "c%25FE"]
    assert do(browser, "/home/fila/bytes", "rename", name="b%FF", to="b").status_code == 200
    assert do(browser, "/home/fila/bytes", "delete", name="c%FE").status_code == 200
    assert lists(platform, "bytes") == ["b"]
    assert "x" in open_(browser, "/home/fila/bytes/b").text


def test_c_what_is_no_file_holds_nobody_up_and_links_lead_nowhere(platform: Platform, browser: httpx.Client) -> None:
    script = "mkdir -p kinds; cd kinds; mkfifo pipe; ln -s /home/bob out; ln -s /etc/shadow secret; ln -s gone broken; "
    script += "ln -s /dev/zero zero; ln -s loop loop; ln -s /var/log logs; echo fine > control; ln -s control good"
    platform.in_home("fila", script)
    assert sorted(names(open_(browser, "/home/fila/kinds"))) == sorted(
        ["pipe", "out", "secret", "broken", "zero", "loop", "logs/", "control", "good"]
    )
    for name in ("pipe", "out", "secret", "broken", "zero", "loop"):
        assert open_(browser, f"/home/fila/kinds/{name}").status_code in (400, 403, 404), name
        assert open_(browser, f"/home/fila/kinds/{name}", download="1").status_code in (400, 403, 404), name
    assert open_(browser, "/home/fila/kinds/logs").status_code == 200
    assert "fine" in open_(browser, "/home/fila/kinds/good").text
    for outside in ("/etc", "/home/bob", "/home", "/proc/1/environ", "/home/fila/../bob"):
        assert open_(browser, outside).status_code == 404


def test_a_very_large_directory_is_listed_in_part_and_says_so(platform: Platform, browser: httpx.Client) -> None:
    count = 3_000
    make = f"import os\nos.mkdir('many')\nfor n in range({count}): os.mknod(f'many/{{n:04}}')"
    platform.in_home("fila", "python3 -", stdin=make)
    page = open_(browser, "/home/fila/many")
    assert names(page)[:2] == ["0000", "0001"]
    assert len(names(page)) == 1_000
    assert f"these are 1000 of {count} entries" in words(page)
    assert names(open_(browser, "/home/fila/many", q="2999")) == ["2999"]
    assert do(browser, "/home/fila", "delete", name="many").status_code == 200
    assert "many" not in lists(platform, "")


def test_uploads_are_written_whole_and_never_over_another_file_unasked(
    platform: Platform, browser: httpx.Client
) -> None:
    big = os.urandom(3 << 20)
    page = do(browser, "/home/fila", "new_directory", name="uploads")
    assert page.url.path == "/user/fila/files/home/fila/uploads/"
    sent = [("content", ("big.bin", big)), ("content", ("b.txt", b"one"))]
    assert do(browser, "/home/fila/uploads", "upload", files=sent).status_code == 200
    assert (platform.paths.homes / "fila/uploads/big.bin").read_bytes() == big
    again = [("content", ("c.txt", b"new")), ("content", ("b.txt", b"two"))]
    refused = do(browser, "/home/fila/uploads", "upload", files=again)
    assert refused.status_code == 400
    assert "b.txt exists already" in words(refused)
    assert (platform.paths.homes / "fila/uploads/b.txt").read_text() == "one"
    assert lists(platform, "uploads") == ["b.txt", "big.bin", "c.txt"]
    assert do(browser, "/home/fila/uploads", "upload", files=again, replace="1").status_code == 200
    assert (platform.paths.homes / "fila/uploads/b.txt").read_text() == "two"
    assert "Choose at least one file" in words(do(browser, "/home/fila/uploads", "upload"))
    got = open_(browser, "/home/fila/uploads/big.bin", download="1")
    assert got.content == big
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''big.bin"
    assert got.headers["Content-Security-Policy"] == "sandbox"
    assert "This is no text" not in words(got)


def test_what_is_there_is_not_made_again_or_renamed_over(browser: httpx.Client) -> None:
    do(browser, "/home/fila", "new_directory", name="there")
    assert do(browser, "/home/fila/there", "new_file", name="a.txt").url.path.endswith("/there/a.txt/")
    for deed in ("new_file", "new_directory"):
        refused = do(browser, "/home/fila/there", deed, name="a.txt")
        assert (refused.status_code, "a.txt exists already" in words(refused)) == (400, True)
        refused = do(browser, "/home/fila/there", deed, name="../../bob/x")
        assert (refused.status_code, "below /home/fila" in words(refused)) == (400, True)
    assert do(browser, "/home/fila/there", "new_directory", name="d").status_code == 200
    refused = do(browser, "/home/fila/there", "rename", name="a.txt", to="d")
    assert (refused.status_code, "d exists already" in words(refused)) == (400, True)
    assert "into itself" in words(do(browser, "/home/fila/there", "rename", name="d", to="d/e"))
    assert do(browser, "/home/fila/there", "rename", name="a.txt", to="d/b.txt").status_code == 200
    assert names(open_(browser, "/home/fila/there/d")) == ["b.txt"]
    assert do(browser, "/home/fila", "delete", name="there").status_code == 200
    history = words(browser.get("user/fila/account/history/"))
    assert all(deed in history for deed in ("file.write", "file.move", "file.delete"))
    assert do(browser, "/home/fila", "nonsense").status_code == 400
    assert "No such file" in words(open_(browser, "/home/fila/there"))


def test_only_the_owner_sees_a_home(platform: Platform, browser: httpx.Client, bob: User) -> None:
    assert browser.get("user/bob/files/home/bob/").status_code == 404
    assert browser.get("user/fila/files/home/bob/").status_code == 404
    with platform.visitor(base_url=platform.panel_url) as stranger:
        assert stranger.get(address("/home/fila")).headers["Location"].startswith("/login/")
        large = stranger.post(address("/home/fila"), files={"content": ("x", bytes(2 << 20))})
        assert large.status_code == 413, "nobody's large body is kept"
        own = {"deed": "delete", "name": "answer.py"}
        assert stranger.post(address("/home/fila"), data=own).status_code == 403
    assert browser.post(address("/home/fila"), data=own).status_code == 403, "without the page's token"
    assert "answer.py" in lists(platform, "")


def test_a_console_opens_where_one_looks(browser: httpx.Client) -> None:
    do(browser, "/home/fila", "new_directory", name="a b&c")
    (link,) = re.findall(
        r'href="/(user/fila/consoles/[^"]*)"[^>]*>Open a console here', open_(browser, "/home/fila/a b&c").text
    )
    assert 'value="/home/fila/a b&amp;c"' in browser.get(html.unescape(link)).text


def test_logs_can_be_read_there_and_not_changed(browser: httpx.Client) -> None:
    page = open_(browser, "/var/log")
    assert page.status_code == 200
    assert "Upload" not in words(page)
    assert do_in_logs(browser, "new_file").status_code == 400


def do_in_logs(browser: httpx.Client, deed: str) -> httpx.Response:
    token = csrf_of(open_(browser, "/home/fila"))
    return browser.post(address("/var/log"), data={"deed": deed, "name": "x", "csrfmiddlewaretoken": token})


def test_the_editor_refuses_to_overwrite_what_changed_meanwhile(platform: Platform, browser: httpx.Client) -> None:
    path, file = "/home/fila/note.txt", platform.paths.homes / "fila/note.txt"
    platform.in_home("fila", "printf 'one\\n' > note.txt; chmod 640 note.txt")
    page = open_(browser, path)
    (digest,) = re.findall(r'name="digest" value="(\w+)"', page.text)
    assert digest == hashlib.sha256(b"one\n").hexdigest()
    assert save(browser, path, "two\n", digest).status_code == 200
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("two\n", 0o640)
    stale = save(browser, path, "mine <b>\n", digest)
    assert stale.status_code == 409
    assert "changed meanwhile" in words(stale)
    assert "mine &lt;b&gt;" in stale.text
    assert file.read_text() == "two\n"
    (now,) = re.findall(r'name="digest" value="(\w+)"', stale.text)
    assert save(browser, path, "mine\n", now).status_code == 200
    assert file.read_text() == "mine\n"
    platform.in_home("fila", "rm note.txt")
    gone = save(browser, path, "kept\n", now)
    assert (gone.status_code, "deleted meanwhile" in words(gone)) == (409, True)
    assert save(browser, path, "kept\n", "absent").status_code == 200
    assert file.read_text() == "kept\n"


def test_what_cannot_be_edited_is_offered_as_a_download(platform: Platform, browser: httpx.Client) -> None:
    platform.in_home("fila", "head -c 500000 /dev/zero | tr '\\0' a > long.txt; head -c 99 /dev/urandom > b.bin")
    assert "Files of more than 400 KiB are not edited here" in words(open_(browser, "/home/fila/long.txt"))
    assert "This is no text" in words(open_(browser, "/home/fila/b.bin"))
    for name in ("long.txt", "b.bin"):
        assert "?download=1" in open_(browser, f"/home/fila/{name}").text


def test_a_text_that_is_too_large_is_refused_in_words(platform: Platform, browser: httpx.Client) -> None:
    platform.in_home("fila", "echo short > large.txt")
    refused = save(browser, "/home/fila/large.txt", "x" * (1 << 20), hashlib.sha256(b"short\n").hexdigest())
    assert (refused.status_code, "A form takes 1 MiB of text" in words(refused)) == (400, True)
    many = [("content", (f"{number}.txt", b"")) for number in range(101)]
    refused = do(browser, "/home/fila", "upload", files=many)
    assert (refused.status_code, "A form takes 100 files at once" in words(refused)) == (400, True)
    assert platform.in_home("fila", "cat large.txt") == "short\n"


def test_save_and_reload_serves_the_new_code_or_says_why_not(
    platform: Platform, fila: User, browser: httpx.Client
) -> None:
    platform.in_home("fila", "mkdir -p code; cp answer.py code/")
    command = "cd ~/code && exec " + answering()
    assert platform.create(fila, "code-fila", command).json()["webapp"]["state"] == "running"
    domain, path = f"code-fila.{platform.domain}", "/home/fila/code/answer.py"
    try:
        page = open_(browser, path)
        assert f"Save and reload {domain}" in words(page)
        code = platform.in_home("fila", "cat code/answer.py")
        digest = hashlib.sha256(code.encode()).hexdigest()
        wrong = f"raise SystemExit('mended soon')\n{code}"
        failed = save(browser, path, wrong, digest, reload="1", website=domain)
        assert "mended soon" in words(failed)
        assert platform.get("code-fila").status_code == 200, "the old run goes on"
        right = f"# touched\n{code}"
        done = save(browser, path, right, hashlib.sha256(wrong.encode()).hexdigest(), reload="1", website=domain)
        assert f"{domain} was reloaded and is running" in " ".join(words(done).split())
        platform.create(fila, "also-fila", command)
        choice = re.findall(r'<option value="([^"]+)">', open_(browser, path).text)
        assert choice == [domain, f"also-fila.{platform.domain}"]
        done = save(browser, path, code, hashlib.sha256(right.encode()).hexdigest(), reload="1", website=choice[1])
        assert f"{choice[1]} was reloaded and is running" in " ".join(words(done).split())
        platform.delete(fila, "also-fila")
    finally:
        platform.delete(fila, "code-fila")
