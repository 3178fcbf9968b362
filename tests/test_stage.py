"""`eval_shape` and `make_jaxpr`: what a function would do, for a call in any spelling."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from annotax import (
    NoDiff,
    Static,
    StaticValueError,
    custom_vjp,
    eval_shape,
    grad,
    jit,
    make_jaxpr,
    transform,
    value_and_grad,
    vmap,
)

X = jnp.arange(6.0).reshape(3, 2)
SPEC = jax.ShapeDtypeStruct((3, 2), jnp.float32)


def f(x: Array, n: Static[int] = 2, *, name: str = "sin", bias: NoDiff[Array | None] = None) -> dict[str, Array]:
    assert type(n) is int
    value = getattr(jnp, name)(x)
    return {"tiled": jnp.tile(value, n), "sum": value.sum() if bias is None else value + bias}


def raw(x):
    value = jnp.sin(x)
    return {"tiled": jnp.tile(value, 2), "sum": value.sum()}


SPELLINGS = pytest.mark.parametrize(
    "call",
    [lambda g: g(X), lambda g: g(X, 2), lambda g: g(n=2, x=X), lambda g: g(X, name="sin", n=2, bias=None)],
    ids=["default", "positional", "keyword", "all"],
)


# --- eval_shape ------------------------------------------------------------------------------------------------------


@SPELLINGS
def test_eval_shape_is_that_of_jax_in_every_spelling(call):
    assert call(lambda *args, **kwargs: eval_shape(f, *args, **kwargs)) == jax.eval_shape(raw, X)


def test_eval_shape_takes_shapes_in_place_of_arrays():
    assert eval_shape(f, SPEC, bias=SPEC, n=3) == jax.eval_shape(lambda x, b: f(x, 3, bias=b), SPEC, SPEC)


def test_eval_shape_computes_nothing():
    huge = jax.ShapeDtypeStruct((10**6, 10**6), jnp.float32)
    assert eval_shape(lambda x: x @ x, huge) == huge


@pytest.mark.parametrize(
    "wrapped",
    [[jit], [vmap], [jit, vmap], [value_and_grad], [jit, vmap, grad]],
    ids=lambda steps: "-".join(s.name for s in steps),
)
def test_eval_shape_of_an_annotax_function_is_that_of_its_result(wrapped):
    def loss(w: Array, x: NoDiff[Array], *, n: Static[int]) -> Array:
        return jnp.sum(w * x) ** n

    face = transform(*wrapped)(loss)
    got = eval_shape(face, X, x=X, n=2)
    assert got == jax.eval_shape(lambda w, x: face(w, x, n=2), X, X)
    assert got == jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), face(X, X, n=2))


def test_eval_shape_takes_a_bound_method_and_a_mixed_tree():
    class Model(NamedTuple):
        w: Array
        activation: Any

        def call(self, x, *, n: Static[int]):
            return self.activation(jnp.tile(self.w * x, n))

    model = Model(X, jnp.tanh)
    expected = jax.ShapeDtypeStruct((3, 6), jnp.float32)
    assert eval_shape(model.call, SPEC, n=3) == expected
    assert eval_shape(Model.call, model, SPEC, n=3) == expected


def test_eval_shape_of_a_custom_rule_works():
    @custom_vjp
    def g(x, *, n: Static[int]):
        return jnp.tile(x, n)

    assert eval_shape(g, SPEC, n=3) == jax.ShapeDtypeStruct((3, 6), jnp.float32)


# --- make_jaxpr ------------------------------------------------------------------------------------------------------


@SPELLINGS
def test_make_jaxpr_is_that_of_jax_in_every_spelling(call):
    assert str(call(make_jaxpr(f))) == str(jax.make_jaxpr(raw)(X))


def test_make_jaxpr_traces_an_array_as_an_input():
    got = make_jaxpr(f)(X, bias=X, n=3)
    assert str(got) == str(jax.make_jaxpr(lambda x, b: f(x, 3, bias=b))(X, X))


def test_another_static_is_another_jaxpr():
    staged = make_jaxpr(lambda x, n: x**n)
    by_marker = make_jaxpr(f)
    assert str(by_marker(X, 2)) != str(by_marker(X, n=3))
    assert str(by_marker(X, 2)) == str(by_marker(n=2, x=X))
    assert len(staged(2.0, 3.0).jaxpr.invars) == 2


def test_statics_are_type_strict():
    def g(x, n: Static[Any]):
        return jnp.sin(x) if n is True else jnp.cos(x)

    staged = make_jaxpr(g)
    assert [staged(X, n).eqns[0].primitive.name for n in (1, True, 1.0, 1)] == ["cos", "sin", "cos", "cos"]


def test_return_shape_is_passed_on():
    jaxpr, shape = make_jaxpr(f, return_shape=True)(X, name="cos")
    expected, expected_shape = jax.make_jaxpr(lambda x: f(x, name="cos"), return_shape=True)(X)
    assert str(jaxpr) == str(expected)
    assert shape == expected_shape


def test_axis_env_is_passed_on():
    def g(x, *, n: Static[int]):
        return jax.lax.psum(x, "i") * n

    got = make_jaxpr(g, axis_env={"i": 4})(X, n=2)
    assert str(got) == str(jax.make_jaxpr(lambda x: g(x, n=2), axis_env=[("i", 4)])(X))


def test_make_jaxpr_of_an_annotax_function_is_that_of_the_jax_one():
    def loss(w: Array, x: NoDiff[Array], *, n: Static[int] = 2) -> Array:
        return jnp.sum(w * x) ** n

    got = make_jaxpr(transform(vmap, grad)(loss))(X, x=X)
    expected = jax.make_jaxpr(jax.vmap(jax.grad(lambda w, x: jnp.sum(w * x) ** 2)))(X, X)
    assert str(got) == str(expected)
    assert str(transform(make_jaxpr, vmap, grad)(loss)(X, X)) == str(expected)


def test_make_jaxpr_reads_the_axes_of_a_map_inside():
    got = make_jaxpr(vmap(lambda x, y: x * y, in_axes={"y": None}))(X, X[0])
    assert str(got) == str(jax.make_jaxpr(jax.vmap(lambda x, y: x * y, in_axes=(0, None)))(X, X[0]))


def test_the_jaxpr_can_be_evaluated():
    jaxpr = make_jaxpr(f)(X, n=2)
    got = jax.core.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, X)
    for one, other in zip(got, jax.tree.leaves(raw(X)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


# --- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [jnp.ones(2), np.ones(2), [1]], ids=["array", "numpy", "unhashable"])
@pytest.mark.parametrize("of", [make_jaxpr, lambda g: lambda *a, **k: eval_shape(g, *a, **k)], ids=["jaxpr", "shape"])
def test_a_static_value_that_is_no_constant_names_the_parameter(of, value):
    def g(x, n: Static[Any]):
        return x

    with pytest.raises(StaticValueError, match="static argument n"):
        of(g)(X, n=value)
