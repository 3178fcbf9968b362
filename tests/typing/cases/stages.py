"""`lower`, `trace`, `eval_shape`, `compile` and `traces` of a compiled function take what a call of it takes.

ty sees a compiled function as the plain one, and every checker does so with a method; `annotax.jitted` is the way to
the stages of those.
"""

from __future__ import annotations

from typing import Any, TypeVar, reveal_type

import jax.numpy as jnp
from jax import Array

import annotax
from annotax import Aux, NoDiff, Static, grad, jit, transform, value_and_grad, vmap

T = TypeVar("T")

x: Array = jnp.ones(1)


@jit
def step(state: Array, x: Array, *, n: Static[int] = 2) -> tuple[Array, Array]:
    return state + x**n, x


@jit(static="n")
def with_options(x: Array, n: int) -> Array:
    return x**n


@transform(jit, value_and_grad)
def loss(w: Array, x: NoDiff[Array], *, n: Static[int] = 2) -> tuple[Array, Aux[list[Array]]]:
    return jnp.sum((w * x) ** n), [x]


@jit
@grad
def slope(w: Array) -> Array:
    return jnp.sum(w**2)


@transform(jit, vmap)
def batched(x: Array) -> Array:
    return x**2


@jit
def same(tree: T) -> T:
    return tree


def plain(x: Array) -> Array:
    return x


@annotax.pytree
class Model:
    """A model with compiled methods."""

    weights: Array

    @jit
    def __call__(self, x: Array, *, n: Static[int] = 2) -> Array:
        return (self.weights * x) ** n

    @transform(jit, value_and_grad)
    def loss(self, x: NoDiff[Array], *, n: Static[int] = 2) -> Array:
        return jnp.sum(self.weights * x) ** n

    @staticmethod
    @jit
    def scaled(x: Array, *, by: float = 1.0) -> Array:
        return by * x


model = Model(x)

# --- on the function itself ------------------------------------------------------------------------------------------

reveal_type(
    step.lower(x, x, n=3),
)  # type: Lowered[(state: Array, x: Array, *, n: int = ...), tuple[Array, Array]]; ty: Any # error: ty
step.lower(x, "a")  # error
step.lower(x, x, 3)  # error
# row: `f.lower(...).compile()`, called
reveal_type(step.lower(x, x=x).compile()(x, x))  # type: tuple[Array, Array]; ty: Any # error: ty
step.lower(x, x).compile()(x)  # error
reveal_type(
    step.trace(x, x),
)  # type: Traced[(state: Array, x: Array, *, n: int = ...), tuple[Array, Array]]; ty: Any # error: ty
reveal_type(step.trace(x, x).lower().compile()(x, x, n=2))  # type: tuple[Array, Array]; ty: Any # error: ty
step.trace(x)  # error
reveal_type(step.eval_shape(x, x))  # type: Any # error: ty
step.eval_shape(x, x, 3)  # error
reveal_type(step.traces)  # type: Traces; ty: Any # error: ty
reveal_type(step.traces[0])  # type: Trace; ty: Any # error: ty
reveal_type(len(step.traces))  # type: int # error: ty
step.clear_cache()  # error: ty
reveal_type(step.__wrapped__)  # type: (...) -> Any; ty: Any # error: ty
reveal_type(step.__name__)  # type: str
reveal_type(with_options.lower(x, n=3))  # type: Lowered[(x: Array, n: int), Array]; ty: Any # error: ty
with_options.lower(x, "a")  # error
reveal_type(batched.lower(x).compile()(x))  # type: Array; ty: Any # error: ty
reveal_type(
    loss.lower(x, x, n=3),
)  # type: Lowered[(w: Array, x: Array, *, n: int = ...), Any]; plugin: Lowered[(w: Array, x: Array, *, n: int = ...), tuple[tuple[Array, list[Array]], Array]]; ty: Any # error: ty
loss.lower(x, "a")  # error
reveal_type(loss.lower(x, x).compile()(x, x))  # type: Any; plugin: tuple[tuple[Array, list[Array]], Array] # error: ty
reveal_type(slope.lower(x).compile()(x))  # type: Any; plugin: Array # error: ty
slope.trace("a")  # error
reveal_type(jit(plain).lower(x).compile()(x))  # type: Array; ty: Any # error: ty
step.lowered(x)  # error
vmap(plain).lower(x)  # error
plain.lower(x)  # error
grad(plain).lower(x)  # error

