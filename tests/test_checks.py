"""Checks while tracing: hints against values, once a trace, with a path and a reason."""

# ruff: noqa: F722, F821 - the strings in hints of jaxtyping name axes

import collections.abc
import dataclasses
import enum
import os
import subprocess
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    runtime_checkable,
)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from beartype.vale import Is
from jax import Array
from jaxtyping import Bool, Complex, Float, Int, Key, PyTree, Shaped, jaxtyped
from numpy.typing import NDArray
from typing_extensions import Unpack

import annotax
from annotax import Aux, CheckError, NoDiff, Static, grad, jit, transform, value_and_grad

T = TypeVar("T")
P = ParamSpec("P")
Number = TypeVar("Number", bound=float)
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: Array
    y: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Model:
    w: Array


class Options(TypedDict, total=False):
    rate: float
    size: float


@runtime_checkable
class HasShape(Protocol):
    shape: tuple[int, ...]


class Box(Generic[T]):
    """A generic class."""


def taking(hint: Any) -> Callable[..., Any]:
    """A compiled function of one parameter with a hint."""

    def f(x):
        return 0

    f.__annotations__["x"] = hint
    return jit(f)


def returning(hint: Any, value: Any) -> Callable[..., Any]:
    """A compiled function of no parameters whose result has a hint."""

    def f():
        return value

    f.__annotations__["return"] = hint
    return jit(f)


floats, ints, flag = jnp.ones((2, 3)), jnp.ones(2, int), jnp.array(True)

FITS = [
    (Array, floats),
    (jnp.ndarray, floats),
    (Array, 1.0),
    (Array | None, None),
    (Array | None, floats),
    (float, 1.0),
    (float, 1),
    (float, jnp.array(1.0)),
    (float, np.float32(1.0)),
    (float, jnp.array(1.0, jnp.bfloat16)),
    (int, 1),
    (int, jnp.array(1)),
    (int, np.int8(1)),
    (bool, True),
    (bool, flag),
    (complex, 1j),
    (complex, 1.0),
    (complex, jnp.array(1j)),
    (int | float, 1),
    (float | None, 1.0),
    (UserId, 1),
    (np.ndarray, np.ones(2)),
    (NDArray[np.float32], np.ones(2, np.float32)),
    (NDArray[np.floating], np.ones(2, np.float32)),
    (np.float32, np.float32(1.0)),
    (jax.typing.ArrayLike, floats),
    (jax.typing.ArrayLike, 1.0),
    (Any, floats),
    (object, floats),
    (T, floats),
    (Number, 1.0),
    (Float[Array, "a b"], floats),
    (Float[Array, "2 3"], floats),
    (Float[Array, "..."], floats),
    (Float[Array, "*batch 3"], floats),
    (Shaped[Array, "a b"], floats),
    (Int[Array, "a"], ints),
    (Bool[Array, ""], flag),
    (Complex[Array, ""], jnp.array(1j)),
    (Key[Array, ""], jax.random.key(0)),
    (Float[Array, "a a"] | Float[Array, "a b"], floats),
    (PyTree[Float[Array, "..."]], {"a": [floats]}),
    (PyTree, [floats]),
    (list[Array], [floats, floats]),
    (list[Array], []),
    (list[float], [1.0, jnp.array(1.0)]),
    (list, [floats]),
    (tuple[Array, int], (floats, 1)),
    (tuple[Array, ...], (floats,) * 3),
    (tuple[()], ()),
    (dict[str, Array], {"a": floats}),
    (dict[str, dict[str, list[float]]], {"a": {"b": [1.0]}}),
    (Mapping[str, Array], {"a": floats}),
    (Sequence[Array], [floats]),
    (Sequence[Array], (floats,)),
    (collections.abc.Iterable[Array], [floats]),
    (Point, Point(floats, floats)),
    (Model, Model(floats)),
    (str, "a"),
    (Literal["a", "b"], "a"),
    (Colour, Colour.RED),
    (Callable[[Array], Array], jnp.sin),
    (type[Array], Array),
    (HasShape, floats),
    (Annotated[Array, "doc"], floats),
    (Annotated[float, Is[lambda x: x > 0]], 1.0),
    (Annotated[Array, Is[lambda x: x.ndim == 2]], floats),
    (Static[Annotated[int, Is[lambda n: n > 0]]], 1),
    (Annotated[int, Is[lambda n: n > 0], Static], 1),
    (Annotated[int, Static, Is[lambda n: n > 0]], 1),
    (Static[tuple[int, ...]], (1, 2)),
    (Static[float], 1),
    (Static[Callable[..., Any]], jnp.sin),
    (Static[Box[int]], Box()),
    (typing.Optional[typing.List[Array]], [floats]),  # noqa: UP006, UP045
    (typing.Dict[str, Array], {"a": floats}),  # noqa: UP006
]

