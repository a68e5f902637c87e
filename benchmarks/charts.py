"""Pictures of figures: line charts as SVG, by hand, for they are a few lines of text and need no library."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's, which colour-blind people can tell apart."""
STEPS = (1, 2, 2.5, 5, 10)
LINES = 5
"""Horizontal lines of the grid, at most."""


def line_chart(title: str, across: str, up: str, places: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """One line for each of `series` over `places`, which stand at equal distances; NaN leaves a gap."""
    step = _step(max((value for line in series.values() for value in line if value == value), default=1.0))
    top = step * LINES
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 22, title, anchor="middle", size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, anchor="middle"),
        f'<g transform="translate(14 {HEIGHT / 2}) rotate(-90)">{_text(0, 0, up, anchor="middle")}</g>',
    ]
    for level in range(LINES + 1):
        y = _y(step * level, top)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{step * level:g}", anchor="end"))
    parts += [
        _text(_x(at, len(places)), HEIGHT - BOTTOM + 18, place, anchor="middle") for at, place in enumerate(places)
    ]
    for at, (name, line) in enumerate(series.items()):
        parts += _line(name, line, COLOURS[at % len(COLOURS)], top, TOP + 8 + 18 * at)
    return "\n".join([*parts, "</svg>\n"])


def _line(name: str, values: Sequence[float], colour: str, top: float, legend: float) -> list[str]:
    points = [(_x(at, len(values)), _y(value, top)) for at, value in enumerate(values) if value == value]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    beside = WIDTH - RIGHT + 12
    return [
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points),
        f'<path d="M{beside} {legend}h16" stroke="{colour}" stroke-width="3"/>',
        _text(beside + 22, legend + 4, name),
    ]


def _step(largest: float) -> float:
    """A round distance between lines, so that the top one is not below `largest`."""
    size = 1.0
    while size * STEPS[-1] * LINES < largest:
        size *= 10
    return next(size * step for step in STEPS if size * step * LINES >= largest)


def _x(at: int, count: int) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * (at + 0.5) / count


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def _text(x: float, y: float, said: str, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(said)}</text>'
