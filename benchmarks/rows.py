"""The rows of the tables: what was measured of one contestant in one case, and the bound that it has to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.measure import Times

RAW = "jax"
"""The contestant that the others are compared with: JAX's own transform, written by hand in the same form."""

OURS = "annotax"
"""The only contestant with bounds."""


@dataclass(frozen=True)
class Bound:
    """A promise: a figure and the most that it may be."""

    figure: float
    limit: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.limit:,.4g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """One contestant in one case.

    Attributes:
        case: What is measured.
        contestant: Of whom.
        measured: The figure with its spread, as the table shows it.
        ratio: To the raw contestant of the same case, where there is one.
        bound: What was promised, where something was.
    """

    case: str
    contestant: str
    measured: str
    ratio: float | None = None
    bound: Bound | None = None

    @property
    def is_broken(self) -> bool:
        """Whether there is a bound and the figure is above it."""
        return self.bound is not None and self.bound.figure > self.bound.limit


@dataclass(frozen=True)
class Table:
    """The rows of one group.

    Attributes:
        title: What the group is about.
        unit: What the figures are.
        note: How to read them.
        rows: The rows, those of one case together.
    """

    title: str
    unit: str
    note: str
    rows: tuple[Row, ...]


def compare(case: str, times: Mapping[str, Times], limit: float | None) -> list[Row]:
    """The rows of one case whose contestants were timed against each other; a limit is on the ratio of ours."""
    rows: list[Row] = []
    for contestant, taken in times.items():
        ratio = taken.ratio_to(times[RAW])
        bound = Bound(ratio, limit) if contestant == OURS and limit is not None else None
        rows.append(Row(case, contestant, str(taken), ratio, bound))
    return rows


def beside(case: str, times: Mapping[str, Times], peer: str, limit: float) -> Row:
    """The row that compares ours with a peer in place of raw JAX; a limit is on the ratio to it."""
    ratio = times[OURS].ratio_to(times[peer])
    return Row(case, f"{OURS}, ratio to {peer}", "", ratio, Bound(round(ratio, 4), limit))
