"""The tables, as markdown for the documentation and as `rich` shows them in a terminal."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.rows import Row, Table

PACKAGES = ("annotax", "jax", "jaxlib", "equinox", "jax_dataclasses", "flax")

METHOD = """\
Written by `python -m benchmarks`; `--check` fails if annotax is above a bound.

Contestants of one case are timed in one process, interleaved: a round times a short batch of calls of each, in a new
order, without garbage collection, and waits for the last result. Times are medians over the rounds with their
quartiles, and drift with the machine. A ratio is the median of the ratios within each round, to JAX's own transform
written by hand in the same form, and hardly drifts: jax_dataclasses returns what `jax.jit` returns, so how far its
ratio is from 1 shows how exact the others are. Only annotax has bounds.
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


def markdown(tables: Sequence[Table]) -> str:
    """The page of the documentation."""
    return "\n".join(["# Benchmarks", "", METHOD, machine(), *map(_section, tables)])


def show(tables: Sequence[Table], console: Console) -> None:
    """Print the tables, what is above its bound in red."""
    for table in tables:
        shown = RichTable(title=table.title, caption=table.note)
        for i, header in enumerate(_headers(table)):
            shown.add_column(header, justify="left" if i < 2 else "right")
        for case, rows in groupby(table.rows, key=lambda row: row.case):
            label = case
            for row in rows:
                shown.add_row(label, *_cells(row)[1:], style="red" if row.is_broken else None)
                label = ""
            shown.add_section()
        console.print(shown)


def _section(table: Table) -> str:
    headers = _headers(table)
    lines = [headers, ("---", "---", *("---:" for _ in headers[2:])), *map(_cells, table.rows)]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {table.title}\n\n{table.note}\n\n{body}\n"


def _headers(table: Table) -> tuple[str, ...]:
    return ("case", "contestant", table.unit, "ratio to raw", "bound", "ok")


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
    if row.bound is None:
        return (row.case, row.contestant, row.measured, ratio, "", "")
    return (row.case, row.contestant, row.measured, ratio, str(row.bound), "no" if row.is_broken else "yes")
