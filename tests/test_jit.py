"""`jit`: what is static and donated, what is inferred, and what a compiled function offers beside its call."""

import dataclasses
import enum
import functools
import gc
import inspect
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Annotated, Any, Literal

import cloudpickle
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export

import annotax
from annotax import CheckError, Donate, NoDiff, Static, StaticValueError, jit


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@jit
def filled(x: Array, *, n: Static[int] = 2) -> Array:
    """A decorated function that pickles by name."""
    return jnp.full((n,), x)


# --- static parameters -----------------------------------------------------------------------------------------------


def test_a_static_parameter_is_a_python_value_inside():
    @jit
    def f(x, n: Static[int]):
        assert type(n) is int
        return jnp.full((n,), x)

    assert f(1.0, 3).shape == (3,)


def test_another_static_value_is_another_trace():
    traces = []

    @jit
    def f(x, n: Static[int]):
        traces.append(n)
        return x

    for n in (1, 2, 1, 2):
        f(1.0, n)
    assert traces == [1, 2]


def test_an_equal_static_value_is_the_same_trace():
    traces = []

    @jit
    def f(x, name: Static[tuple[str, ...]]):
        traces.append(name)
        return x

    f(1.0, ("a", "b"))
    f(1.0, tuple("ab"))
    assert len(traces) == 1


def test_another_type_shape_or_dtype_of_a_traced_argument_is_another_trace():
    traces = []

    @jit
    def f(x):
        traces.append(x.shape)
        return x

    for x in (jnp.ones(2), jnp.zeros(2), jnp.ones(3), jnp.ones(2, int)):
        f(x)
    assert len(traces) == 3


def test_a_static_parameter_may_have_an_unhashable_default_that_is_never_used():
    @jit
    def f(x, n: Static[Any] = [1]):  # noqa: B006
        return x

    assert f(1.0, n=2) == 1.0


def test_a_static_object_with_identity_is_allowed_where_it_is_marked():
    class Config:
        n = 3

    @jit
    def f(x, config: Static[Config]):
        return jnp.full((config.n,), x)

    assert f(1.0, Config()).shape == (3,)


@pytest.mark.parametrize("hint", [inspect.Parameter.empty, Any, Annotated[Any, NoDiff]], ids=str)
def test_a_number_is_traced_where_only_the_default_is_a_string(hint):
    def f(x, scale="none"):
        return x if isinstance(scale, str) else x * scale

    if hint is not inspect.Parameter.empty:
        f.__annotations__["scale"] = hint
    compiled = jit(f)
    assert [float(compiled(2.0, scale)) for scale in (0.5, 1.5, 2.5)] == [1.0, 3.0, 5.0]
    assert len(compiled.traces) == 1
    assert float(compiled(2.0)) == 2.0


# --- donated parameters ----------------------------------------------------------------------------------------------


def test_a_donated_argument_is_deleted_by_the_call():
    @jit
    def f(state: Donate[Array], x: Array):
        return state + x

    state, x = jnp.ones(3), jnp.ones(3)
    f(state, x)
    assert state.is_deleted()
    assert not x.is_deleted()


def test_a_donated_argument_is_deleted_however_it_is_passed():
    @jit
    def f(x: Array, *, state: Donate[Array]):
        return state + x

    state = jnp.ones(3)
    f(state=state, x=jnp.ones(3))
    assert state.is_deleted()


def test_every_array_of_a_donated_tree_is_deleted():
    @jit
    def f(state: Donate[dict[str, Array]]):
        return jax.tree.map(lambda x: x + 1, state)

    state = {"a": jnp.ones(3), "b": jnp.ones(2)}
    f(state)
    assert all(x.is_deleted() for x in state.values())


def test_a_donated_tree_that_also_holds_a_string_gives_its_arrays_away():
    @jit
    def f(state: Donate[dict[str, Any]]):
        return state["w"] + 1

    state = {"w": jnp.ones(3), "kind": "relu"}
    f(state)
    assert state["w"].is_deleted()


# --- what is inferred ------------------------------------------------------------------------------------------------