MISFITS = [
    (int, 1.0),
    (int, "a"),
    (int, ints),
    (int, flag),
    (float, floats),
    (float, 1j),
    (float, jnp.int32(1)),
    (float, flag),
    (bool, 1),
    (bool, jnp.array(1)),
    (complex, jnp.ones(2, complex)),
    (UserId, 1.0),
    (np.ndarray, [1.0]),
    (NDArray[np.float32], np.ones(2, np.int32)),
    (np.float32, np.float16(1.0)),
    (Array, [floats]),
    (Array, None),
    (Array | None, [floats]),
    (int | None, 1.0),
    (Float[Array, "a"], floats),
    (Float[Array, "3 2"], floats),
    (Float[Array, "a a"], floats),
    (Int[Array, "a b"], floats),
    (Key[Array, ""], jax.random.PRNGKey(0)),
    (PyTree[Float[Array, "a"]], {"a": [floats]}),
    (list[Array], (floats,)),
    (list[int], [1.0]),
    (tuple[Array, int], (floats, 1.0)),
    (tuple[Array, int], (floats,)),
    (tuple[Array, ...], [floats]),
    (tuple[()], (floats,)),
    (dict[str, Array], {1: floats}),
    (dict[str, Array], {"a": [floats]}),
    (Sequence[Array], {"a": floats}),
    (Mapping[str, Array], [floats]),
    (Point, (floats, floats)),
    (Model, Point(floats, floats)),
    (str, b"a"),
    (Literal["a", "b"], "c"),
    (Literal[1, 2], 3),
    (Colour, "RED"),
    (Callable[[Array], Array], "sin"),
    (type[Array], list),
    (Annotated[Array, Is[lambda x: x.ndim == 1]], floats),
    (Static[int], "a"),
    (Static[int], 1.0),
    (Static[str], 1),
    (Static[Annotated[int, Is[lambda n: n > 0]]], 0),
    (Annotated[int, Is[lambda n: n > 0], Static], 0),
    (Annotated[int, Static, Is[lambda n: n > 0]], 0),
    (Static[tuple[int, ...]], (1, "a")),
    (Static[float], "a"),
]


def _name(value: Any) -> str:
    if isinstance(value, (Array, np.ndarray)):
        return f"{value.dtype}{list(value.shape)}"
    has_address = " at 0x" in str(value)
    return type(value).__name__ if has_address or isinstance(value, (list, dict, tuple, Model)) else str(value)[:40]


@pytest.mark.parametrize(("hint", "value"), FITS, ids=_name)
def test_a_value_that_fits_its_hint_passes(hint, value):
    assert taking(hint)(value) == 0


@pytest.mark.parametrize(("hint", "value"), MISFITS, ids=_name)
def test_a_value_that_does_not_fit_its_hint_raises(hint, value):
    with pytest.raises(CheckError, match=r"f\(\): argument .*x.* does not fit its hint"):
        taking(hint)(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Array, floats),
        (None, None),
        (float, 1.0),
        (tuple[Array, float], (floats, 1.0)),
        (tuple[Array, Aux[dict[str, Array]]], (floats, {"a": floats})),
        (dict[str, Float[Array, "a b"]], {"a": floats}),
        (Any, floats),
        (Model, Model(floats)),
    ],
    ids=_name,
)
def test_a_result_that_fits_its_hint_passes(hint, value):
    returning(hint, value)()


