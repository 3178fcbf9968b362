"""The tables as SVG: the same figures give the same bytes, on light pages and on dark ones, as wide as a telephone."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Picture, Row, Table

WIDTH = 4.6
"""Inches, at 72 points each: a telephone shows letters of 12 points in their own size."""

LINE = 0.3
"""Inches from one line of text to the next, and in lines:"""

NAME, MARKS, BAR = 1.5, 0.8, 0.8
"""The name of a case, what a strip of marks takes, and what a bar takes."""

WIDEST = 20
"""The letters of the longest name that still leaves room for a second column beside it."""

INK = "#808080"
"""Of letters and axes: as far from white as from the dark pages of the documentation."""

_RC: Mapping[str, Any] = {
    "svg.hashsalt": "annotax",
    "svg.fonttype": "none",  # letters stay letters: small files, and text that can be found and read aloud
    "font.family": "sans-serif",
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 1.2,
}


@dataclass(frozen=True)
class Look:
    """How a contestant is drawn: raw JAX as a ring, wide enough to see who lies on it."""

    colour: str
    marker: str
    size: float
    width: float = 2.0
    is_hollow: bool = False


LOOKS: Mapping[str, Look] = {
    RAW: Look(INK, "o", 13, width=6, is_hollow=True),
    OURS: Look("#e8590c", "o", 7),
    DATACLASSES: Look("#3b82f6", "|", 13),
    EQUINOX: Look("#2f9e44", "D", 7),
    FLAX: Look("#a05ee0", "s", 7),
}
"""By contestant; used in another way, it has the same colour and is hollow."""


def svg(table: Table) -> str:
    """A picture of a table that says how it is drawn."""
    if table.picture is None:
        raise ValueError(f"{table.title!r} has no picture")
    with _style():
        figure = _along_an_axis(table, table.picture) if table.picture.across else _case_by_case(table, table.picture)
        written = io.StringIO()
        figure.savefig(
            written,
            format="svg",
            transparent=True,
            bbox_inches="tight",
            pad_inches=0.05,
            metadata={"Date": None, "Creator": None, "Title": table.title, "Description": table.picture.alt},
        )
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user has set, the bytes are the same
        matplotlib.rcParams.update(_RC)
        yield


def _along_an_axis(table: Table, picture: Picture) -> Figure:
    """A line for each contestant."""
    figure = Figure(figsize=(WIDTH, WIDTH))
    axes = figure.add_subplot()
    for contestant, rows in _by_contestant(table, picture).items():
        look = _look(contestant)
        axes.plot(
            [picture.across[place] for place, _ in rows],
            [row.figure for _, row in rows],
            label=contestant,
            color=look.colour,
            linewidth=look.width,
            alpha=0.5 if look.is_hollow else 1,
            marker=look.marker,
            markersize=look.size,
            markerfacecolor="none" if look.is_hollow else look.colour,
            markeredgewidth=1.5,
        )
    if picture.by_factors:
        axes.set_xscale("log")
        axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_number))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(picture.across_label)
    axes.set_ylabel(_unit(table))
    axes.grid(which="major")
    _legend(axes, 1.02)
    return figure


def _case_by_case(table: Table, picture: Picture) -> Figure:
    """Each case below its name: marks on one line where distances are factors, bars where lengths are amounts."""
    cases = list(_cases(table, picture))
    lines = sum(NAME + (MARKS if picture.by_factors else BAR * len(rows)) for _, rows in cases)
    height = LINE * lines
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    figure.subplots_adjust(0, 0, 1, 1)  # what does not fit is kept all the same, by a tight box
    line = 0.0
    for case, rows in cases:
        axes.text(0, -line - 0.5, case.replace("`", ""), transform=axes.get_yaxis_transform(), va="top")
        line += NAME
        for place, row in enumerate(rows):
            if picture.by_factors:
                _mark(axes, row, -line - MARKS / 2)
            else:
                _bar(axes, row, -line - BAR * (place + 0.5))
        line += MARKS if picture.by_factors else BAR * len(rows)
    axes.set_ylim(-line, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if picture.by_factors:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _spans_little(cases) else (1,)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10), integer=True))
        axes.set_xlim(0, 1.15 * max(row.figure for _, rows in cases for row in rows))
    axes.xaxis.set_major_formatter(FuncFormatter(_number))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(_unit(table))
    axes.grid(axis="x", which="major")
    _legend(axes, 1 + 0.1 / height)
    return figure


def _spans_little(cases: Iterable[tuple[str, Sequence[Row]]]) -> bool:
    """Whether powers of ten alone would be too few to read figures by."""
    figures = [row.figure for _, rows in cases for row in rows]
    return max(figures) < 200 * min(figures)


def _mark(axes: Axes, row: Row, height: float) -> None:
    look = _look(row.contestant)
    axes.plot(
        row.figure,
        height,
        look.marker,
        label=row.contestant,
        color=look.colour,
        markersize=look.size,
        markerfacecolor="none" if look.is_hollow else look.colour,
        markeredgewidth=2,
        clip_on=False,
    )


def _bar(axes: Axes, row: Row, height: float) -> None:
    look = _look(row.contestant)
    face = "none" if look.is_hollow else look.colour
    axes.barh(height, row.figure, 0.6, label=row.contestant, facecolor=face, edgecolor=look.colour, linewidth=1.5)
    axes.annotate(
        _number(row.figure), (row.figure, height), (4, 0), textcoords="offset points", va="center_baseline", fontsize=11
    )


def _legend(axes: Axes, bottom: float) -> None:
    """Above the picture, each contestant once."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    columns = 1 if any(len(label) > WIDEST for label in once) else 2
    axes.legend(
        once.values(), once.keys(), loc="lower left", bbox_to_anchor=(-0.02, bottom), ncols=columns, borderaxespad=0
    )


def _cases(table: Table, picture: Picture) -> Iterator[tuple[str, list[Row]]]:
    """The rows to draw by case, those without a figure of their own left out."""
    for case, rows in table.cases.items():
        if not picture.only or case in picture.only:
            yield case, [row for row in rows if not row.contestant.startswith(f"{OURS}, ratio")]


def _by_contestant(table: Table, picture: Picture) -> dict[str, list[tuple[int, Row]]]:
    """The rows to draw by contestant, each with the place of its case."""
    found: dict[str, list[tuple[int, Row]]] = {}
    for place, (_, rows) in enumerate(_cases(table, picture)):
        for row in rows:
            found.setdefault(row.contestant, []).append((place, row))
    return found


def _look(contestant: str) -> Look:
    name, _, way = contestant.partition(",")
    look = LOOKS.get(name, LOOKS[RAW])
    return Look(look.colour, look.marker, look.size + 3, look.width, is_hollow=True) if way else look


def _unit(table: Table) -> str:
    """The unit without what the table adds about spread."""
    return table.unit.partition(" (")[0].removeprefix("median ")


def _number(number: float, _: object = None) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.3g}"
