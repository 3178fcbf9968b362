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

OUTCOMES = ("ran", "refused at the call", "refused at decoration", "contradictory")


@dataclass(frozen=True)
class Share:
    """What came of the cases of one pipeline, or of contradictory markers.

    Attributes:
        name: The transforms.
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
        return f"{self.name:<40} {self.outcomes.total():>6} {found:>9} {self.seconds:>7.1f} s {self.megabytes:>6} MB"


def share(index: int, examples: int, seed: int) -> Share:
    """Run the cases of one of `PIPELINES`, by its index; contradictory markers for the index behind the last."""
    warnings.simplefilter("error")  # as in the test suite
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    started, mismatch = time.perf_counter(), ""
    try:
        if index == len(PIPELINES):
            explore(contradictions(), contradict, examples=examples, seed=seed)
        else:
            explore(cases(PIPELINES[index]), agree, examples=examples, seed=seed)
    except Exception as error:  # whatever it is, the other pipelines go on
        mismatch = "".join(traceback.format_exception(error))
    kinds = PIPELINES[index] if index < len(PIPELINES) else ()
    return Share(
        " ".join(kind.name for kind in kinds) or "contradictory markers",
        Counter({outcome: TALLY[outcome] for outcome in OUTCOMES}),
        time.perf_counter() - started,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        mismatch,
    )
