"""`grad` and `value_and_grad`: what is differentiated, in which shape the gradient comes, and what is auxiliary."""

# ruff: noqa: F722, F821 - the strings in hints of jaxtyping name axes

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, NewType, Self, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jaxtyping import Float, Int, Key, PyTree
from typing_extensions import TypeAliasType

import annotax
from annotax import Aux, Diff, DifferentiationError, Donate, NoDiff, Static, grad, jit, transform, value_and_grad

BOTH = pytest.mark.parametrize("through", [grad, transform(jit, grad)], ids=["eager", "compiled"])


# --- what is differentiated ------------------------------------------------------------------------------------------


@BOTH
def test_one_parameter_gives_its_bare_gradient(through):
    assert through(lambda x: x**2)(3.0) == 6.0


@BOTH
def test_several_parameters_give_a_plain_tuple_in_the_order_of_the_signature(through):
    @through
    def f(a, b, /, c, *, d):
        return a * 1 + b * 2 + c * 3 + d * 4

    gradient = f(0.0, 0.0, d=0.0, c=0.0)
    assert type(gradient) is tuple
    assert gradient == (1.0, 2.0, 3.0, 4.0)


def _name(value: Any) -> str:
    """A test id that is the same in every process."""
    return getattr(value, "__name__", type(value).__name__) if " at 0x" in str(value) else str(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Static[float], 3.0),
        (NoDiff[Any], 3.0),
        (int, 3),
        (bool, True),
        (str, "kind"),
        (Int[Array, ""], np.array(3)),
        (Key[Array, ""], jax.random.key(0)),
        (Callable[[Array], Array], jnp.sin),
        (int | None, None),
        (list[int], [3]),
    ],
    ids=_name,
)
@BOTH
def test_a_parameter_is_excluded_by_its_marker_or_by_a_hint_of_no_real_values(through, hint, value):
    def f(w, other):
        return w * 2

    f.__annotations__["other"] = hint
    value = jnp.asarray(value) if isinstance(value, np.ndarray) else value
    assert through(f)(3.0, value) == 2.0


@BOTH
def test_exactly_what_is_marked_diff_is_differentiated(through):
    @through
    def f(a: Array, b: Diff[Array], c: Array, d: Diff[Array]):
        return a + 2 * b + 3 * c + 4 * d

    assert f(*map(jnp.array, (0.0, 0.0, 0.0, 0.0))) == (2.0, 4.0)


@BOTH
def test_one_parameter_marked_diff_gives_its_bare_gradient(through):
    @through
    def f(a: Array, b: Diff[Array]):
        return a + 2 * b

    assert f(jnp.array(0.0), jnp.array(0.0)) == 2.0


@BOTH
def test_a_keyword_only_parameter_is_differentiated(through):
    @through
    def f(*, w, x: NoDiff[float]):
        return w * x

    assert f(w=2.0, x=3.0) == 3.0


@BOTH
def test_a_default_is_differentiated_whether_it_is_passed_or_not(through):
    @through
    def f(w, b=3.0):
        return w * b

    assert f(2.0) == f(2.0, 3.0) == f(b=3.0, w=2.0) == (3.0, 2.0)


@BOTH
def test_args_give_a_tuple_of_gradients(through):
    @through
    def f(*xs):
        return xs[0] * xs[1] + xs[2]

    assert f(2.0, 3.0, 4.0) == (3.0, 2.0, 1.0)


@BOTH
def test_kwargs_give_a_dict_of_gradients(through):
    @through
    def f(**xs):
        return xs["a"] * xs["b"]

    assert f(b=3.0, a=2.0) == {"a": 3.0, "b": 2.0}


@BOTH
def test_args_and_kwargs_stand_in_the_tuple_at_their_places(through):
    @through
    def f(w, *xs, b=1.0, **ys):
        return w + 2 * sum(xs) + 3 * b + 4 * ys["y"]

    assert f(0.0, 0.0, 0.0, y=0.0) == (1.0, (2.0, 2.0), 3.0, {"y": 4.0})


@BOTH
def test_no_args_give_an_empty_tuple(through):
    @through
    def f(w, *xs):
        return w * 2

    assert f(3.0) == (2.0, ())


