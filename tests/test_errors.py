"""Loud, never silent: each misuse raises when the function is decorated, naming function, parameter, marker and fix.

The values that a static parameter refuses raise at the call.
"""

import functools
import inspect
from typing import Annotated, Any, Optional, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from annotax import (
    AnnotaxError,
    Aux,
    Axis,
    CheckError,
    Diff,
    DifferentiationError,
    Donate,
    MarkerError,
    NoDiff,
    Static,
    StaticValueError,
    grad,
    jit,
    transform,
    value_and_grad,
)

P = ParamSpec("P")

DECORATORS = [jit, grad, value_and_grad, transform(jit, grad), transform()]
NAMES = ["jit", "grad", "value_and_grad", "jit of grad", "nothing"]

every_decorator = pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)


def hinted(hint: Any, *, default: Any = inspect.Parameter.empty) -> Any:
    """A function named `step` whose parameter `x` has a hint, and its parameter `w` none."""

    def step(w, x):
        return w

    step.__qualname__ = "step"
    step.__annotations__["x"] = hint
    if default is not inspect.Parameter.empty:
        step.__defaults__ = (default,)
    return step


def resulting(hint: Any) -> Any:
    """A function named `step` whose result has a hint."""

    def step(w):
        return w

    step.__qualname__ = "step"
    step.__annotations__["return"] = hint
    return step


def refused(decorator: Any, function: Any, *parts: str) -> str:
    """Decorate a function, which must raise, and see that the message has these parts."""
    with pytest.raises(MarkerError) as info:
        decorator(function)
    text = str(info.value)
    for part in (*parts, "fix"):
        assert part in text
    return text


# --- contradictions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "markers"),
    [
        (Static[Donate[int]], ("Static", "Donate")),
        (Donate[Static[int]], ("Static", "Donate")),
        (Annotated[int, Static, "doc", Donate], ("Static", "Donate")),
        (Static[Diff[int]], ("Static", "Diff")),
        (Annotated[int, Static, Axis(0)], ("Static", "Axis(0)")),
        (Annotated[int, Axis(None, "time"), Static], ("Static", "Axis(None, 'time')")),
        (NoDiff[Diff[Array]], ("NoDiff", "Diff")),
        (Diff[str], ("Static", "Diff", "str")),
        (Donate[str], ("Static", "Donate", "str")),
    ],
    ids=str,
)
@every_decorator
def test_contradictory_markers(decorator, hint, markers):
    refused(decorator, hinted(hint), "step()", "parameter x", *markers)


@pytest.mark.parametrize(
    "function",
    [lambda x, *args: x, lambda x, **args: x, lambda x, *, args: x, lambda x, args, /: x],
    ids=["*args", "**kwargs", "keyword only", "positional only"],
)
def test_contradictory_markers_on_every_kind_of_parameter(function):
    function.__annotations__["args"] = Static[Donate[int]]
    refused(jit, function, "parameter args", "Static", "Donate")


def test_contradictory_markers_of_a_method():
    with pytest.raises(MarkerError, match=r"(?s)Model\.step\(\): parameter x is both Static and Donate.*fix"):

        class Model:
            @jit
            def step(self, x: Static[Donate[int]]):
                return x


@pytest.mark.parametrize("kind", [staticmethod, classmethod], ids=["static", "class"])
def test_contradictory_markers_under_a_static_or_class_method(kind):
    refused(jit, kind(hinted(Static[Donate[int]])), "step()", "parameter x", "Static", "Donate")


# --- markers where they cannot be honoured ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hint",
    [
        list[Static[int]],
        Static[int] | None,
        Optional[Static[int]],  # noqa: UP045
        dict[str, Static[int]],
        dict[str, list[Static[int]]],
        tuple[Static[int], ...],
        tuple[Array, Static[int]],
        Annotated[list[Static[int]], "doc"],
        "list[Static[int]]",
    ],
    ids=str,
)
@every_decorator
def test_a_marker_nested_inside_a_hint(decorator, hint):
    refused(decorator, hinted(hint), "step()", "parameter x", "Static", "cannot be honoured")


