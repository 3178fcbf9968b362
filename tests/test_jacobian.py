"""`jacfwd`, `jacrev`, `jacobian`, `hessian`: the parameter rule of `grad`, with results shaped as JAX's."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import Aux, Diff, DifferentiationError, MarkerError, NoDiff, Static, jit, transform

NAMES = ["jacfwd", "jacrev", "jacobian", "hessian"]

W = jnp.array([0.5, 2.0])
B = jnp.array([1.0, -1.0, 3.0])
X = jnp.arange(6.0).reshape(3, 2)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def raw(name):
    """JAX's own transform."""
    return getattr(jax, name)


@pytest.fixture
def through(name):
    """annotax's transform."""
    return getattr(annotax, name)


@pytest.fixture
def known_as(name):
    """What messages call it: `jacobian` is `jacrev`, as in JAX."""
    return "jacrev" if name == "jacobian" else name


@pytest.fixture
def compiled(through):
    """annotax's transform under `jit`."""

    def compiled(function, **options):
        return transform(jit, through(**options))(function)

    return compiled


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def affine(w, b, x):
    return jnp.sin(x @ w) * b**2


def test_one_parameter_gives_its_bare_derivative(through, raw):
    same(through(lambda w: jnp.sin(X @ w))(W), raw(lambda w: jnp.sin(X @ w))(W))


def test_several_parameters_give_a_tuple_in_the_order_of_the_signature(through, raw):
    def f(w, /, b, *, x: NoDiff[Array]):
        return affine(w, b, x)

    same(through(f)(W, x=X, b=B), raw(affine, argnums=(0, 1))(W, B, X))


def test_every_spelling_of_a_call_gives_the_same(compiled, raw):
    def f(w, b=B, *, x: NoDiff[Array] = X, n: Static[int] = 2):
        return affine(w, b, x) * n

    expected = raw(lambda w, b: affine(w, b, X) * 2, argnums=(0, 1))(W, B)
    face = compiled(f)
    for got in (face(W), face(W, B), face(b=B, w=W, n=2), face(W, x=X)):
        same(got, expected)


def test_exactly_what_is_marked_diff_is_differentiated(through, raw):
    def f(w, b: Diff[Array], x):
        return affine(w, b, x)

    same(through(f)(W, B, X), raw(affine, argnums=1)(W, B, X))


@pytest.mark.parametrize(
    ("wrt", "argnums"),
    [("b", 1), (-1, 2), (0, 0), (("x", "w"), (2, 0)), (["b"], (1,)), ((1, "w"), (1, 0))],
    ids=str,
)
def test_wrt_names_what_to_differentiate_and_shapes_the_result(through, raw, wrt, argnums):
    def f(w, b: NoDiff[Array], x: Diff[Array]):
        return affine(w, b, x)

    same(through(f, wrt=wrt)(W, b=B, x=X), raw(affine, argnums=argnums)(W, B, X))


