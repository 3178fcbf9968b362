"""How many times a function is traced, which is to say compiled, for calls that mean the same."""

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
from benchmarks.rows import OURS, RAW, Bound, Row, Table

BUILDS = 3
"""How many times `jit(grad(f))` is built of the same function."""


def spellings(jit: Callable[[Callable[..., Any]], Callable[..., Any]], static: Any = int) -> int:
    """The traces of four equal calls.

    Arguments:
        jit: Compiles a function whose parameter `n` is static.
        static: The hint that says so, for those who read it.
    """
    traces = 0

    def f(x: Array, y: Array, z: Array, n: static = 2) -> Any:
        nonlocal traces
        traces += 1
        return (x + y + z) * n

    jitted = jit(f)
    x = jnp.ones(3)
    jitted(x, x, x, 2)
    jitted(x, x, x, n=2)
    jitted(x, x, x)
    jitted(n=2, z=x, y=x, x=x)
    return traces


def rebuilt(jit_of_grad: Callable[[Callable[..., Any]], Callable[..., Any]]) -> int:
    """The traces of a function whose compiled gradient is built anew for each of `BUILDS` calls."""
    traces = 0

    def loss(w: Array) -> Array:
        nonlocal traces
        traces += 1
        return jnp.sum(w**2)

    w = jnp.ones(3)
    for _ in range(BUILDS):
        jit_of_grad(loss)(w)
    return traces


def counts() -> dict[str, dict[str, int]]:
    """The traces of each contestant in each case."""
    return {
        "four spellings of one call": {
            RAW: spellings(lambda f: jax.jit(f, static_argnames="n")),
            OURS: spellings(annotax.jit, annotax.Static[int]),
            "jax_dataclasses": spellings(jax_dataclasses.jit, jax_dataclasses.Static[int]),
            "equinox": spellings(equinox.filter_jit),
            "flax.nnx": spellings(lambda f: nnx.jit(f, static_argnames="n")),
        },
        f"`jit(grad(f))` built {BUILDS} times": {
            RAW: rebuilt(lambda f: jax.jit(jax.grad(f))),
            OURS: rebuilt(lambda f: annotax.jit(annotax.grad(f))),
            "jax_dataclasses": rebuilt(lambda f: jax_dataclasses.jit(jax.grad(f))),
            "equinox": rebuilt(lambda f: equinox.filter_jit(equinox.filter_grad(f))),
            "flax.nnx": rebuilt(lambda f: nnx.jit(nnx.grad(f))),
        },
    }


def traces() -> Table:
    """Count the traces in every case."""
    rows = [
        Row(case, contestant, str(count), count / found[RAW], Bound(count, 1) if contestant == OURS else None)
        for case, found in counts().items()
        for contestant, count in found.items()
    ]
    return Table(
        "Traces",
        "traces",
        "The calls are positional, by keyword, with the default left out, and all by keyword in another order. "
        "jax_dataclasses has no `grad` of its own.",
        tuple(rows),
    )