@pytest.mark.parametrize("marker", [NoDiff, Diff, Donate, Static], ids=repr)
def test_every_plain_marker_nested_inside_a_hint(marker):
    refused(jit, hinted(list[marker[Array]]), "parameter x", repr(marker), "cannot be honoured")


def test_an_axis_nested_inside_a_hint():
    refused(jit, hinted(list[Annotated[Array, Axis(1)]]), "parameter x", "Axis(1)", "cannot be honoured")


def test_the_fix_for_a_nested_marker_shows_the_hint_to_write():
    assert "Static[list[int]]" in refused(jit, hinted(list[Static[int]]))
    assert "Static[int | None]" in refused(jit, hinted(Static[int] | None)).replace("Optional[int]", "int | None")


@pytest.mark.parametrize(
    "hint",
    [
        Aux[Array],
        list[Aux[Array]],
        dict[str, Aux[Array]],
        tuple[Array, list[Aux[Array]]],
        tuple[Aux[Array], ...],
        tuple[Array, Aux[Array] | None],
        tuple[Array, Aux[Array]] | None,
    ],
    ids=str,
)
@every_decorator
def test_aux_that_is_not_a_component_of_the_returned_tuple(decorator, hint):
    refused(decorator, resulting(hint), "step()", "result", "Aux", "tuple[")


@every_decorator
def test_aux_on_a_parameter(decorator):
    refused(decorator, hinted(Aux[Array]), "step()", "parameter x", "Aux", "returned tuple")


@pytest.mark.parametrize("marker", [Static, NoDiff, Diff, Donate], ids=repr)
@pytest.mark.parametrize("around", [lambda m: m[Array], lambda m: tuple[Array, m[Array]]], ids=["result", "component"])
def test_a_marker_of_parameters_on_the_result(marker, around):
    refused(jit, resulting(around(marker)), "step()", "result", repr(marker), "belongs on a parameter")


@pytest.mark.parametrize(
    "default", [jnp.ones(2), np.ones(2), {"a": [jnp.ones(2)]}], ids=["of jax", "of numpy", "in a tree"]
)
@every_decorator
def test_a_donated_parameter_with_an_array_for_a_default(decorator, default):
    refused(decorator, hinted(Donate[Any], default=default), "step()", "parameter x", "Donate", "default")


def test_a_donated_parameter_with_another_default_is_accepted():
    assert jit(hinted(Donate[Any], default=None))(1.0) == 1.0


def test_a_parameter_with_an_array_for_a_default_that_an_override_donates():
    refused(jit(donate="x"), hinted(Any, default=jnp.ones(2)), "step()", "x", "donate", "default")


# --- nothing to differentiate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorator", [grad, value_and_grad, transform(jit, grad)], ids=["grad", "value_and_grad", "both"]
)
def test_a_gradient_of_a_function_whose_parameters_are_all_excluded(decorator):
    def step(x: NoDiff[Array], n: int, *, name: str, k: Static[float]):
        return x

    refused(
        decorator, step, "step()", "nothing to differentiate", "x: ", "n: ", "name: ", "k: ", "NoDiff", "Static", "wrt="
    )


def test_a_gradient_of_a_function_without_parameters():
    refused(grad, lambda: 1.0, "nothing to differentiate")


def test_a_gradient_of_a_function_whose_only_parameter_jit_makes_static():
    refused(transform(jit(static="x"), grad), lambda x: x, "nothing to differentiate", "jit(static=...)")


@pytest.mark.parametrize("function", [value_and_grad, grad], ids=["value_and_grad", "grad"])
@pytest.mark.parametrize(
    "hint", [tuple[Aux[Array], Aux[Array]], tuple[Array, Array, Aux[Array]]], ids=["all", "too few"]
)
def test_a_gradient_of_a_function_with_other_than_one_value(function, hint):
    refused(function, resulting(hint), "step()", "Aux", "exactly one")


def test_a_gradient_with_respect_to_a_static_parameter():
    refused(grad(wrt="x"), hinted(Static[int]), "step()", "wrt", "static parameter x")


