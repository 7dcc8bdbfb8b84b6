"""What every page is held to, in light and dark, on a phone and a desk: it fits, can be read, and axe-core agrees."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WIDTHS = (390, 1280)
LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA, for text of this size

# The worst contrast of any text on the page, with the text, and whether something sticks out at the side.
MEASURE = """() => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = rgb(colour).slice(0, 3).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return getComputedStyle(at).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  let contrast = 21, text = "";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [low, high] = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort((a, b) => a - b);
    const found = (high + 0.05) / (low + 0.05);
    if (found < contrast) [contrast, text] = [found, walker.currentNode.data.trim()];
  }
  const root = document.documentElement;
  return { contrast, text, overflow: root.scrollWidth - root.clientWidth };
}"""


def serious_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with where it is.

    The editor scrolls with its cursor, which axe-core does not know: its scroller takes no focus of its own.
    """
    found = Axe().run(page, context={"exclude": [[".CodeMirror-scroll"]]}).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes']]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


def assert_good_looks(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            found = page.evaluate(MEASURE)
            assert found["contrast"] >= LEAST_CONTRAST, (scheme, width, found)
            assert found["overflow"] <= 0, (scheme, width, found)
        assert serious_faults(page) == [], scheme