def _name(value: Any) -> str:
    """A test id that is the same in every process."""
    return getattr(value, "__name__", type(value).__name__) if " at 0x" in str(value) else str(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, "sum"),
        (bytes, b"sum"),
        (Callable[[Array], Array], jnp.sin),
        (Callable, jnp.sin),
        (type, dict),
        (type[Array], Array),
        (Colour, Colour.RED),
        (Level, Level.HIGH),
        (np.dtype, np.dtype("int32")),
        (jax.typing.DTypeLike, jnp.int32),
        (jax.typing.DTypeLike, "int32"),
        (Literal["a", "b"], "a"),
        (Literal[1, 2], 2),
        (Literal[True], True),
        (str | None, None),
        (str | None, "sum"),
        (tuple[str, ...], ("a", "b")),
        (tuple[str, ...], ()),
    ],
    ids=_name,
)
def test_a_value_of_a_type_that_can_never_be_traced_is_static(hint, value):
    seen = []

    def f(x, option):
        seen.append(option)
        return x

    f.__annotations__["option"] = hint
    assert jit(f)(1.0, value) == 1.0
    assert jit(f)(1.0, option=value) == 1.0
    assert seen == [value]
    assert type(seen[0]) is type(value)


@pytest.mark.parametrize(
    "value",
    ["sum", b"sum", jnp.sin, dict, Colour.RED, np.dtype("int32"), jnp.int32, max, functools.partial(max, 1), None],
    ids=_name,
)
def test_a_value_that_can_never_be_traced_is_static_without_a_hint(value):
    seen = []

    @jit
    def f(x, option):
        seen.append(option)
        return x

    assert f(1.0, value) == f(1.0, option=value) == 1.0
    assert seen == [value]


@pytest.mark.parametrize("value", ["sum", jnp.sin, Colour.RED, jnp.int32], ids=_name)
def test_a_default_that_can_never_be_traced_is_static(value):
    seen = []

    def f(x, option=None):
        seen.append(option)
        return x

    f.__defaults__ = (value,)
    f = jit(f)
    assert f(1.0) == f(1.0, value) == f(1.0, option=value) == 1.0
    assert seen == [value]


def test_another_inferred_value_is_another_trace():
    @jit
    def f(x, kind: str):
        return x if kind == "same" else -x

    assert [f(1.0, "same"), f(1.0, "other"), f(1.0, kind="same")] == [1.0, -1.0, 1.0]


def test_a_parameter_with_a_function_for_a_default_takes_an_array_all_the_same():
    @jit
    def f(x, scale=jnp.sin):
        return x * scale if isinstance(scale, Array) else scale(x)

    assert f(0.0) == 0.0
    assert f(2.0, jnp.array(3.0)) == 6.0
    assert f(0.0) == 0.0


def test_a_leaf_that_cannot_be_traced_is_static_beside_arrays_that_are_traced():
    traces = []

    @jit
    def f(layer: dict[str, Any], x):
        traces.append(layer["kind"])
        return {"relu": jax.nn.relu, "tanh": jnp.tanh}[layer["kind"]](layer["w"] * x)

    assert f({"w": jnp.array(2.0), "kind": "relu"}, 1.0) == 2.0
    assert f({"w": jnp.array(3.0), "kind": "relu"}, 1.0) == 3.0
    assert f({"w": jnp.array(0.0), "kind": "tanh"}, 1.0) == 0.0
    assert traces == ["relu", "tanh"]


def test_a_changed_list_of_strings_is_another_trace():
    @jit
    def f(x, kinds: list[str]):
        return x * len(kinds)

    kinds = ["a"]
    assert f(1.0, kinds) == 1.0
    kinds.append("b")
    assert f(1.0, kinds) == 2.0


def test_a_model_that_holds_functions_is_traced():
    traces = []

    @jit
    def predict(model: eqx.nn.MLP, x: Array) -> Array:
        traces.append(1)
        return model(x)

    first, second = (eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(i)) for i in (0, 1))
    np.testing.assert_allclose(predict(first, jnp.ones(2)), first(jnp.ones(2)), rtol=1e-6)
    np.testing.assert_allclose(predict(second, jnp.ones(2)), second(jnp.ones(2)), rtol=1e-6)
    assert not np.array_equal(first(jnp.ones(2)), second(jnp.ones(2)))
    assert len(traces) == 1


