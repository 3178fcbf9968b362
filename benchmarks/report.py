"""The tables, as markdown for the documentation and as `rich` shows them in a terminal."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.groups import RUNS, Outcome
from benchmarks.rows import NOISE, OURS, RAW, Row, Table

PACKAGES = ("annotax", "jax", "jaxlib", "equinox", "jax_dataclasses", "flax")

METHOD = f"""\
Written by `python -m benchmarks`, with its pictures. Nothing is left out: a row that is behind a peer stands with the
others, and once more in the list above its table.

**How it is measured.** Contestants of one case are timed in one process, interleaved: a round times a short batch of
calls of each, in a new order, without garbage collection, and waits for the last result. Times are medians over the
rounds with their quartiles, and drift with the machine. A ratio is the median of the ratios within each round, and
hardly drifts. What is counted or read from the compiler is exact.

**Beside whom.** A ratio is to raw JAX: its own transform, written by hand in the same form. That is the limit, since
annotax calls nothing else. The peers are Equinox, jax_dataclasses and flax.nnx, each wherever it can do the same work
and used as its documentation says. jax_dataclasses returns what `jax.jit` returns, so how far its ratio is from 1 shows
how exact the others are. annotax is behind a peer where the peer's ratio, or its figure where there is none, is better
by more than {NOISE:.0%}.

**Bounds.** Only annotax has them. `python -m benchmarks --check` measures a group of rows again if one of them is above
its bound, up to {RUNS} times, and fails only for a row that was above it in {RUNS} runs out of {RUNS}. The table shows
the last run. `--only GROUP` measures one group and writes nothing.
"""


def machine() -> str:
    """The machine and the versions, in two lines of markdown."""
    system = f"{os.cpu_count()} CPUs ({_processor()}), {platform.system()} {platform.machine()}"
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"- Machine: {system}\n- Versions: Python {platform.python_version()}, {packages}\n"


def _processor() -> str:
    """The model of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "model unknown")


def markdown(outcomes: Sequence[Outcome], machine: str, pictures: str) -> str:
    """The page of the documentation.

    Arguments:
        outcomes: What was measured.
        machine: Where, in markdown.
        pictures: The folder of the pictures, as seen from the page.
    """
    return "\n".join(
        ["# Benchmarks", "", METHOD, machine, _summary(outcomes), *(_section(one, pictures) for one in outcomes)]
    )


def show(outcome: Outcome, console: Console) -> None:
    """Print a table, what is above its bound in red."""
    table = outcome.table
    shown = RichTable(title=table.title, caption="\n".join([table.note, *_remarks(outcome)]))
    for i, header in enumerate(_headers(table)):
        shown.add_column(header, justify="left" if i < 2 else "right")
    for rows in table.cases.values():
        for row, cells in zip(rows, _cells(rows), strict=True):
            shown.add_row(*cells, style="red" if row.is_broken else None)
        shown.add_section()
    console.print(shown)


def _summary(outcomes: Sequence[Outcome]) -> str:
    """Every group in one line."""
    lines = [("what", f"{OURS} to raw JAX", "bounds held", "behind a peer"), ("---", "---:", "---:", "---:")]
    for outcome in outcomes:
        table = outcome.table
        bounds = [row for row in table.rows if row.bound is not None]
        held = sum(row.name not in outcome.broken for row in bounds)
        of_cases = f"{len(table.behind)} of {len(table.cases)} cases"
        anchor = table.title.lower().replace(" ", "-")
        lines.append((f"[{table.title}](#{anchor})", _distance(table), f"{held} of {len(bounds)}", of_cases))
    return _rows(lines)


def _section(outcome: Outcome, pictures: str) -> str:
    table = outcome.table
    headers = _headers(table)
    lines = [headers, ("---", "---", *("---:" for _ in headers[2:]))]
    for rows in table.cases.values():
        lines += _cells(rows)
    remarks = "\n".join(f"- {remark}" for remark in _remarks(outcome))
    picture = f"![{table.picture.alt}]({pictures}/{outcome.group}.svg)\n\n" if table.picture else ""
    return f"## {table.title}\n\n{table.note}\n\n{remarks}\n\n{picture}{_rows(lines)}"


def _rows(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _remarks(outcome: Outcome) -> list[str]:
    """What the table says of annotax, in sentences."""
    table = outcome.table
    remarks = [f"Limit: {table.limit}"]
    if table.distances:
        remarks.append(f"annotax: {_distance(table)} times raw JAX.")
    remarks += [
        f"Behind a peer: {ours.case}, {_standing(ours)}; {best.contestant} {_standing(best)}."
        for ours, best in table.behind
    ]
    if not table.behind and any(row.of_peer for row in table.rows):
        remarks.append("Behind no peer.")
    remarks += [
        f"Above its bound in {count} of {outcome.runs} {'run' if outcome.runs == 1 else 'runs'}: {name}."
        for name, count in outcome.above.items()
    ]
    return remarks


def _standing(row: Row) -> str:
    return row.measured if row.ratio is None else f"{row.ratio:.3f}"


def _distance(table: Table) -> str:
    """From the best case to the worst."""
    if not table.distances:
        return ""
    best, worst = (f"{ratio:.2f}" for ratio in (min(table.distances), max(table.distances)))
    return best if best == worst else f"{best} to {worst}"


def _headers(table: Table) -> tuple[str, ...]:
    return ("case", "contestant", table.unit, f"ratio to {RAW}", "bound", "ok")


def _cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The cells of the rows of one case, which is named once."""
    cells: list[tuple[str, ...]] = []
    for i, row in enumerate(rows):
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        bound = ("", "") if row.bound is None else (str(row.bound), "no" if row.is_broken else "yes")
        cells.append(("" if i else row.case, row.contestant, row.measured, ratio, *bound))
    return cells
