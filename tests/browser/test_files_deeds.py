"""Files in a real browser: uploads chosen and dropped, the editor with and without JavaScript, names full of markup."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import StorageState, expect

from chromium import OpenWindow, Window
from live import Platform, User, answering

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=\"document.title='pwned'\">"

DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def pages(platform: Platform, bob: User) -> Iterator[str]:
    """The address of a directory of bob's that goes when the tests have ended."""
    platform.in_home("bob", "mkdir -p pages/sub; cp answer.py pages/; printf 'one\\n' > pages/plain.txt")
    yield f"{platform.panel_url}user/bob/files/home/bob/pages/"
    platform.in_home("bob", "rm -rf pages")


@pytest.fixture
def window(open_window: OpenWindow, bobs_cookies: StorageState) -> Window:
    return open_window(storage_state=bobs_cookies)


def test_files_are_uploaded_renamed_and_deleted(platform: Platform, window: Window, pages: str, tmp_path: Path) -> None:
    page = window.page
    page.goto(f"{platform.panel_url}user/bob/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Files").click()
    page.get_by_role("link", name="pages/", exact=True).click()
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    page.get_by_label("Files", exact=True).set_input_files([tmp_path / "a.txt", tmp_path / "b.txt"])
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("link", name="b.txt", exact=True)).to_be_visible()
    page.evaluate(DROP, ["dropped.txt", "by hand"])
    expect(page.get_by_role("link", name="dropped.txt", exact=True)).to_be_visible()
    page.evaluate(DROP, ["a.txt", "again"])
    expect(page.get_by_text("a.txt exists already")).to_be_visible()
    assert platform.in_home("bob", "cat pages/a.txt pages/b.txt pages/dropped.txt") == "a.txtb.txtby hand"
    page.get_by_role("link", name="Rename a.txt").click()
    page.get_by_label("New name").fill("sub/c.txt")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_text("Renamed a.txt to sub/c.txt.")).to_be_visible()
    page.get_by_role("link", name="Delete sub").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted sub.")).to_be_visible()
    page.get_by_label("New directory").fill("made")
    page.get_by_role("button", name="Make directory").click()
    page.get_by_label("New file").fill("new.py")
    page.get_by_role("button", name="Make file").click()
    expect(page.get_by_role("heading", name="new.py")).to_be_visible()
    assert window.complaints() == []


def test_code_is_edited_with_highlighting_and_saved(platform: Platform, bob: User, window: Window, pages: str) -> None:
    platform.create(bob, "edit-bob", f"cd ~/pages && exec {answering('edited')}")
    page = window.page
    try:
        page.goto(f"{pages}answer.py/")
        expect(page.locator(".cm-keyword").first).to_be_visible()
        page.locator(".CodeMirror").click()
        page.keyboard.press("Control+Home")
        page.keyboard.type("# typed here\n")
        page.keyboard.press("Control+s")
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert platform.in_home("bob", "head -n 1 pages/answer.py") == "# typed here\n"
        page.get_by_role("button", name=re.compile("Save and reload edit-bob")).click()
        expect(page.get_by_text(re.compile("was reloaded and is"))).to_contain_text("running")
        platform.in_home("bob", "echo '# theirs' >> pages/answer.py")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("This file was changed meanwhile")).to_be_visible()
        assert window.complaints() == []
    finally:
        platform.delete(bob, "edit-bob")


def test_the_editor_is_a_text_field_without_javascript(
    platform: Platform, open_window: OpenWindow, bobs_cookies: StorageState, pages: str
) -> None:
    page = open_window(storage_state=bobs_cookies, java_script_enabled=False).page
    page.goto(f"{pages}plain.txt/")
    expect(page.get_by_label("Text of the file")).to_have_value("one\n")
    page.get_by_label("Text of the file").fill("one\ntwo\n")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert platform.in_home("bob", "cat pages/plain.txt") == "one\ntwo\n"


def test_g5_file_names_and_contents_full_of_markup_run_nothing(platform: Platform, window: Window, pages: str) -> None:
    """Positive control: the same markup set into the page as HTML makes the browser complain of the page's rules."""
    contents = f"</textarea><script>document.title='pwned'</script>{MARKUP}"
    made = "import os\nos.makedirs('pages/evil/<script>document.title=1')\nos.chdir('pages/evil')\n"
    made += f"open({MARKUP!r}, 'w').write({contents!r})\nos.symlink({MARKUP!r}, 'link')"
    platform.in_home("bob", "python3 -", stdin=made)
    page = window.page
    seen = []
    for link in (None, MARKUP, f"Rename {MARKUP}", f"Delete {MARKUP}", "<script>document.title=1/"):
        page.goto(f"{pages}evil/")
        expect(page.get_by_role("link", name=MARKUP, exact=True)).to_be_visible()
        if link is not None:
            page.get_by_role("link", name=link, exact=True).click()
            expect(page.get_by_role("link", name=MARKUP, exact=True)).to_have_count(0)
        seen.append(page.title())
    assert not [title for title in seen if title.startswith(("pwned", "1"))]
    assert window.complaints() == []
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate("(markup) => { document.body.innerHTML = markup }", MARKUP)