def test_a_callable_parameter_given_a_model_is_traced():
    traces = []

    @jit
    def apply(function: Callable[[Array], Array], x: Array) -> Array:
        traces.append(1)
        return function(x)

    first, second = (eqx.nn.Linear(2, 1, key=jax.random.key(i)) for i in (0, 1))
    for model in (first, second, first):
        np.testing.assert_allclose(apply(model, jnp.ones(2)), model(jnp.ones(2)), rtol=1e-6)
    assert len(traces) == 1


def test_a_callable_parameter_given_a_partial_of_jax_is_traced():
    traces = []

    @jit
    def apply(function: Callable[[Array], Array], x: Array) -> Array:
        traces.append(1)
        return function(x)

    for factor in (2.0, 3.0):
        assert apply(jax.tree_util.Partial(jnp.multiply, jnp.array(factor)), jnp.array(1.0)) == factor
    assert len(traces) == 1


def test_a_callable_parameter_takes_functions_and_models_in_turn():
    @jit
    def apply(function: Callable[[Array], Array], x: Array) -> Array:
        return function(x)

    model = jax.tree_util.Partial(jnp.multiply, jnp.array(2.0))
    assert [apply(f, jnp.array(1.0)) for f in (jnp.negative, model, jnp.negative, model)] == [-1.0, 2.0, -1.0, 2.0]


def test_calls_with_arrays_alone_keep_their_trace_after_a_call_with_a_string():
    traces = []

    @jit
    def f(x, scale):
        traces.append(1)
        return x if isinstance(scale, str) else x * scale

    assert [f(2.0, 3.0), f(2.0, "none"), f(2.0, 3.0), f(2.0, "none")] == [6.0, 2.0, 6.0, 2.0]
    assert len(traces) == 2


def test_a_frozen_dataclass_that_is_no_pytree_is_a_constant_by_value():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n: int

    traces = []

    @jit
    def f(x, config: Config):
        traces.append(1)
        return jnp.full((config.n,), x)

    assert [f(1.0, Config(n)).shape for n in (2, 3, 2)] == [(2,), (3,), (2,)]
    assert len(traces) == 2


class _Identity:
    """An object that could change unseen."""

    def __init__(self) -> None:
        self.n = 1


def test_an_object_that_could_change_unseen_raises_and_says_what_to_do():
    @jit
    def f(x, config):
        return x * config.n

    with pytest.raises(StaticValueError, match=r"(?s)argument config .*_Identity.*mark config Static.*pytree"):
        f(1.0, _Identity())


def test_an_object_that_could_change_unseen_raises_inside_a_container_with_its_path():
    @jit
    def f(x, configs):
        return x * configs["a"][1].n

    with pytest.raises(StaticValueError, match=r"argument configs\['a'\]\[1\]"):
        f(1.0, {"a": [1.0, _Identity()]})


def test_self_of_an_ordinary_class_raises_and_says_what_to_do():
    class Trainer:
        @jit
        def step(self, x):
            return x

    with pytest.raises(StaticValueError, match=r'(?s)argument self .*Static\["Trainer"\].*annotax\.jit\(obj\.method\)'):
        Trainer().step(1.0)


def test_a_callable_object_with_identity_is_a_constant_as_a_parameter():
    class Scaling:
        def __call__(self, x):
            return 2 * x

    @jit
    def apply(function: Callable[[Array], Array], x: Array) -> Array:
        return function(x)

    assert apply(Scaling(), jnp.array(1.0)) == 2.0


def test_self_of_a_callable_ordinary_class_raises():
    class Trainer:
        def __call__(self, x):
            return x

        @jit
        def step(self, x):
            return x

    with pytest.raises(StaticValueError, match="argument self"):
        Trainer().step(1.0)


def test_the_object_of_a_bound_method_is_a_constant():
    trainer = _Identity()
    method = (lambda self, x: x * self.n).__get__(trainer)
    assert jit(method)(3.0) == 3.0


# --- overrides -------------------------------------------------------------------------------------------------------


def _fill(x, n, m=1):
    return jnp.full((n, m), x)


