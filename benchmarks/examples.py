"""Gradients for each example of a batch: one compiled call of `jit`, `vmap` and `grad`, against a loop."""

from __future__ import annotations

from typing import Annotated, Any

import equinox
import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

import annotax
from annotax import Axis, NoDiff
from benchmarks.measure import Batch, interleave, repeated
from benchmarks.rows import EQUINOX, FLAX, OURS, RAW, Picture, Row, Table, compare

BATCH, FEATURES, HIDDEN = 128, 32, 64

LIMIT = 1.05
"""The bound on the ratio."""


def plain(weights: dict[str, Array], x: Array, y: Array) -> Array:
    """The squared error of a small network on one example."""
    return (jnp.tanh(x @ weights["first"]) @ weights["second"] - y) ** 2


def marked(weights: Annotated[dict[str, Array], Axis(None)], x: NoDiff[Array], y: NoDiff[Array]) -> Array:
    """`plain` with annotax's markers."""
    return (jnp.tanh(x @ weights["first"]) @ weights["second"] - y) ** 2


def at_once() -> dict[str, Any]:
    """Everyone's gradients of a batch; the weights are shared."""
    return {
        RAW: jax.jit(jax.vmap(jax.grad(plain), in_axes=(None, 0, 0))),
        OURS: annotax.transform(annotax.jit, annotax.vmap, annotax.grad)(marked),
        EQUINOX: equinox.filter_jit(equinox.filter_vmap(equinox.filter_grad(plain), in_axes=(None, 0, 0))),
        FLAX: nnx.jit(nnx.vmap(nnx.grad(plain), in_axes=(None, 0, 0))),
    }


def one_by_one() -> dict[str, Any]:
    """Everyone's gradient of one example."""
    return {
        RAW: jax.jit(jax.grad(plain)),
        OURS: annotax.transform(annotax.jit, annotax.grad)(marked),
        EQUINOX: equinox.filter_jit(equinox.filter_grad(plain)),
        FLAX: nnx.jit(nnx.grad(plain)),
    }


def examples(rounds: int) -> Table:
    """Measure both ways, in the same rounds."""
    first, second, inputs = jax.random.split(jax.random.key(0), 3)
    weights = {
        "first": jax.random.normal(first, (FEATURES, HIDDEN)),
        "second": jax.random.normal(second, (HIDDEN,)),
    }
    x, y = jax.random.normal(inputs, (BATCH, FEATURES)), jnp.ones(BATCH)
    names = {"weights": weights, "x": x, "y": y, "examples": list(zip(x, y, strict=True))}  # sliced beforehand
    cases = {
        f"`jit(vmap(grad(f)))` of {BATCH} examples": ("g(weights, x, y)", at_once()),
        f"a loop of {BATCH} calls of `jit(grad(f))`": ("[g(weights, x, y) for x, y in examples]", one_by_one()),
    }
    batches: dict[tuple[str, str], Batch] = {
        (case, name): repeated(call, {**names, "g": g})
        for case, (call, contestants) in cases.items()
        for name, g in contestants.items()
    }
    times = interleave(batches, rounds)
    rows: list[Row] = []
    for case, (_, contestants) in cases.items():
        rows += compare(case, {name: times[case, name] for name in contestants}, LIMIT)
    at_once_case, loop_case = cases
    faster = times[loop_case, OURS].ratio_to(times[at_once_case, OURS])
    return Table(
        "Per-example gradients",
        "median µs (quartiles)",
        f"A network of {FEATURES * HIDDEN + HIDDEN:,} weights, compiled before. The loop gets its examples sliced "
        f"beforehand and does not stack what it returns; with annotax it takes {faster:.1f} times as long as one call. "
        f"{rounds} rounds.",
        "`jax.jit`, `jax.vmap` with `in_axes` and `jax.grad` by hand.",
        tuple(rows),
        Picture(
            f"The time for the gradients of {BATCH} examples, in one call and in a loop. annotax lies on raw JAX in "
            "both; the loop takes many times as long for everyone."
        ),
    )
