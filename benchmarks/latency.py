"""The latency of a call that is compiled already, for each way to spell the call.

The arrays are of 64 by 64, about the least that anyone compiles, so that what is measured is mostly the way into XLA
and back. Each peer is used as its documentation says, and JAX with the option that makes this very spelling work: by
index for a positional static argument, by name for a keyword. One more case does next to nothing and stands beside a
Python function, written by hand, that only calls what `jax.jit` made: whatever keeps a signature adds that much.
"""

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
from benchmarks.traces import SPELLINGS


def plain(x: Array, y: Array, z: Array, n: int = 2) -> Array:
    """Three arrays and a static integer."""
    return jnp.tanh(x * y + z) ** n


def marked(x: Array, y: Array, z: Array, n: annotax.Static[int] = 2) -> Array:
    """`plain` with annotax's marker."""
    return jnp.tanh(x * y + z) ** n


def marked_for_jax_dataclasses(x: Array, y: Array, z: Array, n: jax_dataclasses.Static[int] = 2) -> Array:
    """`plain` with jax_dataclasses' marker."""
    return jnp.tanh(x * y + z) ** n


def by_index() -> dict[str, Callable[..., Any]]:
    """The contestants, made for calls whose static argument is positional."""
    return {
        RAW: jax.jit(plain, static_argnums=3),
        OURS: annotax.jit(marked),
        DATACLASSES: jax_dataclasses.jit(marked_for_jax_dataclasses),
        EQUINOX: equinox.filter_jit(plain),
        FLAX: nnx.jit(plain, static_argnums=3),
    }


def by_name() -> dict[str, Callable[..., Any]]:
    """The contestants, made for calls whose static argument is passed by keyword or left out."""
    return by_index() | {RAW: jax.jit(plain, static_argnames="n"), FLAX: nnx.jit(plain, static_argnames="n")}


def of_nothing() -> dict[str, Callable[..., Any]]:
    """The contestants for a call that does next to nothing."""
    compiled = jax.jit(plain, static_argnums=3)

    def by_hand(x: Array, y: Array, z: Array, n: int = 2) -> Array:
        return compiled(x, y, z, n)

    return {RAW: compiled, OURS: annotax.jit(marked), "a function by hand": by_hand}


def limit_of(spelling: str) -> float:
    """The bound on the ratio: where the default is left out, raw JAX has no static value to hash."""
    return 1.02 if "2" in spelling else 1.05


def latency(rounds: int) -> Table:
    """Measure every spelling of a call."""
    x, y, z = (jnp.full((64, 64), value) for value in (0.1, 0.2, 0.3))
    arguments = {"x": x, "y": y, "z": z, "s": jnp.ones((2, 2))}
    rows: list[Row] = []
    for spelling in SPELLINGS:
        contestants = by_name() if "=" in spelling or "2" not in spelling else by_index()
        batches = {name: repeated(spelling, {"f": f, **arguments}) for name, f in contestants.items()}
        rows += compare(f"`{spelling}`", interleave(batches, rounds), limit_of(spelling))
    nothing = "f(s, s, s, 2)"
    batches = {name: repeated(nothing, {"f": f, **arguments}) for name, f in of_nothing().items()}
    rows += compare(f"next to no work: `{nothing}`", interleave(batches, rounds), None)
    return Table(
        "Latency by spelling",
        "median µs (quartiles)",
        "A jitted function of three arrays of 64 by 64 and a static integer, compiled before. The last case, of arrays "
        "of 2 by 2, has no bound: a Python function written by hand that only calls what `jax.jit` made costs as much. "
        f"{rounds} rounds.",
        "`jax.jit` with `static_argnums` or `static_argnames` by hand, whichever this very spelling needs.",
        tuple(rows),
        Picture(
            "The latency of a jitted call, by the way that it is spelled. annotax and jax_dataclasses lie on raw JAX; "
            "Equinox and flax.nnx take about ten times as long.",
            only=tuple(f"`{spelling}`" for spelling in SPELLINGS),
        ),
    )