@pytest.mark.parametrize("static", [["n", "m"], ("n", "m"), [1, 2], [-2, -1], [1, "m"], ["m", "n"]], ids=str)
def test_parameters_are_made_static_by_name_and_by_index(static):
    f = jit(_fill, static=static)
    assert f(1.0, 3).shape == f(1.0, n=3).shape == f(1.0, 3, m=1).shape == (3, 1)


@pytest.mark.parametrize("static", ["n", 1, -1], ids=str)
def test_one_parameter_is_made_static_without_a_sequence(static):
    def f(x, n):
        return jnp.full((n,), x)

    assert jit(f, static=static)(1.0, n=3).shape == (3,)


def test_an_override_adds_to_the_markers():
    def f(x, n: Static[int], m):
        return jnp.full((n, m), x)

    assert jit(f, static="m")(1.0, 2, 3).shape == (2, 3)


def test_an_override_wins_over_a_marker():
    def f(n: Donate[NoDiff[int]], x: Array):
        return jnp.full((n,), x)

    assert jit(f, static="n")(3, 1.0).shape == (3,)


def test_a_parameter_of_variadic_kind_is_made_static_by_name():
    def f(x, *sizes, **more):
        return jnp.full((*sizes, *more.values()), x)

    assert jit(f, static=["sizes", "more"])(1.0, 2, 3, n=4).shape == (2, 3, 4)


@pytest.mark.parametrize("donate", ["state", 0, -2, ["state"], [0]], ids=str)
def test_a_parameter_is_donated_by_name_and_by_index(donate):
    def f(state, x):
        return state + x

    state = jnp.ones(3)
    jit(f, donate=donate)(x=jnp.ones(3), state=state)
    assert state.is_deleted()


def test_an_empty_donate_donates_nothing():
    def f(state: Donate[Array]):
        return state + 1

    state = jnp.ones(3)
    jit(f, donate=[])(state)
    assert not state.is_deleted()


def test_inline_is_passed_on():
    def f(x):
        return -x

    def equation(make: Any, inline: bool) -> tuple[str, Any]:
        (eqn,) = jax.make_jaxpr(lambda x: make(f, inline=inline)(x))(1.0).eqns
        return eqn.primitive.name, eqn.params.get("inline")

    assert equation(jit, True) == equation(jax.jit, True)
    assert equation(jit, True) != equation(jit, False)


def test_keep_unused_is_passed_on():
    def f(x, unused):
        return x

    kept, dropped = (jit(f, keep_unused=keep).lower(1.0, 2.0).as_text() for keep in (True, False))
    assert "%arg1" in kept
    assert "%arg1" not in dropped


def test_compiler_options_are_passed_on():
    f = jit(lambda x: x, compiler_options={"no_such_option": True})
    with pytest.raises(Exception, match="no_such_option"):
        f(1.0)


def test_compiler_options_are_used_on_the_road_for_mixed_values_too():
    f = jit(lambda x, kind: x, compiler_options={"no_such_option": True})
    with pytest.raises(Exception, match="no_such_option"):
        f(1.0, "kind")


def test_jit_is_a_bare_decorator_a_decorator_with_options_and_a_function():
    def f(x, n):
        return x * n

    assert jit(f)(2.0, 3) == jit(static="n")(f)(2.0, 3) == jit()(f)(2.0, 3) == jit(f, static="n")(2.0, 3) == 6.0


# --- ahead of time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [lambda f: f(1.0, n=3), lambda f: f(x=1.0, n=3), lambda f: f(n=3, x=1.0)],
    ids=["position", "keyword", "order"],
)
def test_a_compiled_function_is_called_as_the_function(call):
    compiled = filled.lower(1.0, n=3).compile()
    assert call(compiled).shape == (3,)


def test_a_compiled_function_knows_the_defaults():
    assert filled.lower(1.0).compile()(x=1.0).shape == (2,)
    assert filled.lower(1.0).compile()(1.0, n=2).shape == (2,)


def test_a_compiled_function_refuses_another_static_value_than_its_own():
    compiled = filled.lower(1.0, n=3).compile()
    with pytest.raises(StaticValueError, match=r"(?s)filled\(\).*another value of n.*got\s+4.*expected\s+3"):
        compiled(1.0, n=4)