@BOTH
def test_a_gradient_has_the_structure_of_its_argument(through):
    class Layer(NamedTuple):
        w: Array
        b: Array

    @through
    def f(layers: list[Layer], more: dict[str, tuple[Array, ...]]):
        return layers[0].w * layers[1].b + more["c"][0]

    layers = [Layer(jnp.array(1.0), jnp.array(2.0)), Layer(jnp.array(3.0), jnp.array(4.0))]
    gradient, more = f(layers, {"c": (jnp.array(5.0),)})
    assert gradient == [Layer(4.0, 0.0), Layer(0.0, 1.0)]
    assert type(gradient[0]) is Layer
    assert more == {"c": (1.0,)}


def test_a_gradient_is_that_of_jax_to_the_last_bit():
    def f(w: dict[str, Array], x: NoDiff[Array]) -> Array:
        return jnp.sum(jnp.tanh(x @ w["a"] + w["b"]) ** 2)

    w = {"a": jax.random.normal(jax.random.key(0), (4, 3)), "b": jnp.ones(3)}
    x = jax.random.normal(jax.random.key(1), (5, 4))
    ours, theirs = grad(f)(w, x), jax.grad(f)(w, x)
    assert all(np.array_equal(ours[name], theirs[name]) for name in w)


def test_an_inferred_exclusion_yields_to_diff():
    @grad
    def f(w, n: Diff[int | float]):
        return w * n

    assert f(2.0, 3.0) == 2.0


@BOTH
def test_donate_says_nothing_about_gradients(through):
    @through
    def f(w: Array, state: Donate[Array]):
        return w * state.sum()

    w, state = jnp.array(2.0), jnp.ones(())
    assert jax.tree.map(float, f(w, state)) == (1.0, 2.0)


def test_what_jit_makes_static_is_not_differentiated():
    @transform(jit(static="n"), grad)
    def f(w, n):
        return jnp.sum(jnp.full((n,), w))

    assert f(1.0, 3) == 3.0


def test_a_method_is_differentiated_with_respect_to_its_object():
    class Model(eqx.Module):
        w: Array
        b: Array

        @grad
        def loss(self, x: NoDiff[Array]) -> Array:
            return self.w * x + self.b

    gradient = Model(jnp.array(2.0), jnp.array(1.0)).loss(jnp.array(3.0))
    assert type(gradient) is Model
    assert (gradient.w, gradient.b) == (3.0, 1.0)


def test_a_static_object_is_not_differentiated():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n: int

        @grad
        def loss(self: Static[Self], x: Array) -> Array:
            return x**self.n

    assert Config(3).loss(2.0) == 12.0


def test_a_bound_method_is_differentiated_with_respect_to_its_arguments():
    class Model(eqx.Module):
        w: Array

        def loss(self, x: Array) -> Array:
            return self.w * x

    assert grad(Model(jnp.array(2.0)).loss)(3.0) == 2.0


# --- wrt -------------------------------------------------------------------------------------------------------------


def _weighted(a, b, *, c):
    return a + 2 * b + 3 * c


