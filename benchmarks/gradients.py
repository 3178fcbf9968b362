"""The cost of `grad` without `jit`, where Python runs at every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox
import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

import annotax
from benchmarks.measure import interleave, repeated
from benchmarks.rows import EQUINOX, FLAX, OURS, RAW, Row, Table, compare

LEAVES = 100
"""The leaves of the large argument."""


def plain(w: Array, x: Array, y: Array) -> Array:
    """A loss that JAX takes one to two milliseconds to differentiate."""
    return jnp.sum(w * x * y)


def marked(w: Array, x: annotax.NoDiff[Array], y: annotax.NoDiff[Array]) -> Array:
    """`plain` with annotax's markers."""
    return jnp.sum(w * x * y)


def plain_tree(weights: dict[str, Array], x: Array) -> Array:
    """A loss that uses every leaf, with as little work for each as there can be, so that overhead shows."""
    return jnp.sum(jax.lax.concatenate(list(weights.values()), 0) * x)


def marked_tree(weights: dict[str, Array], x: annotax.NoDiff[Array]) -> Array:
    """`plain_tree` with annotax's markers."""
    return jnp.sum(jax.lax.concatenate(list(weights.values()), 0) * x)


def contestants(plain: Callable[..., Any], marked: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Everyone's gradient by the first parameter."""
    return {
        RAW: jax.grad(plain),
        OURS: annotax.grad(marked),
        EQUINOX: equinox.filter_grad(plain),
        FLAX: nnx.grad(plain),
    }


def gradients(rounds: int) -> Table:
    """Measure the gradient by one array of three, and by a dict."""
    w, x, y = (jnp.full(4, value) for value in (0.1, 0.2, 0.3))
    weights = {f"leaf_{i}": jnp.full(4, float(i)) for i in range(LEAVES)}
    names = {"w": w, "x": x, "y": y, "weights": weights, "long": jnp.ones(4 * LEAVES)}
    rows: list[Row] = []
    for case, call, functions, limit in (
        ("one array of three", "g(w, x, y)", (plain, marked), 1.05),
        (f"{LEAVES}-leaf dict", "g(weights, long)", (plain_tree, marked_tree), 1.10),
    ):
        batches = {name: repeated(call, {"g": g, **names}) for name, g in contestants(*functions).items()}
        rows += compare(f"{case}: `{call}`", interleave(batches, rounds), limit)
    return Table(
        "Eager gradient",
        "median µs (quartiles)",
        f"`grad` without `jit`, by the first parameter; jax_dataclasses has none. {rounds} rounds.",
        "`jax.grad` by hand.",
        tuple(rows),
    )
