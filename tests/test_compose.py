"""Transforms in one pipeline, stacked, and called from each other's functions, beside the same in plain JAX.

`shard_map` is composed in its own module.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import (
    Aux,
    Axis,
    NoDiff,
    Static,
    StaticValueError,
    checkpoint,
    custom_jvp,
    custom_vjp,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    jit,
    jvp,
    linearize,
    make_jaxpr,
    pmap,
    transform,
    value_and_grad,
    vjp,
    vmap,
)

W = jnp.array([0.5, 2.0])
X = jnp.arange(6.0).reshape(3, 2)
Y = jnp.array([1.0, -1.0, 0.5])


def loss(
    w: Annotated[Array, Axis(None)], x: NoDiff[Array], y: NoDiff[Array], *, power: Static[int] = 2, link: str = "sin"
) -> Array:
    assert type(power) is int
    return jnp.sum((getattr(jnp, link)(x @ w) - y) ** power)


def raw(w, x, y):
    return jnp.sum((jnp.cos(x @ w) - y) ** 3)


OPTIONS = {"power": 3, "link": "cos"}


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


# --- pipelines -------------------------------------------------------------------------------------------------------

AXES = (None, 0, 0)
PIPELINES: dict[str, tuple[list[Any], Callable[..., Any]]] = {
    "jit, vmap, grad": ([jit, vmap, grad], jax.vmap(jax.grad(raw), in_axes=AXES)),
    "jit, vmap, value_and_grad": ([jit, vmap, value_and_grad], jax.vmap(jax.value_and_grad(raw), in_axes=AXES)),
    "vmap, grad": ([vmap, grad], jax.vmap(jax.grad(raw), in_axes=AXES)),
    "vmap, jit, grad": ([vmap, jit, grad], jax.vmap(jax.grad(raw), in_axes=AXES)),
    "jit, hessian": ([jit, hessian], jax.hessian(raw)),
    "jit, jacfwd, grad": ([jit, jacfwd, grad], jax.hessian(raw)),
    "jit, jacrev, jacfwd": ([jit, jacrev, jacfwd], jax.hessian(raw)),
    "jacobian, jit, vmap": ([jacobian, jit, vmap], jax.jacrev(jax.vmap(raw, in_axes=AXES))),
    "jit, vmap, hessian": ([jit, vmap, hessian], jax.vmap(jax.hessian(raw), in_axes=AXES)),
    "jit, grad, checkpoint": ([jit, grad, checkpoint], jax.grad(raw)),
    "grad, checkpoint, jit": ([grad, checkpoint, jit], jax.grad(raw)),
    "checkpoint, grad": ([checkpoint, grad], jax.grad(raw)),
    "vmap, checkpoint, grad, jit": ([vmap, checkpoint, grad, jit], jax.vmap(jax.grad(raw), in_axes=AXES)),
    "jit, jit": ([jit, jit], raw),
}

EACH = pytest.mark.parametrize(("steps", "by_hand"), PIPELINES.values(), ids=PIPELINES)


@EACH
def test_a_pipeline_is_the_composition_of_the_jax_transforms(steps, by_hand):
    same(transform(*steps)(loss)(W, X, Y, power=3, link="cos"), by_hand(W, X, Y))


@EACH
def test_every_spelling_of_a_call_means_the_same(steps, by_hand):
    face = transform(*steps)(loss)
    expected = by_hand(W, X, Y)
    same(face(y=Y, x=X, w=W, link="cos", power=3), expected)
    same(face(W, x=X, link="cos", y=Y, power=3), expected)


@EACH
def test_stacked_decorators_are_the_pipeline(steps, by_hand):
    face = loss
    for step in reversed(steps):
        face = step(face)
    assert face is transform(*steps)(loss)
    same(face(W, X, y=Y, **OPTIONS), by_hand(W, X, Y))


@pytest.mark.parametrize("order", [("time", "batch"), ("batch", "time")], ids=lambda order: " over ".join(order))
def test_nested_maps_each_find_their_own_axis(order):
    def f(
        x: Annotated[Array, Axis(1, "time"), Axis(0, "batch")],
        w: Annotated[Array, Axis(None, "time"), Axis(-1, "batch")],
        *,
        name: str = "sin",
    ) -> Annotated[Array, Axis(1, "time")]:
        assert (x.shape, w.shape) == ((4,) if order[0] == "time" else (3,), (4,))
        value = getattr(jnp, name)(x) - jax.lax.pmean(x, "time")
        return jnp.stack([jnp.sum(value), jnp.sum(jax.lax.psum(w, "batch"))])

    x, w = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(8.0).reshape(4, 2)
    axes: dict[str, Any] = {"time": {"in_axes": (1, None), "out_axes": 1}, "batch": {"in_axes": (0, -1)}}
    by_hand = lambda x, w: f(x, w, name="cos")  # noqa: E731
    for name in reversed(order):
        by_hand = jax.vmap(by_hand, axis_name=name, **axes[name])
    got = transform(jit, *(vmap(axis_name=name) for name in order))(f)(x, name="cos", w=w)
    same(got, by_hand(x, w))


def test_aux_goes_out_through_the_maps():
    def f(w: Annotated[Array, Axis(None)], x: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
        return jnp.sum(jnp.sin(w * x)), {"x": x}

    by_hand = jax.vmap(jax.grad(f, has_aux=True), in_axes=(None, 0))
    same(transform(jit, vmap, grad)(f)(W, X), by_hand(W, X))
    by_hand = jax.vmap(jax.value_and_grad(f, has_aux=True), in_axes=(None, 0))
    same(transform(vmap, value_and_grad)(f)(W, x=X), by_hand(W, X))


@pytest.mark.parametrize("derivative", [grad, jacfwd, hessian])
def test_an_out_axis_of_an_auxiliary_component_holds_around_a_derivative(derivative):
    def f(x: Array) -> tuple[Array, Annotated[Array, Aux, Axis(1)], Aux[Array]]:
        return jnp.sum(x**2), jnp.ones(4) * x[0], x[1]

    got = transform(vmap, derivative)(f)(X)[1]
    by_hand = jax.vmap(lambda x: f(x)[1:], out_axes=(1, 0))
    same(got, by_hand(X))


def test_an_out_axis_marker_does_not_speak_to_a_map_around_a_gradient():
    def f(w: Annotated[Array, Axis(1)]) -> Annotated[Array, Axis(None)]:
        return jnp.sum(w**3)

    same(transform(jit, vmap, grad)(f)(X), jax.vmap(jax.grad(f), in_axes=1)(X))


def test_a_gradient_is_not_taken_twice_of_what_was_excluded_once():
    def f(w: Array, x: NoDiff[Array]) -> Array:
        return jnp.sum(w**3 * x)

    by_hand = jax.grad(lambda w: jax.grad(f)(w, 2.0))
    same(transform(jit, grad, grad)(f)(3.0, x=2.0), by_hand(3.0))


# --- functions that call transformed functions -----------------------------------------------------------------------


def test_jit_of_a_function_that_calls_a_custom_vjp_method():
    class Layer(NamedTuple):
        w: Array

        @custom_vjp
        def __call__(self, x: Array, scale: NoDiff[Array], *, n: Static[int] = 2) -> Array:
            return jnp.sum(self.w * x * scale) * n

        def fwd(self, x, scale, *, n=2):
            return jnp.sum(self.w * x * scale) * n, (self.w, x, scale)

        def bwd(residuals, cotangent, *, n):
            w, x, scale = residuals
            return Layer(10 * cotangent * x * scale * n), 100 * cotangent * w * scale * n

        __call__.defvjp(fwd, bwd)

    @jit
    def both(layer: Layer, x: Array, scale: Array, *, n: Static[int]) -> Any:
        return jax.value_and_grad(lambda layer, x: layer(x, scale=scale, n=n), argnums=(0, 1))(layer, x)

    expected = (jnp.sum(W * X[1] * W) * 3, (Layer(30 * X[1] * W), 300 * W * W))
    same(both(Layer(W), X[1], W, n=3), expected)
    same(both(n=3, scale=W, x=X[1], layer=Layer(W)), expected)


@pytest.mark.parametrize("outer", [grad, transform(jit, grad), jax.grad], ids=["grad", "jit, grad", "jax.grad"])
def test_grad_through_checkpoint(outer):
    @checkpoint
    def block(x, *, depth: Static[int], name: str = "sin"):
        for _ in range(depth):
            x = getattr(jnp, name)(x)
        return x

    def f(w):
        return jnp.sum(block(w, depth=3) * block(name="cos", x=w, depth=2))

    same(outer(f)(W), jax.grad(lambda w: jnp.sum(jnp.sin(jnp.sin(jnp.sin(w))) * jnp.cos(jnp.cos(w))))(W))


def test_vmap_of_a_jitted_function_with_a_static_string():
    traces = []

    @jit
    def f(x, name: Static[str], *, scale=2.0):
        traces.append(name)
        return getattr(jnp, name)(x) * scale

    mapped = vmap(f)
    for name in ("sin", "cos"):
        expected = jax.vmap(lambda x, name=name: getattr(jnp, name)(x) * 2.0)(X)
        same(mapped(X, name), expected)
        same(mapped(name=name, x=X), expected)
        same(jax.vmap(lambda x, name=name: f(x, name=name))(X), expected)
        same(vmap(lambda x, name=name: f(x, name))(X), expected)
    assert set(traces) == {"sin", "cos"}


def test_grad_inside_vmap_inside_grad():
    def inner(w, x: NoDiff[Array]):
        return jnp.sum(jnp.sin(w * x))

    def outer(w, xs: NoDiff[Array]):
        return jnp.sum(vmap(grad(inner), in_axes={"w": None})(w, xs) ** 2)

    def by_hand(w):
        return jnp.sum(jax.vmap(jax.grad(inner), in_axes=(None, 0))(w, X) ** 2)

    same(grad(outer)(W, X), jax.grad(by_hand)(W))
    same(transform(jit, grad)(outer)(W, xs=X), jax.grad(by_hand)(W))


@pytest.mark.parametrize(
    "through",
    [jit, vmap, checkpoint, grad(wrt="self"), transform(jit, vmap)],
    ids=["jit", "vmap", "checkpoint", "grad", "jit, vmap"],
)
@pytest.mark.parametrize("activation", [jnp.tanh, jax.nn.relu, lambda x: x**2], ids=["jitted", "custom_jvp", "plain"])
def test_a_method_of_a_pytree_that_holds_a_function(through, activation):
    class Model(NamedTuple):
        w: Array
        activation: Callable[[Array], Array]

        def call(self, x: Array) -> Array:
            return jnp.sum(self.activation(self.w * x))

    got = through(Model.call)(Model(W, activation), W)
    by_hand = lambda w, x: jnp.sum(activation(w * x))  # noqa: E731
    if isinstance(through, type(grad)):
        same(got.w, jax.grad(by_hand)(W, W))
        assert got.activation is None
    else:
        same(got, by_hand(W, W) if through in (jit, checkpoint) else jax.vmap(by_hand)(W, W))


def test_jvp_of_vjp_is_a_hessian_vector_product():
    def f(w, *, n: Static[int]):
        return jnp.sum(jnp.sin(w) ** n)

    _, got = jvp(lambda w: vjp(f, w, n=3)[1](1.0), (W,), (X[1],))
    same(got, jax.jvp(jax.grad(lambda w: f(w, n=3)), (W,), (X[1],))[1])


def test_scan_over_a_checkpointed_step_with_a_static():
    @checkpoint(prevent_cse=False)
    def step(carry, x, *, name: Static[str]):
        return getattr(jnp, name)(carry * x), carry

    def run(w, x, step):
        return jnp.sum(jax.lax.scan(step, w, x)[0])

    got = transform(jit, grad(wrt="w"))(lambda w, x: run(w, x, lambda c, x: step(c, x, name="sin")))(W, X)
    same(got, jax.grad(run)(W, X, lambda c, x: (jnp.sin(c * x), c)))


def test_jax_transforms_take_an_annotax_function():
    face = transform(jit, grad)(loss)
    same(jax.vmap(lambda x, y: face(W, x, y, **OPTIONS))(X, Y), jax.vmap(jax.grad(raw), in_axes=AXES)(W, X, Y))


# --- what is not constant in a static parameter ----------------------------------------------------------------------


def _with_rule(face):
    setter = face.defvjp if hasattr(face, "defvjp") else face.defjvp
    rules = [lambda x, n: (x, None), lambda r, ct, *, n: ct]
    setter(*(rules if hasattr(face, "defvjp") else [lambda p, t, *, n: (p[0], t[0])]))
    return face


DECORATORS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "jit": jit,
    "vmap": vmap,
    "pmap": pmap,
    "grad": grad,
    "value_and_grad": value_and_grad,
    "jacfwd": jacfwd,
    "jacrev": jacrev,
    "jacobian": jacobian,
    "hessian": hessian,
    "checkpoint": checkpoint,
    "remat": annotax.remat,
    "custom_vjp": lambda f: _with_rule(custom_vjp(f)),
    "custom_jvp": lambda f: _with_rule(custom_jvp(f)),
    "make_jaxpr": make_jaxpr,
    "vjp": lambda f: lambda x, n: vjp(f, x, n=n)[0],
    "linearize": lambda f: lambda x, n: linearize(f, x, n=n)[0],
    "jvp": lambda f: lambda x, n: jvp(f, {"x": x, "n": n}, {"x": x})[0],
    "eval_shape": lambda f: lambda x, n: eval_shape(f, x, n=n),
    "jit, vmap": transform(jit, vmap),
    "jit, grad": transform(jit, grad),
    "vmap, grad": transform(vmap, grad),
}

ALL = pytest.mark.parametrize("decorator", DECORATORS.values(), ids=DECORATORS)
ONE = jnp.ones(1)


def _function(kind):
    def f(x: Array, n: Static[Any]) -> Array:
        return x if kind == "vector" else jnp.sum(x)

    return f


def _kind_for(decorator):
    return "vector" if decorator in (DECORATORS["custom_vjp"], DECORATORS["custom_jvp"]) else "sum"


@ALL
def test_an_array_in_a_static_parameter_raises_and_names_it(decorator):
    face = decorator(_function(_kind_for(decorator)))
    for value in (jnp.ones(2), np.ones(2)):
        with pytest.raises(StaticValueError, match="static argument n is an array"):
            face(ONE[None], n=value)


@ALL
@pytest.mark.parametrize("outer", [jax.jit, jax.vmap, jax.grad], ids=["jit", "vmap", "grad"])
def test_a_tracer_in_a_static_parameter_raises_and_names_it(decorator, outer):
    face = decorator(_function(_kind_for(decorator)))
    with pytest.raises(StaticValueError, match="static argument n is a traced value"):
        outer(lambda n: jnp.sum(jnp.asarray(face(ONE[None], n=n))))(ONE[0] if outer is not jax.vmap else ONE)