def test_a_compiled_function_refuses_an_equal_static_value_of_another_type():
    f = jit(lambda x, n: x, static="n")
    with pytest.raises(StaticValueError, match="another value of n"):
        f.lower(1.0, n=1).compile()(1.0, n=True)


def test_a_compiled_function_refuses_the_default_where_it_was_compiled_for_another_value():
    with pytest.raises(StaticValueError, match="another value of n"):
        filled.lower(1.0, n=3).compile()(1.0)


def test_a_compiled_function_takes_a_value_that_was_inferred_to_be_static():
    @jit
    def f(x, kind: str = "same"):
        return x if kind == "same" else -x

    compiled = f.lower(1.0, kind="other").compile()
    assert compiled(2.0, "other") == -2.0
    with pytest.raises(StaticValueError, match="another value of kind"):
        compiled(2.0)


def test_a_compiled_function_takes_a_tree_of_arrays_and_strings():
    @jit
    def f(layer):
        return layer["w"] * 2

    compiled = f.lower({"w": 1.0, "kind": "relu"}).compile()
    assert compiled({"w": 3.0, "kind": "relu"}) == 6.0
    with pytest.raises(StaticValueError, match="static"):
        compiled({"w": 3.0, "kind": "tanh"})


def test_a_compiled_function_takes_args_and_kwargs():
    @jit
    def f(x, *args, **kwargs: Static[int]):
        return jnp.full((kwargs["n"], kwargs["m"]), x + sum(args))

    compiled = f.lower(1.0, 2.0, n=2, m=3).compile()
    assert compiled(1.0, 3.0, m=3, n=2).tolist() == [[4.0] * 3] * 2


def test_lowering_takes_abstract_values():
    assert filled.lower(jax.ShapeDtypeStruct((), jnp.float32), n=3).compile()(1.0, n=3).shape == (3,)


def test_lower_binds_as_the_function_does():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        filled.lower(n=3)


def test_lowering_offers_what_jax_offers():
    lowered = filled.lower(1.0, n=3)
    assert lowered.out_info.shape == (3,)
    assert "tensor<3xf32>" in lowered.as_text()
    assert lowered.compile().cost_analysis() is not None


def test_tracing_goes_on_to_lowering_and_compiling():
    traced = filled.trace(1.0, n=3)
    assert traced.out_info.shape == (3,)
    assert traced.jaxpr is not None
    assert traced.lower().compile()(1.0, n=3).shape == (3,)


def test_eval_shape_takes_the_call_as_the_function_does():
    assert filled.eval_shape(x=1.0).shape == (2,)
    assert filled.eval_shape(jax.ShapeDtypeStruct((), jnp.float32), n=3).shape == (3,)


def test_clear_cache_forgets_the_traces():
    traces = []

    @jit
    def f(x):
        traces.append(1)
        return x

    f(1.0)
    f.clear_cache()
    f(1.0)
    assert len(traces) == 2


def test_clear_cache_forgets_the_traces_of_mixed_values():
    traces = []

    @jit
    def f(x, kind):
        traces.append(1)
        return x

    f(1.0, "a")
    f.clear_cache()
    f(1.0, "a")
    assert len(traces) == 2


def test_lower_before_any_call_shares_the_trace_of_the_call():
    traces = []

    @jit
    def f(x, *, n: Static[int] = 2):
        traces.append(1)
        return x

    f.lower(1.0)
    f(1.0, n=2)
    assert len(traces) == 1


def test_a_method_is_lowered_through_its_class():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n: int

        @jit
        def fill(self, x):
            return jnp.full((self.n,), x)

    assert Config.fill.lower(Config(3), 1.0).compile()(Config(3), x=1.0).shape == (3,)


def test_a_bound_method_that_was_decorated_is_lowered():
    class Config:
        def fill(self, x, *, n: Static[int]):
            return jnp.full((n,), x)

    assert jit(Config().fill).lower(1.0, n=3).compile()(x=1.0, n=3).shape == (3,)


