"""Type hints: evaluated where they are strings, taken apart, and what a type alone gives away."""

# ruff: noqa: F722, F821 - the strings in hints of jaxtyping name axes

import collections.abc
import enum
import numbers
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ForwardRef, Literal, NewType, Optional, TypeVar, Union

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import typing_extensions
from jax import Array
from jaxtyping import Bool, Float, Int, Key, Num, PyTree, UInt
from typing_extensions import TypeAliasType

from annotax import Diff, Donate, NoDiff, Static
from annotax._hints import (
    EMPTY,
    HOLE,
    Names,
    Unreadable,
    evaluate,
    has_hole,
    is_jaxtyping,
    may_be_unstrict,
    may_hold_fields,
    nested_marker,
    show,
    take_apart,
    why_not_differentiable,
    why_static,
    without_metadata,
)

T = TypeVar("T")
Bounded = TypeVar("Bounded", bound=str)
Constrained = TypeVar("Constrained", str, bytes)
UserId = NewType("UserId", int)
Label = NewType("Label", str)


class Colour(enum.Enum):
    RED = 1


def _here() -> None: ...


def read(annotation: Any, *, holes: bool = True) -> Any:
    return evaluate(annotation, Names(_here, holes=holes))


# --- evaluating ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "hint"),
    [
        ("int", int),
        ("  int", int),
        ("dict[str,\n int]", dict[str, int]),
        ("'int'", int),
        ("Static[int]", Static[int]),
        (Static["int"], Static[int]),
        (Annotated["int", "doc", Static], Annotated[int, "doc", Static]),
        (list["int"], list[int]),
        (typing.List["int"], typing.List[int]),  # noqa: UP006
        (dict[str, list["Static[int]"]], dict[str, list[Static[int]]]),
        (Optional["int"], Optional[int]),  # noqa: UP045
        (ForwardRef("int"), int),
        (Callable[["int"], "str"], Callable[[int], str]),
        (Callable[["int"], str], Callable[[int], str]),
        (tuple["int", ...], tuple[int, ...]),
        ("None", None),
        ("int | None", int | None),
        (Literal["int"], Literal["int"]),
        ("Literal['int']", Literal["int"]),
    ],
    ids=str,
)
def test_a_string_is_evaluated_at_any_depth(annotation, hint):
    assert read(annotation) == hint


@pytest.mark.parametrize("hint", [int, list[int], Static[int], Literal["a"], Callable[..., int], Float[Array, "b"], T])
def test_a_hint_without_strings_is_itself(hint):
    assert read(hint) is hint


def test_a_hint_that_needs_an_unknown_name_has_a_hole_there():
    assert read("list[Unknown]") == list[HOLE]


@pytest.mark.parametrize(
    "text", ["NoDiff[Unknown]", "NoDiff[mod.Unknown]", "NoDiff[Unknown[int]]", "NoDiff[Unknown | None]"]
)
def test_a_marker_is_read_around_an_unknown_type(text):
    assert take_apart(read(text))[1] == (NoDiff,)


@pytest.mark.parametrize("text", ["Unknown | int", "int | Unknown", "None | Unknown", "list[int] | Unknown | Array"])
def test_a_union_with_an_unknown_type_has_a_hole_wherever_it_stands(text):
    hint = read(text)
    assert has_hole(hint)
    assert HOLE in typing.get_args(hint)


def test_the_names_of_what_has_no_code_are_those_of_its_module():
    assert evaluate("Label", Names(Colour, holes=True)) is Label


@pytest.mark.parametrize("text", ["Unknown", "mod.Unknown", "Unknown[int]", "Unknown['x'].inner"])
def test_a_hint_that_is_unknown_as_a_whole_is_unreadable(text):
    with pytest.raises(Unreadable, match=re.escape(repr(text.split("[")[0].split(".")[0]))):
        read(text)


@pytest.mark.parametrize(
    ("text", "why"), [("int[", "SyntaxError"), ("1/0", "ZeroDivisionError"), ("np.nothing", "AttributeError")]
)
def test_a_hint_that_raises_is_unreadable_and_says_why(text, why):
    with pytest.raises(Unreadable, match=why):
        read(text)


def test_names_without_holes_do_not_find_an_unknown_name():
    with pytest.raises(Unreadable, match="Unknown"):
        read("list[Unknown]", holes=False)


