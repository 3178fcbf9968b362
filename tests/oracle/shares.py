"""Shares of a long run, each the cases of one pipeline in a process of its own."""

from __future__ import annotations

import resource
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass

from tests.oracle.agreement import TALLY, agree, contradict, explore
from tests.oracle.strategies import PIPELINES, cases, contradictions

NAMES = (*(" ".join(kind.name for kind in kinds) for kinds in PIPELINES), "contradictory markers")
"""What there is to share: the cases of each pipeline, and those that cannot be honoured."""

OUTCOMES = ("ran", "refused at the call", "refused at decoration", "contradictory")


@dataclass(frozen=True)
class Share:
    """What came of the cases of one pipeline, or of contradictory markers.

    Attributes:
        name: Whose they are, one of `NAMES`.
        outcomes: How many cases ended how.
        seconds: How long they took.
        megabytes: The most memory that their process held.
        mismatch: The failing case as a script, and what differs, if there is one.
    """

    name: str
    outcomes: Counter[str]
    seconds: float
    megabytes: int
    mismatch: str = ""

    def __str__(self) -> str:
        found = "MISMATCH" if self.mismatch else "agree"
        line = f"{self.name:<28} {self.outcomes.total():>6} {found:>9} {self.seconds:>7.1f} s {self.megabytes:>6} MB"
        return f"{line}\n\n{self.mismatch}" if self.mismatch else line


def share(name: str, examples: int, seed: int) -> Share:
    """Run the cases of one of `NAMES`, which starts where no other does."""
    warnings.simplefilter("error")  # as in the test suite
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    started, mismatch, index = time.perf_counter(), "", NAMES.index(name)
    try:
        if index < len(PIPELINES):
            explore(cases(PIPELINES[index]), agree, examples=examples, seed=seed + index)
        else:
            explore(contradictions(), contradict, examples=examples, seed=seed + index)
    except Exception as error:  # whatever it is, the others go on
        mismatch = "".join(traceback.format_exception(error))
    return Share(
        name,
        Counter({outcome: TALLY[outcome] for outcome in OUTCOMES}),
        time.perf_counter() - started,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        mismatch,
    )