def test_a_function_can_be_exported():
    exported = export.export(filled)(jax.ShapeDtypeStruct((), jnp.float32), n=3)
    assert exported.call(1.0).shape == (3,)


def test_a_function_that_was_called_can_be_exported_for_a_symbolic_shape():
    @jit
    def f(x, kind: str = "sum"):
        return x.sum() if kind == "sum" else x

    f(jnp.ones(3))
    exported = export.export(f)(jax.ShapeDtypeStruct(export.symbolic_shape("b"), jnp.float32))
    assert [exported.call(jnp.ones(n)) for n in (2, 5)] == [2.0, 5.0]


# --- inside other transforms -----------------------------------------------------------------------------------------


def test_it_is_differentiated_and_mapped_and_compiled_by_jax():
    @jit
    def f(x, *, n: Static[int] = 2):
        return x**n

    assert jax.grad(f)(3.0) == 6.0
    assert jax.vmap(f)(jnp.arange(3.0)).tolist() == [0.0, 1.0, 4.0]
    assert jax.jit(lambda x: f(x, n=3))(2.0) == 8.0


def test_a_wrapper_does_not_lower_as_the_function_that_it_wraps():
    f = jit(lambda x: 3 * x)

    @jax.jit
    @functools.wraps(f)
    def doubled(x):
        return 2 * f(x)

    assert doubled.lower(1.0).compile()(1.0) == doubled(1.0) == 6.0


def test_a_function_that_jax_mapped_does_not_lower_as_the_function_itself():
    f = jit(lambda x: x.sum())
    assert jax.jit(jax.vmap(f)).lower(jnp.ones((2, 3))).out_info.shape == (2,)


def test_options_of_an_outer_jit_of_jax_hold_when_it_is_lowered():
    f = jit(lambda x: x + 1)
    assert jax.jit(f, donate_argnums=0).lower(jnp.ones(3)).args_info[0][0].donated


def test_it_works_inside_another_compiled_function():
    @jit
    def inner(x, kind: str, n: Static[int]):
        return jnp.full((n,), x) if kind == "fill" else x

    @jit
    def outer(x, *, n: Static[int]):
        return inner(x, "fill", n).sum()

    assert outer(2.0, n=3) == 6.0


def test_it_works_with_jit_disabled():
    with jax.disable_jit():
        assert filled(1.0, n=3).shape == (3,)
        assert jit(lambda x, kind: x)(1.0, "kind") == 1.0


def test_it_works_after_the_caches_of_jax_are_cleared():
    assert filled(1.0, n=3).shape == (3,)
    jax.clear_caches()
    assert filled(1.0, n=3).shape == (3,)


def test_a_call_that_failed_does_not_spoil_the_next():
    @jit
    def f(x, n: Static[int] = 1):
        if n == 2:
            raise ValueError("two")
        return x

    for n in (1, 2, 1):
        if n == 2:
            with pytest.raises(ValueError, match="two"):
                f(1.0, n)
        else:
            assert f(1.0, n) == 1.0


def test_a_recursive_function_works():
    @jit
    def power(x, n: Static[int]):
        return x * power(x, n - 1) if n else 1.0

    assert power(2.0, 5) == 32.0


# --- pickling --------------------------------------------------------------------------------------------------------


def test_a_decorated_function_of_a_module_pickles_by_name():
    assert pickle.loads(pickle.dumps(filled)) is filled


@pytest.mark.parametrize("called", [False, True], ids=["before a call", "after a call"])
def test_a_local_decorated_function_cloudpickles(called):
    @jit
    def f(x, kind: str = "same", *, n: Static[int] = 2):
        return jnp.full((n,), x)

    if called:
        f(1.0)
    assert cloudpickle.loads(cloudpickle.dumps(f))(1.0, n=3).shape == (3,)


def test_a_function_that_met_mixed_values_cloudpickles():
    @jit
    def f(x, scale):
        return x if isinstance(scale, str) else x * scale

    f(1.0, "none")
    again = cloudpickle.loads(cloudpickle.dumps(f))
    assert again(2.0, "none") == 2.0
    assert again(2.0, 3.0) == 6.0


