"""Each reason and each explained page of the edge has advice, and the documents have the same."""

import re
from pathlib import Path

from hostel.panel.websites.advice import MET, REASONS
from hostel.panel.websites.templatetags.trouble import with_code
from hostel.wire.errors import Reason

ROOT = Path(__file__).parents[3]
EDGE = ROOT / "src/hostel/edge"


def explained_codes() -> set[str]:
    codes = re.findall(
        r'^    (\w+) = \{ status = \d+, page = "([\w-]+)"', (EDGE / "lua/pages.lua").read_text(), re.MULTILINE
    )
    return {code for code, page in codes if "set explained = true" in (EDGE / f"pages/{page}.html").read_text()}


def test_each_reason_has_advice() -> None:
    assert set(Reason) <= REASONS.keys()


def test_each_page_that_promises_to_say_why_has_advice_and_no_other_code() -> None:
    # A fault, or a visitor's connection that was refused before a website was known, has no id.
    assert explained_codes() - {"fault"} == set(MET)


def test_the_reference_has_the_same_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)
    shown = {reason: (means, todo) for reason, means, todo in rows if reason in REASONS}
    assert shown == {str(reason): (advice.means, advice.todo) for reason, advice in REASONS.items()}


def test_code_is_marked_and_nothing_else_becomes_html() -> None:
    assert with_code("run `a <b>` & <i>wait</i>") == "run <code>a &lt;b&gt;</code> &amp; &lt;i&gt;wait&lt;/i&gt;"
