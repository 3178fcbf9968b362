"""What raw JAX and jax_dataclasses get wrong without a word, or refuse without a reason: what must hold here.

The cases are those of the project's findings that touch `jit`, `grad` and `value_and_grad`. Seven are silent in raw
JAX, four are failures of raw JAX, four are silent in jax_dataclasses; each stands under a heading.
"""

import functools
import math
from typing import Any, Literal, Optional

import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import Diff, Donate, MarkerError, NoDiff, Static, StaticValueError, grad, jit, transform, value_and_grad

# --- 1. Raw JAX: static values are compared with `==`, and by type only at the top ------------------------------------


class Pair(tuple):
    """A tuple of another class."""

    __slots__ = ()


UNEQUAL = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    (1.0, 1),
    ((1,), (True,)),
    ((1,), (1.0,)),
    ((0.0,), (-0.0,)),
    (((1, 2), 3), ((True, 2), 3)),
    (frozenset({1}), frozenset({True})),
    (complex(0.0, 1.0), complex(-0.0, 1.0)),
    ((1, 2), Pair((1, 2))),
]


@pytest.mark.parametrize(("one", "other"), UNEQUAL, ids=str)
@pytest.mark.parametrize("hint", [Static[Any], Static, None], ids=["Static[Any]", "Static", "override"])
def test_static_values_that_are_equal_but_not_the_same_do_not_share_a_trace(hint, one, other):
    seen = []

    def f(x, value):
        seen.append(value)
        return x

    if hint is not None:
        f.__annotations__["value"] = hint
    f = jit(f) if hint is not None else jit(f, static="value")
    for value in (one, other, one, other):
        f(1.0, value)
    assert list(map(repr, seen)) == [repr(one), repr(other)]


@pytest.mark.parametrize(
    ("hint", "one", "other"),
    [
        (Static[float], 0.0, -0.0),
        (Static[float], 1.0, 1),
        (Static[tuple[float, ...]], (0.0,), (-0.0,)),
        (Static[tuple[int, ...]], (1,), (True,)),
        (Static[tuple[int, ...] | None], (1,), (True,)),
        (Static[complex], 0j, complex(-0.0, 0.0)),
        (Static[int], 1, True),
        (Static[object], (1,), (True,)),
        (tuple[Literal[0, 1, False, True], ...], (1,), (True,)),
    ],
    ids=str,
)
def test_static_values_of_a_hint_that_are_equal_but_not_the_same_do_not_share_a_trace(hint, one, other):
    seen = []

    def f(x, value):
        seen.append(value)
        return x

    f.__annotations__["value"] = hint
    f = jit(f)
    for value in (one, other, one, other):
        f(1.0, value)
    assert list(map(repr, seen)) == [repr(one), repr(other)]


def test_static_values_among_args_and_kwargs_that_are_equal_but_not_the_same_do_not_share_a_trace():
    seen = []

    @jit
    def f(*args: Static[Any], **kwargs: Static[Any]):
        seen.append((args, kwargs))

    for value in (1, True, 1.0, 1, True, 1.0):
        f(value, value=value)
    assert list(map(repr, seen)) == [repr(((v,), {"value": v})) for v in (1, True, 1.0)]


@pytest.mark.parametrize("value", [math.nan, (1.0, math.nan), complex(math.nan, 0.0)], ids=str)
def test_a_static_nan_is_traced_once(value):
    traces = []

    @jit
    def f(x, value: Static[Any]):
        traces.append(1)
        return x

    for _ in range(3):
        f(1.0, value if isinstance(value, tuple) else type(value)(str(value)))
    f(1.0, (1.0, float("nan")) if isinstance(value, tuple) else value)
    assert len(traces) == 1


def test_leaves_that_cannot_be_traced_are_compared_as_strictly():
    seen = []

    @jit
    def f(tree):
        seen.append(tree[1])
        return tree[0]

    for kind in ("a", b"a", "a"):
        f([1.0, kind])
    assert seen == ["a", b"a"]


