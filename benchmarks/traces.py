"""How many times a function is traced, which is to say compiled, for calls that mean the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import equinox
import jax
import jax.numpy as jnp
import jax_dataclasses
from flax import nnx
from jax import Array

import annotax
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Picture, Table, counted

BUILDS = 3
"""How many times a pipeline is built of the same function."""

SPELLINGS: tuple[str, ...] = (
    "f(x, y, z, 2)",
    "f(x, y, z, n=2)",
    "f(x, y, z)",
    "f(x, y, z=z, n=2)",
    "f(x=x, y=y, z=z, n=2)",
    "f(n=2, z=z, y=y, x=x)",
    "f(x=x, y=y, z=z)",
)
"""Seven ways to spell one call of `f(x, y, z, n=2)`."""

Build: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes a function that is compiled of one that is not."""


class Model:
    """A model whose loss counts how often Python runs it, which under `jit` is how often it is traced."""

    def __init__(self) -> None:
        self.traces = 0

    def loss(self, w: Array, scale: float = 1.0) -> Array:
        """A sum of squares."""
        self.traces += 1
        return jnp.sum(scale * w**2)


def spelled(jit: Build, static: Any = int) -> int:
    """The traces of the same call in seven spellings.

    Arguments:
        jit: Compiles a function whose parameter `n` is static.
        static: The hint that says so, for those who read it.
    """
    traces = 0

    def f(x: Array, y: Array, z: Array, n: static = 2) -> Any:
        nonlocal traces
        traces += 1
        return (x + y + z) * n

    x = jnp.ones(3)
    names = {"f": jit(f), "x": x, "y": x, "z": x}
    for spelling in SPELLINGS:
        eval(spelling, names)
    return traces


def rebuilt(build: Build, w: Array) -> int:
    """The traces of a function of which the same pipeline is built anew for each of `BUILDS` calls."""
    model = Model()

    def loss(w: Array, scale: float = 1.0) -> Array:
        return model.loss(w, scale)

    for _ in range(BUILDS):
        build(loss)(w)
    return model.traces


def bound_anew(jit: Build) -> int:
    """The traces of a method that is compiled anew, of the same object, for each of `BUILDS` calls."""
    model, w = Model(), jnp.ones(3)
    for _ in range(BUILDS):
        jit(model.loss)(w)
    return model.traces


def pipelines() -> dict[str, dict[str, Build]]:
    """What users build inside a loop, by contestant; jax_dataclasses has no transform but `jit`."""
    jdc = jax_dataclasses.jit
    eqx = equinox
    return {
        "`jit(f)`": {
            RAW: lambda f: jax.jit(f),
            OURS: lambda f: annotax.jit(f),
            DATACLASSES: lambda f: jdc(f),
            EQUINOX: lambda f: eqx.filter_jit(f),
            FLAX: lambda f: nnx.jit(f),
        },
        "`jit(grad(f))`": {
            RAW: lambda f: jax.jit(jax.grad(f)),
            OURS: lambda f: annotax.jit(annotax.grad(f, wrt="w")),
            DATACLASSES: lambda f: jdc(jax.grad(f)),
            EQUINOX: lambda f: eqx.filter_jit(eqx.filter_grad(f)),
            FLAX: lambda f: nnx.jit(nnx.grad(f)),
        },
        "`jit(value_and_grad(f))`": {
            RAW: lambda f: jax.jit(jax.value_and_grad(f)),
            OURS: lambda f: annotax.jit(annotax.value_and_grad(f, wrt="w")),
            DATACLASSES: lambda f: jdc(jax.value_and_grad(f)),
            EQUINOX: lambda f: eqx.filter_jit(eqx.filter_value_and_grad(f)),
            FLAX: lambda f: nnx.jit(nnx.value_and_grad(f)),
        },
        "`jit(vmap(grad(f)))`": {
            RAW: lambda f: jax.jit(jax.vmap(jax.grad(f))),
            OURS: lambda f: annotax.jit(annotax.vmap(annotax.grad(f, wrt="w"))),
            DATACLASSES: lambda f: jdc(jax.vmap(jax.grad(f))),
            EQUINOX: lambda f: eqx.filter_jit(eqx.filter_vmap(eqx.filter_grad(f))),
            FLAX: lambda f: nnx.jit(nnx.vmap(nnx.grad(f))),
        },
        "`jit(hessian(f))`": {
            RAW: lambda f: jax.jit(jax.hessian(f)),
            OURS: lambda f: annotax.jit(annotax.hessian(f, wrt="w")),
            DATACLASSES: lambda f: jdc(jax.hessian(f)),
            EQUINOX: lambda f: eqx.filter_jit(eqx.filter_hessian(f)),
        },
        "`jit(grad(partial(f, scale=2.0)))`": {
            RAW: lambda f: jax.jit(jax.grad(partial(f, scale=2.0))),
            OURS: lambda f: annotax.jit(annotax.grad(partial(f, scale=2.0), wrt="w")),
            DATACLASSES: lambda f: jdc(jax.grad(partial(f, scale=2.0))),
            EQUINOX: lambda f: eqx.filter_jit(eqx.filter_grad(partial(f, scale=2.0))),
            FLAX: lambda f: nnx.jit(nnx.grad(partial(f, scale=2.0))),
        },
    }


def counts() -> dict[str, dict[str, int]]:
    """The traces of each contestant in each case."""
    w = jnp.ones((4, 3))
    return {
        "seven spellings of one call": {
            RAW: spelled(lambda f: jax.jit(f, static_argnames="n")),
            OURS: spelled(annotax.jit, annotax.Static[int]),
            DATACLASSES: spelled(jax_dataclasses.jit, jax_dataclasses.Static[int]),
            EQUINOX: spelled(equinox.filter_jit),
            FLAX: spelled(lambda f: nnx.jit(f, static_argnames="n")),
        },
        **{
            f"{pipeline} built {BUILDS} times": {name: rebuilt(build, w) for name, build in builds.items()}
            for pipeline, builds in pipelines().items()
        },
        f"`jit(model.loss)` built {BUILDS} times": {
            RAW: bound_anew(jax.jit),
            OURS: bound_anew(annotax.jit),
            DATACLASSES: bound_anew(jax_dataclasses.jit),
            EQUINOX: bound_anew(equinox.filter_jit),
            FLAX: bound_anew(nnx.jit),
        },
    }


def traces(_: int) -> Table:
    """Count the traces in every case."""
    found = counts()
    rows = [
        row
        for case, by_contestant in found.items()
        # A `partial` made in the loop is another function each time; that it means the same, nobody promises to see.
        for row in counted(case, by_contestant, None if "partial" in case else 1)
    ]
    spellings = ", ".join(f"`{spelling}`" for spelling in SPELLINGS)
    return Table(
        "Traces of calls that mean the same",
        "traces",
        f"Each trace is a compilation. The seven spellings: {spellings}. The rest are pipelines built anew for every "
        "call of a loop, one of them of a method looked up anew. jax_dataclasses has `jit` alone, so the rest of its "
        "pipelines is JAX's; flax.nnx has no `hessian`. Counted, not timed.",
        "One trace, which raw JAX needs too if every call is written alike and every pipeline built once.",
        tuple(rows),
        Picture(
            "How many traces each library makes of calls that mean the same. annotax makes one of each, save where the "
            "function is a new `partial` every time.",
            by_factors=False,
        ),
    )