@pytest.mark.parametrize(
    ("wrt", "gradient"),
    [
        ("b", 2.0),
        (1, 2.0),
        (-1, 3.0),
        (-2, 2.0),
        (["b"], (2.0,)),
        ([1], (2.0,)),
        (("c", "a"), (3.0, 1.0)),
        ([-1, 0], (3.0, 1.0)),
        (["c", 1], (3.0, 2.0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_wrt_names_parameters_and_decides_the_shape_of_the_gradient(around, wrt, gradient):
    found = around(grad(_weighted, wrt=wrt))(0.0, 0.0, c=0.0)
    assert type(found) is type(gradient) or not isinstance(gradient, tuple)
    assert found == gradient


def test_wrt_wins_over_markers():
    @grad(wrt=["a", "c"])
    def f(a: NoDiff[Array], b: Diff[Array], c: Array):
        return a + 2 * b + 3 * c

    assert f(*map(jnp.array, (0.0, 0.0, 0.0))) == (1.0, 3.0)


def test_a_negative_index_counts_from_the_end_of_the_signature_though_defaults_are_left_out():
    def f(a, b=2.0):
        return a + 5 * b

    assert grad(f, wrt=-1)(1.0) == 5.0


def test_wrt_names_args_and_kwargs():
    def f(w, *xs, **ys):
        return w + sum(xs) + 2 * sum(ys.values())

    assert grad(f, wrt="xs")(0.0, 0.0, 0.0, y=0.0) == (1.0, 1.0)
    assert grad(f, wrt="ys")(0.0, 0.0, 0.0, y=0.0) == {"y": 2.0}


def test_wrt_sees_the_parameters_of_the_function_under_stacked_decorators():
    @jit(static="n")
    @grad(wrt="w")
    def f(n, w):
        return jnp.sum(jnp.full((n,), w))

    assert f(3, 1.0) == 3.0


# --- values without a gradient ---------------------------------------------------------------------------------------


@BOTH
def test_integers_booleans_keys_and_functions_inside_a_tree_have_no_gradient(through):
    @through
    def f(tree):
        return tree["w"] * tree["n"] + jax.random.uniform(tree["key"])

    tree = {
        "w": jnp.array(2.0),
        "n": jnp.array(3),
        "flag": jnp.array(True),
        "key": jax.random.key(0),
        "f": jnp.sin,
        "s": "kind",
    }
    gradient = f(tree)
    assert gradient == {"w": 3.0, "n": None, "flag": None, "key": None, "f": None, "s": None}


@BOTH
def test_a_model_that_holds_functions_has_a_gradient_of_its_own_type(through):
    @through
    def loss(model: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
        return jnp.sum(model(x) ** 2)

    model = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0))
    x = jnp.ones(2)
    expected = eqx.filter_grad(lambda m: jnp.sum(m(x) ** 2))(model)
    gradient = loss(model, x)
    assert type(gradient) is eqx.nn.MLP
    assert gradient.activation is None
    np.testing.assert_allclose(gradient.layers[0].weight, expected.layers[0].weight, rtol=1e-5)


@BOTH
def test_an_argument_of_integers_among_others_has_no_gradient(through):
    @through
    def f(w, n):
        return w * n

    assert f(2.0, 3) == (3.0, None)


def test_an_argument_without_a_gradient_keeps_its_structure():
    gradient = grad(lambda w, tree: w * tree["n"][0])(2.0, {"n": [3, 4]})
    assert gradient == (3.0, {"n": [None, None]})


def test_values_with_and_without_gradients_may_come_in_turn():
    @grad
    def f(w, n):
        return w * n

    assert [f(2.0, 3.0), f(2.0, 3), f(2.0, 3.0)] == [(3.0, 2.0), (3.0, None), (3.0, 2.0)]


@pytest.mark.parametrize("value", [3, jnp.array(3), True, jax.random.key(0), {"n": [1, 2]}, "kind"], ids=str)
@pytest.mark.parametrize(
    "decorator", [grad, value_and_grad, transform(jit, grad)], ids=["grad", "value_and_grad", "compiled"]
)
def test_a_call_in_which_nothing_can_be_differentiated_raises_and_names_the_parameter(decorator, value):
    def f(state):
        return 1.0

    with pytest.raises(DifferentiationError, match=r"(?s)f\(\): .*nothing to differentiate in argument state.*fix"):
        decorator(f)(value)


@pytest.mark.parametrize("empty", [(), {}, None], ids=str)
@BOTH
def test_an_empty_tree_has_an_empty_gradient_as_in_jax(through, empty):
    assert through(lambda layer: 1.0)(empty) == jax.grad(lambda layer: 1.0)(empty) == empty


def test_an_empty_tree_has_an_empty_gradient_whatever_earlier_calls_saw():
    gradient = grad(lambda layer: 1.0)
    assert gradient({"w": 2.0, "n": 3}) == {"w": 0.0, "n": None}
    assert gradient(()) == ()


def test_an_empty_tree_that_was_asked_for_has_an_empty_gradient_beside_integers():
    gradient = grad(lambda first, second: second["w"] * 3, wrt=["first", "second"])
    assert gradient((), {"w": 2.0}) == ((), {"w": 3.0})
    assert gradient((), {"w": 2.0, "n": 1}) == ((), {"w": 3.0, "n": None})


@pytest.mark.parametrize(
    "decorator", [grad(wrt=["w", "n"]), value_and_grad(wrt=["w", "n"])], ids=["grad", "value_and_grad"]
)
def test_what_was_asked_for_by_wrt_must_have_a_gradient(decorator):
    with pytest.raises(DifferentiationError, match=r"(?s)argument n.*wrt="):
        decorator(lambda w, n: w * n)(2.0, 3)


def test_what_was_asked_for_by_diff_must_have_a_gradient():
    def f(w: Diff[Any], n: Diff[Any]):
        return w * n

    with pytest.raises(DifferentiationError, match=r"(?s)argument n.*Diff"):
        grad(f)(2.0, 3)


def test_the_error_for_nothing_to_differentiate_is_a_type_error_as_in_jax():
    with pytest.raises(TypeError):
        grad(lambda n: 1.0)(3)


def test_allow_int_is_passed_on():
    gradient = grad(lambda n: n * 2.0, allow_int=True)(3)
    assert gradient.dtype == jax.dtypes.float0


def test_holomorphic_is_passed_on():
    assert grad(lambda z: z**2, holomorphic=True)(1.0 + 2.0j) == 2.0 + 4.0j


def test_an_error_of_jax_passes_through():
    with pytest.raises(TypeError, match="scalar-output"):
        grad(lambda x: x)(jnp.ones(2))


@pytest.mark.parametrize("argument", [3.0, {"w": 3.0, "n": 1}], ids=["floats", "mixed"])
def test_a_function_that_raises_is_run_once(argument):
    runs = []

    @grad
    def f(x):
        runs.append(1)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        f(argument)
    assert len(runs) == 1


# --- aux -------------------------------------------------------------------------------------------------------------


@BOTH
def test_one_auxiliary_component_comes_bare_beside_the_gradient(through):
    @through
    def f(x) -> tuple[Array, Aux[dict[str, Array]]]:
        return x**2, {"x": x}

    assert f(3.0) == (6.0, {"x": 3.0})


@BOTH
def test_several_auxiliary_components_come_as_a_tuple(through):
    @through
    def f(x) -> tuple[Array, Aux[Array], Annotated[Array, Aux]]:
        return x**2, x + 1, x + 2

    assert f(3.0) == (6.0, (4.0, 5.0))


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[tuple[Array, Aux[Array]], "doc"],
        "tuple[Array, Aux[Array]]",
        TypeAliasType("Returned", tuple[Array, Aux[Array]]),
        TypeAliasType("Metrics", tuple[Array, TypeAliasType("Second", Aux[Array])]),
        tuple[Array, Annotated[Array, "doc", Aux, 3]],
    ],
    ids=["metadata", "string", "alias", "alias inside", "metadata inside"],
)
def test_aux_is_read_through_strings_aliases_and_foreign_metadata(hint):
    def f(x):
        return x**2, x + 1

    f.__annotations__["return"] = hint
    assert grad(f)(3.0) == (6.0, 4.0)


@BOTH
def test_the_value_may_stand_in_any_place(through):
    @through
    def f(x) -> tuple[Aux[Array], Array, Aux[Array]]:
        return x + 1, x**2, x + 2

    assert f(3.0) == (6.0, (4.0, 5.0))


@pytest.mark.parametrize("through", [value_and_grad, transform(jit, value_and_grad)], ids=["eager", "compiled"])
def test_value_and_grad_returns_what_the_function_returned(through):
    def one(x) -> Array:
        return x**2

    def two(x) -> tuple[Array, Aux[Array]]:
        return x**2, x + 1

    def three(x) -> tuple[Aux[Array], Array, Aux[Array]]:
        return x + 1, x**2, x + 2

    assert through(one)(3.0) == (9.0, 6.0)
    assert through(two)(3.0) == ((9.0, 4.0), 6.0)
    assert through(three)(3.0) == ((4.0, 9.0, 5.0), 6.0)


def test_value_and_grad_gives_a_tuple_for_several_parameters():
    assert value_and_grad(lambda a, b: a * b)(2.0, 3.0) == (6.0, (3.0, 2.0))


def test_an_auxiliary_component_need_not_be_an_array_where_nothing_is_compiled():
    @grad
    def f(x) -> tuple[Array, Aux[str]]:
        return x**2, "note"

    assert f(3.0) == (6.0, "note")


def test_aux_holds_values_and_no_tracers():
    @value_and_grad
    def f(w, x: NoDiff[Array]) -> tuple[Array, Aux[Array]]:
        return w * x, w + x

    (_, aux), _ = f(jnp.array(2.0), jnp.array(3.0))
    assert not isinstance(aux, jax.core.Tracer)
    assert aux == 5.0


def test_aux_works_with_values_without_a_gradient():
    @value_and_grad
    def f(tree) -> tuple[Aux[Array], Array]:
        return tree["w"] + 1, tree["w"] * tree["n"]

    assert f({"w": 2.0, "n": 3}) == ((3.0, 6.0), {"w": 3.0, "n": None})


def test_has_aux_makes_a_pair_auxiliary_without_a_hint():
    def f(x):
        return x**2, x + 1

    assert grad(f, has_aux=True)(3.0) == (6.0, 4.0)
    assert value_and_grad(f, has_aux=True)(3.0) == ((9.0, 4.0), 6.0)


def test_has_aux_false_overrides_the_marker():
    def f(x) -> tuple[Array, Aux[Array]]:
        return x**2, x + 1

    with pytest.raises(TypeError):
        grad(f, has_aux=False)(3.0)


def test_a_gradient_whose_parameters_are_excluded_still_carries_aux():
    @transform(jit, grad)
    def f(w, n: Static[int]) -> tuple[Array, Aux[Array]]:
        return w**n, jnp.full((n,), w)

    gradient, aux = f(2.0, 3)
    assert gradient == 12.0
    assert aux.shape == (3,)


# --- in company ------------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_gradient_is_the_second_derivative():
    assert grad(grad(lambda x: x**3))(2.0) == 12.0


def test_a_compiled_function_is_differentiated():
    @transform(grad, jit)
    def f(x, *, n: Static[int] = 3):
        return x**n

    assert f(2.0) == 12.0
    assert f(2.0, n=2) == 4.0


def test_a_compiled_gradient_is_traced_once_for_all_values():
    traces = []

    @transform(jit, value_and_grad)
    def f(w, x: NoDiff[Array], *, n: Static[int] = 2):
        traces.append(1)
        return jnp.sum(w * x) ** n

    for i in range(3):
        f(jnp.full(2, float(i)), x=jnp.full(2, float(i)))
    assert len(traces) == 1


def test_what_is_not_differentiated_is_traced_under_jit():
    @transform(jit, grad)
    def f(w, x: NoDiff[Array]):
        assert isinstance(x, jax.core.Tracer)
        return w * x

    assert f(2.0, 3.0) == 3.0


def test_it_works_inside_a_compiled_function_of_jax():
    def f(w, x: NoDiff[Array]):
        return w * x

    assert jax.jit(grad(f))(2.0, 3.0) == 3.0
    assert jax.vmap(grad(f))(jnp.ones(3), jnp.arange(3.0)).tolist() == [0.0, 1.0, 2.0]


def test_a_static_value_under_grad_is_the_very_object():
    value = (1, 2)

    @grad
    def f(w, config: Static[tuple[int, ...]]):
        assert config is value
        return w * 2

    assert f(1.0, value) == 2.0


def test_named_axes_are_checked_over_a_gradient():
    @grad
    def loss(w: Float[Array, " d"], x: NoDiff[Float[Array, "b d"]]) -> Float[Array, ""]:
        return jnp.sum(x @ w)

    assert loss(jnp.ones(3), jnp.ones((2, 3))).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(annotax.CheckError, match="argument x"):
        loss(jnp.ones(3), jnp.ones((2, 4)))


def test_a_decorator_is_used_for_many_functions():
    step = transform(jit, grad(wrt="w"))
    assert step(lambda w, x: w * x)(2.0, 3.0) == 3.0
    assert step(lambda w, x: w * x * 2)(2.0, 3.0) == 6.0


# --- grad[...] -------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    w: Array
    b: Array


class Weights(TypedDict):
    w: Array


@annotax.pytree
class Model:
    w: Array
    basis: NoDiff[Array]
    power: Static[int] = 2

    @grad[Array](wrt="x")
    def slope(self, x: Array) -> Array:
        return self.w * x**self.power

    @transform(jit, value_and_grad[tuple[Self, Array]](wrt=("self", "x")))
    def both(self, x: Array) -> Array:
        return self.w * x

    @grad[str](wrt="x")
    def wrongly(self, x: Array) -> Array:
        return self.w * x

    @classmethod
    @grad[Array]
    def of_class(cls: Static[Any], x: Array) -> Array:
        return x**3

    @staticmethod
    @grad[Array]
    def of_neither(x: Array) -> Array:
        return x**2


def _squared():
    def f(x):
        return jnp.sum(x**2)

    return f


def _product():
    def f(a, b):
        return jnp.sum(a * b)

    return f


def _of_items():
    def f(p):
        return 2 * p["w"] * p.get("n", 1)

    return f


def _of_arrays():
    def f(p):
        return sum(map(jnp.sum, p.values()))

    return f


def _of_pair():
    def f(p, x=1.0):
        return p.w * p.b * x

    return f


def _of_model():
    def f(model):
        return model.w * model.basis

    return f


MODEL = Model(jnp.array(2.0), basis=jnp.array(3.0))


@pytest.mark.parametrize(
    ("stated", "make", "arguments"),
    [
        (Array, _squared, [2.0]),
        (float, _squared, [2.0]),
        (Any, _squared, [2.0]),
        (Annotated[Array, "doc"], _squared, [2.0]),
        (tuple[Array, Array], _product, [2.0, 3.0]),
        (tuple[Array, ...], _product, [2.0, 3.0]),
        (tuple[Array, None], _product, [2.0, 3]),
        (dict[str, Array], _of_items, [{"w": 2.0}]),
        (dict[str, Array | None], _of_items, [{"w": 2.0, "n": 3}]),
        (Weights, _of_items, [{"w": 2.0}]),
        (dict[str, list[Array]], lambda: lambda p: p["w"][0] * 2, [{"w": [2.0, 3.0]}]),
        (tuple[Pair, Array], _of_pair, [Pair(jnp.array(2.0), jnp.array(3.0))]),
        (Model, _of_model, [MODEL]),
        (Float[Array, "n"], _squared, [jnp.ones(3)]),
        (Float[Array, "3"], _squared, [jnp.ones(3)]),
        (tuple[Float[Array, "n"], Float[Array, ""]], _product, [jnp.ones(3), 2.0]),
        (tuple[Float[Array, "n"], Float[Array, "n"]], _product, [jnp.ones(3), jnp.ones(3)]),
        (dict[str, Float[Array, "n"]], _of_arrays, [{"w": jnp.ones(3), "b": jnp.ones(3)}]),
        (PyTree[Float[Array, "..."]], _of_items, [{"w": 2.0}]),
        (Array | None, _squared, [2.0]),
        (Self, _of_model, [MODEL]),
        (TypeAliasType("Gradients", tuple[Array, Array]), _product, [2.0, 3.0]),
        (NewType("Scalar", jax.Array), _squared, [2.0]),
    ],
    ids=_name,
)
@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_a_gradient_that_is_what_was_stated_is_returned(around, stated, make, arguments):
    f = make()
    found, expected = around(grad[stated](f))(*arguments), around(grad(f))(*arguments)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, found, expected))