@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (int, 1.0, "result"),
        (None, 1.0, "result"),
        (Array, None, "result"),
        (Float[Array, "a"], floats, "result"),
        (tuple[Array, int], (floats, 1.0), r"result\[1\]"),
        (tuple[Array, Aux[dict[str, int]]], (floats, {"a": 1.0}), r"result\[1\]\['a'\]"),
        (tuple[Array, Array], (floats, floats, floats), "result"),
    ],
    ids=_name,
)
def test_a_result_that_does_not_fit_its_hint_raises_with_its_path(hint, value, path):
    with pytest.raises(CheckError, match=rf"f\(\): (the )?{path} does not fit its hint"):
        returning(hint, value)()


# --- the message -----------------------------------------------------------------------------------------------------


def test_the_message_says_where_what_was_expected_and_what_was_got():
    @jit
    def step(batch: dict[str, list[Float[Array, "b 2"]]]):
        return 0

    with pytest.raises(CheckError) as info:
        step({"x": [jnp.ones((5, 2)), jnp.ones((5, 3))]})
    first, *rows = str(info.value).splitlines()
    assert first == f"{__name__}.step(): argument batch['x'][1] does not fit its hint."
    assert any(row.split() == ["expected", "Float[Array,", "'b", "2']"] for row in rows)
    assert any("got" in row and "float32[5,3]" in row for row in rows)
    line = step.__wrapped__.__code__.co_firstlineno
    assert any("while" in row and "step" in row and f"test_checks.py:{line}" in row for row in rows)


def test_the_message_names_elements_of_args_and_kwargs():
    @jit
    def f(*xs: float, **ys: float):
        return 0

    with pytest.raises(CheckError, match=r"argument xs\[1\]"):
        f(1.0, floats)
    with pytest.raises(CheckError, match=r"argument ys\['b'\]"):
        f(a=1.0, b=floats)


def test_the_message_never_shows_what_is_in_an_array():
    with pytest.raises(CheckError) as info:
        grad(_of_a_list)(1.0, jnp.full(3, 12345.0))
    assert "12345" not in str(info.value)
    assert "float32[3]" in str(info.value)


def _of_a_list(w, x: NoDiff[list[Array]]):
    return w


def test_one_bad_item_among_a_hundred_is_always_found():
    items = [jnp.ones(2)] * 57 + [jnp.ones(3)] + [jnp.ones(2)] * 42
    with pytest.raises(CheckError, match=r"argument x\[57\]"):
        taking(list[Float[Array, "2"]])(items)


@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (dict[str, list[int]], {"a": [1], "b": [1, 1.0]}, r"x\['b'\]\[1\]"),
        (tuple[int, tuple[int, ...]], (1, (1, 1, 1.0)), r"x\[1\]\[2\]"),
        (list[int] | None, [1, 1.0], r"x\[1\]"),
        (Mapping[str, Sequence[int]], {"a": (1.0,)}, r"x\['a'\]\[0\]"),
        (Annotated[list[int], "doc"], [1.0], r"x\[0\]"),
    ],
    ids=_name,
)
def test_the_path_leads_to_the_item(hint, value, path):
    with pytest.raises(CheckError, match=rf"argument {path} does not"):
        taking(hint)(value)


def test_a_check_error_is_a_type_error_without_a_chain():
    with pytest.raises(TypeError) as info:
        taking(int)(1.0)
    assert isinstance(info.value, annotax.AnnotaxError)
    assert info.value.__cause__ is None
    assert info.value.__context__ is None


# --- shapes over several arguments -----------------------------------------------------------------------------------


def test_a_named_axis_is_one_size_over_all_arguments():
    @jit
    def f(x: Float[Array, "b d"], w: Float[Array, " d"]):
        return 0

    assert f(jnp.ones((2, 3)), jnp.ones(3)) == 0
    with pytest.raises(CheckError, match="argument w"):
        f(jnp.ones((2, 3)), jnp.ones(4))


