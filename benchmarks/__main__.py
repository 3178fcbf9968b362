"""`python -m benchmarks`: measure, print, write `docs/benchmarks.md` and its pictures."""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.arguments import arguments
from benchmarks.eager import eager
from benchmarks.examples import examples
from benchmarks.gradients import gradients
from benchmarks.groups import RUNS, Group, Outcome, settle
from benchmarks.latency import latency
from benchmarks.leaves import leaves
from benchmarks.memory import memory
from benchmarks.models import models
from benchmarks.pictures import svg
from benchmarks.report import machine, markdown, show
from benchmarks.startup import startup
from benchmarks.traces import traces
from benchmarks.tracing import tracing
from benchmarks.training import training

ROUNDS = 2000
"""Enough for the ratios of a jitted call to repeat to about half a percent."""

GROUPS = (
    Group("latency", latency),
    Group("leaves", leaves, fewer=4),
    Group("arguments", arguments, fewer=2),
    Group("models", models, fewer=5),
    Group("traces", traces),
    Group("training", training),
    Group("tracing", tracing, fewer=100),
    Group("memory", memory),
    Group("examples", examples, fewer=10),
    Group("gradients", gradients, fewer=5),
    Group("eager", eager, fewer=10),
    Group("startup", startup, fewer=5),
)
"""In the order of the page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 1 if bounds were to be checked and one is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What annotax costs, beside its peers.")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help="interleaved rounds of a jitted call; what lasts longer gets fewer (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs/benchmarks.md"),
        help="the pictures go beside it (default: %(default)s)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"measure a group again if a bound is broken, and exit with 1 if it is in {RUNS} runs out of {RUNS}",
    )
    names = [group.name for group in GROUPS]
    parser.add_argument("--only", action="append", choices=names, metavar="GROUP", help=f"no page; {', '.join(names)}")
    options = parser.parse_args(arguments)
    if options.rounds < 2:
        parser.error("a spread takes two rounds at least")

    console = Console(width=None if sys.stdout.isatty() else 120)  # a log has no width to ask for
    groups = [group for group in GROUPS if not options.only or group.name in options.only]
    outcomes = measure(groups, options.rounds, RUNS if options.check else 1, console)
    for outcome in outcomes:
        show(outcome, console)
    if not options.only:
        write(outcomes, options.output)

    broken = [row for outcome in outcomes for row in outcome.broken]
    if options.check:
        for row in broken:
            console.print(f"[red]above its bound in {RUNS} runs out of {RUNS}[/]: {row}", highlight=False)
        console.print("" if broken else "Every bound is held.")
    return 1 if broken and options.check else 0


def measure(groups: Sequence[Group], rounds: int, runs: int, console: Console) -> list[Outcome]:
    """Measure the groups one after the other and show how far it is."""
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=len(groups))
        for group in groups:
            progress.update(task, description=group.name)
            start = timeit.default_timer()
            outcomes.append(settle(group, rounds, runs))
            seconds, times = timeit.default_timer() - start, outcomes[-1].runs
            progress.console.print(f"{group.name}: {seconds:.0f} s{f', {times} runs' if times > 1 else ''}")
            progress.advance(task)
    return outcomes


def write(outcomes: Sequence[Outcome], page: Path) -> None:
    """Write the page, and its pictures into a folder of its name."""
    pictures = page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for outcome in outcomes:
        if outcome.table.picture is not None:
            (pictures / f"{outcome.group}.svg").write_text(svg(outcome.table), encoding="utf-8")
    page.write_text(markdown(outcomes, machine(), pictures.name), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
