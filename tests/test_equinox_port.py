"""What Equinox's own tests check, feature by feature, for annotax; docs/coming-from/equinox.md has the table.

Where annotax differs on purpose, the test is for what annotax does.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import (
    AnnotaxError,
    Aux,
    Axis,
    AxisError,
    DifferentiationError,
    Donate,
    MarkerError,
    NoDiff,
    Static,
    StaticValueError,
)

PAGE = Path(__file__).parent.parent / "docs" / "coming-from" / "equinox.md"
KEY = jax.random.key(0)

BOTH = pytest.mark.parametrize("outer", [lambda f: f, annotax.jit], ids=["eager", "compiled"])


def mlp(*, key: Any = KEY, inputs: int = 2, outputs: int = 2, **options: Any) -> eqx.nn.MLP:
    return eqx.nn.MLP(inputs, outputs, 3, 2, key=key, **options)


def fresh(tree: Any) -> Any:
    """The tree with copies of its arrays, which may be donated."""
    return jax.tree.map(lambda leaf: jnp.array(leaf) if eqx.is_array(leaf) else leaf, tree)


def plus_one(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf + 1 if eqx.is_array(leaf) else leaf, tree)


def sum_of_floats(tree: Any) -> Array:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.inexact)]
    return sum((jnp.sum(leaf) for leaf in leaves), start=jnp.array(0.0))


def same(got: Any, expected: Any) -> None:
    """Check that two trees are the same in structure, shapes, dtypes and values."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if eqx.is_array_like(other):
            assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
            np.testing.assert_allclose(one, other, rtol=1e-6)
        else:
            assert one is other


