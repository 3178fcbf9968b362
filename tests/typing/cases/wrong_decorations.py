"""What is wrong when it decorates: markers and options are read by the plugin alone, so it alone reports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static, grad, jit, transform, value_and_grad, vmap

x: Array = jnp.ones(1)

# --- markers that contradict each other ------------------------------------------------------------------------------


# row: a parameter that is both `Static` and `Donate`
@jit  # error: plugin "state"
def static_and_donate(state: Annotated[Array, Static, Donate]) -> Array:
    return state


@grad  # error: plugin "w"
def static_and_diff(w: Annotated[float, Static, Diff], x: Array) -> Array:
    return w * x


@grad  # error: plugin "bias"
def diff_and_no_diff(bias: Diff[NoDiff[Array]], x: Array) -> Array:
    return bias * x


@vmap  # error: plugin "times"
def static_and_axis(x: Array, times: Annotated[int, Static, Axis(None)]) -> Array:
    return x * times


@jit  # error: plugin "times"
def static_and_layout(x: Array, times: Annotated[int, Static, PartitionSpec()]) -> Array:
    return x * times


@vmap  # raises at decoration, but mypy does not keep the arguments of a call
def two_axes(images: Annotated[Array, Axis(0), Axis(1)]) -> Array:
    return images


@jit  # error: plugin "images"
def two_layouts(images: Annotated[Array, PartitionSpec("a"), PartitionSpec("b")]) -> Array:
    return images


# What says the same twice, or two things that go together, is fine.
@jit
def static_twice(x: Array, n: Annotated[int, Static, NoDiff], y: Annotated[Array, Axis(0), Axis(1, "time")]) -> Array:
    return x * n * y


# --- markers where they cannot be honoured ---------------------------------------------------------------------------


@jit  # error: plugin "table"
def static_array(x: Array, table: Static[Array]) -> Array:
    return x * table


# row: a marker inside of a container
@grad  # error: plugin "params"
def inside_list(params: list[NoDiff[Array]], x: Array) -> Array:
    return params[0] * x


@jit  # error: plugin "sizes"
def inside_dict(x: Array, sizes: dict[str, Static[int]]) -> Array:
    return x * sizes["a"]


@grad  # error: plugin "w"
def aux_on_parameter(w: Aux[Array], x: Array) -> Array:
    return w * x


@grad  # error: plugin "Diff"
def diff_on_result(w: Array) -> Diff[Array]:
    return w


@jit  # error: plugin "Static"
def static_result(x: Array) -> tuple[Array, Static[int]]:
    return x, 1


@vmap  # error: plugin "Axis"
def axis_without_arguments(x: Annotated[Array, Axis]) -> Array:
    return x


# --- nothing to differentiate ----------------------------------------------------------------------------------------


# row: `grad` with nothing to differentiate
@grad  # error: plugin "differentiate"
def of_integers(n: int, flag: bool, name: str, mode: Literal["a"], f: Callable[[Array], Array]) -> float:
    return 1.0


@transform(jit, value_and_grad)  # error: plugin "differentiate"
def of_excluded(x: NoDiff[Array], n: Static[int]) -> Array:
    return x * n


@annotax.jacfwd  # error: plugin "differentiate"
def of_nothing() -> Array:
    return x


@grad  # error: plugin "Aux"
def all_aux(w: Array) -> tuple[Aux[Array], Aux[Array]]:
    return w, w


@grad  # error: plugin "Aux"
def two_not_aux(w: Array) -> tuple[Array, Array, Aux[Array]]:
    return w, w, w


def static_outside(w: Array) -> Array:
    return w


transform(jit(static="w"), grad)(static_outside)  # error: plugin "differentiate"


class Model:
    """A class with a method of which nothing can be differentiated."""

    @grad  # error: plugin "differentiate"
    def slope(self: Static[Model], n: int) -> float:
        return 1.0


# --- options that name no parameter ----------------------------------------------------------------------------------


def step(state: Array, x: Array, *, depth: Static[int] = 2) -> Array:
    return state * x**depth


# row: `jit(static=...)` with a name that is no parameter
jit(step, static="dept")  # error: plugin "dept"
jit(static=["depth", "widht"])(step)  # error: plugin "widht"
jit(step, static=3)  # error: plugin "static"
jit(step, donate="stat")  # error: plugin "stat"
jit(step, donate="depth")  # error: plugin "depth"
# row: `grad(wrt=...)` with a name that is no parameter
grad(step, wrt="weights")  # error: plugin "weights"
grad(wrt=["state", "y"])(step)  # error: plugin "wrt"
grad(step, wrt="depth")  # error: plugin "depth"
grad(step, wrt=["x", "x"])  # error: plugin "x"
grad(step, wrt=[])  # error: plugin "wrt"
grad(step, wrt=7)  # error: plugin "wrt"
value_and_grad(step, wrt="weights")  # error: plugin "weights"
annotax.hessian(step, wrt="weights")  # error: plugin "weights"
transform(jit, grad(wrt="weights"))(step)  # error: plugin "weights"
vmap(step, in_axes={"images": None})  # error: plugin "images"
vmap(in_axes={"depth": 0})(step)  # error: plugin "depth"
transform(jit, vmap(in_axes={"images": None}))(step)  # error: plugin "images"
annotax.shard_map(step, in_specs={"images": None})  # error: plugin "images"


@jit(static="dept")  # error: plugin "dept"
def decorated(state: Array, depth: int) -> Array:
    return state**depth


# These name parameters.
jit(step, static="depth", donate=0)
jit(step, static=["depth", "x"])
grad(step, wrt=-2)
vmap(step, in_axes={"x": None, 0: 1})

# --- what is no transform of annotax ---------------------------------------------------------------------------------

transform(jax.jit)  # error
transform(jit, jax.grad)  # error

# --- fields ----------------------------------------------------------------------------------------------------------


@annotax.pytree
class DonatedField:
    """A field cannot be donated."""

    weights: Donate[Array]  # error: plugin "weights"


@annotax.pytree
class DiffField:
    """All fields are differentiated that are not excluded."""

    weights: Diff[Array]  # error: plugin "weights"


@annotax.pytree
class InsideList:
    """A marker inside of a container."""

    layers: list[NoDiff[Array]]  # error: plugin "layers"


@annotax.pytree
class Contradicting:
    """A field that is both."""

    table: Annotated[int, Static, PartitionSpec("data")]  # error: plugin "table"
