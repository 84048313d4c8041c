"""Draws the states of the circuit breaker, from the table of its code, into the page of its layer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from math import hypot
from pathlib import Path

import mkdocs_gen_files

from resilience._breaker_machine import CLOSED, HALF_OPEN, ISOLATED, NAMES, OPEN
from resilience._breaker_state import TRANSITIONS, BreakerTransition

PAGE = "layers/breaker.md"
MARKER = "<!-- the states are drawn here -->"
WIDTH, HEIGHT = 820, 430
BOX_WIDTH, BOX_HEIGHT = 120, 44
PLACES = {CLOSED: (100, 90), OPEN: (620, 90), HALF_OPEN: (620, 380), ISOLATED: (100, 380)}
BY_HAND = "by hand"
# How far an arrow is bent to its left, so that an arrow and the way back do not lie upon each other.
BEND = 26
HEAD = f"""\
<svg class="states" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img"
  aria-label="The states of the circuit breaker and the ways between them">"""
TIP = """\
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0L10 5L0 10z" fill="currentColor"/></marker></defs>"""
STYLE = """\
.states { max-width: 100%; height: auto; font-size: 13px; }
.states rect { fill: none; stroke: currentColor; stroke-width: 1.5; }
.states path.way { fill: none; stroke: currentColor; stroke-width: 1.5; }
.states path.hand { opacity: 0.45; stroke-dasharray: 5 4; }
.states text { fill: currentColor; stroke: none; text-anchor: middle; }
.states text.state { font-weight: bold; font-size: 15px; }"""


def drawing(transitions: tuple[BreakerTransition, ...]) -> str:
    """The diagram as SVG, in the colour of the text around it."""
    parts = [HEAD, f"<style>{STYLE}</style>", TIP]
    for state, (x, y) in PLACES.items():
        corner = f'x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}"'
        parts.append(f'<rect {corner} width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>')
        parts.append(f'<text class="state" x="{x}" y="{y + 5}">{NAMES[state].replace("_", " ")}</text>')
    for transition in transitions:
        parts += _arrow(transition)
    return "\n".join([*parts, "</svg>"])


def _arrow(transition: BreakerTransition) -> Iterator[str]:
    (x, y), (to_x, to_y) = PLACES[transition.old], PLACES[transition.new]
    length = hypot(to_x - x, to_y - y)
    along_x, along_y = (to_x - x) / length, (to_y - y) / length
    bend_x, bend_y = (x + to_x) / 2 + along_y * BEND, (y + to_y) / 2 - along_x * BEND
    start, end = _edge(x, y, bend_x, bend_y), _edge(to_x, to_y, bend_x, bend_y)
    by_hand = transition.when == BY_HAND
    route = f"M{start} Q{bend_x:.0f},{bend_y:.0f} {end}"
    yield f'<path class="way{" hand" if by_hand else ""}" d="{route}" marker-end="url(#tip)"/>'
    if not by_hand:
        # In the middle many ways cross: what is said of a slanting one stands nearer to its end.
        near = 0.22 if along_x and along_y else 0.0
        at = bend_x + (to_x - x) * near, bend_y + (to_y - y) * near
        yield from _label(transition.when, at, (along_x, along_y))


def _label(words: str, at: tuple[float, float], along: tuple[float, float]) -> Iterator[str]:
    """Words beside an arrow, on the side to which it is bent."""
    lines = textwrap.wrap(words.replace("`", ""), 46 if not along[1] else 22)
    x = at[0] + along[1] * (max(len(line) for line in lines) * 3.4 + 4)
    y = at[1] - along[0] * len(lines) * 9
    for number, line in enumerate(lines):
        yield f'<text x="{x:.0f}" y="{y + 16 * (number - (len(lines) - 1) / 2) + 5:.0f}">{escape(line)}</text>'


def _edge(x: float, y: float, to_x: float, to_y: float) -> str:
    """Where a line from the middle of a box leaves it."""
    across, down = to_x - x, to_y - y
    part = min((BOX_WIDTH / 2 + 4) / abs(across) if across else 9.0, (BOX_HEIGHT / 2 + 4) / abs(down) if down else 9.0)
    return f"{x + across * part:.0f},{y + down * part:.0f}"


def table(transitions: tuple[BreakerTransition, ...]) -> str:
    """The same in words, for those who cannot see it."""
    names = [name.replace("_", " ") for name in NAMES]
    rows = [f"| {names[old]} | {names[new]} | {when} |" for old, new, when in transitions if when != BY_HAND]
    hands = {old: ", ".join(names[way.new] for way in transitions if way.old == old and way.when == BY_HAND)
             for old in sorted(PLACES)}  # fmt: skip
    rows += [f"| {names[old]} | {new} | {BY_HAND} (dashed) |" for old, new in hands.items() if new]
    return "\n".join(["| From | To | When |", "|---|---|---|", *rows])


with mkdocs_gen_files.open(PAGE, "r") as page:
    text = page.read()
assert text.count(MARKER) == 1, f"{PAGE} says once where its diagram goes: {MARKER}"
with mkdocs_gen_files.open(PAGE, "w") as page:
    page.write(text.replace(MARKER, f"{drawing(TRANSITIONS)}\n\n{table(TRANSITIONS)}"))
mkdocs_gen_files.set_edit_path(PAGE, Path(PAGE))
