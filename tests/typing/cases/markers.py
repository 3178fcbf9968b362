"""A marker changes nothing in the type: a parameter is what is inside, where the function is called and in its body."""
# ruff: noqa: F722, UP037

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeAlias, TypeVar, reveal_type

import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float, Int, PyTree, Shaped

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static, grad, jit, transform, value_and_grad, vmap

T = TypeVar("T")

Params: TypeAlias = dict[str, Array]
Images: TypeAlias = Float[Array, "batch height width"]
Data: TypeAlias = NoDiff[Array]
Shared: TypeAlias = Annotated[Array, Axis(None)]
Weights: TypeAlias = Annotated[Array, Axis(None), PartitionSpec("data")]

x: Array = jnp.ones((1, 1))

# --- as an alias -----------------------------------------------------------------------------------------------------


def aliases(
    state: Donate[Params], w: Diff[Array], x: NoDiff[Array], *, n: Static[int] = 2, name: Static[str] = "a"
) -> tuple[Array, Aux[Params]]:
    reveal_type(state)  # type: dict[str, Array]
    reveal_type(w)  # type: Array
    reveal_type(x)  # type: Array
    reveal_type(n)  # type: int
    return jnp.sum(w * x) ** n, state


reveal_type(
    aliases,
)  # type: (state: dict[str, Array], w: Array, x: Array, *, n: int = ..., name: str = ...) -> tuple[Array, dict[str, Array]]
reveal_type(aliases({}, x, x, n=3))  # type: tuple[Array, dict[str, Array]]
aliases({}, x, x, n="a")  # error
aliases([], x, x)  # error
reveal_type(jit(aliases)({"w": x}, x, x, n=3))  # type: tuple[Array, dict[str, Array]]
jit(aliases)({"w": x}, x, x, n="a")  # error
jit(aliases)([x], x, x)  # error
jit(aliases)({"w": x}, x, 1)  # error

# --- as metadata -----------------------------------------------------------------------------------------------------


def metadata(
    state: Annotated[Params, NoDiff],
    w: Annotated[Array, Diff, Axis(None)],
    x: Annotated[Array, NoDiff, Axis(1), "the data"],
    y: Annotated[NoDiff[Array], Axis(0, "batch")],
    *,
    n: Annotated[int, Static, "how often"] = 2,
) -> tuple[Array, Annotated[Params, Aux]]:
    reveal_type(state)  # type: dict[str, Array]
    reveal_type(x)  # type: Array
    reveal_type(y)  # type: Array
    reveal_type(n)  # type: int
    return jnp.sum(w * x * y) ** n, state


reveal_type(
    metadata,
)  # type: (state: dict[str, Array], w: Array, x: Array, y: Array, *, n: int = ...) -> tuple[Array, dict[str, Array]]
reveal_type(jit(metadata)({"w": x}, x, x, y=x, n=3))  # type: tuple[Array, dict[str, Array]]
jit(metadata)({"w": x}, x, x, x, n="a")  # error
jit(metadata)({"w": x}, x, 1, x)  # error
reveal_type(
    transform(jit, value_and_grad)(metadata)({"w": x}, x, x, x),
)  # type: tuple[tuple[Array, dict[str, Array]], Any]; plugin: tuple[tuple[Array, dict[str, Array]], Array]

# --- axes and layouts ------------------------------------------------------------------------------------------------


@vmap
def mapped(w: Shared, x: Annotated[Array, Axis(1)], n: Static[int] = 2) -> Annotated[Array, Axis(1)]:
    reveal_type(w)  # type: Array
    reveal_type(x)  # type: Array
    return (w * x) ** n


@jit
def laid_out(w: Weights, x: Annotated[Array, PartitionSpec("data", None)]) -> Annotated[Array, PartitionSpec("data")]:
    reveal_type(w)  # type: Array
    reveal_type(x)  # type: Array
    return x @ w


reveal_type(mapped(x, x))  # type: Array
mapped(x, "a")  # error
reveal_type(laid_out(x, x=x))  # type: Array
laid_out(x, "a")  # error
reveal_type(Axis(1, "time"))  # type: Axis
Axis("time")  # error
Axis(1, 2)  # error

# --- jaxtyping -------------------------------------------------------------------------------------------------------


