"""`checkpoint` (`remat`): values and gradients stay what they were, and statics are constants in every spelling."""

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import NoDiff, Static, StaticValueError, checkpoint, grad, jit, make_jaxpr, transform, value_and_grad

X = jnp.arange(1.0, 4.0)


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


def remat_of(jaxpr):
    """The one recomputed block of a jaxpr."""
    (block,) = [eqn for eqn in jaxpr.eqns if eqn.primitive.name.startswith(("remat", "checkpoint"))]
    return block


def residuals(function, *args):
    """The shapes of what the forward pass keeps for the backward pass, arguments included."""
    return sorted(leaf.shape for leaf in jax.tree.leaves(jax.vjp(function, *args)[1]))


# --- statics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", [checkpoint, transform(jit, checkpoint)], ids=["eager", "compiled"])
def test_a_static_parameter_is_a_constant_in_every_spelling(through):
    @through
    def f(x, n: Static[int] = 2, /, name: Static[str] = "sin", *, twice: Static[bool] = True):
        assert type(n) is int
        assert type(twice) is bool
        return getattr(jnp, name)(x) ** n * (2 if twice else 1)

    for got in (f(X), f(X, 2), f(X, 2, "sin"), f(X, name="sin", twice=True), f(X, 2, twice=True, name="sin")):
        same(got, jnp.sin(X) ** 2 * 2)
    same(f(X, 3, name="cos", twice=False), jnp.cos(X) ** 3)


@pytest.mark.parametrize(
    ("first", "second"), [(1, True), (True, 1), (1, 1.0), (0, False), ((1, 2), (1, True)), ("a", b"a")], ids=repr
)
def test_statics_that_compare_equal_but_differ_in_type_do_not_share(first, second):
    @checkpoint
    def f(x, *, n: Static[Any]):
        seen.append(n)
        return x * 2

    seen: list[Any] = []
    for n in (first, second):
        jax.grad(lambda x, n=n: f(x, n=n).sum())(X)
    assert list(dict.fromkeys(map(repr, seen))) == [repr(first), repr(second)]


def test_type_strictness_changes_the_value():
    @checkpoint
    def f(x, n: Static[Any]):
        return x + (10 if n is True else 0)

    same(f(X, 1), X)
    same(f(X, True), X + 10)
    same(f(X, n=1), X)


@pytest.mark.parametrize("value", ["sin", jnp.sin], ids=["string", "function"])
def test_a_value_that_cannot_be_traced_is_static_by_itself(value):
    @checkpoint
    def f(x, how):
        return (getattr(jnp, how) if isinstance(how, str) else how)(x)

    same(f(X, value), jnp.sin(X))
    same(grad(lambda x: f(how=value, x=x).sum())(X), jnp.cos(X))


def test_a_function_inside_a_pytree_is_static_by_itself():
    @checkpoint
    def f(model, x):
        return model["activation"](x * model["w"])

    same(f({"activation": jnp.tanh, "w": X}, X), jnp.tanh(X * X))
    got = grad(lambda w: f({"activation": jnp.tanh, "w": w}, X).sum())(X)
    same(got, jax.grad(lambda w: jnp.tanh(w * X).sum())(X))


def test_variadic_parameters_can_be_static():
    @checkpoint
    def f(x, *names: Static[str], **scales: Static[float]):
        for name in names:
            x = getattr(jnp, name)(x)
        return x * sum(scales.values())

    same(f(X, "sin", "cos", a=2.0, b=3.0), jnp.cos(jnp.sin(X)) * 5)
    same(f(X, "cos", b=3.0), jnp.cos(X) * 3)


def test_a_method_with_a_static_is_checkpointed():
    class Model(NamedTuple):
        w: Array

        @checkpoint
        def call(self, x, *, n: Static[int]):
            return jnp.sin(self.w * x) ** n

    same(Model(X).call(x=X, n=3), jnp.sin(X * X) ** 3)
    got = grad(lambda model: model.call(X, n=3).sum())(Model(X))
    same(got, Model(jax.grad(lambda w: (jnp.sin(w * X) ** 3).sum())(X)))