# --- taking apart ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "bare", "markers"),
    [
        (int, int, ()),
        (Static[int], int, (Static,)),
        (Annotated[int, "doc"], Annotated[int, "doc"], ()),
        (Annotated[int, "a", Static, "b"], Annotated[int, "a", "b"], (Static,)),
        (Donate[NoDiff[Array]], Array, (NoDiff, Donate)),
        (Static, Any, (Static,)),
        (TypeAliasType("A", Static[int]), int, (Static,)),
        (TypeAliasType("A", Annotated[T, Static], type_params=(T,))[str], str, (Static,)),
        (TypeAliasType("A", list[T], type_params=(T,))[str], list[str], ()),
        (None, None, ()),
        (list[Static[int]], list[Static[int]], ()),
    ],
    ids=str,
)
def test_a_hint_comes_apart_into_its_type_and_its_markers(hint, bare, markers):
    assert take_apart(hint) == (bare, markers)


@pytest.mark.parametrize(
    "hint",
    [
        list[Static[int]],
        Static[int] | None,
        Optional[Static[int]],  # noqa: UP045
        dict[str, list[Static[int]]],
        tuple[Static[int], ...],
        list[TypeAliasType("A", Static[int])],
        Annotated[list[Static[int]], "doc"],
        Sequence[Static[int]],
        type[Static[int]],
    ],
    ids=str,
)
def test_a_marker_below_the_top_is_found(hint):
    assert nested_marker(hint) is Static


@pytest.mark.parametrize(
    "hint",
    [
        int,
        Static[int],
        list[int],
        Literal["Static"],
        Callable[[Static[int]], Array],
        typing.Callable[[Static[int]], Array],
        Callable[..., Annotated[int, "doc"]],
        typing.Callable,
        EMPTY,
        None,
    ],
    ids=str,
)
def test_a_hint_without_a_marker_below_the_top_has_none(hint):
    assert nested_marker(hint) is None


@pytest.mark.parametrize(
    ("hint", "bare"),
    [
        (int, int),
        (Annotated[int, "doc"], int),
        (Static[Annotated[int, "doc"]], int),
        (UserId, int),
        (Annotated[UserId, "doc"], int),
        (T, Any),
        (Bounded, str),
        (Constrained, Union[str, bytes]),
        (TypeAliasType("A", Annotated[UserId, "doc"]), int),
    ],
    ids=str,
)
def test_the_type_itself_is_found_under_metadata_aliases_and_variables(hint, bare):
    assert without_metadata(hint) == bare


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (EMPTY, "no hint"),
        (list[int], "list[int]"),
        (Colour, "Colour"),
        (Array, "Array"),
        (jnp.ndarray, "Array"),
        (dict[str, Array], "dict[str, Array]"),
        (Float[Array, "b d"], "Float[Array, 'b d']"),
        (list[Float[Array, "b d"]], "list[Float[Array, 'b d']]"),
        (Callable[[int], str], "Callable[[int], str]"),
        (Any, "Any"),
    ],
    ids=str,
)
def test_a_hint_is_shown_as_a_person_would_write_it(hint, text):
    assert show(hint) == text


@pytest.mark.parametrize(
    "hint", [Float[Array, "b"], list[Int[Array, "b"]], Float[Array, "b"] | None, Annotated[Key[Array, ""], 1]]
)
def test_a_hint_of_jaxtyping_is_known(hint):
    assert is_jaxtyping(hint)


@pytest.mark.parametrize("hint", [int, Array, list[Array], EMPTY, Literal["jaxtyping"], Callable[[int], str]], ids=str)
def test_another_hint_is_none_of_jaxtyping(hint):
    assert not is_jaxtyping(hint)


# --- what a type alone gives away ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hint",
    [
        str,
        bytes,
        Literal["sum", "mean"],
        Literal[1, 2],
        Callable[[Array], Array],
        Callable,
        typing.Callable,
        typing.Callable[..., int],
        collections.abc.Callable[..., int],
        type,
        type[Array],
        Colour,
        np.dtype,
        jax.typing.DTypeLike,
        np.typing.DTypeLike,
        types.FunctionType,
        types.MethodType,
        types.BuiltinFunctionType,
        typing.LiteralString,
        typing_extensions.LiteralString,
        str | None,
        Optional[Callable[[Array], Array]],  # noqa: UP045
        tuple[str, ...],
        tuple[str, Colour],
        Label,
        Bounded,
        Constrained,
        Annotated[str, "doc"],
        TypeAliasType("Name", str),
    ],
    ids=str,
)
def test_a_type_whose_values_can_never_be_traced_is_static(hint):
    assert "can never be traced" in why_static(hint)


