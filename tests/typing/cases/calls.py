"""What a transform makes of a function is called as the function: same names, defaults and kinds of parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ParamSpec, Protocol, TypeVar, overload, reveal_type

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

import annotax
from annotax import Aux, Axis, NoDiff, Static, grad, jit, transform, value_and_grad, vmap

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

x: Array = jnp.ones(1)
mesh: Mesh = jax.make_mesh((1,), ("data",))


def power(x: Array, /, y: Array, *rest: Array, n: Static[int] = 2, scale: float = 1.0, **options: str) -> Array:
    return scale * sum(rest, x + y) ** n


def energy(w: Array, *, n: Static[int] = 2) -> Array:
    return jnp.sum(w**n)


# --- jit -------------------------------------------------------------------------------------------------------------


@jit
def step(state: Array, x: Array, *, n: Static[int] = 2) -> tuple[Array, Array]:
    return state + x**n, x


# row: `jit`: a call
reveal_type(step(x, x, n=3))  # type: tuple[Array, Array]
reveal_type(step(x, x=x))  # type: tuple[Array, Array]
step(x)  # error
# row: `jit`: an argument of the wrong type
step(x, "a")  # error
# row: `jit`: an unknown keyword
step(x, x, m=3)  # error
# row: `jit`: a keyword-only parameter passed by position
step(x, x, 3)  # error
step(x, x, x=x)  # error
step(x, x, n="a")  # error

jitted_power = jit(power)
reveal_type(jitted_power(x, x))  # type: Array
reveal_type(jitted_power(x, x, x, x, n=3, scale=2.0, name="a"))  # type: Array
reveal_type(jitted_power(x, y=x))  # type: Array
jitted_power(x=x, y=x)  # error
jitted_power(x, x, "a")  # error
jitted_power(x, x, name=1)  # error
jitted_power(x, y=x, n=1.5)  # error


@jit(static="n", max_traces=4)
def with_options(state: Array, n: int = 2) -> Array:
    return state**n


reveal_type(with_options(x, 3))  # type: Array
reveal_type(with_options(x, n=3))  # type: Array
with_options(x, "a")  # error
with_options(x, m=3)  # error
reveal_type(jit(power, static="n")(x, y=x))  # type: Array
jit(power, static="n")(x)  # error
jit(power, statics="n")  # error: mypy, plugin, pyright, pyrefly
jit(max_traces="a")  # error
jit(1)  # error
reveal_type(jit(lambda a: x + a)(x))  # type: Any

# --- transforms that keep the type of the function -------------------------------------------------------------------


@vmap
def mapped(x: Array, by: Annotated[Array, Axis(None)], *, n: Static[int] = 2) -> Array:
    return x @ by**n


reveal_type(mapped(x, by=x))  # type: Array
reveal_type(mapped(x, x, n=3))  # type: Array
# row: `vmap`: a wrong argument
mapped(x, x, 3)  # error
mapped(x)  # error
reveal_type(vmap(power)(x, x, x, n=3, name="a"))  # type: Array
vmap(power)(x=x, y=x)  # error
reveal_type(vmap(power, in_axes={"y": None})(x, y=x))  # type: Array
vmap(power, in_axes={"y": None})(x, y="a")  # error


@vmap(in_axes={"by": None}, out_axes=1, axis_name="batch")
def mapped_with_options(x: Array, by: Array) -> Array:
    return x * by


reveal_type(mapped_with_options(x, by=x))  # type: Array
mapped_with_options(x, "a")  # error
vmap(in_axis={"by": None})  # error: mypy, plugin, pyright, pyrefly


@annotax.pmap
def on_devices(x: Array, by: Annotated[Array, Axis(None)], *, n: Static[int] = 2) -> Array:
    return x @ by**n


reveal_type(on_devices(x, by=x))  # type: Array
on_devices(x, x, 3)  # error
reveal_type(annotax.pmap(power, axis_name="batch")(x, x, x, n=3))  # type: Array
annotax.pmap(power, axis_name="batch")(x)  # error


@annotax.pmap(axis_name="batch")
def on_devices_with_options(x: Array, by: Array) -> Array:
    return x * by


reveal_type(on_devices_with_options(x, by=x))  # type: Array
on_devices_with_options(x, "a")  # error
annotax.pmap(axis="batch")  # error: mypy, plugin, pyright, pyrefly


@annotax.shard_map
def of_shards(x: Annotated[Array, PartitionSpec("data")], *, n: Static[int] = 2) -> Annotated[Array, PartitionSpec()]:
    return jnp.sum(x**n)


reveal_type(of_shards(x, n=3))  # type: Array
of_shards(x, 3)  # error


@annotax.shard_map(mesh=mesh, check_vma=False)
def of_shards_on_mesh(x: Annotated[Array, PartitionSpec("data")], by: Array) -> Array:
    return x * by


reveal_type(of_shards_on_mesh(x, by=x))  # type: Array
of_shards_on_mesh(x, by="a")  # error
annotax.shard_map(mesh="data")  # error


@annotax.checkpoint
def block(params: dict[str, Array], x: Array, *, depth: Static[int] = 1) -> Array:
    return x * depth


reveal_type(block({"w": x}, x, depth=2))  # type: Array
block({"w": 1}, x)  # error
block({"w": x}, x, 2)  # error


@annotax.remat(prevent_cse=False)
def rematerialized(params: dict[str, Array], x: Array, *, depth: Static[int] = 1) -> Array:
    return x * depth


reveal_type(rematerialized({"w": x}, x=x))  # type: Array
rematerialized({"w": x})  # error
annotax.checkpoint(prevent_cse="a")  # error

# --- functions with a rule of their own ------------------------------------------------------------------------------


@annotax.custom_vjp
def clip(x: Array, *, limit: Static[float] = 1.0) -> Array:
    return jnp.clip(x, -limit, limit)


def clip_fwd(x: Array, *, limit: float) -> tuple[Array, None]:
    return clip(x, limit=limit), None


def clip_bwd(residual: None, g: Array, *, limit: float) -> Array:
    return g


clip.defvjp(clip_fwd, clip_bwd)
reveal_type(clip(x, limit=2.0))  # type: Array
clip(x, 2.0)  # error
clip.defvjp(clip_fwd)  # error
clip.defjvp(clip_fwd)  # error


@annotax.custom_vjp(optimize_remat=True)
def clip_with_options(x: Array, *, limit: Static[float] = 1.0) -> Array:
    return jnp.clip(x, -limit, limit)


clip_with_options.defvjp(clip_fwd, clip_bwd)
reveal_type(clip_with_options(x, limit=2.0))  # type: Array
clip_with_options(x, limit="a")  # error


@annotax.custom_jvp
def log1pexp(x: Array, *, scale: Static[float] = 1.0) -> Array:
    return jnp.log1p(jnp.exp(scale * x))


@log1pexp.defjvp
def log1pexp_jvp(primals: tuple[Array], tangents: tuple[Array], *, scale: float) -> tuple[Array, Array]:
    return log1pexp(*primals), tangents[0]


reveal_type(log1pexp(x, scale=2.0))  # type: Array
reveal_type(log1pexp_jvp((x,), (x,), scale=1.0))  # type: tuple[Array, Array]
log1pexp(x, 2.0)  # error
log1pexp.defjvp()  # error

# --- transforms that return something else ---------------------------------------------------------------------------

of_power = grad(power)
of_power(x, x, x, n=3, scale=2.0, name="a")
of_power(x, y=x)
# row: `grad`: a wrong argument
of_power(x, "a")  # error
of_power(x=x, y=x)  # error
of_power(x, x, name=1)  # error
of_power(x)  # error
grad(energy)(x, n=3)
grad(energy)(x, 3)  # error
grad(energy)()  # error
grad(energy)("a")  # error
grad(energy, wrt="w")(x, n=3)
grad(energy, wrt="w")(x, 3)  # error
grad(wrt="w")(energy)(x, n=3)
grad(wrt="w")(energy)(x, 3)  # error
grad(has_aux=False)(energy)(x, 3)  # error
grad(wrt=1.5)  # error
grad(wrts="w")  # error: mypy, plugin, pyright, pyrefly
grad(1)  # error

value_and_grad(power)(x, x, x, n=3, name="a")
value_and_grad(power)(x, "a")  # error
value_and_grad(power)(x=x, y=x)  # error
value_and_grad(energy)(x, n=3)
value_and_grad(energy)(x, 3)  # error
value_and_grad(energy, wrt="w")(x, 3)  # error
value_and_grad(wrt="w")(energy)(x, 3)  # error
value_and_grad(allow_int=True)(energy)(x, 3)  # error

annotax.jacfwd(power)(x, x, x, n=3, name="a")
annotax.jacfwd(power)(x, "a")  # error
annotax.jacrev(power)(x=x, y=x)  # error
annotax.jacfwd(energy)(x, 3)  # error
annotax.jacrev(energy)(x, 3)  # error
annotax.jacobian(energy)(x, 3)  # error
annotax.hessian(energy)(x, 3)  # error
annotax.jacfwd(energy, wrt="w")(x, 3)  # error
annotax.jacrev(wrt="w")(energy)(x, 3)  # error
annotax.hessian(holomorphic=True)(energy)(x, 3)  # error
annotax.jacfwd(allow_int=True)  # error: mypy, plugin, pyright, pyrefly

annotax.make_jaxpr(power)(x, x, x, n=3, name="a")
reveal_type(annotax.make_jaxpr(energy)(x, n=3))  # type: ClosedJaxpr
annotax.make_jaxpr(energy)(x, 3)  # error
annotax.make_jaxpr(energy, return_shape=True)(x, 3)  # error
annotax.make_jaxpr(return_shape=True)(energy)(x, 3)  # error

# --- pipelines -------------------------------------------------------------------------------------------------------


@transform(jit, vmap, annotax.checkpoint)
def batched(x: Array, *, n: Static[int] = 2) -> Array:
    return x**n


@transform(jit, value_and_grad)
def loss(w: Array, x: NoDiff[Array], *, n: Static[int] = 2) -> tuple[Array, Aux[dict[str, Array]]]:
    return jnp.sum((w * x) ** n), {"x": x}


reveal_type(batched(x, n=3))  # type: Array
batched(x, 3)  # error
loss(w=x, x=x, n=3)
# row: `transform(jit, value_and_grad)`: a wrong argument
loss(x, x, 3)  # error
loss(x, "a")  # error
loss(x)  # error

# --- stacked decorators ----------------------------------------------------------------------------------------------


@jit
@grad
def slope(w: Array, *, n: Static[int] = 2) -> Array:
    return jnp.sum(w**n)


@vmap
@jit
def of_batch(x: Array, *, n: Static[int] = 2) -> tuple[Array, Array]:
    return x, x**n


@jit
@vmap
@annotax.checkpoint
def of_batch_jitted(x: Array, *, n: Static[int] = 2) -> tuple[Array, Array]:
    return x, x**n


@jit
@annotax.custom_vjp
def of_rule(x: Array, *, n: Static[int] = 2) -> Array:
    return x**n


@jit(static="n")
@value_and_grad(wrt="w")
def of_named(w: Array, n: int) -> Array:
    return jnp.sum(w**n)


slope(x, n=3)
slope(x, 3)  # error
reveal_type(of_batch(x, n=3))  # type: tuple[Array, Array]
of_batch(x, 3)  # error
reveal_type(of_batch_jitted(x, n=3))  # type: tuple[Array, Array]
of_batch_jitted(x, 3)  # error
reveal_type(of_rule(x, n=3))  # type: Array
of_rule(x, 3)  # error
of_named(x, n=3)
of_named(x, n="a")  # error

# --- generic and overloaded functions --------------------------------------------------------------------------------


@jit
def same(tree: T, *, n: Static[int] = 2) -> T:
    return tree


@vmap
def paired(one: T, other: R) -> tuple[T, R]:
    return one, other


@overload
def scaled(x: Array) -> Array: ...
@overload
def scaled(x: dict[str, Array], *, by: float) -> dict[str, Array]: ...
def scaled(x: Any, *, by: float = 1.0) -> Any:
    return x


jitted_scaled = jit(scaled)

# row: `jit` of a function with type variables
reveal_type(same({"w": x}))  # type: dict[str, Array]; pyrefly: Any
reveal_type(same(x, n=3))  # type: Array; pyrefly: Any
same(x, 3)  # error
reveal_type(paired(x, other=[x]))  # type: tuple[Array, list[Array]]
reveal_type(jit(paired)(x, other=[x]))  # type: tuple[Array, list[Array]]
paired(x)  # error
reveal_type(transform(jit, vmap)(paired)(x, [x]))  # type: tuple[Array, list[Array]]
reveal_type(jitted_scaled({"w": x}, by=2.0))  # type: dict[str, Array]
reveal_type(jitted_scaled(x))  # type: Array
jitted_scaled(x, by=2.0)  # error
reveal_type(vmap(scaled)({"w": x}, by=2.0))  # type: dict[str, Array]
vmap(scaled)(x, by=2.0)  # error

# --- functions that take functions -----------------------------------------------------------------------------------


def timed(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[R, float]:
    return function(*args, **kwargs), 0.0


def apply(function: Callable[[Array], R], x: Array) -> R:
    return function(x)


def apply_to_text(function: Callable[[str], R]) -> R:
    return function("a")


# row: a compiled function passed as a `Callable`
reveal_type(apply(batched, x))  # type: Array
reveal_type(apply(jit(batched), x))  # type: Array
apply_to_text(batched)  # error
apply_to_text(jit(energy))  # error
# row: a compiled function passed on with its arguments (`ParamSpec`)
reveal_type(timed(step, x, x, n=3))  # type: tuple[tuple[Array, Array], float]
timed(step, x, x, m=3)  # error
timed(step, x, "a")  # error
reveal_type(timed(mapped, x, by=x))  # type: tuple[Array, float]
timed(mapped, x, y=x)  # error
reveal_type(functools.partial(step, x)(x, n=3))  # type: tuple[Array, Array]
functools.partial(step, x)("a")  # error
reveal_type(functools.partial(mapped, by=x)(x))  # type: Array
reveal_type(list(map(jit(energy), [x, x])))  # type: list[Array]
list(map(jit(energy), ["a"]))  # error
reveal_type(apply(grad(energy), x))  # type: Any; plugin: Array
reveal_type(
    apply(value_and_grad(energy), x),
)  # type: tuple[Array, Any]; plugin: tuple[Array, Array]; pyrefly: tuple[Any, Any]
reveal_type(apply(vmap(grad(energy)), x))  # type: Any; plugin: Array
reveal_type(apply(transform(jit, vmap, grad)(energy), x))  # type: Any; plugin: Array
reveal_type(functools.partial(grad(energy), n=3)(x))  # type: Any; plugin: Array
functools.partial(grad(energy), m=3)  # error: plugin, pyright, ty
reveal_type(
    functools.partial(loss, n=3)(x, x),
)  # type: tuple[tuple[Array, dict[str, Array]], Any]; plugin: tuple[tuple[Array, dict[str, Array]], Array]; pyrefly: Any
reveal_type(list(map(grad(energy), [x])))  # type: list[Any]; plugin: list[Array]
list(map(grad(energy), ["a"]))  # error
reveal_type(jax.vmap(batched)(x))  # type: Array
reveal_type(jit(jax.vmap(energy))(x))  # type: Array
apply_to_text(grad(energy))  # error
timed(grad(energy), x, n=3)  # error: pyrefly
timed(grad(energy), x, 3)  # error
timed(grad(power), x, y=x, n=3)  # error: mypy, pyrefly
timed(grad(power), x, y="a")  # error
timed(loss, x, x, n=3)
timed(loss, x, x, 3)  # error: mypy, plugin, pyright, ty


def from_jitted(functions: Iterable[Callable[[Array], Array]]) -> Callable[[Array], Array]:
    return jit(next(iter(functions)))


reveal_type(from_jitted([jit(energy), batched, clip, energy])(x))  # type: Array

# --- what is no plain function ---------------------------------------------------------------------------------------


class Scale:
    """An object that is called."""

    def __call__(self, x: Array, *, n: Static[int] = 2) -> Array:
        return x * n


def product(a: Array, b: Array) -> Array:
    return jnp.sum(a * b)


reveal_type(jit(Scale())(x, n=3))  # type: Array
jit(Scale())(x, 3)  # error
reveal_type(vmap(Scale())(x))  # type: Array
reveal_type(jit(jnp.sin)(x))  # type: Array
reveal_type(jit(functools.partial(product, x))(x))  # type: Array
jit(functools.partial(product, x))("a")  # error
reveal_type(grad(functools.partial(product, x))(x))  # type: Any; pyright, ty: Array
reveal_type(
    value_and_grad(functools.partial(product, b=x))(x),
)  # type: tuple[Array, Any]; ty: tuple[Array, Array]
reveal_type(jit(jit(energy))(x))  # type: Array
reveal_type(jit()(energy)(x, n=3))  # type: Array
reveal_type(grad()(energy)(x, n=3))  # type: Any; plugin: Array
jit()(energy)(x, 3)  # error
reveal_type(annotax.checkpoint(jit(energy))(x))  # type: Array


class Layer(Protocol):
    """A function of a layer."""

    def __call__(self, x: Array, *, n: int = 2) -> Array: ...


@annotax.custom_jvp
def clip_many(x: Array, *, n: Static[int] = 2) -> Array:
    return x


def run(layer: Layer, x: Array) -> Array:
    return layer(x, n=3)


# row: a compiled function passed as a protocol with `__call__`
run(batched, x)  # error: pyright
run(clip_many, x)  # error: pyright
run(vmap(batched), x)
run(grad(batched), x)
run(step, x)  # error
