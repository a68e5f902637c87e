"""Figures in lines over places: a table with its ratios, and the same as a picture.

A line is a piece of work on one of the servers, "read, Samba"; the ratio of a piece of work says how many times better
this server was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import results
from .charts import bar_chart, line_chart
from .peers import OURS, SAMBA

LOCAL = "local file system"


@dataclass(slots=True)
class Grid:
    """One table; figures are added in turns."""

    title: str
    unit: str
    across: str
    file: str
    """The picture's name."""
    works: Sequence[str]
    places: Sequence[str]
    whose: Sequence[str] = (OURS, SAMBA)
    digits: int = 0
    larger_is_better: bool = True
    gain: tuple[str, str] | None = None
    """Two places, the first of which is compared with the second in a column of its own."""
    note: str = ""
    bars: bool = False
    logarithmic: bool = False
    figures: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    client: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    """Processors that the client kept busy meanwhile."""

    def add(self, work: str, who: str, place: str, figure: float, client: float = float("nan")) -> None:
        self.figures.setdefault((work, who, place), []).append(figure)
        self.client.setdefault((work, who, place), []).append(client)

    def median(self, work: str, who: str, place: str) -> float:
        return results.median(self.figures.get((work, who, place), []))

    def line(self, work: str, who: str) -> list[float]:
        return [self.median(work, who, place) for place in self.places]

    def text(self) -> str:
        heads = [f"{self.unit} by {self.across}", *self.places, *([" / ".join(self.gain)] if self.gain else [])]
        rows = [row for work in self.works for row in self._rows(work)]
        parts = [f"### {self.title}", results.table(heads, rows), self.note, self._client()]
        return "\n\n".join([*filter(None, parts), f"![{self.title}](pictures/{self.file})"])

    def picture(self) -> str:
        lines = {f"{work}, {who}": self.line(work, who) for work in self.works for who in self.whose}
        chart = bar_chart if self.bars else line_chart
        return chart(self.title, self.across, self.unit, self.places, lines, logarithmic=self.logarithmic)

    def _rows(self, work: str) -> list[list[str]]:
        rows = []
        for who in self.whose:
            line = self.line(work, who)
            rows.append([f"{work}, {who}", *(results.figure(each, self.digits) for each in line), *self._gain(line)])
        if SAMBA in self.whose:
            pairs = zip(self.line(work, OURS), self.line(work, SAMBA), strict=True)
            told = [results.ratio(*pair, larger_is_better=self.larger_is_better) for pair in pairs]
            rows.append([f"**{work}, ratio**", *told, *([""] if self.gain else [])])
        return rows

    def _gain(self, line: Sequence[float]) -> list[str]:
        if self.gain is None:
            return []
        of, against = (line[list(self.places).index(place)] for place in self.gain)
        return [results.ratio(of, against, larger_is_better=self.larger_is_better)]

    def _client(self) -> str:
        """How far the client was from being the limit."""
        busiest = {who: self._busiest(who) for who in self.whose}
        said = [f"{most:.0%} of a processor with {who}" for who, most in busiest.items() if most == most]
        return f"The client used at most {', '.join(said)}." if said else ""

    def _busiest(self, who: str) -> float:
        shares = [results.median(shares) for (_, whose, _), shares in self.client.items() if whose == who]
        return max((share for share in shares if share == share), default=float("nan"))


def pictures(grids: Sequence[Grid]) -> dict[str, str]:
    """By file name."""
    return {grid.file: grid.picture() for grid in grids}