def test_a_named_axis_is_one_size_over_arguments_and_result():
    @jit
    def f(x: Float[Array, " b"]) -> Float[Array, " b"]:
        return x[:-1]

    with pytest.raises(CheckError, match="the result"):
        f(jnp.ones(3))


def test_a_named_axis_is_one_size_inside_containers():
    @jit
    def f(x: dict[str, list[Float[Array, " b"]]]):
        return 0

    with pytest.raises(CheckError, match=r"argument x\['b'\]\[1\]"):
        f({"a": [jnp.ones(2)], "b": [jnp.ones(2), jnp.ones(3)]})


def test_each_call_has_sizes_of_its_own():
    @jit
    def f(x: Float[Array, " b"]):
        return x.shape[0]

    assert [f(jnp.ones(n)) for n in (2, 3)] == [2, 3]


def test_a_function_inside_has_sizes_of_its_own():
    @jit
    def inner(x: Float[Array, " b"]) -> Float[Array, ""]:
        return x.sum()

    @jit
    def outer(x: Float[Array, " b"]) -> Float[Array, " b"]:
        return x * inner(jnp.concatenate([x, x]))

    assert outer(jnp.ones(2)).tolist() == [4.0, 4.0]


def test_an_axis_that_is_an_argument_is_checked():
    @jit
    def f(n: Static[int], x: Float[Array, "{n}"]):
        return 0

    assert f(2, jnp.ones(2)) == 0
    with pytest.raises(CheckError, match="argument x"):
        f(3, jnp.ones(2))


def test_shapes_are_checked_where_foreign_metadata_surrounds_the_hint():
    @jit
    def f(x: Annotated[Float[Array, " b"], "doc"], y: Annotated[Float[Array, " b"], "doc"]):
        return 0

    with pytest.raises(CheckError, match="argument y"):
        f(jnp.ones(2), jnp.ones(3))


def test_shapes_under_vmap_are_those_of_one_example():
    @jit
    def f(x: Float[Array, " d"]) -> Float[Array, ""]:
        return x.sum()

    assert jax.vmap(f)(jnp.ones((2, 3))).tolist() == [3.0, 3.0]


# --- when ------------------------------------------------------------------------------------------------------------


def test_nothing_is_checked_on_a_cached_call():
    checks = []

    @jit(typechecker=lambda value, hint: checks.append(value))
    def f(x: Float[Array, " b"]) -> Float[Array, " b"]:
        return x

    f(jnp.ones(2))
    assert len(checks) == 2
    for _ in range(3):
        f(jnp.ones(2))
    assert len(checks) == 2
    f(jnp.ones(3))
    assert len(checks) == 4


def test_a_call_that_was_refused_is_checked_again():
    f = taking(int)
    for _ in range(2):
        with pytest.raises(CheckError):
            f(1.0)


@pytest.mark.parametrize(
    "decorator",
    [jit, grad, value_and_grad, transform(jit, grad), transform()],
    ids=["jit", "grad", "value_and_grad", "both", "nothing"],
)
def test_every_decorator_checks(decorator):
    def f(w, x: NoDiff[int]):
        return w * x

    with pytest.raises(CheckError, match="argument x"):
        decorator(f)(1.0, 2.0)


def test_an_argument_is_checked_when_it_is_lowered():
    with pytest.raises(CheckError, match="argument x"):
        taking(int).lower(1.0)


def test_a_default_need_not_fit():
    @jit
    def f(x: Array = None):
        return 0 if x is None else x

    assert f() == f(None) == 0


def test_a_parameter_without_a_hint_is_not_checked():
    assert taking(Any)([1, {"a": floats}]) == 0
    assert jit(lambda x: 0)([1, {"a": floats}]) == 0


def test_the_function_does_not_run_where_an_argument_does_not_fit():
    runs = []

    @jit
    def f(x: int):
        runs.append(1)

    with pytest.raises(CheckError):
        f(1.0)
    assert runs == []


