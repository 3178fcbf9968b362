"""The vocabulary: markers as metadata and as aliases, and what they are as objects."""

import copy
import pickle
import re
import typing
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import cloudpickle
import jax
import jax.numpy as jnp
import pytest
from jax import Array
from jax.sharding import PartitionSpec
from typing_extensions import TypeAliasType

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static

T = TypeVar("T")
PLAIN = [Static, NoDiff, Diff, Donate, Aux]


@pytest.mark.parametrize("marker", PLAIN, ids=repr)
def test_a_marker_as_alias_is_the_same_hint_as_the_marker_as_metadata(marker):
    assert marker[int] == Annotated[int, marker]


@pytest.mark.parametrize("marker", PLAIN, ids=repr)
def test_a_marker_is_shown_by_its_name(marker):
    assert repr(marker) == next(name for name in annotax.__all__ if getattr(annotax, name) is marker)


@pytest.mark.parametrize("marker", [*PLAIN, Axis(1), PartitionSpec("data")], ids=repr)
def test_a_marker_is_hashable(marker):
    assert len({marker, copy.copy(marker)}) == 1


@pytest.mark.parametrize("marker", PLAIN, ids=repr)
@pytest.mark.parametrize(
    "through",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: cloudpickle.loads(cloudpickle.dumps(m)),
    ],
    ids=["copy", "deepcopy", "pickle", "cloudpickle"],
)
def test_a_copied_or_pickled_marker_is_the_marker_itself(marker, through):
    assert through(marker) is marker


@pytest.mark.parametrize("axis", [Axis(0), Axis(None), Axis(1, "time")], ids=repr)
def test_a_pickled_axis_equals_the_axis(axis):
    assert pickle.loads(pickle.dumps(axis)) == axis


def test_axes_are_equal_by_axis_and_name():
    assert Axis(1, "time") == Axis(1, "time")
    assert len({Axis(1), Axis(1), Axis(None), Axis(1, "time")}) == 3


@pytest.mark.parametrize("text", ["Axis(1)", "Axis(None)", "Axis(1, 'time')"])
def test_an_axis_is_shown_as_it_is_written(text):
    assert repr(eval(text)) == text


@pytest.mark.parametrize("axis", ["time", 1.0, (0, 1), Axis(0)], ids=repr)
def test_an_axis_of_anything_but_an_integer_or_none_is_refused(axis):
    with pytest.raises(TypeError, match=re.escape(f"not {axis!r}")):
        Axis(axis)


@pytest.mark.parametrize("marker", [Axis, PartitionSpec], ids=["Axis", "PartitionSpec"])
def test_a_marker_that_stands_without_its_arguments_is_refused(marker):
    def f(x: Annotated[Array, marker]):
        return x

    with pytest.raises(annotax.MarkerError, match="without its arguments"):
        annotax.jit(f)


@pytest.mark.parametrize("marker", [*PLAIN, Axis(1)], ids=repr)
def test_every_marker_of_ours_is_a_marker(marker):
    assert isinstance(marker, annotax.Marker)


def test_markers_are_inert_until_a_transform_reads_them():
    def f(x: Donate[Array], n: Static[int], y: NoDiff[Array]) -> Array:
        return x * n + y

    assert f(jnp.array(2.0), jnp.array(3), jnp.array(1.0)) == 7.0


def test_a_hint_without_extras_is_the_type_that_was_marked():
    def f(x: Donate[NoDiff[int]], n: Annotated[str, "doc", Static]): ...

    assert typing.get_type_hints(f) == {"x": int, "n": str}


def test_a_generic_class_keeps_its_argument_under_a_marker(markers_of, contract_of):
    def f(xs: NoDiff[list[Array]]): ...

    assert markers_of(f) == {"xs": [NoDiff]}
    assert contract_of(f).parameters[0].hint == list[Array]