# --- 2. Raw JAX: a negative index counts from the end of what was passed ----------------------------------------------


def test_a_negative_static_index_counts_from_the_end_of_the_signature():
    def f(a, b=2):
        assert isinstance(a, jax.core.Tracer)
        assert type(b) is int
        return a * b

    f = jit(f, static=-1)
    assert f(1.0, b=2) == f(1.0) == f(1.0, 2) == f(b=2, a=1.0) == 2.0


def test_a_negative_donated_index_counts_from_the_end_of_the_signature():
    def f(a, b=2.0):
        return a + 1, b

    f = jit(f, donate=-2)
    a = jnp.ones(3)
    f(a)
    assert a.is_deleted()


@pytest.mark.parametrize("make", [grad, lambda f, wrt: value_and_grad(f, wrt=wrt)], ids=["grad", "value_and_grad"])
def test_a_negative_differentiated_index_counts_from_the_end_of_the_signature(make):
    def f(a, b=3.0):
        return a * 10 + b * 7

    found = make(f, wrt=-1)(1.0)
    assert (found if make is grad else found[1]) == 7.0


# --- 3. Raw JAX: indices and names together turn the inference off ----------------------------------------------------


def test_indices_and_names_together_hold_however_the_argument_is_passed():
    def f(a, b, x):
        assert (type(a), type(b)) == (int, int)
        return jnp.full((a, b), x)

    f = jit(f, static=[0, "b"])
    assert f(2, 3, 1.0).shape == f(2, b=3, x=1.0).shape == f(a=2, b=3, x=1.0).shape == (2, 3)


def test_donated_indices_and_names_together_hold_however_the_argument_is_passed():
    def f(a, b):
        return a + 1, b + 1

    f = jit(f, donate=[0, "b"])
    for call in (lambda a, b: f(a, b), lambda a, b: f(b=b, a=a)):
        a, b = jnp.ones(2), jnp.ones(3)
        call(a, b)
        assert a.is_deleted()
        assert b.is_deleted()


# --- 4. Raw JAX: a default left out is a constant, the same value passed is a tracer ----------------------------------


def test_a_default_left_out_and_the_same_value_passed_are_both_traced():
    kinds = []

    @jit
    def f(x, scale=2.0):
        kinds.append(isinstance(scale, jax.core.Tracer))
        return x * scale

    assert f(1.0) == f(1.0, 2.0) == f(1.0, scale=2.0) == 2.0
    assert kinds == [True]


def test_a_default_left_out_and_the_same_value_passed_are_both_static():
    kinds = []

    @jit
    def f(x, n: Static[int] = 2):
        kinds.append(type(n))
        return x * n

    assert f(1.0) == f(1.0, 2) == f(1.0, n=2) == 2.0
    assert kinds == [int]


# --- 5. Raw JAX: each spelling of a call is traced anew ---------------------------------------------------------------


@pytest.mark.parametrize(
    "decorator",
    [jit, transform(jit, grad), transform(jit, value_and_grad), transform(grad, jit)],
    ids=["jit", "grad", "both", "inside"],
)
def test_equal_calls_in_four_spellings_are_traced_once(decorator):
    traces = []

    @decorator
    def f(w, x: NoDiff[Any], n: Static[int] = 2):
        traces.append(1)
        return w * x**n

    for _ in range(2):
        f(1.0, 2.0)
        f(1.0, 2.0, 2)
        f(1.0, x=2.0, n=2)
        f(x=2.0, w=1.0)
    assert len(traces) == 1


# --- 6. Raw JAX: naming `**kwargs` static does nothing ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["by marker", "by name", "by index"])
def test_static_kwargs_are_static(how):
    def f(x, **kwargs):
        return jnp.full((kwargs["n"],), x)

    if how == "by marker":
        f.__annotations__["kwargs"] = Static[int]
    f = jit(f, static={"by marker": [], "by name": "kwargs", "by index": -1}[how])
    assert f(1.0, n=3).shape == (3,)


# --- 7. Raw JAX: a static value that is changed after the call goes stale ---------------------------------------------