def test_a_pipeline_cloudpickles_after_a_call():
    @annotax.transform(jit, annotax.value_and_grad)
    def f(w, *, n: Static[int] = 2):
        return w**n

    f(1.0)
    again = cloudpickle.loads(cloudpickle.dumps(f))
    assert again(3.0, n=2) == (9.0, 6.0)
    assert again.lower(3.0).compile()(3.0) == (9.0, 6.0)


def test_a_decorated_bound_method_cloudpickles():
    class Trainer:
        def __init__(self):
            self.rate = 0.5

        def step(self, x, *, n: Static[int]):
            return jnp.full((n,), x * self.rate)

    step = jit(Trainer().step)
    step(1.0, n=2)
    assert cloudpickle.loads(cloudpickle.dumps(step))(4.0, n=2).tolist() == [2.0, 2.0]


def test_a_class_with_decorated_methods_cloudpickles():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n: int

        @jit
        def fill(self, x):
            return jnp.full((self.n,), x)

    Config(3).fill(1.0)
    assert cloudpickle.loads(cloudpickle.dumps(Config(3))).fill(1.0).shape == (3,)


def test_a_cloudpickled_function_works_in_another_process():
    @jit
    def f(x, kind: str = "same", *, n: Static[int] = 2):
        return jnp.full((n,), x)

    f(1.0)
    code = "import sys, cloudpickle; f = cloudpickle.load(sys.stdin.buffer); print(f(1.0, n=3).shape, f.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=cloudpickle.dumps(f),
        capture_output=True,
        check=False,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.stdout.decode().split() == ["(3,)", "f"], done.stderr.decode()


# --- nothing outlives its use ----------------------------------------------------------------------------------------
# What is referred to is made and used inside a function of its own: a frame that runs may keep what it held.


def _alive(references: list[weakref.ref[Any]]) -> list[Any]:
    for _ in range(3):  # what a compiled function holds goes in a later pass than the function
        gc.collect()
    return [reference() for reference in references if reference() is not None]


def _raising(x):
    raise ValueError("while tracing")


def _checked(x: dict[str, Array]):
    return x


def _static(x, n: Static[int] = 1):
    return x


def _mixed(x, kind):
    return x


FAILING: dict[str, tuple[Any, dict[str, Any], type[Exception]]] = {
    "an error of the function": (_raising, {}, ValueError),
    "a value that does not fit its hint": (lambda x, y: x, {"z": 1}, TypeError),
    "a hint that does not fit": (_checked, {}, CheckError),
    "an unhashable static value": (_static, {"n": [1]}, StaticValueError),
    "a value that cannot be traced": (_mixed, {"kind": object()}, StaticValueError),
}


def _fails(make: Any, case: str, held: list[Any]) -> weakref.ref[Array]:
    function, more, error = FAILING[case]
    x = jnp.arange(3.0)
    decorated = make(function)
    held.append(decorated)
    try:
        decorated(x, **more)
    except error:
        return weakref.ref(x)
    raise AssertionError("the call did not fail")


@pytest.mark.parametrize(
    ("make", "case"),
    [
        *((jit, case) for case in FAILING),
        *((annotax.grad(wrt=0), case) for case in FAILING if case != "a value that cannot be traced"),
        *((annotax.transform(jit, annotax.grad(wrt=0)), case) for case in FAILING),
    ],
    ids=[
        *FAILING,
        *(f"{case}, grad" for case in FAILING if "traced" not in case),
        *(f"{case}, both" for case in FAILING),
    ],
)
def test_an_array_of_a_call_that_raised_is_not_kept_alive(make, case):
    held: list[Any] = []
    reference = _fails(make, case, held)
    assert _alive([reference]) == []


@pytest.mark.parametrize(("ours", "theirs"), [(jit, jax.jit), (annotax.grad, jax.grad)], ids=["jit", "grad"])
def test_an_array_of_a_call_that_raised_is_freed_as_soon_as_by_jax(ours, theirs):
    held: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        by_jax = _fails(theirs, "an error of the function", held)() is None
        by_annotax = _fails(ours, "an error of the function", held)() is None
    finally:
        gc.enable()
    assert by_annotax or not by_jax


