"""Large models, each library's own, and splitting a model in two."""

from __future__ import annotations

import dataclasses
import types
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
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Row, Table, beside, compare

FIELDS = tuple(f"field_{i}" for i in range(100))
"""The fields of the large model."""


def large(*bases: type) -> type:
    """A class with a hundred arrays for its fields."""
    hints = dict.fromkeys(FIELDS, Array)
    return types.new_class(
        "Large", bases, exec_body=lambda body: body.update(__annotations__=hints, __module__=__name__)
    )


Ours: Any = annotax.pytree(large())
Raw: Any = jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(large()))
Dataclass: Any = jax_dataclasses.pytree_dataclass(large())
Module: Any = large(equinox.Module)


class FlaxModule(nnx.Module):
    """The same as flax has it, whose fields are parameters that can be written to."""

    def __init__(self, *leaves: Array) -> None:
        for name, leaf in zip(FIELDS, leaves, strict=True):
            setattr(self, name, nnx.Param(leaf))


def ends(model: Any, x: Array) -> Array:
    """A function that uses the first and the last field."""
    return model.field_0 + model.field_99 * x


def marked_ends(model: Ours, x: Array) -> Array:
    """`ends` with its hints, which annotax checks while tracing."""
    return model.field_0 + model.field_99 * x


def apply(model: Any, x: Array) -> Array:
    """A model that can be called."""
    return model(x)


def models(rounds: int) -> Table:
    """Measure calls that take a model, and `partition` and `combine`."""
    x, leaves = jnp.ones(4), [jnp.full(4, float(i)) for i in range(len(FIELDS))]
    rows: list[Row] = []

    call = "f(model, x)"
    batches = {
        RAW: repeated(call, {"f": jax.jit(ends), "model": Raw(*leaves), "x": x}),
        OURS: repeated(call, {"f": annotax.jit(marked_ends), "model": Ours(*leaves), "x": x}),
        DATACLASSES: repeated(call, {"f": jax_dataclasses.jit(ends), "model": Dataclass(*leaves), "x": x}),
        EQUINOX: repeated(call, {"f": equinox.filter_jit(ends), "model": Module(*leaves), "x": x}),
        FLAX: repeated(call, {"f": nnx.jit(ends), "model": FlaxModule(*leaves), "x": x}),
    }
    times = interleave(batches, rounds)
    rows += [*compare("100-field model", times, 1.02), beside("100-field model", times, EQUINOX, 0.36)]

    mlp = equinox.nn.MLP(4, 4, 8, depth=8, key=jax.random.key(0))
    arrays, static = equinox.partition(mlp, equinox.is_array)

    @jax.jit
    def by_hand(arrays: Any, x: Array) -> Array:
        return equinox.combine(arrays, static)(x)

    batches = {
        RAW: repeated(call, {"f": by_hand, "model": arrays, "x": x}),
        OURS: repeated(call, {"f": annotax.jit(apply), "model": mlp, "x": x}),
        EQUINOX: repeated(call, {"f": equinox.filter_jit(apply), "model": mlp, "x": x}),
    }
    times = interleave(batches, rounds)
    case = "`equinox.nn.MLP` of depth 8"
    rows += [*compare(case, times, None), beside(case, times, EQUINOX, 1 / 2)]

    tree = [{"w": jnp.ones(1), "step": i} for i in range(500)]
    parts = equinox.partition(tree, equinox.is_inexact_array)
    splits: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
        "`partition` of 1,000 leaves": (
            "f(tree)",
            {EQUINOX: lambda tree: equinox.partition(tree, equinox.is_inexact_array), OURS: annotax.partition},
        ),
        "`combine` of 1,000 leaves": ("f(*parts)", {EQUINOX: equinox.combine, OURS: annotax.combine}),
    }
    for case, (call, contestants) in splits.items():
        batches = {name: repeated(call, {"f": f, "tree": tree, "parts": parts}) for name, f in contestants.items()}
        times = interleave(batches, rounds)
        rows += [Row(case, name, taken.microseconds, str(taken)) for name, taken in times.items()]
        rows.append(beside(case, times, EQUINOX, 1.0))
    return Table(
        "Models",
        "median µs (quartiles)",
        "Calls compiled before, of each library's own kind of model; JAX by hand gets a dataclass registered with "
        "`register_dataclass`. Of the 100-field model one third of Equinox's time was the aim, and JAX by hand itself "
        "stands at 0.34 to 0.35 of it, so the bound is 0.36. Of the MLP, which holds functions, JAX by hand gets the "
        f"arrays split off beforehand, which no caller can do for nothing. {rounds} rounds.",
        "`jax.jit` by hand. `partition` and `combine` have no counterpart in JAX and stand beside Equinox's.",
        tuple(rows),
    )