@pytest.mark.parametrize(
    ("stated", "make", "arguments", "where", "expected", "got"),
    [
        (str, _squared, [2.0], "the gradient", "str", r"float32\[\]"),
        (int, _squared, [2.0], "the gradient", "int", r"float32\[\]"),
        (None, _squared, [2.0], "the gradient", "None", r"float32\[\]"),
        (Array, _product, [2.0, 3.0], "the gradient", "Array", "tuple of 2"),
        (tuple[Array], _product, [2.0, 3.0], "the gradient", r"tuple\[Array\]", "tuple of 2"),
        (tuple[Array, str], _product, [2.0, 3.0], r"the gradient\[1\]", "str", r"float32\[\]"),
        (tuple[Array, Array], _product, [2.0, 3], r"the gradient\[1\]", "Array", "an object of type NoneType"),
        (dict[str, int], _of_items, [{"w": 2.0}], r"the gradient\['w'\]", "int", r"float32\[\]"),
        (dict[str, Array], _of_items, [{"w": 2.0, "n": 3}], r"the gradient\['n'\]", "Array", "an object of type None"),
        (Pair, _of_items, [{"w": 2.0}], "the gradient", "Pair", "dict of 1"),
        (Float[Array, "n m"], _squared, [jnp.ones(3)], "the gradient", r"Float\[Array, 'n m'\]", r"float32\[3\]"),
        (Float[Array, "4"], _squared, [jnp.ones(3)], "the gradient", r"Float\[Array, '4'\]", r"float32\[3\]"),
        (
            tuple[Float[Array, "n"], Float[Array, "n"]],
            _product,
            [jnp.ones(3), jnp.ones(1)],
            r"the gradient\[1\]",
            r"Float\[Array, 'n'\]",
            r"float32\[1\]",
        ),
        (TypeAliasType("Text", str), _squared, [2.0], "the gradient", "str|Text", r"float32\[\]"),
    ],
    ids=_name,
)
@pytest.mark.parametrize(
    "transforms",
    [(grad,), (jit, grad), (value_and_grad,), (jit, value_and_grad)],
    ids=lambda transforms: "-".join(step.name for step in transforms),
)
def test_a_gradient_that_is_not_what_was_stated_raises(transforms, stated, make, arguments, where, expected, got):
    *outer, step = transforms
    decorated = transform(*outer, step[stated])(make())
    problem = rf"f\(\): {where} is not what {step.name}\[\.\.\.\] states\.\n"
    text = rf"(?s){problem}.*expected  {expected}.*got       (traced )?{got}"
    for _ in range(2):
        with pytest.raises(annotax.CheckError, match=text):
            decorated(*arguments)


