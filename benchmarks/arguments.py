"""The latency of a call that is compiled already, by the kind of its arguments.

Every contestant is given the same arguments, eight arrays in all: by themselves, in an annotax pytree, in an Equinox
module, or in some of each. An `equinox.nn.MLP` holds functions besides, which JAX refuses; by hand one splits it.
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

LIMIT = 1.02
"""The bound on the ratio, for arguments that JAX takes as they are."""


@annotax.pytree
class Pytree:
    """Eight arrays."""

    a: Array
    b: Array
    c: Array
    d: Array
    e: Array
    f: Array
    g: Array
    h: Array


class Module(equinox.Module):
    """The same eight, as Equinox has them."""

    a: Array
    b: Array
    c: Array
    d: Array
    e: Array
    f: Array
    g: Array
    h: Array


@annotax.pytree
class HalfPytree:
    """Three arrays."""

    a: Array
    b: Array
    c: Array


class HalfModule(equinox.Module):
    """Three arrays, as Equinox has them."""

    d: Array
    e: Array
    f: Array


def of_arrays(a: Array, b: Array, c: Array, d: Array, e: Array, f: Array, g: Array, h: Array) -> Array:
    """Eight arrays by themselves."""
    return jnp.tanh(a * b + c * d + e * f + g * h)


def of_pytree(model: Pytree) -> Array:
    """Eight arrays in an annotax pytree."""
    return of_arrays(model.a, model.b, model.c, model.d, model.e, model.f, model.g, model.h)


def of_module(model: Module) -> Array:
    """Eight arrays in an Equinox module."""
    return of_arrays(model.a, model.b, model.c, model.d, model.e, model.f, model.g, model.h)


def of_mixed(model: HalfPytree, module: HalfModule, g: Array, h: Array) -> Array:
    """Three arrays in each kind of model, and two by themselves."""
    return of_arrays(model.a, model.b, model.c, module.d, module.e, module.f, g, h)


def apply(model: Callable[[Array], Array], x: Array) -> Array:
    """A model that can be called."""
    return model(x)


def everyone(function: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Everyone's `jit` of a function."""
    return {
        RAW: jax.jit(function),
        OURS: annotax.jit(function),
        DATACLASSES: jax_dataclasses.jit(function),
        EQUINOX: equinox.filter_jit(function),
        FLAX: nnx.jit(function),
    }


def arguments(rounds: int) -> Table:
    """Measure a call for every kind of argument."""
    arrays = [jnp.full((64, 64), 0.1 * i) for i in range(8)]
    mlp = equinox.nn.MLP(64, 64, 64, depth=3, key=jax.random.key(0))  # eight arrays as well
    of_mlp, functions = equinox.partition(mlp, equinox.is_array)

    @jax.jit
    def by_hand(arrays: Any, x: Array) -> Array:
        return equinox.combine(arrays, functions)(x)

    names = {
        **dict(zip("abcdefgh", arrays, strict=True)),
        "pytree": Pytree(*arrays),
        "module": Module(*arrays),
        "half_pytree": HalfPytree(*arrays[:3]),
        "half_module": HalfModule(*arrays[3:6]),
        "x": jnp.ones(64),
    }
    rows: list[Row] = []
    for case, call, function in (
        ("arrays", "t(a, b, c, d, e, f, g, h)", of_arrays),
        ("annotax pytree", "t(pytree)", of_pytree),
        ("Equinox module", "t(module)", of_module),
        ("mixed", "t(half_pytree, half_module, g, h)", of_mixed),
    ):
        batches = {name: repeated(call, {**names, "t": t}) for name, t in everyone(function).items()}
        rows += compare(case, interleave(batches, rounds), LIMIT)
    batches = {
        RAW: repeated("t(model, x)", {**names, "t": by_hand, "model": of_mlp}),
        OURS: repeated("t(model, x)", {**names, "t": annotax.jit(apply), "model": mlp}),
        EQUINOX: repeated("t(model, x)", {**names, "t": equinox.filter_jit(apply), "model": mlp}),
    }
    rows += compare("`equinox.nn.MLP`, which holds functions", interleave(batches, rounds), None)
    return Table(
        "Latency by kind of argument",
        "median µs (quartiles)",
        "A jitted function of eight arrays of 64 by 64, compiled before, given the same arguments by everyone: arrays, "
        "one model, or two models and two arrays. An `equinox.nn.MLP` holds functions beside its eight arrays, which "
        "jax_dataclasses and flax.nnx refuse as JAX does; JAX by hand gets the arrays split off beforehand, which no "
        f"caller can do for nothing, so annotax has no bound there. {rounds} rounds.",
        "`jax.jit` by hand.",
        tuple(rows),
        Picture(
            "The latency of a jitted call by the kind of its arguments. For arrays, annotax pytrees, Equinox modules "
            "and some of each, annotax and jax_dataclasses lie on raw JAX. With functions inside a module annotax lies "
            "between raw JAX and Equinox."
        ),
    )
