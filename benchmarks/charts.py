"""Pictures of figures: lines and bars as SVG, by hand, for they are a few lines of text and need no library."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 72, 200, 40, 48
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's, which colour-blind people can tell apart."""
STEPS = (1, 2, 2.5, 5, 10)
LINES = 5
"""Horizontal lines of the grid, at most."""
Series = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """The vertical one, from its lowest to its highest grid line; `decades` between them where it is logarithmic."""

    levels: tuple[float, ...]
    logarithmic: bool = False

    def y(self, value: float) -> float:
        low, high = self.levels[0], self.levels[-1]
        if self.logarithmic:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low)


def line_chart(
    title: str, across: str, up: str, places: Sequence[str], series: Series, *, logarithmic: bool = False
) -> str:
    """One line for each of `series` over `places`, which stand at equal distances; NaN leaves a gap."""
    axis = _axis(series, logarithmic)
    marks = [_line(line, COLOURS[at % len(COLOURS)], axis) for at, line in enumerate(series.values())]
    return _chart(title, across, up, places, list(series), axis, marks)


def bar_chart(
    title: str, across: str, up: str, places: Sequence[str], series: Series, *, logarithmic: bool = False
) -> str:
    """A group of bars at each of `places`, one of each of `series`; NaN leaves a gap."""
    axis, count = _axis(series, logarithmic), len(series)
    marks = [_bars(line, COLOURS[at % len(COLOURS)], axis, at, count) for at, line in enumerate(series.values())]
    return _chart(title, across, up, places, list(series), axis, marks)


def panels(charts: Sequence[str], columns: int) -> str:
    """Several charts in one picture, in rows of so many."""
    width, height = WIDTH * columns, HEIGHT * math.ceil(len(charts) / columns)
    placed = [
        chart.replace("<svg ", f'<svg x="{WIDTH * (at % columns)}" y="{HEIGHT * (at // columns)}" '
                      f'width="{WIDTH}" height="{HEIGHT}" ', 1)
        for at, chart in enumerate(charts)
    ]  # fmt: skip
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">', *placed, "</svg>\n"])


def _chart(
    title: str, across: str, up: str, places: Sequence[str], names: Sequence[str], axis: Axis,
    marks: Sequence[Sequence[str]],
) -> str:  # fmt: skip
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 22, title, anchor="middle", size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, anchor="middle"),
        f'<g transform="translate(14 {HEIGHT / 2}) rotate(-90)">{_text(0, 0, up, anchor="middle")}</g>',
    ]
    for level in axis.levels:
        parts.append(f'<path d="M{LEFT} {axis.y(level):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, axis.y(level) + 4, f"{level:g}", anchor="end"))
    parts += [
        _text(_x(at, len(places)), HEIGHT - BOTTOM + 18, place, anchor="middle") for at, place in enumerate(places)
    ]
    for at, (name, drawn) in enumerate(zip(names, marks, strict=True)):
        parts += [*drawn, *_legend(name, COLOURS[at % len(COLOURS)], TOP + 8 + 18 * at)]
    return "\n".join([*parts, "</svg>\n"])


def _line(values: Sequence[float], colour: str, axis: Axis) -> list[str]:
    points = [(_x(at, len(values)), axis.y(value)) for at, value in enumerate(values) if value == value]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return [
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points),
    ]


def _bars(values: Sequence[float], colour: str, axis: Axis, which: int, count: int) -> list[str]:
    room = (WIDTH - RIGHT - LEFT) / len(values)
    width = room * 0.8 / count
    drawn = []
    for at, value in enumerate(values):
        if value == value:
            x, y = _x(at, len(values)) - room * 0.4 + width * which, axis.y(value)
            size = f'width="{width * 0.95:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
            drawn.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}"/>')
    return drawn


def _legend(name: str, colour: str, y: float) -> list[str]:
    beside = WIDTH - RIGHT + 12
    return [f'<path d="M{beside} {y}h16" stroke="{colour}" stroke-width="4"/>', _text(beside + 22, y + 4, name)]


def _axis(series: Series, logarithmic: bool) -> Axis:
    values = [value for line in series.values() for value in line if value == value and (value > 0 or not logarithmic)]
    if logarithmic and values:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return Axis(tuple(10.0**power for power in range(first, max(last, first + 1) + 1)), logarithmic=True)
    step = _step(max(values, default=1.0))
    return Axis(tuple(step * level for level in range(LINES + 1)))


def _step(largest: float) -> float:
    """A round distance between lines, so that the top one is not below `largest`."""
    size = 10.0 ** min(math.floor(math.log10(largest)) - 1, 0) if largest > 0 else 1.0
    while size * STEPS[-1] * LINES < largest:
        size *= 10
    return next(size * step for step in STEPS if size * step * LINES >= largest)


def _x(at: int, count: int) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * (at + 0.5) / count


def _text(x: float, y: float, said: str, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(said)}</text>'
