"""`python -m benchmarks`: measure, print, write `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.eager import eager
from benchmarks.gradients import gradients
from benchmarks.latency import latency
from benchmarks.models import models
from benchmarks.report import markdown, show
from benchmarks.rows import Table
from benchmarks.startup import startup
from benchmarks.traces import traces

ROUNDS = 2000
"""Enough for the ratios of a jitted call to repeat to about half a percent."""

SLOWER = 5
"""One call of the other groups lasts longer than a batch of jitted ones, so they get fewer rounds, by this factor."""


def main() -> int:
    """Run the benchmarks; 1 if a bound was to be checked and is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What annotax costs, beside its peers.")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"interleaved rounds of jitted calls, {SLOWER} times those of the rest (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bound is broken")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("a spread takes two rounds at least")

    console = Console(width=None if sys.stdout.isatty() else 120)  # a log has no width to ask for
    fewer = max(2, options.rounds // SLOWER)
    groups: tuple[Callable[[], Table], ...] = (
        lambda: latency(options.rounds),
        lambda: models(fewer),
        traces,
        lambda: gradients(fewer),
        lambda: eager(max(2, fewer // 2)),  # whose calls are the longest, of the most transforms
        lambda: startup(fewer),
    )
    with console.status("Measuring, for about three minutes"):
        tables = [group() for group in groups]
    show(tables, console)
    options.output.write_text(markdown(tables), encoding="utf-8")

    is_broken = any(row.is_broken for table in tables for row in table.rows)
    return 1 if is_broken and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