@pytest.mark.parametrize("value", [1.0, np.ones(())], ids=["a Python number", "a numpy array"])
@pytest.mark.parametrize(
    "decorator",
    [jit(static=()), transform(jit, grad), grad, transform(grad, jit)],
    ids=["jit", "both", "grad", "inside"],
)
def test_what_jax_makes_an_array_of_fits_an_array_hint_under_every_transform(decorator, value):
    def f(w: Array, x: NoDiff[Array]) -> Array:
        return w * x

    assert decorator(f)(value, value) == 1.0


# --- switches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorator",
    [jit(typechecker=None), grad(typechecker=None, wrt="w"), transform(jit, typechecker=None)],
    ids=["jit", "grad", "transform"],
)
def test_none_turns_checks_off(decorator):
    def f(w, x: int):
        return w

    decorator(f)(1.0, 2.5)


def test_a_static_value_must_be_a_constant_though_checks_are_off():
    @jit(typechecker=None)
    def f(x, n: Static[int]):
        return x

    with pytest.raises(annotax.StaticValueError, match="argument n"):
        f(1.0, [1])


def test_an_environment_variable_turns_checks_off(monkeypatch):
    monkeypatch.setenv("ANNOTAX_TYPECHECK", "0")
    assert taking(int)(1.0) == 0


def test_the_optimised_mode_of_python_turns_checks_off():
    code = (
        "import annotax\n"
        "@annotax.jit\n"
        "def f(x: int): return x\n"
        "print(f(1.5))\n"
    )  # fmt: skip
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.strip() == "1.5", done.stderr


def test_no_type_check_turns_checks_off_and_keeps_markers():
    @jit
    @typing.no_type_check
    def f(x: int, n: Static[str]):
        return jnp.full((n,), x)

    assert f(1.5, 3).shape == (3,)


Scalar = Float[Array, ""]


@pytest.mark.parametrize(
    ("hint", "value", "asked"),
    [
        (Scalar, 1.0, [Scalar]),
        (list[Scalar], [1.0, 2.0], [Scalar, Scalar]),
        (Model, Model(floats), [Model]),
        (dict[str, Model], {"a": Model(floats)}, [str, Model]),
        (Static[type[Array]], Array, [type[Array]]),
    ],
    ids=_name,
)
def test_another_checker_is_asked_for_what_is_no_container_and_no_number(hint, value, asked):
    hints = []

    def f(x):
        return 0

    f.__annotations__["x"] = hint
    jit(f, typechecker=lambda value, hint: hints.append(hint))(value)
    assert hints == asked


def test_the_reason_of_another_checker_is_shown():
    @jit(typechecker=lambda value, hint: "it is never right")
    def f(x: Float[Array, ""]):
        return 0

    with pytest.raises(CheckError, match=r"(?s)argument x does not fit.*because\s+it is never right"):
        f(1.0)


@pytest.mark.parametrize("option", ["typeguard", 3, True], ids=str)
def test_a_checker_that_is_none_of_the_options_is_refused(option):
    with pytest.raises(TypeError, match="typechecker="):
        jit(lambda x: x, typechecker=option)(1.0)


# --- hints that are hard to check ------------------------------------------------------------------------------------


def test_our_markers_hide_no_validator():
    @jit
    def f(x, n: Annotated[int, Static, Is[lambda n: n > 0]]):
        return jnp.full((n,), x)

    assert f(1.0, 2).shape == (2,)
    with pytest.raises(CheckError, match="argument n"):
        f(1.0, -2)


def test_a_marker_inside_the_parameters_of_a_callable_is_harmless():
    @jit
    def f(function: Callable[[Static[int]], int]):
        return function(1)

    assert f(lambda n: n + 1) == 2


def test_a_validator_that_needs_a_value_is_left_undecided_and_the_type_is_still_checked():
    f = taking(Annotated[float, Is[lambda x: x > 0]])
    assert f(-1.0) == 0
    with pytest.raises(CheckError, match="argument x"):
        f(floats)