def test_markers_nest_in_any_order(markers_of):
    def f(a: Donate[NoDiff[Array]], b: NoDiff[Donate[Array]], c: Annotated[NoDiff[Array], Donate, Axis(0)]): ...

    assert {name: set(markers) for name, markers in markers_of(f).items()} == {
        "a": {Donate, NoDiff},
        "b": {Donate, NoDiff},
        "c": {Donate, NoDiff, Axis(0)},
    }


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[int, "first", Static, 3],
        Annotated[Static[int], "outside"],
        Static[Annotated[int, "inside"]],
        Annotated[Annotated[int, "inside"], Static, "outside"],
    ],
    ids=str,
)
def test_a_marker_is_read_among_foreign_metadata(markers_of, hint):
    def f(n): ...

    f.__annotations__["n"] = hint
    assert markers_of(f) == {"n": [Static]}


def test_foreign_metadata_stays_on_the_hint_in_its_order(contract_of):
    def f(n: Annotated[Annotated[int, "one", Static], "two"]): ...

    assert contract_of(f).parameters[0].hint == Annotated[int, "one", "two"]


def test_a_marker_written_twice_is_read_once(markers_of):
    def f(n: Static[Static[int]]): ...

    assert markers_of(f) == {"n": [Static]}


def test_a_marker_alone_marks_a_parameter_of_any_type(markers_of, contract_of):
    def f(n: Static): ...

    assert markers_of(f) == {"n": [Static]}
    assert contract_of(f).parameters[0].hint is Any


Count = Static[int]
Constant = Static[T]
Lazy = TypeAliasType("Lazy", Annotated[int, Static])
LazyGeneric = TypeAliasType("LazyGeneric", Annotated[T, Static], type_params=(T,))
LazyTwice = TypeAliasType("LazyTwice", Lazy)


@pytest.mark.parametrize(
    "hint",
    [Count, Constant[int], Lazy, LazyGeneric[int], LazyTwice],
    ids=["plain", "generic", "type", "type[T]", "type of type"],
)
def test_an_alias_carries_its_marker(markers_of, contract_of, hint):
    def f(n): ...

    f.__annotations__["n"] = hint
    assert markers_of(f) == {"n": [Static]}
    assert contract_of(f).parameters[0].hint is int


def test_a_marker_around_an_alias_adds_to_the_marker_inside(markers_of):
    held = TypeAliasType("held", Annotated[Array, NoDiff])

    def f(x: Donate[held]): ...

    assert set(markers_of(f)["x"]) == {NoDiff, Donate}


def test_a_transform_ignores_markers_that_mean_nothing_to_it():
    @annotax.grad
    def f(x: Donate[Array], y: NoDiff[Annotated[Array, Axis(1), PartitionSpec("data")]]) -> Array:
        return x * y

    x = jnp.array(2.0)
    assert f(x, jnp.array(3.0)) == 3.0
    assert not x.is_deleted()


@dataclass(frozen=True)
class Clip(annotax.Marker):
    """A marker of a user's own."""

    at: float


@dataclass(frozen=True)
class Clipping(annotax.Transform):
    """A transform of a user's own that reads it."""

    def apply(self, core, contract):
        at = {i: contract.parameters[i].role(Clip).marker.at for i in contract.indices(Clip)}
        return lambda *slots: core(*(jnp.clip(s, max=at[i]) if i in at else s for i, s in enumerate(slots))), contract


def test_a_marker_of_ones_own_is_read_by_a_transform_of_ones_own():
    @annotax.transform(annotax.jit, Clipping())
    def f(x: Annotated[Array, Clip(1.0)], y: Array) -> Array:
        return x + y

    assert f(jnp.array(5.0), jnp.array(5.0)) == 6.0


def test_a_marker_of_ones_own_means_nothing_to_the_transforms_of_annotax():
    @annotax.jit
    def f(x: Annotated[Array, Clip(1.0)]) -> Array:
        return x

    assert f(jnp.array(5.0)) == 5.0


def test_each_marker_says_what_it_is_for():
    for marker in PLAIN:
        assert repr(marker) in marker.__doc__


def test_jax_itself_takes_a_function_with_markers():
    def f(x: NoDiff[Array], *, n: Static[int] = 2) -> Array:
        return x**n

    assert jax.grad(f)(3.0) == 6.0