@pytest.mark.parametrize("wrt", [["x", "x"], ["x", 1], []], ids=str)
def test_a_gradient_with_respect_to_a_parameter_twice_or_to_none(wrt):
    refused(grad(wrt=wrt), hinted(Array), "step()", "wrt")


def test_donating_a_static_parameter():
    refused(jit(donate="x"), hinted(Static[int]), "step()", "donate", "static parameter x")


# --- overrides -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["y", "X", "", 2, -3, True, 1.5, None], ids=repr)
@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda s: jit(static=[s]), "jit(static=...)"),
        (lambda s: jit(donate=[s]), "jit(donate=...)"),
        (lambda s: grad(wrt=[s]), "grad(wrt=...)"),
        (lambda s: value_and_grad(wrt=[s]), "value_and_grad(wrt=...)"),
        (lambda s: transform(jit, grad(wrt=[s])), "grad(wrt=...)"),
    ],
    ids=["static", "donate", "grad", "value_and_grad", "in a pipeline"],
)
def test_an_override_that_names_no_parameter(make, option, selector):
    refused(make(selector), hinted(Any), "step()", option, "names no parameter", repr(selector), "w, x")


def test_an_override_that_nearly_names_a_parameter():
    assert "'learning_rate'" in refused(jit(static="learing_rate"), lambda x, learning_rate: x)


def test_an_override_of_a_function_without_parameters():
    refused(jit(static="x"), lambda: 1.0, "names no parameter", "no arguments")


# --- wrappers --------------------------------------------------------------------------------------------------------


@every_decorator
def test_a_wrapper_that_hides_the_signature(decorator):
    def step(x: Array, n: Static[int]):
        return x

    def wrapper(*args, **kwargs):
        return step(*args, **kwargs)

    refused(decorator, wrapper, "wrapper()", "(*args, **kwargs)", "functools.wraps")


@every_decorator
def test_a_typed_wrapper_that_hides_the_signature(decorator):
    def wrapper(*args: P.args, **kwargs: P.kwargs):
        return _step(*args, **kwargs)

    refused(decorator, wrapper, "wrapper()", "(*args, **kwargs)", "functools.wraps")


def test_a_wrapper_typed_by_strings_that_hides_the_signature():
    def wrapper(*args, **kwargs):
        return _step(*args, **kwargs)

    wrapper.__annotations__.update(args="P.args", kwargs="P.kwargs")
    refused(jit, wrapper, "wrapper()", "(*args, **kwargs)", "functools.wraps")


def test_a_callable_object_that_hides_the_signature():
    class Wrapper:
        def __call__(self, *args, **kwargs):
            return args

    refused(jit, Wrapper(), "__call__()", "(*args, **kwargs)", "functools.wraps")


def test_a_wrapper_with_hints_of_its_own_hides_nothing():
    def wrapper(*args: Array, **kwargs: Static[int]):
        return args[0]

    assert jit(wrapper)(1.0, n=2) == 1.0


def _step(x: Array, n: Static[int] = 1, *, k: Static[int] = 2):
    return x


@pytest.mark.parametrize(
    "wrapper",
    [
        lambda key, x, n=1, *, k=2: x,
        lambda n, x, *, k=2: x,
        lambda x, *, k=2: x,
        lambda x, n: x,
        lambda y, n=1, *, k=2: y,
        lambda x, n=1, *, k=2, extra=3: x,
        lambda x, n=1, more=2, *, k=2: x,
        lambda *args: args[0],
        lambda **kwargs: kwargs["x"],
        lambda key, *args, **kwargs: args[0],
        lambda *args, key=1, **kwargs: args[0],
        lambda x, n=5, *, k=2: x,
        lambda x, n, *, k: x,
    ],
    ids=[
        "one more in front", "another order", "one fewer", "a keyword fewer", "another name", "a keyword more",
        "one more behind", "no keywords", "no positions", "one injected", "a keyword injected",
        "another default", "no defaults",
    ],
)  # fmt: skip
@pytest.mark.parametrize("decorator", [jit, grad], ids=["jit", "grad"])
def test_a_wrapper_whose_parameters_disagree_with_those_it_claims_to_wrap(decorator, wrapper):
    text = refused(decorator, functools.wraps(_step)(wrapper), "_step()", "wrapper", "expected", "(x, n=1, ")
    assert "test_errors.py" in text