@pytest.mark.parametrize("step", [grad, value_and_grad], ids=["grad", "value_and_grad"])
def test_the_error_says_to_correct_the_statement(step):
    with pytest.raises(annotax.CheckError, match=rf"(?s)fix +state .*{step.name}\[dict\[str, Array\]\]$"):
        step[dict[str, Array]](_squared())(2.0)


@pytest.mark.parametrize("step", [grad, value_and_grad], ids=["grad", "value_and_grad"])
def test_the_error_for_several_types_says_how_to_state_them(step):
    with pytest.raises(TypeError, match=rf"(?s)takes one type.*fix  write {step.name}\[tuple\[Array, float\]\]"):
        step[Array, float]


def test_it_is_a_decorator():
    @grad[Array]
    def bare(w: Array, x: NoDiff[Array]) -> Array:
        return w * x

    @value_and_grad[tuple[Array, Array]](wrt=["x", "w"])
    def with_options(w: Array, x: NoDiff[Array]) -> Array:
        return w * x

    w, x = jnp.array(2.0), jnp.array(3.0)
    assert bare(w, x=x) == 3.0
    assert with_options(w, x) == (6.0, (2.0, 3.0))


@pytest.mark.parametrize(
    "decorator",
    [grad[tuple[Array]](wrt=["b"]), grad(wrt=["b"])[tuple[Array]], lambda f: grad[tuple[Array]](f, wrt=["b"])],
    ids=["before", "behind", "in place"],
)
def test_options_may_stand_on_any_side_of_the_statement(decorator):
    assert decorator(_product())(2.0, 3.0) == (2.0,)