def test_self_is_not_checked_but_what_stands_beside_it_is():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n: int

        @jit
        def chosen(self: Static[Self], other: Static[Self], x: float) -> Array:
            return jnp.full((self.n + other.n,), x)

    assert Config(1).chosen(Config(2), 1.0).shape == (3,)
    with pytest.raises(CheckError, match="argument x"):
        Config(1).chosen(Config(2), floats)


def test_a_class_that_was_defined_again_is_the_new_one():
    def define():
        @jax.tree_util.register_dataclass
        @dataclasses.dataclass
        class Batch:
            x: Array

        @jit
        def f(batches: list[Batch]):
            return 0

        return Batch, f

    (old, _), (new, f) = define(), define()
    assert f([new(floats)]) == 0
    with pytest.raises(CheckError, match=r"argument batches\[0\]"):
        f([old(floats)])


def test_keywords_of_a_typed_dict_are_taken():
    @jit
    def f(**options: Unpack[Options]):
        return options["rate"]

    assert f(rate=1.0, size=2.0) == 1.0


def test_the_items_of_a_typed_dict_are_checked():
    assert taking(Options)({"rate": 1.0}) == 0
    with pytest.raises(CheckError, match=r"argument x\['rate'\]"):
        taking(Options)({"rate": floats})


def test_args_of_unpacked_types_are_checked_one_by_one():
    @jit
    def f(*args: *tuple[float, int]):
        return 0

    assert f(1.0, 2) == 0
    with pytest.raises(CheckError, match=r"argument args\[1\]"):
        f(1.0, 2.0)


def test_args_of_a_parameter_specification_are_taken():
    @jit
    def f(x: float, *args: P.args, **kwargs: P.kwargs):
        return args[0] * kwargs["y"]

    assert f(1.0, 2.0, y=3.0) == 6.0


@pytest.mark.parametrize("layer", [beartype, jaxtyped(typechecker=beartype)], ids=["beartype", "jaxtyped"])
def test_a_function_that_is_already_checked_takes_tracers_for_numbers(layer):
    @jit
    @layer
    def f(x: float, n: Static[int]) -> float:
        return x * n

    assert f(2.0, 3) == 6.0


def test_an_array_of_a_function_that_is_already_checked_is_checked():
    @jit
    @jaxtyped(typechecker=beartype)
    def f(x: Float[Array, "a b"]):
        return 0

    assert f(floats) == 0
    with pytest.raises(Exception, match="x"):
        f(ints)


# --- the setting of the process --------------------------------------------------------------------------------------


@pytest.fixture
def process_setting():
    yield annotax.set_typechecker
    annotax.set_typechecker("beartype")


def test_the_setting_of_the_process_switches_the_checks_of_later_functions_off(process_setting):
    def f(x: str) -> str:
        return "one"

    before = annotax.grad(lambda x: x, typechecker="beartype")
    process_setting(None)
    assert annotax.jit(lambda x: x)(1.0) == 1.0
    assert annotax.checkpoint(f)(b"bytes") == "one"
    process_setting("beartype")
    with pytest.raises(CheckError, match="argument x does not fit"):
        annotax.checkpoint(f)(b"bytes")
    assert before(2.0) == 1.0


def test_the_setting_of_the_process_can_be_another_checker(process_setting):
    process_setting(lambda value, hint: "I never like it")
    with pytest.raises(CheckError, match="I never like it"):
        annotax.checkpoint(_takes_bytes)(b"")


def _takes_bytes(x: bytes) -> Array:
    return jnp.ones(1)


def test_a_decorator_wins_over_the_setting_of_the_process(process_setting):
    process_setting(lambda value, hint: "I never like it")
    assert annotax.checkpoint(_takes_bytes, typechecker=None)(b"").shape == (1,)


def test_a_setting_of_the_process_that_is_no_checker_is_refused(process_setting):
    with pytest.raises(TypeError, match="takes no 'typeguard'"):
        process_setting("typeguard")
