"""The rows of the tables: what was measured of one contestant in one case, and the bound that it has to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from benchmarks.measure import Times

RAW = "jax"
"""The contestant that the others are compared with: JAX's own transform, written by hand in the same form."""

OURS = "annotax"
"""The only contestant with bounds."""

DATACLASSES = "jax_dataclasses"
EQUINOX = "equinox"
FLAX = "flax.nnx"

PEERS = (DATACLASSES, EQUINOX, FLAX)
"""Those that can do some of the same work. A peer used in another way is the peer's name, a comma, and the way."""

NOISE = 0.01
"""How much two figures differ at least before one is said to be behind the other; ratios repeat to about half of it."""


@dataclass(frozen=True)
class Bound:
    """A promise: a figure and the most that it may be."""

    figure: float
    limit: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.limit:,.5g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """One contestant in one case.

    Attributes:
        case: What is measured.
        contestant: Of whom.
        figure: What was measured, in the unit of the table.
        measured: The figure with its spread, as the table shows it.
        ratio: To the raw contestant of the same case, where there is one.
        bound: What was promised, where something was.
    """

    case: str
    contestant: str
    figure: float
    measured: str
    ratio: float | None = None
    bound: Bound | None = None

    @property
    def name(self) -> str:
        """What to call the row outside its table."""
        return f"{self.case}: {self.contestant}"

    @property
    def is_broken(self) -> bool:
        """Whether there is a bound and the figure is above it."""
        return self.bound is not None and self.bound.figure > self.bound.limit

    @property
    def of_peer(self) -> bool:
        """Whether the contestant is a peer."""
        return self.contestant.partition(",")[0] in PEERS


@dataclass(frozen=True)
class Picture:
    """How a table is drawn.

    Attributes:
        alt: What the picture shows, for those who do not see it.
        across: The number that each case stands for, where the cases lie along an axis; otherwise each has a place of
            its own.
        across_label: What that number is.
        by_factors: Whether equal distances are equal factors.
        only: The cases to draw, where not all of them.
    """

    alt: str
    across: tuple[float, ...] = ()
    across_label: str = ""
    by_factors: bool = True
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The rows of one group.

    Attributes:
        title: What the group is about.
        unit: What the figures are.
        note: How to read them.
        limit: What nobody can be better than, in words.
        rows: The rows, those of one case together.
        picture: How to draw them, where that says more than the numbers.
    """

    title: str
    unit: str
    note: str
    limit: str
    rows: tuple[Row, ...]
    picture: Picture | None = None

    @property
    def cases(self) -> dict[str, tuple[Row, ...]]:
        """The rows by case."""
        return {case: tuple(rows) for case, rows in groupby(self.rows, key=lambda row: row.case)}

    @property
    def distances(self) -> tuple[float, ...]:
        """How many times raw JAX annotax takes, in each case that has both."""
        return tuple(row.ratio for row in self.rows if row.contestant == OURS and row.ratio is not None)

    @property
    def behind(self) -> tuple[tuple[Row, Row], ...]:
        """The rows of ours for which a peer does better in the same case by more than noise, each with the best one."""
        found: list[tuple[Row, Row]] = []
        for rows in self.cases.values():
            peers = [row for row in rows if row.of_peer]
            for ours in (row for row in rows if row.contestant == OURS):
                best = min(peers, key=_standing, default=None)
                if best is not None and _standing(ours) > _standing(best) * (1 + NOISE):
                    found.append((ours, best))
        return tuple(found)


def _standing(row: Row) -> float:
    """What rows of one case are compared by: ratios, which hardly drift, where there are ratios."""
    return row.figure if row.ratio is None else row.ratio


def compare(case: str, times: Mapping[str, Times], limit: float | None) -> list[Row]:
    """The rows of one case whose contestants were timed against each other; a limit is on the ratio of ours."""
    rows: list[Row] = []
    for contestant, taken in times.items():
        ratio = taken.ratio_to(times[RAW])
        bound = Bound(ratio, limit) if contestant == OURS and limit is not None else None
        rows.append(Row(case, contestant, taken.microseconds, str(taken), ratio, bound))
    return rows


def beside(case: str, times: Mapping[str, Times], peer: str, limit: float) -> Row:
    """The row that compares ours with a peer in place of raw JAX; a limit is on the ratio to it."""
    ratio = round(times[OURS].ratio_to(times[peer]), 4)
    return Row(case, f"{OURS}, ratio to {peer}", ratio, f"{ratio:.3f} times {peer}", bound=Bound(ratio, limit))


def counted(case: str, counts: Mapping[str, int], limit: int | None) -> list[Row]:
    """The rows of one case in which something was counted; a limit is on the count of ours."""
    return [
        Row(
            case,
            contestant,
            count,
            str(count),
            count / counts[RAW],
            Bound(count, limit) if contestant == OURS and limit is not None else None,
        )
        for contestant, count in counts.items()
    ]