@pytest.mark.parametrize(("own", "claimed"), [(1, True), (1, 1.0), (np.ones(2), np.ones(2))], ids=str)
def test_a_wrapper_whose_default_may_be_another_value(own, claimed):
    def step(x, n=claimed): ...

    refused(jit, functools.wraps(step)(lambda x, n=own: x), "wrapper takes other parameters")


@pytest.mark.parametrize(
    "make",
    [
        lambda default: lambda x, /, n=default, *, k, m: x,
        lambda default: lambda y, /, n=default, *, k, m: y,
        lambda default: lambda x, /, n=default, *, m, k: x,
        lambda default: lambda x, /, n=default, *, m, **rest: x,
        lambda default: lambda *args, **kwargs: args[0],
    ],
    ids=["all the same", "another name of a position", "keywords in another order", "keywords in the rest", "anything"],
)
def test_a_wrapper_that_takes_the_same_calls_is_accepted(make):
    def step(x, /, n=(1, 2), *, k, m): ...

    equal = tuple(range(1, 3))
    assert jit(functools.wraps(step)(make(equal)))(1.0, k=1, m=2) == 1.0


def test_a_wrapper_of_what_takes_anything_has_to_take_anything_too():
    def step(x, *args: NoDiff[float], **kwargs: NoDiff[float]):
        return x

    assert jit(functools.wraps(step)(lambda x, *args, **kwargs: x))(1.0, 2.0, k=3.0) == 1.0
    refused(jit, functools.wraps(step)(lambda x, *args: x), "wrapper takes other parameters")
    refused(jit, functools.wraps(step)(lambda x, **kwargs: x), "wrapper takes other parameters")


def test_the_parameters_of_a_wrapper_that_disagrees_are_shown_as_they_are_written():
    def step(x, /, n, *, k=2): ...

    text = refused(jit, functools.wraps(step)(lambda x, /, *, k=2: x))
    assert "(x, /, *, k=2)" in text
    assert "(x, /, n, *, k=2)" in text


def test_a_wrapper_that_disagrees_below_another_wrapper():
    inner = functools.wraps(_step)(lambda key, x, n=1, *, k=2: x)
    outer = functools.wraps(inner)(lambda *args, **kwargs: inner(*args, **kwargs))
    refused(jit, outer, "wrapper takes other parameters")


# --- what is not a function ------------------------------------------------------------------------------------------


@every_decorator
@pytest.mark.parametrize("given", [3, "f", [], jnp.ones(2)], ids=str)
def test_what_is_not_callable(decorator, given):
    with pytest.raises(AnnotaxError, match=r"(?s)was given .*\n  fix  (?i:.*decorat)"):
        decorator(given)


def test_a_function_whose_signature_cannot_be_read():
    refused(jit, dict.fromkeys.__self__, "signature")


@pytest.mark.parametrize(
    "given", [jax.jit, jax.grad, len, 3, "jit"], ids=["jax.jit", "jax.grad", "builtin", "number", "name"]
)
def test_a_transform_that_is_none(given):
    with pytest.raises(AnnotaxError, match=r"(?s)transform\(\): .*not an annotax transform.*fix"):
        transform(given)


def test_a_transform_of_jax_is_pointed_to_ours():
    with pytest.raises(AnnotaxError, match=r"write annotax\.jit"):
        transform(jax.jit)


class _Sly(str):
    """A name that claims to be an identifier."""

    __slots__ = ()

    def isidentifier(self):
        return True


@pytest.mark.parametrize(
    "name",
    [
        "x): __import__('os').abort() #",
        "x=boom()",
        "class",
        "None",
        "1x",
        "",
        "x y",
        "x\n",
        _Sly("x=boom()"),
        _Sly("x"),
    ],
    ids=repr,
)
@every_decorator
def test_a_signature_that_holds_a_name_that_is_no_identifier(decorator, name):
    def step(x):
        return x

    parameter = inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameter._name = name
    step.__signature__ = inspect.Signature()
    step.__signature__._parameters = {name: parameter}
    refused(decorator, step, "step()", repr(name), "not an identifier", "__signature__")