def test_one_aux_component_comes_bare(compiled, raw):
    def f(w, x: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
        return x @ w**3, {"sum": jnp.sum(w)}

    same(compiled(f)(W, X), raw(lambda w: (X @ w**3, {"sum": jnp.sum(w)}), has_aux=True)(W))


def test_several_aux_components_come_as_a_tuple_wherever_they_stand(through, raw):
    def f(w) -> tuple[Aux[Array], Array, Annotated[Array, Aux]]:
        return w + 1, X @ w**3, w + 2

    derivative = raw(lambda w: X @ w**3)(W)
    same(through(f)(W), (derivative, (W + 1, W + 2)))


def test_has_aux_wins_over_the_hints(through, raw):
    def f(w):
        return X @ w**3, w

    same(through(f, has_aux=True)(W), raw(f, has_aux=True)(W))
    same(through(f, has_aux=False)(W), raw(f)(W))


def test_a_pytree_in_and_a_pytree_out_nest_as_in_jax(through, raw):
    class Params(NamedTuple):
        w: Array
        b: Array

    def f(params, x):
        return {"y": affine(params.w, params.b, x), "z": (jnp.sum(params.w * x),)}

    same(through(f)(Params(W, B), X), raw(f, argnums=(0, 1))(Params(W, B), X))


def test_args_and_kwargs_are_a_tuple_and_a_dict(through, raw):
    def f(*args: Array, **kwargs: Array) -> Array:
        return affine(args[0], args[1], kwargs["x"])

    expected = raw(lambda args, kwargs: f(*args, **kwargs), argnums=(0, 1))((W, B), {"x": X})
    same(through(f)(W, B, x=X), expected)


def test_an_integer_leaf_has_none_for_a_derivative(compiled, raw, name):
    def f(params, x: NoDiff[Array]):
        return x @ params["w"] ** params["n"] + params["flag"]

    params = {"w": W, "n": jnp.array(3), "flag": jnp.array(True)}
    inner = raw(lambda w: X @ w**3 + 1)(W)
    if name == "hessian":
        expected = {"w": {"w": inner, "n": None, "flag": None}, "n": None, "flag": None}
    else:
        expected = {"w": inner, "n": None, "flag": None}
    same(compiled(f)(params, X), expected)


def test_a_function_inside_an_argument_has_none_for_a_derivative(compiled, raw):
    def f(model, x: NoDiff[Array]):
        return model["activation"](x @ model["w"])

    got = compiled(f)({"activation": jnp.tanh, "w": W}, X)
    expected = raw(lambda w: jnp.tanh(X @ w))(W)
    assert got["activation"] is None
    while isinstance(got, dict):
        got = got["w"]
    same(got, expected)


def test_several_parameters_with_integer_leaves_keep_their_tuple(compiled, raw):
    def f(params, x):
        return x @ params["w"] ** params["n"]

    params = {"w": W, "n": jnp.array(2)}
    got = compiled(f)(params, X)
    expected = raw(lambda w, x: x @ w**2, argnums=(0, 1))(W, X)
    leaves = jax.tree.leaves(got)
    assert type(got) is tuple
    assert got[0]["n"] is None
    for one, other in zip(leaves, jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_holomorphic_is_passed_on(through, raw):
    z = jnp.array([1.0 + 2.0j, 0.5j])
    same(through(lambda z: jnp.sin(z) ** 2, holomorphic=True)(z), raw(lambda z: jnp.sin(z) ** 2, holomorphic=True)(z))


def test_a_bound_method_is_differentiated(through, raw):
    class Model:
        def call(self, w, *, x: NoDiff[Array]):
            return x @ w**3

    same(through(Model().call)(x=X, w=W), raw(lambda w: X @ w**3)(W))


def test_nothing_to_differentiate_raises_at_decoration_and_names_the_parameters(through, known_as):
    def f(n: int, x: NoDiff[Array]):
        return x

    with pytest.raises(MarkerError, match=f"{known_as} has nothing to differentiate") as caught:
        through(f)
    assert "n: " in str(caught.value)
    assert "x: " in str(caught.value)


def test_wrt_of_a_static_parameter_raises_at_decoration(through, known_as):
    def f(x, n: Static[int]):
        return x

    with pytest.raises(MarkerError, match=rf"{known_as}\(wrt=\.\.\.\) names the static parameter n"):
        through(f, wrt="n")


def test_integers_for_what_was_asked_for_raise_and_name_the_argument(through, known_as):
    def f(w: Diff[Array], x: Array):
        return w * x

    with pytest.raises(DifferentiationError, match=f"{known_as} finds nothing to differentiate in argument w"):
        through(f)(jnp.array([1, 2]), W)


def test_jacobian_is_jacrev():
    same(annotax.jacobian(lambda w: X @ w**3)(W), jax.jacrev(lambda w: X @ w**3)(W))


@pytest.mark.parametrize("outer", ["jacfwd", "jacrev"])
@pytest.mark.parametrize("inner", ["jacfwd", "jacrev", "grad"])
def test_they_stack(outer, inner):
    def loss(w, x: NoDiff[Array], *, power: Static[int] = 3):
        return jnp.sum(jnp.sin(x @ w) ** power)

    got = transform(getattr(annotax, outer), getattr(annotax, inner))(loss)(W, x=X, power=2)
    same(got, getattr(jax, outer)(getattr(jax, inner)(lambda w: loss(w, X, power=2)))(W))


def test_of_nothing_the_derivative_is_nothing(name):
    def f(*args: Array, scale: NoDiff[float] = 2.0) -> Array:
        return jnp.full(3, scale)

    assert getattr(annotax, name)(f)() == ()


def test_of_nothing_the_derivative_is_nothing_beside_what_is_auxiliary(name):
    def f(*args: Array, **kwargs: Array) -> tuple[dict[str, Array], Aux[str]]:
        return {"a": jnp.ones(2)}, "note"

    assert getattr(annotax, name)(f)() == ({"a": ((), {})}, "note")
