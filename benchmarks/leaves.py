"""The latency of a call that is compiled already, by the number of arrays in its argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import jax_dataclasses
from flax import nnx
from jax import Array

import annotax
from benchmarks.measure import interleave, repeated
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Picture, Row, Table, compare

COUNTS = (1, 10, 100, 1000)
"""How many leaves the argument has."""

LIMIT = 1.02
"""The bound on the ratio."""

BOUND_FROM = 100
"""How many leaves a call has to have for a bound: a shorter one shows the Python frame that any signature costs."""

CALL = "f(tree, 2)"


def plain(tree: dict[str, Array], n: int = 2) -> Array:
    """One pytree and a static integer."""
    return sum(tree.values()) ** n


def marked(tree: dict[str, Array], n: annotax.Static[int] = 2) -> Array:
    """`plain` with annotax's marker."""
    return sum(tree.values()) ** n


def marked_for_jax_dataclasses(tree: dict[str, Array], n: jax_dataclasses.Static[int] = 2) -> Array:
    """`plain` with jax_dataclasses' marker."""
    return sum(tree.values()) ** n


def contestants() -> dict[str, Callable[..., Any]]:
    """Everyone's `jit`, of functions that no other case has seen."""
    return {
        RAW: jax.jit(plain, static_argnums=1),
        OURS: annotax.jit(marked),
        DATACLASSES: jax_dataclasses.jit(marked_for_jax_dataclasses),
        EQUINOX: equinox.filter_jit(plain),
        FLAX: nnx.jit(plain, static_argnums=1),
    }


def leaves(rounds: int) -> Table:
    """Measure a call for every number of leaves."""
    rows: list[Row] = []
    for count in COUNTS:
        tree = {f"leaf_{i}": jnp.full(4, float(i)) for i in range(count)}
        batches = {name: repeated(CALL, {"f": f, "tree": tree}) for name, f in contestants().items()}
        case = f"{count:,} {'leaf' if count == 1 else 'leaves'}"
        rows += compare(case, interleave(batches, rounds), LIMIT if count >= BOUND_FROM else None)
    return Table(
        "Latency by leaves",
        "median µs (quartiles)",
        f"`{CALL}`, a jitted function of a dict of arrays of 4 and a static integer, compiled before. Below "
        f"{BOUND_FROM} leaves there is no bound: so short a call shows the one Python frame that any signature costs. "
        f"{rounds} rounds.",
        "`jax.jit` with `static_argnums` by hand.",
        tuple(rows),
        Picture(
            "The latency of a jitted call against the number of leaves of its argument, both by factors of ten. "
            "annotax and jax_dataclasses lie on raw JAX from one leaf to a thousand; Equinox lies above, flax.nnx far "
            "above.",
            across=COUNTS,
            across_label="leaves",
        ),
    )
