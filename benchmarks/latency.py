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
from benchmarks.rows import OURS, RAW, Row, Table, compare

LEAVES = 100
"""The leaves of the large argument."""


def plain(x: Array, y: Array, z: Array, n: int = 2) -> Array:
    """Three arrays and a static integer."""
    return jnp.tanh(x * y + z) ** n


def marked(x: Array, y: Array, z: Array, n: annotax.Static[int] = 2) -> Array:
    """`plain` with annotax's marker."""
    return jnp.tanh(x * y + z) ** n


def marked_for_jax_dataclasses(x: Array, y: Array, z: Array, n: jax_dataclasses.Static[int] = 2) -> Array:
    """`plain` with jax_dataclasses' marker."""
    return jnp.tanh(x * y + z) ** n


def plain_tree(tree: dict[str, Array], n: int = 2) -> Array:
    """One pytree and a static integer."""
    return sum(tree.values()) ** n


def marked_tree(tree: dict[str, Array], n: annotax.Static[int] = 2) -> Array:
    """`plain_tree` with annotax's marker."""
    return sum(tree.values()) ** n


def marked_tree_for_jax_dataclasses(tree: dict[str, Array], n: jax_dataclasses.Static[int] = 2) -> Array:
    """`plain_tree` with jax_dataclasses' marker."""
    return sum(tree.values()) ** n


def by_index() -> dict[str, Callable[..., Any]]:
    """The contestants, made for calls whose static argument is positional."""
    return {
        RAW: jax.jit(plain, static_argnums=3),
        OURS: annotax.jit(marked),
        "jax_dataclasses": jax_dataclasses.jit(marked_for_jax_dataclasses),
        "equinox": equinox.filter_jit(plain),
        "flax.nnx": nnx.jit(plain, static_argnums=3),
    }


def by_name() -> dict[str, Callable[..., Any]]:
    """The contestants, made for calls whose static argument is passed by keyword or left out."""
    return by_index() | {RAW: jax.jit(plain, static_argnames="n"), "flax.nnx": nnx.jit(plain, static_argnames="n")}


def of_nothing() -> dict[str, Callable[..., Any]]:
    """The contestants for a call that does next to nothing."""
    compiled = jax.jit(plain, static_argnums=3)

    def by_hand(x: Array, y: Array, z: Array, n: int = 2) -> Array:
        return compiled(x, y, z, n)

    return {RAW: compiled, OURS: annotax.jit(marked), "a function by hand": by_hand}


def of_tree() -> dict[str, Callable[..., Any]]:
    """The contestants for one large argument."""
    return {
        RAW: jax.jit(plain_tree, static_argnums=1),
        OURS: annotax.jit(marked_tree),
        "jax_dataclasses": jax_dataclasses.jit(marked_tree_for_jax_dataclasses),
        "equinox": equinox.filter_jit(plain_tree),
        "flax.nnx": nnx.jit(plain_tree, static_argnums=1),
    }


FORMS: tuple[tuple[str, str, Callable[[], dict[str, Callable[..., Any]]], float | None], ...] = (
    ("positional", "f(x, y, z, 2)", by_index, 1.02),
    ("static by keyword", "f(x, y, z, n=2)", by_name, 1.02),
    ("default omitted", "f(x, y, z)", by_name, 1.05),
    ("next to no work", "f(s, s, s, 2)", of_nothing, None),
    (f"{LEAVES}-leaf dict", "f(tree, 2)", of_tree, 1.02),
)
"""Each way to call: its name, the call, who is called, and the bound on the ratio."""


def latency(rounds: int) -> Table:
    """Measure every form of a call."""
    x, y, z = (jnp.full((64, 64), value) for value in (0.1, 0.2, 0.3))
    tree = {f"leaf_{i}": jnp.full(4, float(i)) for i in range(LEAVES)}
    arguments = {"x": x, "y": y, "z": z, "s": jnp.ones((2, 2)), "tree": tree}
    rows: list[Row] = []
    for form, call, contestants, limit in FORMS:
        batches = {name: repeated(call, {"f": f, **arguments}) for name, f in contestants().items()}
        rows += compare(f"{form}: `{call}`", interleave(batches, rounds), limit)
    return Table(
        "Latency of a jitted call",
        "median µs (quartiles)",
        f"A function of three arrays, or of one dict, and a static integer, compiled before; {rounds} rounds.",
        tuple(rows),
    )
