"""A flame graph of what `perf script` prints: stacks folded into a tree, and that drawn as one SVG without scripts.

Drawn here, because of the packages that draw one from Python none is kept up: those that were once for perf's stacks
have had no release for years, and the rest are for other profilers or bring scripts along.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FIELDS = "ip,sym,dso"  # for perf script -F
FRAME = re.compile(r"\s*[0-9a-f]+ (?P<symbol>.*) \((?P<place>.*)\)$")
LEAST = 0.002  # of all samples: narrower frames are left out
WIDTH, ROW, MARGIN, HEAD, FOOT = 1400, 17, 10, 64, 22
LETTER = 6.7  # pixels

STYLE = """
text { font: 11px monospace; fill: #111 }
.title { font: bold 16px sans-serif }
.said { font: 12px sans-serif }
g:hover rect { stroke: #111 }
"""
COLOURS = {
    "nginx": "#f4a95c",
    "Lua module": "#d9ca5a",
    "LuaJIT": "#8fc46b",
    "compiled Lua": "#5fbf9f",
    "C library": "#d9a6c8",
    "kernel": "#8db4de",
    "other": "#bbbbbb",
}


@dataclass(slots=True)
class Frame:
    """A function as it was called on one way; `samples` with those of what it called."""

    name: str
    part: str
    samples: int = 0
    callees: dict[tuple[str, str], "Frame"] = field(default_factory=dict)

    def call(self, name: str, part: str) -> "Frame":
        return self.callees.setdefault((name, part), Frame(name, part))


def fold(text: str, *, root: str) -> Frame:
    """The tree of all samples in `text`. Of each stack nothing is kept that lies below the function `root`."""
    tree = Frame("all samples", "other")
    for sample in text.split("\n\n"):
        stack = list(_parse(sample))[::-1]  # the outermost first
        names = [name for name, _ in stack]
        frame = tree
        frame.samples += bool(stack)
        for name, part in stack[names.index(root) if root in names else 0 :]:
            if (name, part) != (frame.name, frame.part):  # one call of itself, or several static functions in a row
                frame = frame.call(name, part)
                frame.samples += 1
    return tree


def _parse(sample: str) -> Iterator[tuple[str, str]]:
    """Name and part of each frame, the innermost first."""
    for line in sample.splitlines():
        if found := FRAME.match(line):
            part = find_part(found["place"])
            name = found["symbol"].partition("@@")[0]
            yield (f"[{part}]" if name == "[unknown]" else name), part


def find_part(place: str) -> str:
    """Which of `COLOURS` the code at `place` belongs to, a path or what perf puts in brackets."""
    name = Path(place).name
    if re.fullmatch(r"perf-\d+\.map|\[JIT\].*", name):  # nginx has no other code that is not in a file
        return "compiled Lua"
    if name in {"[vdso]", "[unknown]"}:
        return "other"
    if name.startswith("["):
        return "kernel"
    known = {"nginx": "nginx", "ngx_http_lua_module.so": "Lua module"}
    prefixes = {"libluajit": "LuaJIT", "libc.": "C library"}
    return known.get(name) or next((part for prefix, part in prefixes.items() if name.startswith(prefix)), "other")


def shares(tree: Frame) -> dict[str, float]:
    """How much of the time was spent in each part's own code."""
    found = dict.fromkeys(COLOURS, 0)

    def add(frame: Frame) -> None:
        found[frame.part] += frame.samples - sum(callee.samples for callee in frame.callees.values())
        for callee in frame.callees.values():
            add(callee)

    add(tree)
    return {part: samples / tree.samples for part, samples in found.items()}


def draw(tree: Frame, title: str, subtitle: str, *, whole_us: float) -> str:
    """`whole_us`: what all samples together stand for, in microseconds."""
    bars = list(_bars(tree, 0.0, 0, tree.samples * LEAST))
    rows = 1 + max(depth for _, _, depth in bars)
    height = HEAD + rows * ROW + FOOT + MARGIN
    scale = (WIDTH - 2 * MARGIN) / tree.samples
    shapes = []
    for frame, begin, depth in bars:
        x, y = MARGIN + begin * scale, HEAD + (rows - 1 - depth) * ROW
        share = frame.samples / tree.samples
        hint = f"{frame.name} ({frame.part}): {share:.1%}, {share * whole_us:.2f} µs"
        shapes.append(_bar(frame, x, y, frame.samples * scale, hint))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fdfdfb"/>',
            f'<text class="title" x="{MARGIN}" y="24">{escape(title)}</text>',
            f'<text class="said" x="{MARGIN}" y="46">{escape(subtitle)}</text>',
            *shapes,
            *_legend(tree, height - FOOT),
            "</svg>\n",
        ]
    )


def _bars(frame: Frame, begin: float, depth: int, least: float) -> Iterator[tuple[Frame, float, int]]:
    """Each frame that is wide enough, with the sample at which it begins and its row, callers before callees."""
    if frame.samples < least:
        return
    yield frame, begin, depth
    for callee in sorted(frame.callees.values(), key=lambda callee: callee.name):  # the same order in each picture
        yield from _bars(callee, begin, depth + 1, least)
        begin += callee.samples


def _bar(frame: Frame, x: float, y: float, width: float, hint: str) -> str:
    seen = max(width - 0.5, 0.3)  # with a gap
    rect = f'<rect x="{x:.1f}" y="{y}" width="{seen:.1f}" height="{ROW - 1}" fill="{COLOURS[frame.part]}"/>'
    room = int((width - 6) / LETTER)
    name = frame.name if len(frame.name) <= room else frame.name[: room - 1] + "…"
    label = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(name)}</text>' if room >= 3 else ""
    return f"<g><title>{escape(hint)}</title>{rect}{label}</g>"


def _legend(tree: Frame, y: float) -> Iterator[str]:
    x = MARGIN
    for part, share in shares(tree).items():
        if share >= LEAST:
            text = f"{part} {share:.1%}"
            yield f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[part]}"/>'
            yield f'<text class="said" x="{x + 17}" y="{y + 11}">{escape(text)}</text>'
            x += 40 + round(len(text) * LETTER)