@pytest.mark.parametrize("value", [jnp.ones(2), np.ones(2), [1]], ids=["array", "numpy", "unhashable"])
def test_a_static_value_that_is_no_constant_names_the_parameter(value):
    @checkpoint
    def f(x, n: Static[Any]):
        return x

    with pytest.raises(StaticValueError, match="static argument n"):
        f(X, n=value)


# --- options ---------------------------------------------------------------------------------------------------------


def test_it_recomputes_in_place_of_keeping():
    def f(x, n: Static[int] = 2):
        return jnp.sin(jnp.sin(jnp.sin(x))) ** n

    raw = jax.checkpoint(lambda x: f(x))
    assert residuals(checkpoint(f), X) == residuals(raw, X)
    assert len(residuals(checkpoint(f), X)) < len(residuals(f, X))


@pytest.mark.parametrize("policy", ["everything_saveable", "dots_saveable", "nothing_saveable"])
def test_policy_is_passed_on(policy):
    chosen = getattr(jax.checkpoint_policies, policy)
    w = jnp.ones((3, 3))

    def f(x, w):
        return jnp.sin(jnp.sin(w @ jnp.sin(x)))

    got = checkpoint(policy=chosen)(f)
    assert residuals(got, X, w) == residuals(jax.checkpoint(f, policy=chosen), X, w)
    same(jax.grad(lambda x: got(x, w=w).sum())(X), jax.grad(lambda x: f(x, w).sum())(X))
    assert remat_of(make_jaxpr(got)(X, w)).params["policy"] is chosen


@pytest.mark.parametrize("prevent", [True, False])
def test_prevent_cse_is_passed_on(prevent):
    block = remat_of(make_jaxpr(checkpoint(lambda x: jnp.sin(x), prevent_cse=prevent))(X))
    assert block.params["prevent_cse"] is prevent


def test_remat_is_another_name_of_it():
    assert annotax.remat is annotax.checkpoint
    same(annotax.remat(lambda x: jnp.sin(x))(X), jnp.sin(X))


# --- composition -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [[], [jit]], ids=["eager", "compiled"])
def test_grad_through_it_is_the_gradient_of_the_function(wrapped):
    def loss(w: Array, x: NoDiff[Array], *, power: Static[int] = 2, name: str = "sin") -> Array:
        return jnp.sum(getattr(jnp, name)(w * x) ** power)

    got = transform(*wrapped, value_and_grad, checkpoint)(loss)(X, x=X, power=3, name="cos")
    same(got, jax.value_and_grad(lambda w: jnp.sum(jnp.cos(w * X) ** 3))(X))


def test_a_checkpoint_around_a_gradient_keeps_the_gradient():
    def loss(w: Array, *, n: Static[int]) -> Array:
        return jnp.sum(jnp.sin(w) ** n)

    got = transform(jit, checkpoint, grad)(loss)(X, n=2)
    same(got, jax.grad(lambda w: jnp.sum(jnp.sin(w) ** 2))(X))


def test_it_maps_under_vmap_with_a_static():
    def f(x: Array, w: Annotated[Array, annotax.Axis(None)], *, n: Static[int]) -> Array:
        return x @ w * n

    x = jnp.arange(6.0).reshape(2, 3)
    same(transform(annotax.vmap, checkpoint)(f)(x, X, n=2), x @ X * 2)
    same(transform(checkpoint, annotax.vmap)(f)(x, n=2, w=X), x @ X * 2)


def test_donation_and_other_markers_mean_nothing_to_it():
    @checkpoint
    def f(x: annotax.Donate[Array], y: NoDiff[Array]) -> Array:
        return x * y

    x = X + 1
    same(f(x, X), x * X)
    assert not x.is_deleted()


def test_a_number_of_a_literal_is_a_constant():
    @checkpoint
    def f(x: Array, n: Literal["a", 1, 2]) -> Array:
        assert type(n) is int
        return x * n

    same(f(X, 2), X * 2)
    same(f(X, n=1), X)
