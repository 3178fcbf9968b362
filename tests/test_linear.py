"""`vjp`, `jvp`, `linearize`: a function and its derivative at one point, shaped like `grad`, beside plain JAX."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from annotax import (
    Aux,
    Diff,
    DifferentiationError,
    MarkerError,
    NoDiff,
    Static,
    grad,
    jit,
    jvp,
    linearize,
    transform,
    vjp,
)

W = jnp.array([0.5, 2.0])
B = jnp.array([1.0, -1.0, 3.0])
X = jnp.arange(6.0).reshape(3, 2)
CT = jnp.array([1.0, 10.0, 100.0])
DW = jnp.array([1.0, -2.0])
DB = jnp.array([0.5, 0.25, 1.0])


def f(w: Array, /, x: NoDiff[Array], b: Array = B, *, n: Static[int] = 2, name: str = "sin") -> Array:
    assert type(n) is int
    return getattr(jnp, name)(x @ w) * b**n


def raw(w, b):
    return jnp.sin(X @ w) * b**2


def with_aux(w: Array, b: Array) -> tuple[Aux[Array], Array, Aux[str]]:
    return w + 1, raw(w, b), "note"


CALLS = [
    lambda g: g(f, W, X),
    lambda g: g(f, W, X, B, n=2),
    lambda g: g(f, W, b=B, x=X),
    lambda g: g(f, W, name="sin", x=X, n=2),
]
SPELLINGS = pytest.mark.parametrize("call", CALLS, ids=["positional", "default", "keyword", "any order"])


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-5)


# --- vjp -------------------------------------------------------------------------------------------------------------


@SPELLINGS
def test_vjp_gives_the_value_and_a_pullback_shaped_like_the_gradient(call):
    result, pullback = call(vjp)
    value, pull = jax.vjp(raw, W, B)
    same(result, value)
    same(pullback(CT), pull(CT))


def test_one_differentiable_parameter_gives_its_bare_cotangent():
    def g(w, x: NoDiff[Array]):
        return x @ w**2

    result, pullback = vjp(g, W, x=X)
    value, pull = jax.vjp(lambda w: X @ w**2, W)
    same((result, pullback(CT)), (value, pull(CT)[0]))


def test_exactly_what_is_marked_diff_is_pulled_back():
    def g(w, b: Diff[Array]):
        return raw(w, b)

    same(vjp(g, W, B)[1](CT), jax.vjp(lambda b: raw(W, b), B)[1](CT)[0])


def test_integers_in_a_tree_get_none_as_in_grad():
    def g(params, b):
        return jnp.sum(raw(params["w"], b) * params["n"])

    params = {"w": W, "n": jnp.array(2)}
    cotangents = vjp(g, params, B)[1](1.0)
    same(cotangents, grad(g)(params, B))
    assert cotangents[0]["n"] is None


def test_vjp_hands_aux_through():
    result, pullback, aux = vjp(with_aux, W, b=B)
    value, pull = jax.vjp(raw, W, B)
    same((result, pullback(CT)), (value, pull(CT)))
    same(aux[0], W + 1)
    assert aux[1] == "note"


def test_one_aux_component_comes_bare():
    def g(w) -> tuple[Array, Aux[dict[str, Array]]]:
        return X @ w, {"sum": w.sum()}

    for of in (vjp, linearize):
        same(of(g, W)[2], {"sum": W.sum()})
    same(jvp(g, (W,), (DW,)), (X @ W, X @ DW, {"sum": W.sum()}))


def test_a_pullback_can_leave_and_enter_a_compiled_function():
    pullback = jax.jit(lambda w: vjp(f, w, X)[1])(W)
    got = jax.jit(lambda pullback, ct: pullback(ct))(pullback, CT)
    same(got, jax.vjp(raw, W, B)[1](CT))


def test_vjp_inside_jit_traces_statics_as_constants():
    @jit
    def both(w: Array, ct: Array, *, n: Static[int]) -> tuple[Array, tuple[Array, Array]]:
        result, pullback = vjp(f, w, X, n=n)
        return result, pullback(ct)

    value, pull = jax.vjp(lambda w, b: jnp.sin(X @ w) * b**3, W, B)
    same(both(W, CT, n=3), (value, pull(CT)))


# --- linearize -------------------------------------------------------------------------------------------------------


@SPELLINGS
def test_linearize_gives_the_value_and_the_derivative_as_a_linear_function(call):
    result, linear = call(linearize)
    value, push = jax.linearize(raw, W, B)
    same((result, linear(DW, DB)), (value, push(DW, DB)))
    same(linear(2 * DW, 2 * DB), 2 * push(DW, DB))


def test_linearize_hands_aux_through():
    result, linear, aux = linearize(with_aux, W, b=B)
    value, push = jax.linearize(raw, W, B)
    same((result, linear(DW, DB)), (value, push(DW, DB)))
    assert aux[1] == "note"


def test_linearize_takes_a_tree_with_none_for_what_has_no_derivative():
    def g(params, b):
        return raw(params["w"], b) * params["n"]

    _, linear = linearize(g, {"w": W, "n": jnp.array(2)}, B)
    expected = jax.linearize(lambda w, b: 2 * raw(w, b), W, B)[1](DW, DB)
    same(linear({"w": DW, "n": None}, DB), expected)


# --- jvp -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primals", "tangents"),
    [
        ((W, X), (DW, DB)),
        ((W, X, B, 2, "sin"), (DW, DB)),
        ({"w": W, "x": X}, {"w": DW, "b": DB}),
        ({"name": "sin", "x": X, "b": B, "w": W}, {"b": DB, "w": DW}),
        ((W, X), {"b": DB, "w": DW}),
        ({"w": W, "x": X, "n": 2}, [DW, DB]),
    ],
    ids=["tuples", "all", "dicts", "any order", "mixed", "list"],
)
def test_jvp_takes_tuples_in_signature_order_or_dicts_by_name(primals, tangents):
    same(jvp(f, primals, tangents), jax.jvp(raw, (W, B), (DW, DB)))


def test_jvp_hands_aux_through():
    result, tangent, aux = jvp(with_aux, (W, B), (DW, DB))
    same((result, tangent), jax.jvp(raw, (W, B), (DW, DB)))
    assert aux[1] == "note"


def test_jvp_takes_variadic_parameters_as_one_tuple_and_one_dict():
    def g(*args: Array, **kwargs: Array) -> Array:
        return raw(args[0], kwargs["b"])

    expected = jax.jvp(raw, (W, B), (DW, DB))
    same(jvp(g, ((W,), {"b": B}), ((DW,), {"b": DB})), expected)
    same(jvp(g, {"args": (W,), "kwargs": {"b": B}}, {"kwargs": {"b": DB}, "args": (DW,)}), expected)


@pytest.mark.parametrize(
    ("primals", "tangents", "what", "names"),
    [
        ((W,), (DW, DB), "primals", "no value for parameter x"),
        ({"w": W, "x": X, "nope": 1}, (DW, DB), "primals", "'nope'"),
        ((W, X, B, 2, "sin", 1), (DW, DB), "primals", "6 values"),
        ((W, X), (DW,), "tangents", "no tangent for parameter b"),
        ((W, X), (DW, DB, DB), "tangents", "differentiable parameters w, b"),
        ((W, X), {"w": DW, "x": X, "b": DB}, "tangents", "'x'"),
    ],
    ids=["missing", "unknown", "too many", "no tangent", "too many tangents", "tangent of nodiff"],
)
def test_primals_and_tangents_that_are_not_those_of_the_parameters_say_so(primals, tangents, what, names):
    with pytest.raises(DifferentiationError, match=f"the {what} of jvp are not those") as caught:
        jvp(f, primals, tangents)
    assert names in str(caught.value)


# --- all three -------------------------------------------------------------------------------------------------------


def test_a_bound_method_is_taken():
    class Model(NamedTuple):
        w: Array

        def call(self, b, *, n: Static[int] = 2):
            return jnp.sin(X @ self.w) * b**n

    model = Model(W)
    value, pull = jax.vjp(lambda b: raw(W, b), B)
    result, pullback = vjp(model.call, b=B)
    same((result, pullback(CT)), (value, pull(CT)[0]))
    same(jvp(model.call, (B,), (DB,)), jax.jvp(lambda b: raw(W, b), (B,), (DB,)))


def test_a_function_that_is_already_an_annotax_one_is_taken():
    compiled = jit(f)
    result, pullback = vjp(compiled, W, x=X, n=2)
    value, pull = jax.vjp(raw, W, B)
    same((result, pullback(CT)), (value, pull(CT)))
    same(jvp(compiled, (W, X), (DW, DB)), jax.jvp(raw, (W, B), (DW, DB)))
    same(linearize(compiled, W, X)[1](DW, DB), jax.jvp(raw, (W, B), (DW, DB))[1])


def test_the_gradient_of_an_annotax_gradient_is_taken():
    def loss(w: Array, x: NoDiff[Array]) -> Array:
        return jnp.sum(jnp.sin(x @ w))

    got = jvp(transform(jit, grad)(loss), {"w": W, "x": X}, {"w": DW})
    same(got, jax.jvp(jax.grad(lambda w: loss(w, X)), (W,), (DW,)))


@pytest.mark.parametrize("of", [vjp, linearize, lambda g, *args: jvp(g, args, ())], ids=["vjp", "linearize", "jvp"])
def test_nothing_to_differentiate_raises_and_names_the_parameters(of):
    def g(n: int, x: NoDiff[Array]):
        return x

    with pytest.raises(MarkerError, match="has nothing to differentiate") as caught:
        of(g, 1, X)
    assert "n: " in str(caught.value)


@pytest.mark.parametrize("of", [vjp, linearize, lambda g, *args: jvp(g, args, args)], ids=["vjp", "linearize", "jvp"])
def test_integers_alone_raise_and_name_the_argument(of):
    with pytest.raises(DifferentiationError, match="nothing to differentiate in argument w"):
        of(lambda w: w, jnp.array([1, 2]))
