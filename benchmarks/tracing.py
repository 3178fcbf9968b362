"""The time that it takes to trace a real model, with annotax's checks on and off.

What is traced is a function that no cache has seen. JAX's caches of its own small functions stay, as they do in a
program that traces more than one function. Everyone is traced inside `jax.make_jaxpr`, since not everyone can be told
to trace and not compile; it adds the same to each.
"""

# ruff: noqa: F722 - the strings in hints of jaxtyping name axes

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import equinox
import jax
import jax_dataclasses
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

import annotax
from benchmarks.measure import Batch, Times, interleave
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Bound, Picture, Row, Table
from benchmarks.transformer import BLOCKS, Transformer, surprise, text, transformer

UNCHECKED = f"{OURS}, checks off"

LIMIT = 1.10
"""The bound on the ratio, checks and all: what annotax does while tracing is paid once for each trace."""


def new_loss() -> Callable[..., Any]:
    """The loss of the model, as a function that has never been seen before."""

    def loss(model: Transformer, tokens: annotax.NoDiff[Int[Array, "batch length"]]) -> Float[Array, ""]:
        return surprise(model, tokens)

    return loss


FORWARD: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    RAW: jax.jit,
    OURS: annotax.jit,
    UNCHECKED: annotax.jit(typechecker=None),
    DATACLASSES: jax_dataclasses.jit,
    EQUINOX: equinox.filter_jit,
    FLAX: nnx.jit,
}
"""Everyone's `jit`."""

BACKWARD: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    RAW: lambda f: jax.jit(jax.value_and_grad(f)),
    OURS: lambda f: annotax.jit(annotax.value_and_grad(f)),
    UNCHECKED: lambda f: annotax.jit(annotax.value_and_grad(f), typechecker=None),
    DATACLASSES: lambda f: jax_dataclasses.jit(jax.value_and_grad(f)),
    EQUINOX: lambda f: equinox.filter_jit(equinox.filter_value_and_grad(f)),
    FLAX: lambda f: nnx.jit(nnx.value_and_grad(f)),
}
"""Everyone's `jit(value_and_grad)`; jax_dataclasses has none of its own."""


def traced(build: Callable[[Callable[..., Any]], Callable[..., Any]], *arguments: Any) -> Batch:
    """A batch that traces a new function once; decorating it is not timed."""

    def batch() -> float:
        function = build(new_loss())
        start = timeit.default_timer()
        jax.make_jaxpr(function)(*arguments)
        return timeit.default_timer() - start

    batch()  # fills JAX's caches of its own functions
    return batch


def tracing(rounds: int) -> Table:
    """Measure tracing the loss of the model, and its gradient."""
    model, tokens = transformer(), text()
    leaves = jax.tree.leaves(model)
    rows: list[Row] = []
    for case, builds in (("`jit(loss)`", FORWARD), ("`jit(value_and_grad(loss))`", BACKWARD)):
        times = interleave({name: traced(build, model, tokens) for name, build in builds.items()}, rounds)
        rows += [_row(case, name, taken, times[RAW]) for name, taken in times.items()]
    return Table(
        f"Tracing a transformer of {BLOCKS} blocks",
        "median ms (quartiles)",
        f"The first call of a function without what the compiler takes: a language model of {BLOCKS} blocks, "
        f"{sum(leaf.size for leaf in leaves):,} parameters in {len(leaves)} arrays, its hints from "
        f"jaxtyping. Checks are off with `typechecker=None`. {rounds} rounds.",
        "`jax.jit` and `jax.value_and_grad` by hand, which check nothing.",
        tuple(rows),
        Picture(
            "The time to trace a transformer and its gradient with each library: annotax with checks takes "
            f"{' and '.join(f'{row.ratio:.2f}' for row in rows if row.contestant == OURS)} times as long as raw JAX.",
            by_factors=False,
        ),
    )


def _row(case: str, contestant: str, times: Times, raw: Times) -> Row:
    ratio = times.ratio_to(raw)
    bound = Bound(ratio, LIMIT) if contestant.startswith(OURS) else None
    return Row(case, contestant, times.microseconds / 1000, times.shown(1e-3), ratio, bound)
