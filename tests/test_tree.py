"""Values: what JAX can trace, what it can differentiate, how each is described, and when two constants are one."""

import enum
import functools
import math
import re
import types
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from annotax._tree import (
    Constant,
    Held,
    Structure,
    describe,
    describe_constant,
    holds_traceable,
    is_constant,
    is_differentiable,
    is_hashable,
    is_leaf,
    is_traceable,
    is_tracer,
    leaves_with_paths,
    release,
    split,
    why_static_value,
)


def name_of(value: Any) -> str:
    """A name for a value that is the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclass(frozen=True)
class ByValue:
    rate: float


@dataclass
class Unhashable:
    rate: float


class ByIdentity:
    pass


class Acting:
    def __call__(self) -> None: ...


def _tracer(value: Any) -> Any:
    seen: list[Any] = []
    jax.jit(lambda x: seen.append(x) or x)(value)
    return seen[0]


ARRAY = jnp.ones((2, 3))
SHAPE = jax.ShapeDtypeStruct((2,), jnp.int32)


# --- what JAX can trace and differentiate ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "leaf",
    [True, 1, 1.0, 1j, ARRAY, SHAPE, np.ones(2), np.float32(1), np.bool_(True), Level.LOW, jax.random.key(0)],
    ids=name_of,
)
def test_arrays_and_numbers_are_traced(leaf):
    assert is_traceable(leaf)


@pytest.mark.parametrize(
    "leaf",
    ["sum", b"sum", math.sin, Colour.RED, ByValue(1.0), np.array(["a"]), np.dtype("float32"), object()],
    ids=name_of,
)
def test_what_is_no_array_and_no_number_is_not_traced(leaf):
    assert not is_traceable(leaf)


def test_what_a_transform_hands_to_a_function_is_a_tracer():
    assert is_tracer(_tracer(1.0))
    assert is_traceable(_tracer(1.0))
    assert not is_tracer(ARRAY)


@pytest.mark.parametrize("leaf", [1.0, 1j, ARRAY, np.ones(2), np.float32(1), ARRAY.astype(jnp.bfloat16)], ids=name_of)
def test_real_and_complex_numbers_are_differentiated(leaf):
    assert is_differentiable(leaf)


@pytest.mark.parametrize(
    "leaf", [True, 1, np.ones(2, int), np.bool_(True), jax.random.key(0), "sum", SHAPE], ids=name_of
)
def test_other_values_are_not_differentiated(leaf):
    assert not is_differentiable(leaf)


def test_one_value_is_a_leaf_and_a_container_is_none():
    assert is_leaf(1.0)
    assert is_leaf("sum")
    assert not is_leaf((1.0,))
    assert not is_leaf(None)


# --- what can be a constant ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "leaf",
    ["sum", b"sum", int, Colour.RED, np.dtype("int32"), list[int], math.sin, ByValue(1.0), Acting(), lambda x: x],
    ids=name_of,
)
def test_what_compares_by_value_or_is_a_function_can_be_a_constant(leaf):
    assert is_constant(leaf)


@pytest.mark.parametrize("leaf", [object(), ByIdentity(), Unhashable(1.0), {1: 2}, bytearray(b"x")], ids=name_of)
def test_what_could_change_unseen_can_not(leaf):
    assert not is_constant(leaf)


def test_an_object_that_can_be_called_is_a_constant_only_where_callables_are():
    assert not is_constant(Acting(), callables=False)
    assert is_constant(ByValue(1.0), callables=False)
    assert is_constant("sum", callables=False)
    assert is_constant(int, callables=False)


def test_a_tracer_has_no_hash():
    assert is_hashable(1)
    assert is_hashable((1, "sum"))
    assert not is_hashable([1])
    assert not is_hashable(_tracer(1.0))


@pytest.mark.parametrize("value", [ARRAY, np.ones(2), [1.0], {"w": ARRAY}, [], ["sum"], (ARRAY, "sum")], ids=name_of)
@pytest.mark.parametrize("numbers", [True, False])
def test_arrays_and_containers_are_something_to_trace(value, numbers):
    assert holds_traceable(value, numbers=numbers)


@pytest.mark.parametrize("value", [True, 1, 1.0, 1j, (1, "sum"), Level.LOW], ids=name_of)
def test_numbers_are_something_to_trace_only_where_they_count(value):
    assert holds_traceable(value, numbers=True)
    assert not holds_traceable(value, numbers=False)


@pytest.mark.parametrize("value", [None, "sum", math.sin, (), ("sum", math.sin), (None,)], ids=name_of)
@pytest.mark.parametrize("numbers", [True, False])
def test_strings_and_functions_are_nothing_to_trace(value, numbers):
    assert not holds_traceable(value, numbers=numbers)


def test_a_value_that_can_never_be_traced_says_so():
    assert why_static_value("sum", "its default") == "its default, 'sum', can never be traced"
    assert why_static_value(1.0, "its default") is None
    assert why_static_value(["sum"], "its default") is None


# --- in a few words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ARRAY, "float32[2,3]"),
        (jnp.array(1), "int32[]"),
        (np.ones((2, 3)), "numpy float64[2,3]"),
        (SHAPE, "int32[2]"),
        (int, "the class int"),
        (Colour, "the class Colour"),
        (math.sin, "the function sin"),
        (Colour.RED, "<Colour.RED: 1>"),
        ("sum", "'sum'"),
        (b"sum", "b'sum'"),
        (True, "True"),
        (1, "1"),
        (1.5, "1.5"),
        (2j, "2j"),
        ("x" * 58, repr("x" * 58)),
        ("x" * 59, "'" + "x" * 56 + "..."),
        ([1, 2], "list of 2"),
        ((1,), "tuple of 1"),
        ({"a": 1}, "dict of 1"),
        (ByIdentity(), "an object of type ByIdentity"),
        (functools.partial(math.sin), "an object of type partial"),
    ],
    ids=name_of,
)
def test_a_value_is_described_in_a_few_words(value, text):
    assert describe(value) == text


def test_a_traced_array_is_described_as_traced():
    assert describe(_tracer(np.float32(1.0))) == "traced float32[]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ARRAY, "float32[2,3]"),
        (np.ones(2), "numpy float64[2]"),
        (SHAPE, "int32[2]"),
        (int, "the class int"),
        (math.sin, "the function sin"),
        ((1, "sum"), "(1, 'sum')"),
        ([jnp.ones(2)], "list of 1"),
        ([np.ones(2), 1], "list of 2"),
        (ByValue(1.0), "ByValue(rate=1.0)"),
        (ByIdentity(), "an object of type ByIdentity"),
        (tuple(range(10, 25)), repr(tuple(range(10, 25)))),
        (tuple(range(10, 26)), "tuple of 16"),
        (types.SimpleNamespace(a="b"), "namespace(a='b')"),
    ],
    ids=name_of,
)
def test_a_constant_is_shown_as_python_shows_it_where_that_is_short(value, text):
    assert describe_constant(value) == text


def test_a_constant_of_several_lines_is_described():
    class Table:
        def __repr__(self):
            return "a\nb"

    assert describe_constant(Table()).endswith("Table")


# --- constants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (complex(0.0, 0.0), complex(0.0, -0.0)),
        (complex(0.0, 0.0), complex(-0.0, 0.0)),
        ((1,), (True,)),
        ((1, (2.0,)), (1, (2,))),
        (frozenset({1}), frozenset({True})),
        (np.float32(0.0), np.float32(-0.0)),
        (np.int32(1), np.int64(1)),
        (1, 2),
        ("a", "b"),
    ],
    ids=name_of,
)
def test_constants_that_a_trace_tells_apart_differ(one, other):
    assert Constant(one) != Constant(other)
    assert Constant.of_keywords({"n": one}) != Constant.of_keywords({"n": other})


@pytest.mark.parametrize(
    "make",
    [
        lambda: float("nan"),
        lambda: complex(float("nan"), 1.0),
        lambda: (1, float("nan")),
        lambda: np.float32("nan"),
        lambda: frozenset({1, "a"}),
        lambda: ByValue(1.0),
        lambda: "sum",
    ],
    ids=["nan", "complex nan", "nan in a tuple", "nan of numpy", "frozenset", "by value", "text"],
)
def test_equal_constants_are_one_key(make):
    assert len({Constant(make()), Constant(make())}) == 1


def test_the_order_of_static_keywords_does_not_matter():
    one, other = Constant.of_keywords({"a": 1, "b": 2}), Constant.of_keywords({"b": 2, "a": 1})
    assert len({one, other}) == 1
    assert one != Constant.of_keywords({"a": 2, "b": 1})
    assert one.value == {"a": 1, "b": 2}


def test_a_constant_is_no_other_object_and_shows_its_value():
    assert Constant(1) != 1
    assert repr(Constant("sum")) == "'sum'"


# --- mixed pytrees ---------------------------------------------------------------------------------------------------

MIXED = {"act": math.sin, "w": 1.0, "b": [2.0, "sum"]}  # flattened in the order of the keys: act, b, w


def test_a_mixed_tree_comes_apart_into_what_is_traced_and_all_the_rest():
    leaves, structure = split(MIXED)
    assert leaves == (2.0, 1.0)
    assert structure.kept == [False, True, False, True]
    assert structure.traced == 2
    assert structure.positions == (1, 3)


def test_it_is_put_together_again_with_other_leaves():
    _, structure = split(MIXED)
    assert structure.join([5.0, 6.0]) == {"act": math.sin, "w": 6.0, "b": [5.0, "sum"]}
    assert structure.join([2.0, 1.0]) == MIXED
    assert structure.join_or_none([5.0, 6.0]) == {"act": None, "w": 6.0, "b": [5.0, None]}


def test_it_comes_apart_where_it_is_told_to():
    leaves, structure = split(MIXED, [False, True, False, False])
    assert leaves == (2.0,)
    assert structure.join([5.0]) == {"act": math.sin, "w": 1.0, "b": [5.0, "sum"]}


def test_what_stands_at_the_traced_leaves_is_picked():
    _, structure = split(MIXED)
    assert structure.pick({"act": None, "w": "of w", "b": ["of b", None]}) == ("of b", "of w")


def test_another_value_comes_apart_alike_only_if_all_that_is_constant_is_the_same():
    _, structure = split(MIXED)
    assert structure.split_again({"act": math.sin, "w": 6.0, "b": [5.0, MIXED["b"][1]]}) == [5.0, 6.0]
    assert structure.split_again({"act": math.cos, "w": 6.0, "b": [5.0, "sum"]}) is None
    assert structure.split_again({"act": math.sin, "w": 6.0}) is None


def test_structures_are_equal_where_their_trees_and_constants_are():
    structures = [split(tree)[1] for tree in (MIXED, {**MIXED, "w": 9.0})]
    assert len(set(structures)) == 1
    assert structures[0] != split({**MIXED, "act": math.cos})[1]
    assert structures[0] != split([math.sin, 2.0, "sum", 1.0])[1]
    assert structures[0] != "sum"


def test_a_value_that_is_constant_as_a_whole_has_nothing_traced():
    structure = Structure.of_constant(Constant((1.0, 2.0)))
    assert structure.traced == 0
    assert structure.join(()) == (1.0, 2.0)


def test_a_held_result_goes_through_jax_and_is_released():
    leaves, structure = split(MIXED)
    held = jax.jit(lambda x: Held(structure, [x, 3.0 * x]))(2.0)
    assert release(held) == {"act": math.sin, "w": 6.0, "b": [2.0, "sum"]}
    assert release(leaves) is leaves


def test_leaves_have_the_paths_that_a_person_would_write():
    assert leaves_with_paths("x", {"a": [1.0, 2.0]}) == [("x['a'][0]", 1.0), ("x['a'][1]", 2.0)]
    assert leaves_with_paths("x", 1.0) == [("x", 1.0)]