@pytest.mark.parametrize("kind", [None, "a string"], ids=["arrays", "mixed values"])
def test_arrays_of_a_call_are_not_kept_alive(kind):
    def call() -> list[weakref.ref[Array]]:
        x = jnp.arange(3.0)
        y = held(x, kind)
        return [weakref.ref(x), weakref.ref(y)]

    held = jit(lambda x, kind: x + 1)
    references = call()
    assert _alive(references) == []


class _Trainer:
    def __init__(self) -> None:
        self.w = jnp.arange(3.0)

    def step(self, x: Array) -> Array:
        return x + self.w

    def total(self, x: Array) -> Array:
        return jnp.sum(x * self.w)

    def failing(self, x: Array) -> Array:
        raise ValueError("while tracing")

    def mixed(self, x: Array, kind: Any) -> Array:
        return x + self.w


def test_the_object_of_a_decorated_bound_method_goes_with_it():
    def call() -> list[weakref.ref[Any]]:
        trainer = _Trainer()
        step = jit(trainer.step)
        step(jnp.ones(3))
        return [weakref.ref(trainer), weakref.ref(trainer.w)]

    references = call()
    assert _alive(references) == []


def test_the_object_of_a_bound_method_goes_though_its_method_was_decorated_many_ways():
    def call() -> list[weakref.ref[Any]]:
        trainer = _Trainer()
        jit(trainer.step)(jnp.ones(3))
        jit(donate="x")(trainer.step)(jnp.ones(3))
        annotax.grad(trainer.total)(jnp.ones(3))
        jit(trainer.mixed)(jnp.ones(3), "kind")
        jit(trainer.step).lower(jnp.ones(3)).compile()(jnp.ones(3))
        return [weakref.ref(trainer), weakref.ref(trainer.w)]

    references = call()
    assert _alive(references) == []


def test_the_object_of_a_bound_method_goes_after_a_call_that_raised():
    def call() -> weakref.ref[Any]:
        trainer = _Trainer()
        try:
            jit(trainer.failing)(jnp.ones(3))
        except ValueError:
            return weakref.ref(trainer)
        raise AssertionError("the call did not fail")

    reference = call()
    assert _alive([reference]) == []


def test_the_object_of_a_decorated_method_of_a_class_goes():
    def call() -> weakref.ref[Any]:
        model = _Model(jnp.ones(3))
        model.total()
        return weakref.ref(model)

    reference = call()
    assert _alive([reference]) == []


@jax.tree_util.register_dataclass
@dataclasses.dataclass(eq=False)
class _Model:
    w: Array

    @jit
    def total(self) -> Array:
        return jnp.sum(self.w)


def test_a_decorated_function_goes_with_what_it_closes_over():
    def call() -> list[weakref.ref[Any]]:
        w = jnp.arange(3.0)

        @annotax.transform(jit, annotax.grad)
        def f(x):
            return jnp.sum(x * w)

        f(jnp.ones(3))
        return [weakref.ref(f), weakref.ref(f.__wrapped__), weakref.ref(w)]

    references = call()
    assert _alive(references) == []


def test_a_callable_object_goes_with_its_decorated_function():
    class Power:
        def __call__(self, x):
            return x**2

    def call() -> weakref.ref[Any]:
        power = Power()
        jit(power)(2.0)
        return weakref.ref(power)

    reference = call()
    assert _alive([reference]) == []


def test_decorating_an_inner_function_again_and_again_keeps_none_of_them():
    def call() -> list[weakref.ref[Any]]:
        references = []
        for _ in range(3):

            @jit
            def f(x):
                return x

            f(1.0)
            references.append(weakref.ref(f.__wrapped__))
        return references

    references = call()
    assert _alive(references) == []


def test_a_number_of_a_literal_stays_constant_beside_a_tree_that_holds_a_string():
    @jit
    def f(config: dict[str, Any], n: Literal["a", 1, 2], *rest: Literal[3]) -> Array:
        assert type(n) is int
        assert all(type(number) is int for number in rest)
        return config["w"] * n * sum(rest)

    assert f({"name": "s", "w": jnp.array(3.0)}, 2, 3, 3) == 36.0
    assert f({"name": "s", "w": jnp.array(3.0)}, n=1) == 0.0