# --- static values, at the call --------------------------------------------------------------------------------------

WRONG = {
    "a list": ([1, 2], "not hashable", "tuple"),
    "a dict": ({"a": 1}, "not hashable", "tuple"),
    "a set": ({1}, "not hashable", "frozenset"),
    "an array": (jnp.ones(3), "array", "float32[3]"),
    "a rank-0 array": (jnp.array(3), "array", "int32[]"),
    "a numpy array": (np.ones(3), "array", "float64[3]"),
    "an unhashable object": (type("Unhashable", (), {"__eq__": lambda a, b: True})(), "not hashable"),
    "a tuple of lists": (([1], 2), "not hashable", "tuple"),
}


@pytest.mark.parametrize("case", WRONG)
@every_decorator
@pytest.mark.parametrize("spelling", ["position", "keyword"])
def test_a_value_that_cannot_be_static(decorator, case, spelling):
    def step(w, n: Static[Any]):
        return w

    value, *parts = WRONG[case]
    with pytest.raises(StaticValueError) as info:
        decorator(step)(1.0, value) if spelling == "position" else decorator(step)(1.0, n=value)
    for part in ("step()", "argument n", "static", *parts, "fix"):
        assert part in str(info.value)


@every_decorator
def test_a_traced_value_for_a_static_parameter(decorator):
    def step(w, n: Static[int]):
        return w

    inner = decorator(step)
    with pytest.raises(StaticValueError, match=r"(?s)step\(\): static argument n .*traced.*int32\[\].*fix"):
        jax.jit(lambda n: inner(1.0, n))(3)


@every_decorator
def test_a_traced_value_inside_a_tuple_for_a_static_parameter(decorator):
    def step(w, n: Static[tuple[int, ...]]):
        return w

    inner = decorator(step)
    with pytest.raises(StaticValueError, match=r"step\(\): static argument n "):
        jax.jit(lambda n: inner(1.0, (n, 2)))(3)


@every_decorator
def test_a_value_among_static_args_and_kwargs(decorator):
    def step(w, *args: Static[Any], **kwargs: Static[Any]):
        return w

    with pytest.raises(StaticValueError, match=r"argument args\[1\]"):
        decorator(step)(1.0, 2, [3])
    with pytest.raises(StaticValueError, match=r"argument kwargs\['b'\]"):
        decorator(step)(1.0, a=2, b=[3])


def test_a_value_for_a_parameter_that_an_override_makes_static():
    with pytest.raises(StaticValueError, match=r"(?s)argument n is not hashable.*fix"):
        jit(lambda x, n: x, static="n")(1.0, [1])


def test_a_value_that_cannot_be_static_after_calls_that_could():
    f = jit(lambda x, n: x, static="n")
    assert f(1.0, 1) == 1.0
    for value in ([1], jnp.ones(2)):
        with pytest.raises(StaticValueError, match="argument n"):
            f(1.0, value)
    assert f(1.0, 1) == 1.0


def test_a_value_that_cannot_be_static_when_it_is_lowered():
    with pytest.raises(StaticValueError, match="argument n"):
        jit(lambda x, n: x, static="n").lower(1.0, [1])


# --- the errors themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [MarkerError, CheckError, StaticValueError, DifferentiationError])
def test_every_error_is_an_annotax_error_that_is_shown_as_such(error):
    assert issubclass(error, AnnotaxError)
    assert error.__module__ == "annotax"


@pytest.mark.parametrize("error", [CheckError, StaticValueError, DifferentiationError])
def test_an_error_about_a_value_is_a_type_error(error):
    assert issubclass(error, TypeError)


def test_an_error_at_decoration_comes_without_a_chain():
    with pytest.raises(MarkerError) as info:
        jit(hinted(Static[Donate[int]]))
    assert info.value.__cause__ is None
    assert info.value.__context__ is None


def test_an_error_about_a_static_value_comes_without_a_chain():
    with pytest.raises(StaticValueError) as info:
        jit(lambda x, n: x, static="n")(1.0, [1])
    assert info.value.__cause__ is None
    assert info.value.__context__ is None