@transform(jit, value_and_grad)
def shaped(
    w: Float[Array, "height width"], images: NoDiff[Images], labels: NoDiff[Int[Array, " batch"]]
) -> tuple[Float[Array, ""], Aux[Shaped[Array, "..."]]]:
    reveal_type(w)  # type: Array
    reveal_type(images)  # type: Array
    reveal_type(labels)  # type: Array
    return jnp.sum(images * w), labels


@grad
def of_tree(params: PyTree[Float[Array, "..."]], x: Data) -> Float[Array, ""]:
    return jnp.sum(x)


reveal_type(shaped(x, x, x))  # type: tuple[tuple[Array, Array], Any]; plugin: tuple[tuple[Array, Array], Array]
shaped(x, x, "a")  # error
reveal_type(of_tree({"w": x}, x))  # type: Any
of_tree({"w": x}, "a")  # error

# --- hints as strings, and aliases -----------------------------------------------------------------------------------


@transform(jit, value_and_grad)
def strings(w: "Array", x: "NoDiff[Array]", *, n: "Static[int]" = 2) -> "tuple[Array, Aux[Params]]":
    reveal_type(x)  # type: Array
    reveal_type(n)  # type: int
    return jnp.sum(w * x) ** n, {}


@transform(jit, value_and_grad)
def parts_of_strings(w: Array, x: NoDiff["Array"], y: Annotated["Array", NoDiff], z: Data) -> tuple[Array, Aux["Late"]]:
    reveal_type(x)  # type: Array
    reveal_type(y)  # type: Array
    reveal_type(z)  # type: Array
    return jnp.sum(w * x * y), Late(x)


class Late(NamedTuple):
    """What is defined after it is used."""

    x: Array


reveal_type(
    strings(x, x, n=3),
)  # type: tuple[tuple[Array, dict[str, Array]], Any]; plugin: tuple[tuple[Array, dict[str, Array]], Array]
strings(x, x, n="a")  # error
strings(x, 1)  # error
reveal_type(
    parts_of_strings(x, x, x, x),
)  # type: tuple[tuple[Array, Late], Any]; plugin: tuple[tuple[Array, Late], Array]
parts_of_strings(x, x, x, 1)  # error

# --- on fields -------------------------------------------------------------------------------------------------------


@annotax.pytree
class Model:
    """A model with a marker on every field."""

    weights: Annotated[Array, PartitionSpec("model", None)]
    basis: NoDiff[Array]
    frames: Annotated[Array, Axis(1), NoDiff]
    activation: Static[Callable[[Array], Array]] = jnp.tanh
    power: Annotated[int, Static] = 2


class Batch(NamedTuple):
    """A batch, with markers on its fields."""

    images: Images
    labels: NoDiff[Int[Array, " batch"]]
    mask: Annotated[Array, Axis(None)]


model = Model(x, x, x)
batch = Batch(x, x, x)
reveal_type(model.basis)  # type: Array
reveal_type(model.power)  # type: int
reveal_type(model.weights)  # type: Array
reveal_type(model.frames)  # type: Array
reveal_type(model.activation(x))  # type: Array
reveal_type(batch.labels)  # type: Array
reveal_type(batch.mask)  # type: Array
Model(x, x, x, power="a")  # error
Batch(x, x)  # error

# --- on results, and with type variables -----------------------------------------------------------------------------


def two_aux(w: Array) -> tuple[Array, Aux[Params], Annotated[str, Aux]]:
    return w, {}, "a"


def generic(w: T, x: NoDiff[T], *, n: Static[int] = 2) -> tuple[Array, Aux[T]]:
    reveal_type(x)  # type: T
    return jnp.ones(()) * n, w


reveal_type(two_aux(x))  # type: tuple[Array, dict[str, Array], str]
reveal_type(generic(params := {"w": x}, params))  # type: tuple[Array, dict[str, Array]]
reveal_type(jit(generic)([x], [x]))  # type: tuple[Array, list[Array]]

# --- without a transform ---------------------------------------------------------------------------------------------

nothing: NoDiff[Array] = x
number: Static[int] = "a"  # error
reveal_type(nothing)  # type: Array
marks: list[annotax.Marker] = [Axis(1)]
