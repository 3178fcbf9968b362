"""Pipelines of one to four transforms, in many orders, are called as the function and return what their parts say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, reveal_type

import jax.numpy as jnp
from jax import Array

import annotax
from annotax import (
    Aux,
    Axis,
    Contract,
    NoDiff,
    Static,
    Transform,
    checkpoint,
    custom_vjp,
    grad,
    hessian,
    jacfwd,
    jit,
    make_jaxpr,
    pmap,
    shard_map,
    transform,
    value_and_grad,
    vmap,
)

x: Array = jnp.ones(1)


def energy(w: Array) -> Array:
    return jnp.sum(w**2)


def loss(w: Annotated[Array, Axis(None)], x: NoDiff[Array], *, n: Static[int] = 2) -> tuple[Array, Aux[list[Array]]]:
    return jnp.sum((w * x) ** n), [x]


@dataclass(frozen=True)
class Scaled(Transform):
    """A transform of one's own."""

    factor: float = 1.0

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        return lambda *slots: self.factor * core(*slots), contract


# --- of transforms that keep the type of the function ----------------------------------------------------------------

reveal_type(transform(jit)(loss)(x, x, n=3))  # type: tuple[Array, list[Array]]
reveal_type(transform(vmap)(loss)(x, x, n=3))  # type: tuple[Array, list[Array]]
reveal_type(transform(jit, vmap)(loss)(x, x, n=3))  # type: tuple[Array, list[Array]]
reveal_type(transform(vmap, jit)(loss)(x, x, n=3))  # type: tuple[Array, list[Array]]
reveal_type(transform(jit, checkpoint)(loss)(x, x=x))  # type: tuple[Array, list[Array]]
reveal_type(transform(jit, vmap, checkpoint)(loss)(x, x=x))  # type: tuple[Array, list[Array]]
reveal_type(transform(pmap, checkpoint, vmap)(energy)(x))  # type: Array
reveal_type(transform(jit, shard_map)(energy)(x))  # type: Array
reveal_type(transform(jit, vmap, vmap, checkpoint)(energy)(x))  # type: Array
reveal_type(
    transform(jit(static="n"), vmap(in_axes={"x": 0}), checkpoint(prevent_cse=False))(loss)(x, x),
)  # type: tuple[Array, list[Array]]
transform(jit, vmap, checkpoint)(loss)(x, x, 3)  # error
transform(vmap, jit)(loss)(x, "a")  # error
transform(vmap)(loss)(x)  # error
transform(jit, vmap, vmap, checkpoint)(energy)()  # error

# --- with one that changes the result --------------------------------------------------------------------------------

reveal_type(transform(jit, value_and_grad)(energy)(x))  # type: tuple[Array, Array]
reveal_type(transform(value_and_grad)(energy)(x))  # type: tuple[Array, Array]
reveal_type(transform(grad)(energy)(x))  # type: Array
# row: `transform(jit, vmap, grad)` of one parameter
reveal_type(transform(jit, vmap, grad)(energy)(x))  # type: Array
reveal_type(transform(vmap, grad)(energy)(x))  # type: Array
reveal_type(transform(vmap, jit, grad)(energy)(x))  # type: Array
reveal_type(transform(grad, checkpoint)(energy)(x))  # type: Array
reveal_type(transform(grad, jit)(energy)(x))  # type: Array
reveal_type(transform(jit, grad, checkpoint)(energy)(x))  # type: Array
reveal_type(transform(jit, vmap, value_and_grad, checkpoint)(energy)(x))  # type: tuple[Array, Array]
reveal_type(transform(vmap, checkpoint, jit, grad)(energy)(x))  # type: Array
reveal_type(transform(jit, vmap, checkpoint, grad, checkpoint)(energy)(x))  # type: Array
reveal_type(transform(jit, hessian)(energy)(x))  # type: Array
reveal_type(transform(vmap, jacfwd)(energy)(x))  # type: Array
reveal_type(transform(jit, vmap, jacfwd, checkpoint)(energy)(x))  # type: Array
reveal_type(
    transform(jit, vmap, value_and_grad)(loss)(x, x, n=3),
)  # type: tuple[tuple[Array, list[Array]], Any]; plugin: tuple[tuple[Array, list[Array]], Array]
reveal_type(
    transform(jit, vmap, grad, checkpoint)(loss)(x, x, n=3),
)  # type: tuple[Any, list[Array]]; plugin: tuple[Array, list[Array]]
reveal_type(
    transform(value_and_grad, checkpoint)(loss)(x, x=x),
)  # type: tuple[tuple[Array, list[Array]], Any]; plugin: tuple[tuple[Array, list[Array]], Array]
transform(jit, vmap, value_and_grad)(loss)(x, x, 3)  # error
transform(vmap, grad)(loss)(x)  # error
transform(jit, grad, checkpoint)(loss)(x, "a")  # error
transform(jit, hessian)(energy)("a")  # error

