"""Groups of rows, and the rule by which a bound counts as broken.

A timed ratio breaks its bound by chance now and then, on a machine that others use. So a group with a row above its
bound is measured again, and only a row that is above it in every one of `RUNS` runs has broken it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.rows import Table

RUNS = 3
"""How many runs out of as many have to be above a bound."""


@dataclass(frozen=True)
class Group:
    """Rows that are measured together.

    Attributes:
        name: What `--only` calls it; its picture is named so too.
        measure: Takes the number of rounds; exact figures need none.
        fewer: What the rounds of a jitted call are divided by, for calls that last longer.
    """

    name: str
    measure: Callable[[int], Table]
    fewer: int = 1

    def run(self, rounds: int) -> Table:
        """Measure once, of so many rounds of a jitted call."""
        return self.measure(max(2, rounds // self.fewer))


@dataclass(frozen=True)
class Outcome:
    """What came of a group.

    Attributes:
        group: Its name.
        table: Of its last run.
        runs: How often it was measured.
        above: In how many of the runs a row was above its bound, by the row's name, where it was at all.
    """

    group: str
    table: Table
    runs: int
    above: Mapping[str, int]

    @property
    def broken(self) -> tuple[str, ...]:
        """The rows above their bounds in every run."""
        return tuple(row for row, count in self.above.items() if count == self.runs)


def settle(group: Group, rounds: int, runs: int = RUNS) -> Outcome:
    """Measure a group, and again while a row is above its bound in every run, at most so many times."""
    above: Counter[str] = Counter()
    for run in range(1, runs + 1):
        table = group.run(rounds)
        above.update(row.name for row in table.rows if row.is_broken)
        outcome = Outcome(group.name, table, run, dict(above))
        if not outcome.broken:
            break
    return outcome
