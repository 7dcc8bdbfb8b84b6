"""What an owner is told about a file that the edge could not read."""

import os
from pathlib import Path

from hostel.agent.refused_files import explain_refusal


def test_the_first_thing_in_the_way_is_named_with_the_command_that_helps(tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = home / "site" / "a b"
    folder.mkdir(parents=True)
    home.chmod(0o710)
    file = folder / "x.css"
    file.write_text("x")
    file.chmod(0o600)
    folder.chmod(0o700)

    def explain(*parts: str) -> str | None:
        return explain_refusal(home, parts, shown="/home/alice")

    whole = ("site", "a b", "x.css")
    assert str(explain(*whole)).endswith("run: chmod o+x '/home/alice/site/a b'")
    folder.chmod(0o755)
    assert str(explain(*whole)).endswith("run: chmod o+r '/home/alice/site/a b/x.css'")
    file.chmod(0o644)
    assert explain(*whole) is None
    assert explain("site", "gone") is None
    home.chmod(0o700)
    assert str(explain(*whole)).endswith("run: chmod g+x /home/alice")


def test_links_are_named_and_never_followed_and_names_stay_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o710)
    (tmp_path / "out").symlink_to("/etc")
    assert "/home/alice/out links to" in str(explain_refusal(tmp_path, ("out", "shadow"), shown="/home/alice"))
    os.mkdir(os.fsencode(tmp_path) + b"/a\n[hostel] forged\xff", mode=0o700)
    name = os.fsdecode(b"a\n[hostel] forged\xff")
    line = str(explain_refusal(tmp_path, (name, "x"), shown="/home/alice"))
    assert line.isascii()
    assert "\n" not in line
