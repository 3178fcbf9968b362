"""Interleaved timing: every contestant in every round, so that what slows the machine slows them all.

Times on one machine drift by a third within minutes, ratios taken inside one round do not. A round times one batch of
each contestant in a new random order; what is reported of a ratio is the median over the rounds.
"""

from __future__ import annotations

import gc
import random
import statistics
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import jax

K = TypeVar("K")

Batch: TypeAlias = Callable[[], float]
"""Runs one batch and returns the seconds that one call took, averaged over the batch."""

BATCH_SECONDS = 5e-4
"""How long a batch of calls lasts: long beside a tick of the clock, short beside the noise of the machine.

Many short batches tell more than a few long ones: with batches four times as long, and as much time in all, the error
of a ratio was four times as large.
"""


@dataclass(frozen=True)
class Times:
    """The seconds a call of one contestant took in each round."""

    seconds: tuple[float, ...]

    def __str__(self) -> str:
        return self.shown()

    def shown(self, unit: float = 1e-6) -> str:
        """The median with its quartiles, in a unit of so many seconds."""
        lower, median, upper = (
            quartile / unit for quartile in statistics.quantiles(self.seconds, n=4, method="inclusive")
        )
        digits = 0 if median >= 1000 else 1
        return f"{median:,.{digits}f} ({lower:,.{digits}f} to {upper:,.{digits}f})"

    @property
    def microseconds(self) -> float:
        """The median."""
        return 1e6 * statistics.median(self.seconds)

    def ratio_to(self, other: Times) -> float:
        """The median of the ratios to another contestant, each taken within one round."""
        return statistics.median(mine / its for mine, its in zip(self.seconds, other.seconds, strict=True))


def interleave(batches: Mapping[K, Batch], rounds: int) -> dict[K, Times]:
    """Time contestants against each other.

    Arguments:
        batches: What to time, by contestant.
        rounds: How many batches to take of each.

    Returns:
        Their times, in the order given.
    """
    # Shuffled, not only rotated: in a rotation each contestant would keep following the same one, and its cold caches.
    shuffled = random.Random(0)
    order = list(batches)
    seconds: dict[K, list[float]] = {name: [] for name in batches}
    with _without_gc():
        for _ in range(rounds):
            shuffled.shuffle(order)
            for name in order:
                seconds[name].append(batches[name]())
            gc.collect()  # outside the timing, what every contestant left in this round
    return {name: Times(tuple(taken)) for name, taken in seconds.items()}


def repeated(call: str, names: Mapping[str, Any]) -> Batch:
    """A batch that repeats one call, as many times as fill `BATCH_SECONDS`, and waits for the last result.

    Arguments:
        call: The call as a user writes it. It is compiled into the loop, since a function around it would add to each
            contestant the same nanoseconds, and so draw the ratios to 1.
        names: What the names in it stand for; they are locals of the loop.
    """

    def batch_of(calls: int) -> Batch:
        setup = [
            *(f"{name} = names[{name!r}]" for name in names),
            f"block_until_ready({call})",  # not timed: the caches are still another contestant's
        ]
        timer = timeit.Timer(
            f"for _ in repetitions:\n    result = {call}\nblock_until_ready(result)",
            "\n".join(setup),
            globals={"names": names, "repetitions": range(calls), "block_until_ready": jax.block_until_ready},
        )
        return lambda: timer.timeit(1) / calls

    batch_of(1)()  # compiles
    trial = batch_of(max(1, round(BATCH_SECONDS / batch_of(1)())))
    return batch_of(max(1, round(BATCH_SECONDS / min(trial() for _ in range(5)))))


def timed(function: Callable[[Any], object], arguments: Callable[[], Sequence[Any]]) -> Batch:
    """A batch that calls a function once for each of some arguments, which are made anew for every batch."""

    def batch() -> float:
        fresh = arguments()
        start = timeit.default_timer()
        for argument in fresh:
            function(argument)
        return (timeit.default_timer() - start) / len(fresh)

    return batch


@contextmanager
def _without_gc() -> Iterator[None]:
    """No garbage collection but the one asked for, which then does not walk all that JAX has loaded."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
