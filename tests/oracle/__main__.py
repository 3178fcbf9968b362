"""The command line: run many cases, and print how many of which kind."""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections.abc import Sequence

from tests.oracle.agreement import TALLY, agree, contradict, explore
from tests.oracle.strategies import PIPELINES, cases, contradictions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run many cases, and print how many of which kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description="Compare annotax with plain JAX.")
    parser.add_argument("--examples", type=int, default=2000, help="how many cases to run")
    parser.add_argument("--seed", type=int, default=None, help="where to start; drawn if left out, and printed")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    warnings.simplefilter("error")  # as in the test suite
    share = max(1, given.examples // (len(PIPELINES) + 1))
    explore(contradictions(), contradict, examples=share, seed=seed)
    for i, kinds in enumerate(PIPELINES):
        explore(cases(kinds), agree, examples=share, seed=seed + i)
    for outcome, count in sorted(TALLY.items()):
        print(f"{count:>6}  {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