def test_what_is_stated_is_what_wrt_selects():
    assert grad[Array](_product(), wrt="b")(2.0, 3.0) == 2.0
    with pytest.raises(annotax.CheckError, match=r"(?s)the gradient is not what \w+\[\.\.\.\] states.*tuple of 1"):
        grad[Array](_product(), wrt=["b"])(2.0, 3.0)
    with pytest.raises(annotax.CheckError, match=r"(?s)expected  tuple\[Array\]"):
        grad[tuple[Array]](_product(), wrt="b")(2.0, 3.0)


@BOTH
def test_only_the_gradient_is_stated_beside_aux(through):
    outer = [] if through is grad else [jit]

    def pair(x):
        return x**2, x + 1

    def marked(x) -> tuple[Aux[Array], Array, Aux[Array]]:
        return x + 1, x**2, x + 2

    assert transform(*outer, grad[Array](has_aux=True))(pair)(3.0) == (6.0, 4.0)
    assert transform(*outer, grad[Array])(marked)(3.0) == (6.0, (4.0, 5.0))
    assert transform(*outer, value_and_grad[Array](has_aux=True))(pair)(3.0) == ((9.0, 4.0), 6.0)
    assert transform(*outer, value_and_grad[Array])(marked)(3.0) == ((4.0, 9.0, 5.0), 6.0)
    for step in (grad[str], value_and_grad[str]):
        for f, options in ((pair, {"has_aux": True}), (marked, {})):
            with pytest.raises(annotax.CheckError, match=r"the gradient is not what \w+\[\.\.\.\] states"):
                transform(*outer, step(**options))(f)(3.0)