# --- annotax.jitted --------------------------------------------------------------------------------------------------

reveal_type(
    annotax.jitted(step).lower(x, x, n=3),
)  # type: Lowered[(state: Array, x: Array, *, n: int = ...), tuple[Array, Array]]
# row: `annotax.jitted(f).lower(...)`: a wrong argument
annotax.jitted(step).lower(x, "a")  # error
reveal_type(annotax.jitted(step))  # type: Stages[(state: Array, x: Array, *, n: int = ...), tuple[Array, Array]]
reveal_type(annotax.jitted(step)(x, x, n=3))  # type: tuple[Array, Array]
annotax.jitted(step)(x, x, 3)  # error
# row: `annotax.jitted(f).lower(...).compile()`, called
reveal_type(annotax.jitted(step).lower(x, x).compile()(x, x))  # type: tuple[Array, Array]
annotax.jitted(step).lower(x, x).compile()(x, "a")  # error
reveal_type(annotax.jitted(step).trace(x, x).lower().compile()(x, x))  # type: tuple[Array, Array]
annotax.jitted(step).trace(x)  # error
reveal_type(annotax.jitted(step).eval_shape(x, x))  # type: Any
annotax.jitted(step).eval_shape(x, x, 3)  # error
reveal_type(annotax.jitted(step).traces)  # type: Traces
reveal_type(annotax.jitted(step).traces[0].because)  # type: tuple[str, ...]
reveal_type(annotax.jitted(batched).lower(x).compile()(x))  # type: Array
reveal_type(annotax.jitted(with_options).lower(x, 3).compile()(x, 3))  # type: Array
reveal_type(annotax.jitted(model.__call__).lower(x, n=3))  # type: Lowered[(x: Array, *, n: int = ...), Array]
annotax.jitted(model.__call__).lower(x, 3)  # error
# row: `annotax.jitted(model.method).lower(...).compile()`, called
reveal_type(annotax.jitted(model.__call__).lower(x).compile()(x))  # type: Array
annotax.jitted(model.__call__).lower(x).compile()(model, x)  # error
reveal_type(annotax.jitted(model.__call__).traces)  # type: Traces
reveal_type(annotax.jitted(Model.scaled).lower(x, by=2.0).compile()(x))  # type: Array
annotax.jitted(Model.scaled).lower(x, 2.0)  # error
reveal_type(
    annotax.jitted(model.loss).lower(x, n=3).compile()(x),
)  # type: tuple[Array, Any]; plugin: tuple[Array, Model]
annotax.jitted(model.loss).lower(x, 3)  # error
reveal_type(
    annotax.jitted(loss).lower(x, x, n=3).compile()(x, x),
)  # type: Any; plugin: tuple[tuple[Array, list[Array]], Array]
annotax.jitted(loss).lower(x, x, 3)  # error
annotax.jitted(loss).lower(x, "a")  # error
reveal_type(annotax.jitted(slope).lower(x).compile()(x))  # type: Any; plugin: Array
annotax.jitted(slope).lower("a")  # error
annotax.jitted(1)  # error
reveal_type(annotax.jitted(same).lower(x).compile()(x))  # type: Array; pyrefly: Any

# --- what the stages offer -------------------------------------------------------------------------------------------

lowered = annotax.jitted(step).lower(x, x)
compiled = lowered.compile()
reveal_type(lowered.as_text())  # type: Any
reveal_type(compiled.memory_analysis())  # type: Any


def average(stages: annotax.Stages[[Array, Array], tuple[Array, Array]]) -> annotax.Compiled[[Array, Array], Any]:
    return stages.lower(x, x).compile()