@pytest.mark.parametrize(
    "hint",
    [
        int,
        float,
        bool,
        Array,
        Any,
        EMPTY,
        object,
        None,
        T,
        list[str],
        dict[str, Array],
        tuple[str, Array],
        tuple[()],
        str | Array,
        int | None,
        Float[Array, "b"],
        np.ndarray,
        np.float32,
        UserId,
        PyTree,
    ],
    ids=str,
)
def test_a_type_of_which_a_value_may_be_traced_is_not_static(hint):
    assert why_static(hint) is None


@pytest.mark.parametrize(
    "hint",
    [
        int,
        bool,
        str,
        np.int32,
        np.bool_,
        UserId,
        Colour,
        Int[Array, "b"],
        UInt[Array, "b"],
        Bool[Array, "b"],
        Key[Array, ""],
        int | None,
        int | bool,
        list[int],
        tuple[int, ...],
        tuple[int, bool],
        dict[str, int],
        Mapping[str, Int[Array, "b"]],
        Annotated[int, "doc"],
        Literal[1],
    ],
    ids=str,
)
def test_a_type_of_no_real_values_is_never_differentiated(hint):
    assert "can never be differentiated" in why_not_differentiable(hint)


@pytest.mark.parametrize(
    "hint",
    [
        float,
        complex,
        Array,
        Any,
        EMPTY,
        object,
        T,
        Float[Array, "b"],
        Num[Array, "b"],
        tuple[()],
        int | float,
        int | Array,
        list[Array],
        tuple[int, Array],
        dict[str, Array],
        dict[int, Array],
        np.ndarray,
        np.float32,
        jax.typing.ArrayLike,
    ],
    ids=str,
)
def test_a_type_that_may_hold_real_values_may_be_differentiated(hint):
    assert why_not_differentiable(hint) is None


@pytest.mark.parametrize(
    "hint",
    [
        float,
        complex,
        tuple[int, ...],
        tuple,
        frozenset,
        object,
        Any,
        EMPTY,
        np.float32,
        float | None,
        int | float,
        numbers.Real,
        collections.abc.Hashable,
        collections.abc.Iterable[int],
        collections.abc.Collection[int],
        Sequence[int],
        T,
    ],
    ids=str,
)
def test_a_type_with_equal_values_that_a_trace_tells_apart_is_compared_strictly(hint):
    assert may_be_unstrict(hint)


@pytest.mark.parametrize(
    "hint", [int, bool, str, Colour, None, Literal[1, True], int | None, Callable[..., int], typing.Callable], ids=str
)
def test_a_type_that_jax_compares_well_enough_is_left_to_jax(hint):
    assert not may_be_unstrict(hint)


class Model:
    """A class that may have fields."""


@pytest.mark.parametrize(
    "hint",
    [
        Model,
        Any,
        EMPTY,
        object,
        T,
        PyTree,
        PyTree[Float[Array, "b"]],
        Model | None,
        Union[Array, Model],
        list[Model],
        list,
        tuple[Array, Model],
        tuple[Model, ...],
        dict[str, Model],
        Mapping[str, Model],
        Sequence[Model],
        list[dict[str, Model]],
        Annotated[Model, "doc"],
        TypeAliasType("Alias", Model),
    ],
    ids=str,
)
def test_a_type_of_which_a_value_may_have_fields(hint):
    assert may_hold_fields(hint)


@pytest.mark.parametrize(
    "hint",
    [
        None,
        Array,
        int,
        float,
        complex,
        str,
        bytes,
        Colour,
        np.ndarray,
        np.float32,
        np.typing.NDArray[np.float32],
        Float[Array, "b"],
        Array | None,
        Union[Array, np.ndarray],
        list[Array],
        tuple[Array, ...],
        tuple[int, Array],
        dict[str, Array],
        Mapping[str, float],
        Sequence[Array],
        Annotated[Array, "doc"],
    ],
    ids=str,
)
def test_a_type_of_arrays_and_numbers_has_no_fields(hint):
    assert not may_hold_fields(hint)


@pytest.mark.parametrize("marker", [Static, NoDiff, Diff, Donate], ids=repr)
def test_a_type_gives_away_the_same_under_a_marker(marker):
    assert why_static(marker[str]) is not None
    assert why_static(marker[float]) is None