def test_it_stands_on_methods():
    x = jnp.array(3.0)
    assert MODEL.slope(x) == 12.0
    value, (of_model, of_x) = MODEL.both(x)
    assert type(of_model) is Model
    assert (value, of_model.w, of_model.basis, of_x) == (6.0, 3.0, None, 2.0)
    assert MODEL.of_class(x) == Model.of_class(x) == 27.0
    assert MODEL.of_neither(x) == Model.of_neither(x) == 6.0
    assert jit(MODEL.slope)(x) == 12.0
    assert grad[Array](Model.slope.__wrapped__, wrt="x")(MODEL, x) == 12.0
    with pytest.raises(annotax.CheckError, match=r"Model\.wrongly\(\): the gradient is not what \w+\[\.\.\.\] states"):
        MODEL.wrongly(x)


def test_a_bound_method_is_stated_further():
    assert grad[Array](MODEL.of_neither)(3.0) == 2.0
    assert transform(jit, grad[Array])(MODEL.slope)(3.0) == 4.0


def test_the_gradient_is_stated_where_it_is_made_and_not_for_the_batch():
    x = jnp.arange(3.0)
    value, gradient = transform(jit, annotax.vmap, value_and_grad[Float[Array, ""]])(_squared())(x)
    assert (value.tolist(), gradient.tolist()) == ([0.0, 1.0, 4.0], [0.0, 2.0, 4.0])
    with pytest.raises(annotax.CheckError, match=r"(?s)Float\[Array, 'batch'\].*traced float32\[\]"):
        transform(jit, annotax.vmap, value_and_grad[Float[Array, "batch"]])(_squared())(x)