# --- with options ----------------------------------------------------------------------------------------------------

reveal_type(
    transform(jit(static="n"), grad(has_aux=None))(loss)(x, x, n=3),
)  # type: tuple[Any, list[Array]]; plugin: tuple[Array, list[Array]]
reveal_type(transform(jit(inline=True), vmap(axis_size=3), grad)(energy)(x))  # type: Array
reveal_type(
    transform(jit, vmap, grad(wrt="x"))(loss)(x, x),
)  # type: tuple[Any, list[Array]]; plugin: tuple[Array, list[Array]]
reveal_type(
    transform(jit, value_and_grad(wrt="x"))(loss)(x, x),
)  # type: tuple[tuple[Array, list[Array]], Any]; plugin: tuple[tuple[Array, list[Array]], Array]
reveal_type(
    transform(vmap(axis_name="batch"), value_and_grad(wrt=["x", "w"]), checkpoint)(loss)(x, x),
)  # type: tuple[tuple[Array, list[Array]], Any]; plugin: tuple[tuple[Array, list[Array]], tuple[Array, Array]]
reveal_type(transform(jit, vmap, grad, typechecker=None)(energy)(x))  # type: Array
reveal_type(transform(jit, typechecker="beartype")(energy)(x))  # type: Array
transform(jit(static="n"), grad(has_aux=None))(loss)(x, x, 3)  # error
transform(jit, vmap, grad(wrt="x"))(loss)(x, x, 3)  # error
transform(jit, grad, typecheck=None)  # error

# --- with the gradient stated ----------------------------------------------------------------------------------------

reveal_type(transform(jit, vmap, grad[Array])(energy)(x))  # type: Array
reveal_type(transform(jit, vmap, grad[Array])(loss)(x, x, n=3))  # type: tuple[Array, list[Array]]
reveal_type(
    transform(jit, value_and_grad[Array], checkpoint)(loss)(x, x),
)  # type: tuple[tuple[Array, list[Array]], Array]
reveal_type(
    transform(jit, vmap, value_and_grad[Array](wrt="x"), checkpoint)(loss)(x, x),
)  # type: tuple[tuple[Array, list[Array]], Array]
reveal_type(transform(grad[Array])(loss)(x, x, n=3))  # type: tuple[Array, list[Array]]
transform(jit, vmap, grad[Array])(loss)(x, x, 3)  # error

# --- with others that change what is returned ------------------------------------------------------------------------

transform(make_jaxpr, grad)(energy)(x)
reveal_type(transform(jit, custom_vjp)(energy)(x))  # type: Array
transform(make_jaxpr, grad)(energy)("a")  # error
transform(jit, grad, grad)(energy)(x)
transform(jit, grad, grad)(energy)(x, x)  # error
reveal_type(grad(transform(jit, vmap)(energy))(x))  # type: Array
reveal_type(vmap(transform(jit, grad)(energy))(x))  # type: Array
reveal_type(transform(jit, vmap)(grad(energy))(x))  # type: Array
reveal_type(transform(jit, vmap)(transform(grad, checkpoint)(energy))(x))  # type: Array

# --- with one's own --------------------------------------------------------------------------------------------------

# row: `transform(jit, Scaled(2.0))`, a transform of one's own: a wrong argument
transform(jit, Scaled(2.0))(loss)(x, x, 3)  # error
transform(jit, Scaled(2.0))(energy)(x)
transform(jit, Scaled, grad)(energy)(x)
transform(jit, Scaled(2.0), grad)(energy)("a")  # error
reveal_type(transform(jit, Scaled(2.0), grad)(energy)(x))  # type: Any
reveal_type(Scaled(2.0)(energy)(x))  # type: Any
Scaled(2.0)(energy)(x, x)  # error


@transform(jit, Scaled(2.0))
def scaled(w: Array, *, n: Static[int] = 2) -> Array:
    return w**n


scaled(x, n=3)
scaled(x, 3)  # error

# --- kept for later --------------------------------------------------------------------------------------------------

compiled_gradient = transform(jit, grad)
reveal_type(compiled_gradient(energy)(x))  # type: Array
compiled_gradient(loss)(x, x, 3)  # error
per_example = vmap(in_axes={"w": None})
reveal_type(per_example(energy)(x))  # type: Array
gradient_of_w = grad(wrt="w")
reveal_type(gradient_of_w(loss)(x, x))  # type: tuple[Any, list[Array]]; plugin: tuple[Array, list[Array]]
transform(jit, energy)  # error
transform(1)  # error
annotax.transform(jit, vmap)(1)  # error