class Settings:
    """An object that can change unseen: equal to itself alone, whatever it holds."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    @jit
    def scaled(self, x):
        return x * self.scale


def test_an_object_that_could_change_unseen_is_refused():
    @jit
    def f(x, settings):
        return x * settings.scale

    with pytest.raises(StaticValueError, match=r"(?s)argument settings.*would go unseen"):
        f(1.0, Settings(2.0))


def test_self_that_could_change_unseen_is_refused():
    with pytest.raises(StaticValueError, match=r"(?s)argument self.*would go unseen"):
        Settings(2.0).scaled(1.0)


def test_a_list_that_changes_is_refused_or_seen():
    @jit
    def f(x, kinds, n: Static[Any]):
        return x * len(kinds)

    kinds = ["a"]
    assert f(1.0, kinds, 1) == 1.0
    kinds.append("b")
    assert f(1.0, kinds, 1) == 2.0
    with pytest.raises(StaticValueError, match="argument n"):
        f(1.0, kinds, kinds)


# --- 8. Raw JAX refuses: a differentiated argument by keyword ---------------------------------------------------------


@pytest.mark.parametrize(
    "through", [grad, transform(jit, grad), transform(grad, jit)], ids=["eager", "compiled", "inside"]
)
def test_a_differentiated_argument_is_passed_by_keyword(through):
    @through
    def f(w, x: NoDiff[Any]):
        return w * x

    assert f(w=2.0, x=3.0) == f(2.0, x=3.0) == f(2.0, 3.0) == 3.0


# --- 9. Raw JAX refuses: a keyword-only differentiated parameter ------------------------------------------------------


def test_a_keyword_only_parameter_is_differentiated():
    def f(*, w, x):
        return w * x

    assert grad(f)(x=3.0, w=2.0) == (3.0, 2.0)
    assert grad(f, wrt="x")(x=3.0, w=2.0) == 2.0
    assert value_and_grad(f, wrt=["x", "w"])(x=3.0, w=2.0) == (6.0, (2.0, 3.0))


# --- 10. Raw JAX refuses: calling what was compiled ahead of time like the function -----------------------------------


def test_a_function_compiled_ahead_of_time_is_called_like_the_function():
    @jit
    def f(x, *, n: Static[int] = 1, y=2.0):
        return jnp.full((n,), x * y)

    x = jnp.array(3.0)
    for compiled in (f.lower(x, n=2).compile(), f.trace(x, n=2).lower().compile(), f.lower(n=2, x=x, y=2.0).compile()):
        assert compiled(x, n=2).tolist() == compiled(x=x, n=2, y=2.0).tolist() == [6.0, 6.0]


def test_a_function_compiled_ahead_of_time_refuses_another_static_value():
    f = jit(lambda x, n: jnp.full((n,), x), static="n")
    with pytest.raises(StaticValueError, match="another value of n"):
        f.lower(1.0, n=2).compile()(1.0, n=3)


# --- 11. Raw JAX refuses: a static method -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [staticmethod, classmethod], ids=["static", "class"])
@pytest.mark.parametrize("through", [jit, grad(wrt="x"), transform(jit, grad(wrt="x"))], ids=["jit", "grad", "both"])
def test_a_static_or_class_method_is_decorated_in_either_order(kind, through):
    def f(x):
        return x**2

    def g(cls, x):
        return x**2

    function = f if kind is staticmethod else g
    inside = type("Inside", (), {"f": through(kind(function))})
    outside = type("Outside", (), {"f": kind(through(function))})
    assert inside.f(3.0) == inside().f(x=3.0) == outside.f(3.0) == outside().f(x=3.0)
    assert inside.f(3.0) == (9.0 if through is jit else 6.0)


# --- 12. jax_dataclasses: a static parameter after a positional-only one is traced ------------------------------------


def test_a_static_parameter_after_a_positional_only_one_is_static_called_by_position():
    @jit
    def f(a: Static[int], /, b: Static[int]):
        assert (type(a), type(b)) == (int, int)
        return jnp.zeros((a, b))

    assert f(2, 3).shape == f(2, b=3).shape == (2, 3)


# --- 13. jax_dataclasses: a marker inside Optional is overlooked ------------------------------------------------------


@pytest.mark.parametrize("hint", [Optional[Static[int]], Static[int] | None, None | Static[int]], ids=str)  # noqa: UP045
def test_a_marker_inside_optional_is_refused(hint):
    def f(x, n=None):
        return x

    f.__annotations__["n"] = hint
    with pytest.raises(MarkerError, match=r"(?s)parameter n has the marker Static where it cannot be honoured.*fix"):
        jit(f)


def test_a_marker_around_optional_is_honoured():
    @jit
    def f(x, n: Static[Optional[int]] = None):  # noqa: UP045
        return x if n is None else jnp.full((n,), x)

    assert f(1.0).shape == ()
    assert f(1.0, 2).shape == (2,)


# --- 14. jax_dataclasses: a local alias of a marker is overlooked where hints are strings -----------------------------


def test_a_local_alias_of_a_marker_is_honoured_where_hints_are_strings():
    S = Static

    @jit
    def f(x: "Array", n: "S[int]"):
        return jnp.full((n,), x)

    assert f(1.0, 3).shape == (3,)
    assert S is Static


def test_a_local_alias_of_a_marker_that_cannot_be_found_any_more_is_refused():
    def scope():
        S = Static

        def f(x: "Array", n: "S[int]"):
            return jnp.full((n,), x)

        assert S
        return f

    f = jit(scope())
    with pytest.raises(MarkerError, match="parameter n"):
        f(1.0, 3)


# --- 15. jax_dataclasses: a decorator in between hides the marker -----------------------------------------------------


def _function(x: Array, n: Static[int]) -> Array:
    return jnp.full((n,), x)


def test_a_decorator_without_wraps_in_between_is_refused():
    def logged(function):
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    with pytest.raises(MarkerError, match=r"(?s)wrapper\(\): .*hide.*functools\.wraps"):
        jit(logged(_function))


def test_a_decorator_with_wraps_in_between_is_honoured():
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    assert jit(logged(_function))(1.0, 3).shape == (3,)


def test_a_decorator_that_injects_an_argument_is_refused():
    def seeded(function):
        @functools.wraps(function)
        def wrapper(key, x, n):
            return function(x, n)

        return wrapper

    with pytest.raises(MarkerError, match="wrapper takes other parameters"):
        jit(seeded(_function))


def test_a_decorator_that_takes_an_argument_away_fails_at_the_call_and_not_silently():
    def seeded(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(1.0, *args, **kwargs)

        return wrapper

    with pytest.raises(TypeError, match="argument"):
        jit(seeded(_function))(3)


# --- and what a marker of ours must not do in silence -----------------------------------------------------------------


def test_freezing_a_parameter_takes_it_out_of_the_gradient_and_not_to_zero():
    @grad
    def f(w, frozen: NoDiff[Any]):
        return w * frozen

    assert f(2.0, 3.0) == 3.0


def test_a_donated_argument_is_deleted_in_every_spelling():
    @jit
    def f(x, state: Donate[Any]):
        return state + x

    for call in (lambda s: f(1.0, s), lambda s: f(1.0, state=s), lambda s: f(state=s, x=1.0)):
        state = jnp.ones(3)
        call(state)
        assert state.is_deleted()


def test_marking_one_parameter_diff_leaves_out_all_others():
    @transform(jit, grad)
    def f(a, b: Diff[Any], *, c=3.0):
        return a * b * c

    assert f(1.0, 2.0) == 3.0


def test_a_default_that_is_an_array_survives_a_donated_call_that_leaves_it_out():
    with pytest.raises(MarkerError, match=r"(?s)parameter state is Donate, but its default is an array.*fix"):

        @annotax.jit
        def f(x, state: Donate[Any] = jnp.ones(3)):  # noqa: B008
            return state + x