def test_second_derivatives_are_stated_each():
    assert grad[Array](grad[Array](lambda x: x**3))(2.0) == 12.0
    with pytest.raises(annotax.CheckError):
        grad[Array](grad[str](lambda x: x**3))(2.0)


@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_the_first_gradient_is_compared_and_no_other(around):
    f = around(grad[Float[Array, "3"]](_squared()))
    assert f(jnp.ones(3)).shape == (3,)
    assert f(jnp.ones(4)).shape == (4,)


def test_a_gradient_that_fitted_is_not_looked_at_again():
    seen = []

    def checker(value, hint):
        seen.append(hint)

    f = grad[Array](lambda x: x**2, typechecker=checker)
    assert [f(2.0), f(3.0), f(4.0)] == [4.0, 6.0, 8.0]
    assert seen == [Array]


def test_a_checker_of_ones_own_judges_the_gradient():
    with pytest.raises(
        annotax.CheckError, match=r"(?s)the gradient is not what \w+\[\.\.\.\] states.*because\s+too small"
    ):
        grad[Array](lambda x: x**2, typechecker=lambda value, hint: "too small")(2.0)


@pytest.mark.parametrize(
    "decorator",
    [
        grad[str](typechecker=None),
        grad(typechecker=None)[str],
        transform(jit, grad[str], typechecker=None),
        transform(jit(typechecker=None), grad[str]),
        lambda f: jit(typechecker=None)(grad[str](f)),
    ],
    ids=["before", "behind", "transform", "outside", "stacked"],
)
def test_without_a_checker_nothing_is_compared(decorator):
    assert decorator(lambda x: x**2)(2.0) == 4.0


def test_a_statement_is_compared_while_the_shape_is_evaluated():
    assert annotax.eval_shape(grad[Array](lambda x: x**2), 2.0).shape == ()
    with pytest.raises(annotax.CheckError, match=r"the gradient is not what \w+\[\.\.\.\] states"):
        annotax.eval_shape(grad[str](lambda x: x**2), 2.0)


def test_a_statement_is_part_of_what_a_decorator_is():
    assert grad[Array] == grad[Array]
    assert hash(grad[Array]) == hash(grad[Array])
    assert grad[Array](wrt="w") == grad(wrt="w")[Array]
    assert grad[Array] != grad
    assert grad[Array] != grad[tuple[Array, Array]]
    assert grad[Array] != value_and_grad[Array]
    f = _squared()
    assert grad[Array](f) is grad[Array](f)
    assert grad[Array](f) is not grad(f)


def test_stating_does_not_change_the_public_decorator():
    grad[str]
    assert grad(_squared())(3.0) == 6.0


def test_a_statement_that_has_no_hash_works():
    stated = Annotated[Array, ["no hash"]]
    assert grad[stated](lambda x: x**2)(2.0) == 4.0
    with pytest.raises(annotax.CheckError, match=r"the gradient is not what \w+\[\.\.\.\] states"):
        grad[Annotated[str, ["no hash"]]](lambda x: x**2)(2.0)


@pytest.mark.parametrize("stated", [3, [1, 2], {}, "Array", (), (Array, Array), ...], ids=str)
@pytest.mark.parametrize("step", [grad, value_and_grad], ids=["grad", "value_and_grad"])
def test_what_is_no_type_cannot_be_stated(step, stated):
    with pytest.raises(TypeError, match=rf"(?s){step.name}\[.*type"):
        step[stated]


def test_explain_says_the_same_with_a_statement():
    def f(w: Array, x: NoDiff[Array]) -> Array:
        return w * x

    assert str(annotax.explain(grad[Array](f))) == str(annotax.explain(grad(f)))