class Traces:
    """Counts how often a function is traced."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counting(*args, **kwargs):
            self.count += 1
            return function(*args, **kwargs)

        return counting


@pytest.fixture
def traces() -> Traces:
    return Traces()


# --- jit: what goes in and comes out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("donate", ["tree", ()], ids=["donated", "kept"])
def test_jit_takes_and_returns_an_array_and_a_tree_of_arrays(donate):
    a, b, c = jnp.ones((2, 3)), jnp.arange(3.0), jnp.ones((1, 4))
    f = annotax.jit(plus_one, donate=donate)
    same(f(fresh(a)), a + 1)
    tree = [{"a": a, "b": b}, (c,)]
    same(f(fresh(tree)), [{"a": a + 1, "b": b + 1}, (c + 1,)])


@pytest.mark.parametrize("donate", ["tree", ()], ids=["donated", "kept"])
def test_jit_takes_and_returns_a_tree_that_mixes_arrays_strings_functions_and_a_module(donate):
    model = mlp()
    tree = ["name", jnp.sin, {"a": jnp.ones((2, 3))}, model]
    got = annotax.jit(plus_one, donate=donate)(fresh(tree))
    same(got, ["name", jnp.sin, {"a": jnp.full((2, 3), 2.0)}, plus_one(model)])


def test_jit_traces_python_numbers_so_they_come_back_as_arrays():
    got = annotax.jit(lambda x: x)([1, True, 2.0])
    assert all(isinstance(leaf, Array) for leaf in got)
    assert got == [1, True, 2.0]


def test_jit_refuses_an_object_whose_changes_would_go_unseen_where_equinox_takes_it():
    with pytest.raises(StaticValueError, match=re.escape("tree[0]")):
        annotax.jit(plus_one)([object(), jnp.ones(2)])
    with pytest.raises(StaticValueError, match="result"):
        annotax.jit(lambda x: (x, object()))(jnp.ones(2))

    def is_none(x: Array, thing: Static[object]) -> bool:
        return thing is None

    assert not annotax.jit(is_none)(1.0, object())


def test_jit_traces_numpy_arrays(traces):
    f = annotax.jit(traces.of(lambda x: x + 1))
    same(f(np.zeros(2, np.float32)), jnp.ones(2))
    same(f(np.ones(2, np.float32)), jnp.full(2, 2.0))
    assert traces.count == 1


# --- jit: how often it traces ----------------------------------------------------------------------------------------


def test_jit_traces_once_for_each_shape_and_each_structure(traces):
    f = annotax.jit(traces.of(lambda x: None))
    f(jnp.zeros(2))
    f(jnp.zeros(2))
    assert traces.count == 1
    f(jnp.zeros(3))
    f(jnp.zeros(3))
    assert traces.count == 2
    f([jnp.zeros(2)])
    f([jnp.zeros(2), jnp.zeros(3)])
    f([jnp.zeros(2), True])
    assert traces.count == 5


def test_jit_shares_a_trace_between_python_numbers_where_equinox_makes_each_a_constant(traces):
    f = annotax.jit(traces.of(lambda x, y: None))
    f(jnp.zeros(2), True)
    f(jnp.zeros(2), False)
    assert traces.count == 1
    f(jnp.zeros(2), 2)
    f(jnp.zeros(2), 3)
    assert traces.count == 2  # an integer has another dtype than a boolean


def test_jit_traces_anew_for_each_value_of_a_static_parameter(traces):
    def f(x: Array, flag: Static[bool]) -> None:
        assert flag in (True, False)

    f = annotax.jit(traces.of(f))
    for flag in (True, False, True, False):
        f(jnp.zeros(2), flag)
    assert traces.count == 2


def test_jit_makes_one_entry_of_a_dict_static_by_its_path(traces):
    f = annotax.jit(traces.of(lambda x, y, z, w: None), static=["x", "y['b']", "z", "w"])
    f(True, {"a": 1, "b": 1}, True, True)
    f(False, {"a": 1, "b": 1}, True, True)
    f(True, {"a": 1, "b": 0}, True, True)
    f(True, {"a": 1, "b": 1}, True, 2)
    f(True, {"a": 1, "b": 1}, 5, True)
    assert traces.count == 5
    f(True, {"a": 1, "b": 1}, True, True)
    f(True, {"a": 2, "b": 1}, True, True)  # what is at y['a'] is traced
    assert traces.count == 5


def test_jit_shares_a_trace_between_models_that_differ_in_arrays_alone(traces):
    f = annotax.jit(traces.of(lambda model, x: model(x)))
    one, other = mlp(), mlp(key=jax.random.key(1))
    np.testing.assert_allclose(f(one, jnp.ones(2)), one(jnp.ones(2)), rtol=1e-6)
    np.testing.assert_allclose(f(other, jnp.ones(2)), other(jnp.ones(2)), rtol=1e-6)
    assert traces.count == 1
    f(mlp(activation=jnp.tanh), jnp.ones(2))
    assert traces.count == 2


def test_jit_of_jit_traces_once(traces):
    f = annotax.jit(annotax.jit(traces.of(lambda x: x + 1)))
    assert f(jnp.array(1)) == 2
    assert f(jnp.array(2)) == 3
    assert traces.count == 1


def test_jit_around_a_function_that_is_compiled_already_shares_its_trace_where_equinox_traces_again(traces):
    g = annotax.jit(traces.of(lambda x: x + 1))
    assert g(jnp.array(1)) == 2
    assert annotax.jit(g)(jnp.array(2)) == 3
    assert traces.count == 1


def test_jit_of_grad_built_twice_traces_once(traces):
    f = traces.of(lambda x: x + 1)
    assert annotax.jit(annotax.grad(f))(jnp.array(1.0)) == 1
    assert annotax.jit(annotax.grad(f))(jnp.array(2.0)) == 1
    assert traces.count == 1
    assert annotax.jit(annotax.value_and_grad(f))(jnp.array(1.0)) == (2, 1)
    assert annotax.jit(annotax.value_and_grad(f))(jnp.array(2.0)) == (3, 1)
    assert traces.count == 2


def test_jit_of_vmap_built_twice_traces_once(traces):
    f = traces.of(lambda x: x + 1)
    same(annotax.jit(annotax.vmap(f))(jnp.array([1, 2])), jnp.array([2, 3]))
    same(annotax.jit(annotax.vmap(f))(jnp.array([2, 3])), jnp.array([3, 4]))
    assert traces.count == 1


# --- jit: calls ------------------------------------------------------------------------------------------------------


def test_jit_takes_args_and_kwargs_that_have_hints(traces):
    def f(*args: Any, **kwargs: Array) -> Array:
        return kwargs["x"]

    f = annotax.jit(traces.of(f))
    assert f(x=jnp.array(2)) == 2
    assert f(x=jnp.array(3)) == 3
    assert traces.count == 1
    assert f(x=jnp.array(3), y=jnp.array(4)) == 3
    assert traces.count == 2

    def first(*args: Any, **kwargs: Any) -> Any:
        return args[0]

    assert annotax.jit(first)(1, 2) == 1


def test_jit_refuses_bare_args_and_kwargs_which_may_hide_markers():
    with pytest.raises(MarkerError, match="have no hints"):
        annotax.jit(lambda *args, **kwargs: args[0])


@pytest.mark.parametrize("name", ["__call__", "method"])
def test_jit_of_a_method_traces_the_arrays_of_its_module_and_keeps_its_numbers_constant(name, traces):
    def add(self: Any, x: Array) -> Array:
        return x + self.increment

    made = type("M", (eqx.Module,), {"__annotations__": {"increment": Any}, name: annotax.jit(traces.of(add))})
    y = jnp.array(1.0)
    for increment in (1, 2):
        assert getattr(made(increment), name)(y) == 1 + increment
        assert getattr(made(increment), name)(y) == 1 + increment
        assert traces.count == increment  # in a module a Python number is a constant, as in Equinox
    assert getattr(made(jnp.array(1.0)), name)(y) == 2
    assert getattr(made(jnp.array(2.0)), name)(y) == 3
    assert traces.count == 3


@pytest.mark.parametrize("name", ["__call__", "method"])
def test_jit_around_a_bound_method_or_a_callable_module_holds_the_module_constant(name, traces):
    def add(self: Any, x: Array) -> Array:
        return x + self.increment

    made = type("M", (eqx.Module,), {"__annotations__": {"increment": Any}, name: traces.of(add)})
    y = jnp.array(1.0)
    for i, increment in enumerate((1, 2, jnp.array(1.0), jnp.array(2.0)), start=1):
        module = made(increment)
        f = annotax.jit(module if name == "__call__" else module.method)
        assert f(y) == 1 + increment
        assert f(y) == 1 + increment
        assert traces.count == i  # Equinox shares one between the arrays, which it traces


@pytest.mark.parametrize("partial", [functools.partial, jax.tree_util.Partial])
def test_jit_takes_a_partial_whose_arguments_become_constants(partial):
    f = annotax.jit(partial(lambda x, y: x + y, jnp.array(3.0)))
    assert f(1.0) == 4.0
    assert f(y=2.0) == 5.0


def test_jit_takes_a_partial_as_an_argument_and_traces_what_it_holds(traces):
    f = annotax.jit(traces.of(lambda partial, y: partial(y)))

    def add(x, y):
        return x + y

    for x in (1.0, 2.0):
        assert f(jax.tree_util.Partial(add, jnp.array(x)), 3.0) == x + 3
    assert traces.count == 1


@pytest.mark.parametrize("inside", [None, annotax.grad, annotax.value_and_grad], ids=["f", "grad", "value_and_grad"])
def test_jit_compiles_under_the_name_of_the_function(inside):
    def the_name(x):
        return x + 1

    f = annotax.jit(the_name if inside is None else inside(the_name))
    assert "jit_the_name" in f.lower(jnp.array(1.0)).as_text()


# --- jit: donation ---------------------------------------------------------------------------------------------------


def test_donate_gives_the_buffer_of_an_argument_to_the_result():
    @annotax.jit
    def f(x: Donate[Array]) -> Array:
        return x + 1

    x = jnp.array(0.0)
    pointer = x.unsafe_buffer_pointer()
    y = f(x)
    assert y == 1.0
    assert x.is_deleted()
    assert y.unsafe_buffer_pointer() == pointer


def test_donate_leaves_the_arguments_that_are_not_marked():
    @annotax.jit
    def f(x: Array, y: Donate[Array]) -> Array:
        return x + y

    x, y = jnp.array(0.0), jnp.array(1.0)
    pointer = y.unsafe_buffer_pointer()
    z = f(x, y)
    assert z == 1.0
    assert not x.is_deleted()
    assert y.is_deleted()
    assert z.unsafe_buffer_pointer() == pointer


def test_donate_on_self_gives_away_the_module_of_a_method(traces):
    class Module(eqx.Module):
        buffer: Array
        mlp: eqx.nn.MLP

        @annotax.jit
        def step(self: Donate[Any], x: Array) -> Any:
            traces.count += 1
            return self.mlp(x), eqx.tree_at(lambda module: module.buffer, self, self.buffer.at[0].add(1))

    first = Module(jnp.zeros(100_000), mlp())
    pointer = first.buffer.unsafe_buffer_pointer()
    module = first
    for _ in range(3):
        _, module = module.step(jnp.ones(2))
    assert traces.count == 1
    assert module.buffer[0] == 3.0
    assert module.buffer.unsafe_buffer_pointer() == pointer
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first) if eqx.is_array(leaf))


def test_donate_gives_away_a_callable_module_through_its_call_method(traces):
    class Module(eqx.Module):
        buffer: Array

        def __call__(self, x: Array) -> Any:
            traces.count += 1
            return jnp.sum(x), Module(self.buffer.at[0].add(1))

    f = annotax.jit(Module.__call__, donate="self")
    first = Module(jnp.zeros(100_000))
    _, second = f(first, jnp.ones(2))
    _, third = f(second, jnp.ones(2))
    assert traces.count == 1
    assert first.buffer.is_deleted()
    assert second.buffer.is_deleted()
    assert third.buffer[0] == 2.0


def test_donate_warns_of_a_buffer_that_cannot_be_used():
    def f(x, y):
        return x + jnp.sum(y)

    assert annotax.jit(f)(jnp.array(1.0), jnp.ones(10)) == 11.0  # which warns of nothing
    with pytest.warns(UserWarning, match="Some donated buffers were not usable") as record:
        annotax.jit(f, donate=["x", "y"])(jnp.array(1.0), jnp.ones(10))
    (ours,) = [str(warning.message) for warning in record if "f()" in str(warning.message)]  # beside JAX's own
    assert "no result can take the buffer of y (float32[10])" in ours


# --- jit: ahead of time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("donate", [["x", "y"], "y", ()], ids=["all", "all but the first", "none"])
def test_lower_and_compile_ahead_of_time(donate):
    lowered = annotax.jit(lambda x, y: (2 * x, y + 1), donate=donate).lower(jnp.array(3), jnp.array(4))
    assert lowered.as_text()
    assert lowered.compile()(jnp.array(3), jnp.array(4)) == (6, 5)


@pytest.mark.parametrize("donate", [["x", "y"], "y", ()], ids=["all", "all but the first", "none"])
def test_lower_and_compile_ahead_of_time_with_keywords(donate):
    def f(x: Array, y: Array, **kwargs: int) -> Any:
        return 2 * x, y + kwargs["test"]

    lowered = annotax.jit(f, donate=donate).lower(jnp.array(3), jnp.array(4), test=123)
    assert lowered.as_text()
    assert lowered.compile()(jnp.array(3), y=jnp.array(4), test=123) == (6, 127)


def test_lower_and_compile_ahead_of_time_with_a_model_that_holds_functions():
    model = mlp()
    compiled = annotax.jit(lambda model, x: model(x)).lower(model, jnp.ones(2)).compile()
    np.testing.assert_allclose(compiled(model, jnp.ones(2)), model(jnp.ones(2)), rtol=1e-6)


def test_clear_cache_forgets_what_was_compiled(traces):
    f = annotax.jit(traces.of(lambda x: x + 1))
    f(1.0)
    f.clear_cache()
    assert f(1.0) == 2.0
    assert traces.count == 2


# --- grad ------------------------------------------------------------------------------------------------------------


@BOTH
def test_grad_of_a_list_of_arrays_is_a_list(outer):
    a, b = jnp.ones((2, 3)), jnp.zeros(4)
    same(outer(annotax.grad(sum_of_floats))([a, b]), [jnp.ones((2, 3)), jnp.ones(4)])


@pytest.mark.parametrize(
    "leaf",
    [True, 5, "hi", jnp.sin, jnp.arange(3), np.arange(3), KEY, object()],
    ids=["boolean", "integer", "string", "function", "integer array", "numpy integer array", "key", "object"],
)
def test_grad_is_none_at_a_leaf_that_has_no_derivative(leaf):
    none, gradient = annotax.grad(sum_of_floats)([leaf, jnp.ones((2, 3))])
    assert none is None
    same(gradient, jnp.ones((2, 3)))


def test_grad_of_a_numpy_array_in_a_tree():
    same(annotax.grad(sum_of_floats)({"x": np.array([2.0, 3.0], np.float32)}), {"x": jnp.ones(2)})


def test_grad_of_a_python_float_in_a_tree_is_taken_where_equinox_gives_none():
    integer, number = annotax.grad(sum_of_floats)((5, 1.0))
    assert integer is None
    assert number == 1.0


@BOTH
def test_grad_of_a_module_is_a_module(outer):
    gradient = outer(annotax.grad(sum_of_floats))({"hi": eqx.nn.Linear(1, 1, key=KEY)})
    assert list(gradient) == ["hi"]
    assert isinstance(gradient["hi"], eqx.nn.Linear)
    same(gradient["hi"].weight, jnp.ones((1, 1)))
    same(gradient["hi"].bias, jnp.ones(1))


@BOTH
def test_grad_of_a_model_has_the_structure_that_equinox_gives_it(outer):
    def loss(model: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
        return jnp.sum(model(x) ** 2)

    model, x = mlp(), jnp.array([1.0, -2.0])
    gradient = outer(annotax.grad(loss))(model, x)
    assert jax.tree.structure(gradient) == jax.tree.structure(eqx.filter(model, eqx.is_inexact_array))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), gradient, eqx.filter_grad(loss)(model, x)
    )


@BOTH
def test_grad_is_none_at_a_python_float_of_a_module_as_in_equinox(outer):
    class Scaled(eqx.Module):
        w: Array
        scale: float

    def loss(model: Scaled, x: NoDiff[Array]) -> Array:
        return jnp.sum(model.w * model.scale * x)

    gradient = outer(annotax.grad(loss))(Scaled(jnp.ones(2), 3.0), jnp.ones(2))
    assert gradient.scale is None
    same(gradient.w, jnp.full(2, 3.0))


def test_grad_differentiates_every_parameter_that_is_not_excluded_where_equinox_takes_the_first():
    d_x, d_y = annotax.grad(lambda x, y: x * y)(2.0, 3.0)
    assert (d_x, d_y) == (3.0, 2.0)

    def first(x: Array, y: NoDiff[float]) -> Array:
        return x * y

    assert annotax.grad(first)(2.0, 3.0) == 3.0
    assert annotax.grad(lambda x, y: x * y, wrt="x")(2.0, 3.0) == 3.0


def test_grad_of_one_entry_of_a_list_or_a_dict_by_its_path():
    a, b = jnp.ones((2, 3)), jnp.full((1, 2), 2.0)
    same(annotax.grad(lambda x: jnp.sum(x[0]) + jnp.sum(x[1]), wrt="x[0]")([a, b]), jnp.ones((2, 3)))
    f = annotax.grad(lambda x, y: jnp.sum(x["a"]) * jnp.sum(x["b"]) * y, wrt=["x['a']"])
    same(f({"a": a, "b": b}, 3.0), (jnp.full((2, 3), 12.0),))


def test_grad_of_an_entry_that_is_not_there_raises():
    f = annotax.grad(lambda x, y: jnp.sum(x["a"]) * y, wrt="x['a']")
    with pytest.raises(DifferentiationError, match="does not exist"):
        f({"b": jnp.ones(2)}, 1.0)


def test_grad_raises_where_there_is_nothing_to_differentiate():
    with pytest.raises(DifferentiationError, match="nothing to differentiate"):
        annotax.grad(lambda x: x)(1)


def test_value_and_grad_gives_the_value_beside_the_gradient():
    value, gradient = annotax.value_and_grad(lambda x: jnp.sum(x))(jnp.ones((2, 3)))
    assert value == 6.0
    same(gradient, jnp.ones((2, 3)))


@BOTH
def test_grad_hands_auxiliary_output_through_that_is_no_array(outer):
    def f(x: Array) -> tuple[Array, Aux[str]]:
        return jnp.sum(x), "hi"

    gradient, aux = outer(annotax.grad(f))(jnp.ones(2))
    assert aux == "hi"
    same(gradient, jnp.ones(2))
    (value, aux), gradient = outer(annotax.value_and_grad(f))(jnp.ones(2))
    assert (value, aux) == (2.0, "hi")
    same(gradient, jnp.ones(2))


def test_grad_takes_has_aux_for_a_function_without_hints():
    def f(x):
        return jnp.sum(x), "hi"

    assert annotax.grad(f, has_aux=True)(jnp.array(1.0)) == (1.0, "hi")
    assert annotax.value_and_grad(f, has_aux=True)(jnp.array(1.0)) == ((1.0, "hi"), 1.0)


class Increment(eqx.Module):
    increment: Any

    def __call__(self, x: Array) -> Array:
        return x + self.increment

    def method(self, x: Array) -> Array:
        return x + self.increment

    graded = annotax.grad(method)
    graded_by_self = annotax.grad(method, wrt="self")
    mapped = annotax.vmap(method)


@pytest.mark.parametrize("of", [lambda module: module, lambda module: module.method], ids=["object", "method"])
def test_grad_around_a_bound_method_or_a_callable_module_differentiates_its_arguments(of):
    assert annotax.grad(of(Increment(jnp.array(5.0))))(jnp.array(1.0)) == 1


def test_grad_of_a_method_differentiates_the_module_and_the_arguments():
    d_module, d_x = Increment(jnp.array(5.0)).graded(jnp.array(1.0))
    assert d_module == Increment(jnp.array(1.0))
    assert d_x == 1


def test_grad_of_a_method_by_self_alone_is_what_equinox_gives():
    assert Increment(jnp.array(5.0)).graded_by_self(jnp.array(1.0)) == Increment(jnp.array(1.0))


def test_grad_takes_its_arguments_by_keyword_where_equinox_raises():
    assert annotax.grad(lambda x: x + 1)(x=jnp.array(1.0)) == 1
    assert annotax.value_and_grad(lambda x, y: x * y)(y=jnp.array(3.0), x=jnp.array(2.0)) == (6, (3, 2))


def test_grad_of_a_compiled_function_with_its_own_rule_traces_the_rule_once(traces):
    @annotax.custom_vjp
    def f(x: Array) -> Array:
        return x

    f.defvjp(lambda x: (x, None), traces.of(lambda residuals, cotangent: cotangent + 2))
    for compiled, count in ((jax.jit(f), 1), (annotax.jit(f), 2)):
        g = annotax.grad(compiled)
        assert g(jnp.array(1.0)) == 3
        assert g(jnp.array(1.0)) == 3
        assert traces.count == count


# --- vmap ------------------------------------------------------------------------------------------------------------


def test_vmap_takes_axes_by_parameter_and_by_place_in_a_tree():
    def f(a, b, c, d):
        return a + b[0]["a"] + c + d

    out = annotax.vmap(f, in_axes={"b": [{"a": None}]})(jnp.array([1]), [{"a": jnp.array([2])}], c=jnp.array([3]), d=4)
    same(out, jnp.array([[10]]))


def test_vmap_shares_a_leaf_without_axes_where_equinox_wants_to_be_told():
    same(annotax.vmap(lambda a, b: a + b)(jnp.array(3), jnp.array([3.0])), jnp.array([6.0]))
    same(annotax.vmap(lambda a, b: a + b)(jnp.array(3.0), jnp.array([3.0])), jnp.array([6.0]))


def test_vmap_raises_for_an_axis_that_is_asked_for_and_is_not_there():
    with pytest.raises(AxisError, match="argument a"):
        annotax.vmap(lambda a, b: a + b, in_axes={"a": 0})(jnp.array(3.0), jnp.array([3.0]))


def test_vmap_takes_no_function_of_leaves_for_axes_where_equinox_does():
    def by_leaf(leaf):
        return 0 if eqx.is_array(leaf) else None

    with pytest.raises((TypeError, ValueError)):
        annotax.vmap(lambda a: a, in_axes={"a": by_leaf})(jnp.ones(2))
    with pytest.raises((TypeError, ValueError)):
        annotax.vmap(lambda a: a, out_axes=by_leaf)(jnp.ones(2))


@pytest.mark.parametrize(
    ("options", "x", "expected"),
    [
        ({"out_axes": None}, 1, 1),
        ({"out_axes": None, "in_axes": {"x": None}}, jnp.array([3, 4]), jnp.array([3, 4])),
        ({"out_axes": 0}, 1, jnp.ones(5, int)),
        ({"out_axes": 0, "in_axes": {"x": None}}, jnp.array([3, 4]), jnp.tile(jnp.array([3, 4]), (5, 1))),
    ],
    ids=["number, shared", "array, shared", "number, repeated", "array, repeated"],
)
def test_vmap_of_nothing_that_is_mapped_takes_the_size_and_where_the_result_goes(options, x, expected):
    out = annotax.vmap(lambda x: x, axis_size=5, **options)(x)
    np.testing.assert_array_equal(out, expected)
    assert jnp.shape(out) == jnp.shape(expected)


def test_vmap_makes_an_ensemble_of_models_and_maps_over_it():
    models = annotax.vmap(lambda key: mlp(key=key, inputs=5, outputs=4))(jax.random.split(KEY, 7))
    assert all(leaf.shape[0] == 7 for leaf in jax.tree.leaves(models) if eqx.is_array(leaf))

    def call(model: eqx.nn.MLP, x: Array) -> Array:
        return model(x)

    xs = jax.random.normal(KEY, (7, 5))
    out = annotax.vmap(call)(models, xs)
    assert out.shape == (7, 4)
    third = jax.tree.map(lambda leaf: leaf[3] if eqx.is_array(leaf) else leaf, models)
    np.testing.assert_allclose(out[3], third(xs[3]), rtol=1e-5, atol=1e-6)
    assert annotax.vmap(call, in_axes={"x": None})(models, xs[0]).shape == (7, 4)


def test_vmap_of_a_method_maps_the_arrays_of_its_module():
    same(Increment(5).mapped(jnp.array([1.0])), jnp.array([6.0]))
    same(Increment(jnp.array([1.0, 2.0])).mapped(jnp.array([3.0, 4.0])), jnp.array([4.0, 6.0]))


@pytest.mark.parametrize("of", [lambda module: module, lambda module: module.method], ids=["object", "method"])
def test_vmap_around_a_bound_method_or_a_callable_module_shares_the_module(of):
    same(annotax.vmap(of(Increment(5)))(jnp.array([1.0])), jnp.array([6.0]))
    f = annotax.vmap(of(Increment(jnp.array([1, 2]))))
    same(f(jnp.array([3, 4])), jnp.array([[4, 5], [5, 6]]))


def test_vmap_maps_some_fields_of_a_module_and_shares_others():
    class Batch(eqx.Module):
        x: Array
        mask: Annotated[Array, Axis(None)]

    f = annotax.vmap(lambda batch: jnp.sum(batch.x * batch.mask))
    same(f(Batch(jnp.ones((3, 2)), jnp.array([1.0, 0.0]))), jnp.ones(3))


def test_vmap_names_its_axis_for_collectives():
    f = annotax.vmap(lambda x: jax.lax.psum(x + 1, axis_name="device"), axis_name="device")
    same(f(jnp.zeros(2)), jnp.array([2.0, 2.0]))


def test_vmap_takes_and_returns_a_model_that_holds_functions():
    model = eqx.nn.MLP(2, 2, 2, 2, key=KEY)
    same(annotax.vmap(lambda model: model)(model), model)


def test_vmap_takes_an_axis_for_one_parameter_and_maps_the_others_along_axis_0():
    x, y = jnp.arange(12.0).reshape(3, 4), jnp.arange(3.0).reshape(1, 3)
    same(annotax.vmap(lambda x, y: x + y, in_axes={"y": 1})(x, y), x + y.T)


def test_vmap_shares_a_default_that_is_a_number_and_cannot_map_it():
    x = jnp.ones((3, 4))
    same(annotax.vmap(lambda x, y=1: x + y, in_axes={"x": 0})(x), x + 1)
    with pytest.raises(AxisError, match="argument y"):
        annotax.vmap(lambda x, y=1: x, in_axes={"y": 0})(x)


def test_vmap_maps_keyword_arguments_and_shares_numbers_among_them():
    def f(*args: Any, **kwargs: Any) -> Any:
        return kwargs["x"]

    f = annotax.vmap(f)
    same(f(x=jnp.array([3]), y=4), jnp.array([3]))
    same(f(x=jnp.array([3]), y=jnp.array([4])), jnp.array([3]))
    same(f(x=jnp.array([3]), y=jnp.array(4)), jnp.array([3]))
    with pytest.raises(ValueError, match="vmap"):
        f(x=jnp.array(3))


# --- partition, combine, mask ----------------------------------------------------------------------------------------

TREES = [
    [1, 2.0, [3, "hi", {"a": jnp.array(1.0), "b": 4, "c": mlp()}]],
    [1, 1, 1, 1, "hi"],
    [1.0, object(), np.ones(2), KEY, None, jnp.arange(3)],
]


@pytest.mark.parametrize("tree", TREES, ids=["model", "no floats", "objects"])
def test_partition_and_combine_give_the_tree_back_in_either_order(tree):
    trained, rest = annotax.partition(tree)
    assert eqx.tree_equal(annotax.combine(trained, rest), tree)
    assert eqx.tree_equal(annotax.combine(rest, trained), tree)


@pytest.mark.parametrize("tree", TREES, ids=["model", "no floats", "objects"])
def test_partition_keeps_what_has_a_gradient_apart_from_the_rest(tree):
    trained, rest = annotax.partition(tree)
    assert all(map(eqx.is_inexact_array_like, jax.tree.leaves(trained)))
    assert not any(map(eqx.is_inexact_array_like, jax.tree.leaves(rest)))
    assert len(jax.tree.leaves(trained)) + len(jax.tree.leaves(rest)) == len(jax.tree.leaves(tree))


def test_partition_of_a_model_is_what_equinox_makes_with_is_inexact_array():
    ours, theirs = annotax.partition(mlp()), eqx.partition(mlp(), eqx.is_inexact_array)
    assert eqx.tree_equal(ours, theirs)


def test_partition_splits_by_kind_of_leaf_as_jax_differentiates():
    leaves = [1, 2.0, True, object(), jnp.array([1]), jnp.array(1.0), np.array(1.0), np.array(1), "a"]
    assert annotax.mask(leaves) == [False, True, False, False, False, True, True, False, False]
    assert annotax.mask(leaves) == [eqx.is_inexact_array_like(leaf) for leaf in leaves]


def test_partition_by_the_path_of_a_subtree():
    trained, rest = annotax.partition([(1.0,), 2.0], wrt="[0]")
    assert trained == [(1.0,), None]
    assert rest == [(None,), 2.0]
    assert annotax.combine(trained, rest) == [(1.0,), 2.0]


def test_partition_takes_no_filter_spec_and_a_path_that_leads_nowhere_raises():
    with pytest.raises(TypeError):
        annotax.partition([1.0, 2.0], [True, False])  # type: ignore[call-arg]
    with pytest.raises(DifferentiationError, match="does not exist"):
        annotax.partition([1.0, 2.0], wrt="[2]")


def test_combine_joins_more_than_two_trees_and_takes_the_first_leaf_that_is_there():
    assert annotax.combine([1, None, None], [None, 2, None], [None, None, 3]) == [1, 2, 3]
    assert annotax.combine([1, None], [5, 2]) == [1, 2]
    assert annotax.combine([None], [None]) == [None]


def test_combine_refuses_trees_of_different_structures():
    with pytest.raises(AnnotaxError, match="not of one structure"):
        annotax.combine([1, None], [None])


def test_mask_is_the_filter_spec_that_equinox_takes():
    model = mlp()
    spec = annotax.mask(model, wrt="layers[-1]")
    assert eqx.tree_equal(eqx.partition(model, spec), annotax.partition(model, wrt="layers[-1]"))
    assert eqx.tree_equal(annotax.combine(*eqx.partition(model, spec)), model)


def test_apply_updates_of_equinox_takes_our_gradients():
    model = mlp()
    gradient = annotax.grad(lambda model: sum_of_floats(model))(model)
    updated = eqx.apply_updates(model, gradient)
    jax.tree.map(lambda new, old: same(new, old + 1), *(annotax.partition(tree)[0] for tree in (updated, model)))
    assert updated.activation is model.activation


# --- frozen layers ---------------------------------------------------------------------------------------------------


def train(step: Callable[..., Any], model: Any) -> Any:
    x = jax.random.normal(jax.random.key(7), (16, 2))
    y = 5 * x - 2
    for _ in range(5):
        gradient = step(model, x, y)
        model = eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, gradient))
    return model


def moved(new: Any, old: Any) -> list[bool]:
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    return [not bool((one == other).all()) for one, other in pairs if eqx.is_array(one)]


def test_freezing_all_but_the_last_layer_by_partition_trains_that_layer_alone():
    @annotax.transform(annotax.jit, annotax.grad)
    def loss(trained: eqx.nn.MLP, rest: NoDiff[eqx.nn.MLP], x: NoDiff[Array], y: NoDiff[Array]) -> Array:
        return jnp.mean((y - annotax.vmap(annotax.combine(trained, rest))(x)) ** 2)

    before = mlp()
    after = train(lambda model, x, y: loss(*annotax.partition(model, wrt="layers[-1]"), x, y), before)
    assert moved(after, before) == [False, False, False, False, True, True]


def test_freezing_all_but_the_last_layer_by_a_mask_as_filter_spec_trains_that_layer_alone():
    def loss(trained: eqx.nn.MLP, rest: NoDiff[eqx.nn.MLP], x: NoDiff[Array], y: NoDiff[Array]) -> Array:
        return jnp.mean((y - jax.vmap(eqx.combine(trained, rest))(x)) ** 2)

    before = mlp()
    spec = annotax.mask(before, wrt=["layers[-1].weight", "layers[-1].bias"])
    after = train(lambda model, x, y: annotax.grad(loss)(*eqx.partition(model, spec), x, y), before)
    assert moved(after, before) == [False, False, False, False, True, True]


@BOTH
def test_freezing_a_layer_by_a_field_needs_no_partition(outer):
    class Model(eqx.Module):
        backbone: NoDiff[eqx.nn.MLP]
        head: eqx.nn.Linear

    def loss(model: Model, x: NoDiff[Array], y: NoDiff[Array]) -> Array:
        return jnp.mean((y - jax.vmap(lambda x: model.head(model.backbone(x)))(x)) ** 2)

    before = Model(mlp(), eqx.nn.Linear(2, 2, key=KEY))
    step = outer(annotax.grad(loss))
    after = train(step, before)
    assert moved(after.backbone, before.backbone) == [False] * 6
    assert moved(after.head, before.head) == [True, True]
    gradient = step(before, jnp.ones((1, 2)), jnp.ones((1, 2)))
    assert jax.tree.leaves(gradient.backbone) == []
    assert isinstance(gradient.backbone, eqx.nn.MLP)


def test_freezing_by_a_field_holds_at_any_depth_and_in_containers():
    class Layer(eqx.Module):
        weight: Array
        scale: NoDiff[Array]

    def loss(layers: list[dict[str, Layer]]) -> Array:
        return sum((jnp.sum(layer["a"].weight * layer["a"].scale) for layer in layers), start=jnp.array(0.0))

    gradient = annotax.grad(loss)([{"a": Layer(jnp.ones(2), jnp.ones(2))}, {"a": Layer(jnp.ones(2), jnp.ones(2))}])
    assert [layer["a"].scale for layer in gradient] == [None, None]
    same([layer["a"].weight for layer in gradient], [jnp.ones(2), jnp.ones(2)])


def test_a_frozen_field_is_thawed_by_its_path():
    class Model(eqx.Module):
        weight: Array
        basis: NoDiff[Array]

    f = annotax.grad(lambda model: jnp.sum(model.weight * model.basis), wrt="model.basis")
    same(f(Model(jnp.full(2, 3.0), jnp.ones(2))), jnp.full(2, 3.0))


def test_a_frozen_field_goes_to_the_rest_in_partition_and_is_false_in_mask():
    class Model(eqx.Module):
        weight: Array
        basis: NoDiff[Array]
        activation: Callable[..., Any]

    model = Model(jnp.ones(2), jnp.ones(2), jnp.tanh)
    assert eqx.tree_equal(annotax.mask(model), Model(True, False, False))  # type: ignore[arg-type]
    trained, rest = annotax.partition(model)
    assert trained.basis is None
    assert trained.activation is None
    assert rest.weight is None
    assert rest.basis is model.basis


# --- the other filtered transforms -----------------------------------------------------------------------------------


def test_checkpoint_of_a_model_changes_no_gradient():
    model, x = mlp(inputs=1), jnp.array([1.0])
    plain = annotax.grad(lambda model, x: jnp.sum(model(x)), wrt="model")(model, x)
    kept = annotax.grad(lambda model, x: jnp.sum(annotax.checkpoint(model)(x)), wrt="model")(model, x)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), kept, plain)


@pytest.mark.parametrize("x", [jnp.ones(1), jax.ShapeDtypeStruct((1,), jnp.float32)], ids=["array", "shape"])
def test_eval_shape_takes_functions_and_strings_and_returns_them(x):
    def call(one: Callable[..., Any], other: Callable[..., Any], x: Array, which: str) -> Any:
        return (one(x), "one") if which == "one" else (other(x), "other")

    model = mlp(inputs=1)
    shape, name = annotax.eval_shape(call, model, jax.nn.relu, x, "one")
    assert (shape.shape, name) == ((2,), "one")
    shape, name = annotax.eval_shape(call, model, jax.nn.relu, x, which="other")
    assert (shape.shape, name) == ((1,), "other")


def test_eval_shape_makes_a_model_without_its_numbers():
    model = annotax.eval_shape(lambda key: mlp(key=key), KEY)
    assert isinstance(model.layers[0].weight, jax.ShapeDtypeStruct)
    assert model.layers[0].weight.shape == (3, 2)


def test_make_jaxpr_takes_a_model_that_holds_functions():
    jaxpr = annotax.make_jaxpr(lambda model, x: (model(x), "name"))(mlp(), jnp.ones(2))
    assert [out.aval.shape for out in jaxpr.jaxpr.outvars] == [(2,)]
    assert sum(equation.primitive.name == "dot_general" for equation in jaxpr.jaxpr.eqns) == 3


def test_jvp_leaves_out_what_has_no_derivative():
    primals = [jnp.array(2.0), 3, "name"]
    out, tangent = annotax.jvp(lambda x: x[0] ** 2 * x[1], (primals,), ([jnp.array(5.0), None, None],))
    assert (out, tangent) == (12.0, 60.0)


def test_jvp_ignores_the_tangent_of_what_has_no_derivative_where_equinox_raises():
    primals, tangents = [jnp.array(2.0), jnp.array(3)], [jnp.array(5.0), jnp.array(1.0)]
    assert annotax.jvp(lambda x: x[0] ** 2 * x[1], (primals,), (tangents,)) == (12.0, 60.0)


def test_jvp_gives_the_tangent_of_an_integer_result_as_jax_does_where_equinox_gives_none():
    _, (tangent, of_integer) = annotax.jvp(lambda x: (x, x.astype(int)), (jnp.array(2.0),), (jnp.array(5.0),))
    assert tangent == 5.0
    assert of_integer.dtype == jax.dtypes.float0


def test_jvp_refuses_a_tangent_of_the_wrong_dtype():
    with pytest.raises(TypeError):
        annotax.jvp(lambda x: x**2, (jnp.array(2.0),), (jnp.array(5),))


def test_jvp_takes_no_none_for_a_float_but_leaves_out_a_parameter_that_is_not_differentiated():
    with pytest.raises((TypeError, ValueError, AnnotaxError)):
        annotax.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, None))

    def f(x: float, y: NoDiff[float]) -> float:
        return x * y

    assert annotax.jvp(f, (2.0, 3.0), (1.0,)) == (6.0, 3.0)


def test_vjp_of_a_model_gives_cotangents_with_none_where_there_is_no_derivative():
    def f(model, x, y, name):
        return model(jnp.array([1.0, 2.0])) + x + y

    model = mlp(outputs=3)
    out, pullback = annotax.vjp(f, model, jnp.array(1), 1.0, "name")
    assert out.shape == (3,)
    d_model, d_x, d_y, d_name = pullback(jnp.array([1.0, 2.0, 3.0]))
    assert jax.tree.structure(d_model) == jax.tree.structure(eqx.filter(model, eqx.is_inexact_array))
    assert d_x is None
    assert d_y == 6.0  # a Python float has a cotangent; Equinox gives None
    assert d_name is None


def test_vjp_hands_output_that_is_no_array_through_if_it_is_marked_aux():
    def f(x: Array) -> tuple[Array, Aux[str]]:
        return 2 * x, "name"

    out, pullback, aux = annotax.vjp(f, jnp.array(1.0))
    assert (out, pullback(jnp.array(1.0)), aux) == (2.0, 2.0, "name")


def test_hessian_jacfwd_and_jacrev_agree_with_jax():
    def f(x, y):
        return jnp.sin(x) * y

    x, y = jnp.array(1.0), jnp.array(2.0)
    np.testing.assert_allclose(annotax.hessian(f, wrt="x")(x, y), jax.hessian(f)(x, y), rtol=1e-6)
    np.testing.assert_allclose(annotax.jacfwd(f, wrt="x")(x, y), jax.jacfwd(f)(x, y), rtol=1e-6)
    np.testing.assert_allclose(annotax.jacrev(f, wrt="x")(x, y), jax.jacrev(f)(x, y), rtol=1e-6)


def test_custom_jvp_takes_a_function_as_an_argument():
    @annotax.custom_jvp
    def call(fn: Static[Callable[..., Any]], x: Any) -> Any:
        return fn(x)

    @call.defjvp
    def _(primals, tangents, *, fn):
        (x,), (tangent,) = primals, tangents
        return call(fn, x), tangent**2

    def f(a):
        return a**2 + 1

    assert [call(f, 1), call(f, 1.0), call(f, jnp.array(1.0))] == [2, 2.0, 2.0]
    assert jax.jvp(lambda x: call(f, x), (2.0,), (3.0,)) == (5.0, 9.0)


def test_custom_vjp_takes_a_keyword_only_function():
    @annotax.custom_vjp
    def call(x: Array, *, fn: Static[Callable[..., Any]]) -> Array:
        return fn(x)

    call.defvjp(lambda x, *, fn: (fn(x), x), lambda x, cotangent, *, fn: 10 * cotangent)
    assert call(2.0, fn=jnp.square) == 4.0
    assert annotax.grad(lambda x: call(x, fn=jnp.square))(2.0) == 10.0


# --- the table -------------------------------------------------------------------------------------------------------


def rows() -> list[list[str]]:
    """The cells of the rows of the tables."""
    _, tables = PAGE.read_text().split("## What Equinox's tests check")
    lines = [line for line in tables.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "Equinox" and not set(row[0]) <= {"-", " ", ":"}]


def test_the_table_names_only_tests_that_exist_and_names_all_of_them():
    named = [name for row in rows() for name in re.findall(r"`(test_\w+)`", row[2])]
    here = {name for name in globals() if name.startswith("test_") and not name.startswith("test_the_table")}
    assert sorted(named) == sorted(set(named))
    assert set(named) == here


def test_the_table_says_of_each_row_whether_annotax_does_the_same():
    assert all(len(row) == 4 for row in rows())
    assert {re.split(r"[:;,.]", row[3])[0] for row in rows()} == {"same", "on purpose", "more", "not offered"}
