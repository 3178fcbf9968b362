"""`custom_vjp` and `custom_jvp`: rules that speak of parameters by what they are.

Each rule here is wrong by a factor, so that a test can tell that it was used.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import (
    AnnotaxError,
    Diff,
    MarkerError,
    NoDiff,
    Static,
    StaticValueError,
    custom_jvp,
    custom_vjp,
    grad,
    jit,
    transform,
    value_and_grad,
    vmap,
)

X = jnp.arange(1.0, 4.0)
Y = jnp.array([2.0, -1.0, 0.5])

COMPILED = pytest.mark.parametrize("wrapped", [lambda f: f, jax.jit, jit], ids=["eager", "jax.jit", "jit"])


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


def power_vjp():
    """`scale * x**n`, whose rule gives 10 times the cotangent."""

    @custom_vjp
    def power(x: Array, scale: NoDiff[Array] = Y, *, n: Static[int] = 2, name: Static[str] = "p") -> Array:
        assert type(n) is int
        return scale * x**n

    def fwd(x, scale=Y, *, n=2, name="p"):
        assert type(n) is int
        return scale * x**n, (x, scale)

    def bwd(residuals, cotangent, *, n, name):
        assert (type(n), type(name)) == (int, str)
        x, scale = residuals
        return 10 * cotangent * scale * n * x ** (n - 1)

    power.defvjp(fwd, bwd)
    return power


def power_jvp():
    """`scale * x**n`, whose rule gives 10 times the tangent."""

    @custom_jvp
    def power(x: Array, scale: NoDiff[Array] = Y, *, n: Static[int] = 2, name: Static[str] = "p") -> Array:
        assert type(n) is int
        return scale * x**n

    @power.defjvp
    def rule(primals, tangents, *, n, name):
        assert (type(primals), type(tangents), type(n), type(name)) == (tuple, tuple, int, str)
        (x, scale), (dx,) = primals, tangents
        return scale * x**n, 10 * scale * n * x ** (n - 1) * dx

    return power


POWER = pytest.mark.parametrize("power", [power_vjp, power_jvp])


# --- both ------------------------------------------------------------------------------------------------------------


@POWER
def test_the_value_is_that_of_the_function_in_every_spelling(power):
    f = power()
    for got in (f(X), f(X, Y), f(X, scale=Y, n=2), f(n=2, scale=Y, x=X, name="q")):
        same(got, Y * X**2)
    same(f(X, n=3), Y * X**3)


@POWER
@COMPILED
def test_the_rule_is_used_in_every_spelling(power, wrapped):
    f = power()
    for n, call in (
        (2, lambda x: f(x)),
        (2, lambda x: f(x, Y)),
        (3, lambda x: f(x, scale=Y, n=3)),
        (3, lambda x: f(name="q", n=3, x=x)),
    ):
        got = wrapped(jax.grad(lambda x, call=call: call(x).sum()))(X)
        same(got, 10 * Y * n * X ** (n - 1))


@POWER
def test_a_nodiff_array_is_traced_under_jit_and_has_zero_for_a_derivative(power):
    f = power()
    got = jax.jit(jax.grad(lambda x, scale: f(x, scale).sum(), argnums=(0, 1)))(X, Y)
    same(got, (20 * Y * X, jnp.zeros(3)))


@POWER
def test_a_static_can_differ_from_call_to_call_and_is_type_strict(power):
    f = power()
    same(jax.grad(lambda x: (f(x, n=2) + f(x, n=3)).sum())(X), 10 * Y * (2 * X + 3 * X**2))


@pytest.mark.parametrize("first", [1, True])
def test_statics_that_compare_equal_but_differ_in_type_do_not_share(first):
    seen = []

    @custom_vjp
    def f(x, *, n: Static[Any]):
        return x

    def fwd(x, *, n):
        return x, None

    def bwd(residuals, cotangent, *, n):
        seen.append(type(n))
        return cotangent * (100 if n is True else 10)

    f.defvjp(fwd, bwd)
    second = 1 if first is True else True
    for n in (first, second, first):
        got = jax.jit(jax.grad(lambda x, n=n: f(x, n=n).sum()))(X)
        same(got, jnp.full(3, 100.0 if n is True else 10.0))
    same(jax.grad(lambda x: (f(x, n=1) + f(x, n=True)).sum())(X), jnp.full(3, 110.0))
    assert set(seen) == {int, bool}


@POWER
@pytest.mark.parametrize(
    "outer",
    [jit, vmap(in_axes={"scale": 0}), transform(jit, vmap(in_axes={"scale": 0}))],
    ids=["jit", "vmap", "both"],
)
def test_a_decorator_above_keeps_the_setter(power, outer):
    inner = power()
    face = outer(inner)
    setter = "defvjp" if power is power_vjp else "defjvp"
    assert hasattr(face, setter)
    same(face(X, Y, n=3), Y * X**3)
    same(jax.grad(lambda x: face(x, scale=Y, n=3).sum())(X), 30 * Y * X**2)


def test_the_rule_can_be_set_on_the_outermost_of_stacked_decorators():
    @jit
    @custom_vjp
    def f(x: Array, *, n: Static[int]) -> Array:
        return x * n

    def fwd(x, *, n):
        return x * n, None

    def bwd(residuals, cotangent, *, n):
        return 10 * n * cotangent

    f.defvjp(fwd, bwd)
    same(f(X, n=3), 3 * X)
    same(jax.grad(lambda x: f(x, n=3).sum())(X), jnp.full(3, 30.0))

    @jit
    @custom_jvp
    def g(x: Array, *, n: Static[int]) -> Array:
        return x * n

    @g.defjvp
    def rule(primals, tangents, *, n):
        return primals[0] * n, tangents[0] * n * 10

    assert rule is not None
    same(jax.grad(lambda x: g(x, n=3).sum())(X), jnp.full(3, 30.0))


@POWER
def test_annotax_transforms_around_it_use_the_rule(power):
    f = power()

    def loss(x: Array, scale: NoDiff[Array], *, n: Static[int]) -> Array:
        return f(x, scale, n=n).sum()

    same(transform(jit, value_and_grad)(loss)(X, Y, n=3), ((Y * X**3).sum(), 30 * Y * X**2))
    per_example = transform(jit, vmap, grad)(lambda x, scale: f(x, scale))(X, Y)
    same(per_example[0], 20 * Y * X)
    same(per_example[1], jnp.zeros(3))


def test_two_decorations_of_one_function_do_not_share_rules():
    def f(x):
        return x

    first, second = custom_vjp(f), custom_vjp(f)
    for face, factor in ((first, 10.0), (second, 100.0)):
        face.defvjp(lambda x: (x, None), lambda residuals, cotangent, factor=factor: factor * cotangent)
    same(jax.grad(first)(1.0), jnp.float32(10.0))
    same(jax.grad(second)(1.0), jnp.float32(100.0))


@pytest.mark.parametrize(
    "decorator", [transform(jit, custom_vjp), custom_vjp(), transform(custom_vjp)], ids=["jit", "step", "transform"]
)
def test_two_functions_under_one_decorator_do_not_share_rules(decorator):
    first, second = decorator(lambda x: x), decorator(lambda x: x + 1)
    for face, factor in ((first, 10.0), (second, 100.0)):
        face.defvjp(lambda x: (x, None), lambda residuals, cotangent, factor=factor: factor * cotangent)
    same(jax.grad(first)(1.0), jnp.float32(10.0))
    same(jax.grad(second)(1.0), jnp.float32(100.0))


@pytest.mark.parametrize("kind", [custom_vjp, custom_jvp])
def test_without_a_rule_a_derivative_raises_and_says_which_setter(kind):
    @kind
    def f(x):
        return x

    same(f(2.0), 2.0)
    with pytest.raises(AnnotaxError, match=f"{kind.name} has no rule yet") as caught:
        jax.grad(f)(2.0)
    assert "f.def" in str(caught.value)


@pytest.mark.parametrize("kind", [custom_vjp, custom_jvp])
def test_nothing_to_differentiate_raises_at_decoration(kind):
    def f(x: NoDiff[Array], n: Static[int]):
        return x

    with pytest.raises(MarkerError, match=f"{kind.name} has nothing to differentiate"):
        kind(f)


@POWER
@pytest.mark.parametrize("value", [jnp.ones(2), np.ones(2), [1]], ids=["array", "numpy", "unhashable"])
def test_a_static_value_that_is_no_constant_names_the_parameter(power, value):
    with pytest.raises(StaticValueError, match="static argument name"):
        power()(X, name=value)


def test_a_rule_that_does_not_take_a_marked_static_raises_when_it_is_set():
    @custom_vjp
    def f(x, *, n: Static[int]):
        return x

    with pytest.raises(MarkerError, match="defvjp was given a bwd that does not take the static parameter n"):
        f.defvjp(lambda x, *, n: (x, None), lambda residuals, cotangent: cotangent)

    @custom_jvp
    def g(x, *, n: Static[int]):
        return x

    with pytest.raises(MarkerError, match="static parameter n"):
        g.defjvp(lambda primals, tangents: (primals[0], tangents[0]))


# --- custom_vjp ------------------------------------------------------------------------------------------------------


def test_fwd_is_called_as_the_function_is():
    @custom_vjp
    def f(a, /, b, *rest, c, n: Static[int] = 2, **others):
        return a * b * rest[0] * c * others["d"] * n

    def fwd(a, /, b, *rest, c, n=2, **others):
        assert len(rest) == 1
        assert list(others) == ["d"]
        return a * b * rest[0] * c * others["d"] * n, None

    def bwd(residuals, cotangent, *, n):
        return 1.0 * cotangent, 2.0 * cotangent, (3.0 * cotangent,), 4.0 * cotangent, {"d": n * cotangent}

    f.defvjp(fwd, bwd)
    got = jax.grad(lambda t: f(t[0], t[1], t[2], c=t[3], n=7, d=t[4]))((1.0, 2.0, 3.0, 4.0, 5.0))
    same(got, tuple(map(jnp.float32, (1.0, 2.0, 3.0, 4.0, 7.0))))


def test_bwd_returns_the_cotangents_of_the_differentiable_parameters_in_signature_order():
    @custom_vjp
    def f(x, n: Static[int], scale: NoDiff[Array], *, w, flag: NoDiff[Array]):
        return x * w * scale * n

    def fwd(x, n, scale, *, w, flag):
        return x * w * scale * n, (x, w, scale)

    def bwd(residuals, cotangent, *, n):
        x, w, scale = residuals
        return 10 * cotangent * w * scale * n, 100 * cotangent * x * scale * n

    f.defvjp(fwd, bwd)

    @jax.jit
    def gradients(x, scale, w, flag):
        return jax.grad(lambda x, s, w: f(x, 3, s, w=w, flag=flag).sum(), argnums=(0, 1, 2))(x, scale, w)

    same(gradients(X, Y, X + 1, jnp.array([True, False, True])), (30 * (X + 1) * Y, jnp.zeros(3), 300 * X * Y))


def test_diff_markers_choose_the_parameters_of_the_rule():
    @custom_vjp
    def f(x: Array, w: Diff[Array]) -> Array:
        return x * w

    f.defvjp(lambda x, w: (x * w, x), lambda x, cotangent: 10 * x * cotangent)
    same(jax.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1))(X, Y), (jnp.zeros(3), 10 * X))


@pytest.mark.parametrize(
    ("returned", "got"), [((1.0,), "1 of them"), ((1.0, 2.0, 3.0), "3 of them"), (1.0, "float")], ids=str
)
def test_the_wrong_number_of_cotangents_names_the_parameters(returned, got):
    @custom_vjp
    def f(x, scale: NoDiff[Array], w):
        return x * w

    f.defvjp(lambda x, scale, w: (x * w, None), lambda residuals, cotangent: returned)
    with pytest.raises(AnnotaxError, match="wrong number of cotangents") as caught:
        jax.grad(f)(1.0, Y, 2.0)
    assert got in str(caught.value)
    assert "differentiable parameters x, w" in str(caught.value)


def test_parameters_static_by_inference_go_to_bwd_only_if_it_takes_them():
    def f(x, kind: str, function: Callable[[Array], Array], n: Static[int]):
        return function(x) * n

    def fwd(x, kind, function, n):
        return function(x) * n, x

    @custom_vjp
    def takes_none(x, kind: str, function: Callable[[Array], Array], n: Static[int]):
        return f(x, kind, function, n)

    takes_none.defvjp(fwd, lambda x, cotangent, *, n: n * cotangent)
    same(jax.grad(takes_none)(1.0, "a", jnp.sin, 3), jnp.float32(3.0))

    @custom_vjp
    def takes_one(x, kind: str, function: Callable[[Array], Array], n: Static[int]):
        return f(x, kind, function, n)

    takes_one.defvjp(fwd, lambda x, cotangent, *, n, kind: (100 if kind == "a" else 10) * cotangent)
    same(jax.grad(takes_one)(1.0, "a", jnp.sin, 3), jnp.float32(100.0))

    @custom_vjp
    def takes_any(x, kind: str, function: Callable[[Array], Array], n: Static[int]):
        return f(x, kind, function, n)

    seen = {}

    def bwd(x, cotangent, **statics):
        seen.update(statics)
        return cotangent

    takes_any.defvjp(fwd, bwd)
    jax.grad(takes_any)(1.0, kind="a", function=jnp.sin, n=3)
    assert seen["n"] == 3


@COMPILED
def test_it_works_on_a_method_whose_object_is_a_pytree(wrapped):
    class Layer(NamedTuple):
        w: Array
        limit: Array

        @custom_vjp
        def call(self, x: Array, *, scale: NoDiff[Array], n: Static[int] = 2) -> Array:
            return self.w * x * scale * n

        def fwd(self, x, *, scale, n=2):
            return self.w * x * scale * n, (self, x, scale)

        def bwd(residuals, cotangent, *, n):
            layer, x, _ = residuals
            return Layer(10 * cotangent * x * n, jnp.zeros(3)), 100 * cotangent * layer.w * n

        call.defvjp(fwd, bwd)

    def loss(layer, x, scale):
        return layer.call(x, scale=scale, n=3).sum()

    got = wrapped(jax.grad(loss, argnums=(0, 1, 2)))(Layer(Y, X), X, X + 1)
    same(got, (Layer(30 * X, jnp.zeros(3)), 300 * Y, jnp.zeros(3)))


@pytest.mark.parametrize(
    "gradient",
    [jax.grad, grad, transform(jit, grad), lambda f: jax.grad(jit(f)), lambda f: lambda x: annotax.vjp(f, x)[1](1.0)],
    ids=["jax.grad", "grad", "jit, grad", "jax.grad of jit", "vjp"],
)
@pytest.mark.parametrize("kind", [custom_vjp, custom_jvp])
def test_a_bound_method_uses_the_rule_of_its_function(kind, gradient):
    class Layer(NamedTuple):
        w: Array

        @kind
        def call(self, x: Array) -> Array:
            return self.w * x

        if kind is custom_vjp:
            call.defvjp(
                lambda self, x: (self.w * x, (self, x)), lambda r, ct: (Layer(10 * r[1] * ct), 100 * r[0].w * ct)
            )
        else:
            call.defjvp(lambda p, t: (p[0].w * p[1], 10 * p[1] * t[0].w + 100 * p[0].w * t[1]))

    same(gradient(Layer(jnp.float32(2.0)).call)(3.0), jnp.float32(200.0))


def test_it_works_on_a_method_whose_object_is_static():
    class Model:
        factor = 10.0

        @custom_vjp
        def call(self: "Static[Model]", x: Array) -> Array:
            return x

        def bwd(residuals, cotangent, *, self):
            return self.factor * cotangent

        call.defvjp(lambda self, x: (x, None), bwd)

    same(jax.jit(jax.grad(lambda x: Model().call(x).sum()))(X), jnp.full(3, 10.0))


def test_a_function_inside_an_argument_is_held_back():
    @custom_vjp
    def f(model, x):
        return model["activation"](model["w"] * x)

    def fwd(model, x):
        return model["activation"](model["w"] * x), x

    def bwd(x, cotangent):
        return {"activation": None, "w": 10 * x * cotangent}, 100 * cotangent

    f.defvjp(fwd, bwd)
    got = jax.grad(lambda w, x: f({"activation": jnp.tanh, "w": w}, x).sum(), argnums=(0, 1))(Y, X)
    same(got, (10 * X, jnp.full(3, 100.0)))


def test_none_is_a_zero_cotangent():
    @custom_vjp
    def f(x, w):
        return x * w

    f.defvjp(lambda x, w: (x * w, w), lambda w, cotangent: (w * cotangent, None))
    same(jax.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1))(X, Y), (Y, jnp.zeros(3)))


def test_an_integer_leaf_takes_none():
    @custom_vjp
    def f(params, i: NoDiff[Array]):
        return params["w"] * params["n"] + i

    f.defvjp(lambda p, i: (p["w"] * p["n"] + i, None), lambda r, ct: {"w": 10 * ct, "n": None})
    same(jax.grad(lambda w: f({"w": w, "n": jnp.array(2)}, jnp.array(3)).sum())(X), jnp.full(3, 10.0))


def test_optimize_remat_is_passed_on():
    @custom_vjp(optimize_remat=True)
    def f(x):
        return jnp.sin(x)

    f.defvjp(lambda x: (jnp.sin(x), x), lambda x, cotangent: 10 * cotangent)
    same(jax.jit(jax.grad(annotax.checkpoint(lambda x: f(x))))(1.0), jnp.float32(10.0))


# --- custom_jvp ------------------------------------------------------------------------------------------------------


def test_the_rule_has_all_traced_primals_and_the_tangents_of_the_differentiable():
    @custom_jvp
    def f(x, n: Static[int], scale: NoDiff[Array], *, w, kind: str = "a", count: int = 1):
        return x * w * scale * n * count

    @f.defjvp
    def rule(primals, tangents, *, n, kind):
        x, scale, w, count = primals
        dx, dw = tangents
        factor = 10 if kind == "b" else 1
        return f(x, n, scale, w=w, kind=kind, count=count), factor * n * scale * (dx * w + 2 * x * dw)

    got = jax.jit(jax.grad(lambda x, s, w: f(x, 3, s, w=w, kind="b").sum(), argnums=(0, 1, 2)))(X, Y, X + 1)
    same(got, (30 * Y * (X + 1), jnp.zeros(3), 60 * Y * X))


def test_forward_and_reverse_mode_use_one_rule():
    f = power_jvp()
    same(jax.jvp(lambda x: f(x, n=3), (X,), (Y,)), (Y * X**3, 30 * Y * X**2 * Y))
    same(jax.jacfwd(lambda x: f(x, n=3))(X), jax.jacrev(lambda x: f(x, n=3))(X))


def test_the_rule_can_be_differentiated_again():
    @custom_jvp
    def f(x):
        return jnp.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (dx,) = primals, tangents
        return f(x), 2 * jnp.cos(x) * dx

    same(transform(jit, grad, grad)(f)(1.0), -2 * jnp.sin(jnp.float32(1.0)))


def test_a_jvp_rule_works_on_a_method():
    class Layer(NamedTuple):
        w: Array

        @custom_jvp
        def call(self, x: Array, *, n: Static[int] = 2) -> Array:
            return self.w * x * n

        @call.defjvp
        def rule(primals, tangents, *, n):
            (layer, x), (dlayer, dx) = primals, tangents
            return layer.w * x * n, n * (10 * dlayer.w * x + 100 * layer.w * dx)

    got = jax.grad(lambda layer, x: layer.call(x, n=3).sum(), argnums=(0, 1))(Layer(Y), X)
    same(got, (Layer(30 * X), 300 * Y))


def test_a_numpy_scalar_fits_a_number_also_where_jax_makes_an_array_of_it():
    @custom_jvp
    def f(x: float) -> Array:
        return 2.0 * x

    @f.defjvp
    def rule(primals, tangents):
        return f(*primals), 3.0 * tangents[0]

    assert f(np.float32(1.5)) == 3.0
    assert grad(f)(np.float32(1.5)) == 3.0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_arguments_of_a_star_get_one_cotangent_each(count):
    @custom_vjp
    def total(*args: Array) -> Array:
        return sum(jnp.sum(a) for a in args)

    total.defvjp(
        lambda *args: (total(*args), args),
        lambda residuals, cotangent: tuple(2 * cotangent * a for a in residuals),
    )
    given = [jnp.full(2, float(i + 1)) for i in range(count)]
    gradients = jax.grad(lambda args: total(*args))(given)
    assert [gradient.tolist() for gradient in gradients] == [(2 * a).tolist() for a in given]
