"""One table of hints: values that each must take and values that it must refuse, under `jit`, `grad` and `vmap`.

Under `vmap` the values are batches of those in the table, since a hint describes one example.
"""

# ruff: noqa: F722 - the strings in hints of jaxtyping name axes

import collections
import collections.abc
import enum
import functools
import numbers
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    Required,
    Self,
    TypedDict,
    TypeVar,
    Union,
    runtime_checkable,
)

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype.vale import Is, IsAttr, IsEqual, IsInstance
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import (
    Bool,
    Complex,
    Float,
    Float32,
    Inexact,
    Int,
    Key,
    Num,
    PRNGKeyArray,
    PyTree,
    Real,
    Scalar,
    Shaped,
    UInt,
)
from numpy.typing import NDArray
from typing_extensions import TypeAliasType

import annotax
from annotax import Aux, Axis, CheckError, Donate, NoDiff, Static, grad, jit, vmap
from annotax._hints import show

T = TypeVar("T")
Bounded = TypeVar("Bounded", bound=float)
BoundedByName = TypeVar("BoundedByName", bound="Point")
Constrained = TypeVar("Constrained", int, Array)
UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
Batch = TypeAliasType("Batch", dict[str, Array])
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))

# One a line, for beartype reads the source of each.
IS_MATRIX = Is[lambda x: x.ndim == 2]
IS_WIDE = Is[lambda x: x.shape[0] < x.shape[1]]
POSITIVE = Is[lambda n: n > 0]
BELOW_5 = Is[lambda n: n < 5]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Point(NamedTuple):
    x: Array
    y: Array


@jax.tree_util.register_dataclass
@dataclass
class Model:
    w: Array


@jax.tree_util.register_dataclass
@dataclass
class Larger(Model):
    b: Array


@annotax.pytree
class Layer:
    w: Array
    size: Static[int] = 2


class Module(eqx.Module):
    w: Array


class Options(TypedDict):
    rate: float
    steps: NotRequired[int]


class Partial(TypedDict, total=False):
    rate: Required[float]
    inner: Options


@jax.tree_util.register_dataclass
@dataclass
class Box(Generic[T]):
    inside: T


@runtime_checkable
class HasWeight(Protocol):
    w: Any


@dataclass(frozen=True)
class Config:
    n: int


floats, vector, scalar = jnp.ones((2, 3)), jnp.ones(3), jnp.array(1.0)
ints, integer, flag, key = jnp.arange(3), jnp.array(1), jnp.array(True), jax.random.key(0)
point, model = Point(scalar, scalar), Model(floats)


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """A hint with values.

    Attributes:
        name: The hint, as it is written.
        make: From a decorator to a decorated function of `w` and of what is in the table.
        fits: Arguments that must be taken.
        misfits: Arguments that must be refused, each with what the message must name.
        is_batched: Whether under `vmap` the arguments are batches of those here; static values are not.
    """

    name: str
    make: Callable[[Any], Callable[..., Any]]
    fits: list[tuple[Any, ...]]
    misfits: list[tuple[str, tuple[Any, ...]]]
    is_batched: bool = True


def _of_one_hint(hint: Any) -> Callable[[Any], Callable[..., Any]]:
    def make(decorate: Any) -> Callable[..., Any]:
        def f(w, x):
            return w

        f.__annotations__["x"] = hint
        return decorate(f)

    return make


def row(hint: Any, fits: Sequence[Any], misfits: Sequence[Any] | Mapping[str, Any], **options: Any) -> Row:
    """A row of one hint, on a parameter `x`; misfits with a path other than `x` are given by that path."""
    paths = list(misfits.items()) if isinstance(misfits, Mapping) else [("x", value) for value in misfits]
    name = options.pop("name", None) or (hint if isinstance(hint, str) else show(hint))
    refused = [(f"argument {path}", (value,)) for path, value in paths]
    return Row(name, _of_one_hint(hint), [(value,) for value in fits], refused, **options)


static = functools.partial(row, is_batched=False)


def written(source: str, **names: Any) -> Callable[[Any], Callable[..., Any]]:
    """A function from its source, which stands in a module of its own."""

    def make(decorate: Any) -> Callable[..., Any]:
        namespace = {"decorate": decorate, **globals(), **names, "__name__": "written_by_a_test"}
        exec(source, namespace)
        return namespace["f"]

    return make


# --- functions whose hints need a place of their own -----------------------------------------------------------------


def names_a_local_class(decorate):
    @jax.tree_util.register_dataclass
    @dataclass
    class Local:
        w: Array

    @decorate
    def f(w, x: "list[Local]"):
        return w

    return lambda w, leaf, is_local: f(w, [Local(leaf) if is_local else Model(leaf)])


def names_a_local_alias(decorate):
    Sizes = list[int]

    @decorate
    def f(w, x: "dict[str, Sizes]"):
        return w

    return f


def names_a_local_of_an_outer_function(decorate):
    Number = float

    def inside():
        @decorate
        def f(w, x: "Number"):
            return w

        return f

    return inside()


def names_a_local_marker(decorate):
    Size = Static[int]

    @decorate
    def f(w, x: "Size"):
        return w

    return f


def names_a_local_type_variable(decorate):
    Local = TypeVar("Local", bound=int)

    @decorate
    def f(w, x: "list[Local]"):
        return w

    return f


def has_self_beside_other_hints(decorate):
    @dataclass(frozen=True)
    class Local:
        n: int

        @decorate
        def f(self: Static[Self], w, x: "list[float]", other: "Static[Self | None]" = None) -> Array:
            return w

    return lambda w, x: Local(1).f(w, x, Local(2))


def has_one_axis_over_two_arguments(decorate):
    @decorate
    def f(w, x: Float[Array, "a b"], y: Float[Array, " b"]):
        return w

    return f


def has_one_axis_over_argument_and_result(decorate):
    @decorate
    def f(w, x: Float[Array, " a"], n: Static[int]) -> tuple[Array, Aux[Float[Array, " a"]]]:
        return w, jnp.ones(n)

    return lambda w, x, n: f(w, x, n)[0]


def has_an_axis_that_is_an_argument(decorate):
    @decorate
    def f(w, n: Static[int], x: Float[Array, "{n} {n}+1"]):
        return w

    return f


def has_an_axis_that_is_computed(decorate):
    @decorate
    def f(w, x: Float[Array, " a"], y: Float[Array, " a+1"]):
        return w

    return f


def has_axes_of_all_dimensions(decorate):
    @decorate
    def f(w, x: Float[Array, "*batch 3"], y: Int[Array, "*batch"]):
        return w

    return f


def has_one_structure_over_two_trees(decorate):
    @decorate
    def f(w, x: PyTree[Array, "T"], y: PyTree[Array, "T"]):
        return w

    return f


def has_one_axis_over_trees_and_arrays(decorate):
    @decorate
    def f(w, x: PyTree[Float[Array, " a"]], y: dict[str, Float[Array, " a"]]):
        return w

    return f


def checks_its_result(decorate):
    @decorate
    def f(w, as_list: Static[bool]) -> Float[Array, ""]:
        return [w] if as_list else w

    return f


def has_hints_on_args_and_kwargs(decorate):
    @decorate
    def f(w, *xs: float, **ys: list[float]):
        return w

    return lambda w, xs, ys: f(w, *xs, **ys)


# --- the table -------------------------------------------------------------------------------------------------------

TABLE = [
    # Strings and forward references.
    row("int", [1, integer], [1.0, ints, "a"]),
    row("list[int]", [[1, 2], []], {"x[1]": [1, 1.0]}),
    row(list["int"], [[1]], {"x[0]": [1.0]}, name="list['int']"),
    row("dict[str, 'Array']", [{"a": floats}], {"x['a']": {"a": [floats]}}),
    row("Annotated['Array', NoDiff, 'doc']", [floats], [[floats]]),
    row(Annotated["Float[Array, '3']", NoDiff], [vector], [floats], name="Annotated['Float[Array, ...]', NoDiff]"),
    row(Optional["Model"], [None, model], [point, floats]),
    row(ForwardRef("Model"), [model], [point]),
    row("  int\n| None", [1, None], [1.0]),
    static("Static[int]", [1], [1.0, "a"]),
    Row(
        "a class that is defined later",
        written(
            "@decorate\ndef f(w, x: 'list[Later]'): return w\n"
            "import collections\nLater = collections.namedtuple('Later', 'w')\n"
            "f = (lambda f: lambda w, is_later: f(w, [Later(w) if is_later else [w]]))(f)\n"
        ),
        [(True,)],
        [("argument x[0]", (False,))],
        is_batched=False,
    ),
    # Names local to a function.
    Row(
        "a local class",
        names_a_local_class,
        [(floats, True)],
        [("argument x[0]", (floats, False))],
        is_batched=False,
    ),
    Row("a local alias", names_a_local_alias, [({"a": [1]},)], [("argument x['a'][1]", ({"a": [1, 1.0]},))]),
    Row("a name of an outer function", names_a_local_of_an_outer_function, [(1.0,)], [("argument x", (vector,))]),
    Row("a local marker", names_a_local_marker, [(1,)], [("argument x", (1.0,))], is_batched=False),
    Row("a local type variable", names_a_local_type_variable, [([1],)], [("argument x[0]", ([1.0],))]),
    Row("Self", has_self_beside_other_hints, [([1.0],)], [("argument x[0]", ([vector],))]),
    # Type variables, new types and aliases.
    row(T, [1, floats, "a", [floats]], [], name="a type variable"),
    row(Bounded, [1.0, 1, scalar], [1j, vector, "a"], name="a bounded type variable"),
    row(BoundedByName, [point], [floats, "a"], name="a type variable bounded by a name"),
    row(Constrained, [1, floats], ["a", [1]], name="a constrained type variable"),
    row(list[Bounded], [[1.0, 2.0]], {"x[1]": [1.0, vector]}, name="a list of a bounded type variable"),
    row(UserId, [1, integer], [1.0, vector]),
    row(AdminId, [1], [1.0], name="a new type of a new type"),
    row(list[UserId], [[1]], {"x[1]": [1, 1.0]}),
    row(Batch, [{"a": floats}], {"x['a']": {"a": None}}),
    row(Pair[int], [(1, 2)], {"x[1]": (1, 1.0), "x": (1,)}),
    # Optional, unions, Literal, enums, classes.
    row(Any, [1, "a", None, [floats]], []),
    row(object, [1, "a", None, [floats]], []),
    row(None, [None], [1, floats, ()]),
    row(Optional[Array], [None, floats], ["a", [floats]]),  # noqa: UP045
    row(Union[int, list[int]], [1, [1, 2]], {"x[1]": [1, 1.0], "x": 1.0}),
    row(int | float, [1, 1.0], [1j, vector]),
    row(float | Array | None, [1.0, floats, None], ["a", [1.0]]),
    row(Array | str, [floats, "a"], [b"a", [floats]]),
    static(str, ["a"], [b"a", 1, floats]),
    static(str | None, ["a", None], [1]),
    static(bytes, [b"a"], ["a"]),
    static(Literal["sum", "mean"], ["sum"], ["max", 1]),
    static(Literal[1, "a", None], [1, "a", None], [2, "b"]),
    static(Literal[Colour.RED], [Colour.RED], [Colour.BLUE, 1]),
    static(Colour, [Colour.RED], ["RED", 1]),
    static(type[Array], [Array], [int, floats], name="type[Array]"),
    static(Static[int | str], [1, "a"], [1.0]),
    static(Static[float], [1.0, 1], ["a", 1j], name="Static[float]"),
    static(Static[bool], [True], [1, "a"], name="Static[bool]"),
    static(Static[frozenset[str]], [frozenset("a")], ["a"]),
    static(Static[Config], [Config(1)], [Colour.RED]),
    static(Static[tuple[int, ...]], [(1, 2)], {"x[1]": (1, "a"), "x": "a"}),
    # Containers, walked whole.
    row(list, [[floats], []], [(floats,), {"a": floats}]),
    row(list[Array], [[floats] * 3], {"x[2]": [floats, floats, [floats]], "x": (floats,)}),
    row(typing.List[float], [[1.0]], {"x[1]": [1.0, vector]}),  # noqa: UP006
    row(list[list[float]], [[[1.0], []]], {"x[1][0]": [[1.0], [vector]], "x[0]": [1.0]}),
    row(dict[str, Array], [{"a": floats}, {}], {"x['b']": {"a": floats, "b": None}, "key 1 of x": {1: floats}}),
    row(dict[int, float], [{1: 1.0}], {"x[2]": {1: 1.0, 2: vector}}),
    row(dict[str, list[int]], [{"a": [1]}], {"x['b'][1]": {"a": [1], "b": [1, 1.0]}, "x": [1]}),
    row(tuple[Array, int], [(floats, 1)], {"x[1]": (floats, 1.0), "x": (floats,)}),
    row(tuple[float, ...], [(1.0, 2.0), ()], {"x[1]": (1.0, vector), "x": [1.0]}),
    row(tuple[()], [()], [(1,), []]),
    row(
        tuple[int, tuple[float, dict[str, Array]]],
        [(1, (1.0, {"a": floats}))],
        {"x[1][1]['a']": (1, (1.0, {"a": [floats]})), "x[1][0]": (1, (vector, {}))},
    ),
    row(
        tuple[int, *tuple[float, ...]],
        [(1, 1.0, 2.0), (1,)],
        {"x[0]": (1.0, 1.0), "x[2]": (1, 1.0, vector), "x": ()},
    ),
    row(Sequence[float], [[1.0], (1.0, 2.0)], {"x[0]": [vector], "x": {"a": 1.0}}),
    row(collections.abc.Collection[float], [[1.0], (1.0,)], {"x[0]": [vector]}),
    row(collections.abc.Iterable[Array], [[floats]], {"x[0]": ["a"]}),
    row(Mapping[str, Sequence[int]], [{"a": [1], "b": (2,)}], {"x['a'][0]": {"a": (1.0,)}}),
    row(
        collections.OrderedDict[str, float],
        [collections.OrderedDict(a=1.0)],
        {"x": {"a": 1.0}, "x['a']": collections.OrderedDict(a=vector)},
        name="OrderedDict[str, float]",
    ),
    row(
        collections.defaultdict[str, list[float]],
        [collections.defaultdict(list, a=[1.0])],
        {"x": {"a": [1.0]}, "x['a'][0]": collections.defaultdict(list, a=[vector])},
        name="defaultdict[str, list[float]]",
    ),
    row(list[Array] | dict[str, Array], [[floats], {"a": floats}], {"x[0]": ["a"], "x": floats}),
    row(list[int | None], [[1, None]], {"x[1]": [1, 1.0]}),
    row(Annotated[list[Annotated[int, "inner"]], "outer"], [[1]], {"x[0]": [1.0]}),
    # Records.
    row(Point, [point], [(scalar, scalar), model, [scalar, scalar]]),
    row(list[Point], [[point]], {"x[1]": [point, (scalar, scalar)]}),
    row(Options, [{"rate": 1.0}, {"rate": 1.0, "steps": 1}], {"x['rate']": {"rate": vector}, "x": {"steps": 1}}),
    row(
        Partial,
        [{"rate": 1.0}, {"rate": 1.0, "inner": {"rate": 1.0}}],
        {"x['inner']['rate']": {"rate": 1.0, "inner": {"rate": vector}}, "x": {"rate": 1.0, "other": 1.0}},
    ),
    row(Model, [model, Larger(floats, floats)], [point, floats, {"w": floats}]),
    row(Larger, [Larger(floats, floats)], [model]),
    row(dict[str, Model], [{"a": model}], {"x['b']": {"a": model, "b": floats}}),
    row(Layer, [Layer(floats), Layer(floats, 3)], [model, None]),
    row(Module, [Module(floats)], [model, Layer(floats)]),
    row(Box[int], [Box(1)], [model, 1]),
    row(HasWeight, [model, Layer(floats)], [floats, [floats]]),
    # Arrays and numbers.
    row(Array, [floats, 1.0, np.ones(2), True], ["a", None, [floats]]),
    row(jax.typing.ArrayLike, [floats, 1, 1.0, np.ones(2), np.float32(1)], ["a", None, [1.0]], name="ArrayLike"),
    row(list[ArrayLike], [[1.0, floats]], {"x[1]": [1.0, "a"]}, name="list[ArrayLike]"),
    row(np.ndarray, [np.ones(2), floats], ["a", [1.0]]),
    row(NDArray[np.float32], [np.ones(2, np.float32)], [np.ones(2, np.int32), [1.0]], name="NDArray[float32]"),
    row(NDArray[np.float64], [np.ones(2)], [np.ones(2, np.int32), "a"], name="NDArray[float64]"),
    row(NDArray[np.integer], [np.ones(2, np.int8)], [np.ones(2, np.float32)], name="NDArray[integer]"),
    row(NDArray[Any], [np.ones(2), np.ones(2, int)], ["a"], name="NDArray[Any]"),
    row(np.float32, [np.float32(1)], [np.float16(1), vector]),
    row(np.float64, [np.float64(1)], [np.float16(1), vector]),
    row(np.int64, [np.int64(1)], [np.int8(1), 1.0]),
    row(np.floating, [np.float16(1), scalar], [np.int8(1), 1j]),
    row(np.bool_, [np.True_], [np.int8(1)], name="np.bool_"),
    row(np.generic, [np.int8(1), np.float32(1)], [vector, "a"]),
    row(bool, [True, flag], [1, integer]),
    row(float, [1.0, 1, scalar, np.float32(1)], [1j, vector, flag]),
    row(complex, [1j, 1.0, 1, jnp.array(1j)], ["a", vector]),
    row(numbers.Number, [1, 1.0, 1j], ["a", vector]),
    row(numbers.Complex, [1, 1.0, 1j], ["a", vector]),
    row(numbers.Real, [1, 1.0], [1j, vector]),
    row(numbers.Integral, [1, integer], [1.0, ints]),
    row(typing.SupportsFloat, [1.0, 1, scalar], ["a", [1.0]]),
    # Keys and functions.
    row(Key[Array, ""], [key], [jax.random.PRNGKey(0), 1]),
    row(PRNGKeyArray, [key], [1.0, "a"]),
    row(list[Key[Array, ""]], [[key]], {"x[1]": [key, scalar]}),
    row(UInt[Array, "2"], [jax.random.PRNGKey(0)], [key, vector]),
    static(Callable, [jnp.sin, len, int], ["sin", 1]),
    static(Callable[[Array], Array], [jnp.sin], ["sin", None], name="Callable[[Array], Array]"),
    static(typing.Callable[..., Any], [jnp.sin], ["sin"], name="typing.Callable[..., Any]"),
    static(Callable[[Array], Array] | None, [jnp.sin, None], ["sin"], name="Callable[[Array], Array] | None"),
    # jaxtyping, one array.
    row(Float[Array, "a b"], [floats], [vector, ints, [floats]]),
    row(Float[Array, "2 3"], [floats], [floats.T, vector]),
    row(Float[Array, "a a"], [jnp.ones((2, 2))], [floats]),
    row(Float[Array, ""], [scalar, 1.0], [vector, 1, "a"]),
    row(Float[Array, "..."], [floats, scalar], [ints]),
    row(Float32[Array, "_ 3"], [floats], [floats.astype(jnp.float16), vector]),
    row(Int[Array, " a"], [ints], [vector, integer]),
    row(Bool[Array, ""], [flag, True], [integer, vector]),
    row(Complex[Array, ""], [jnp.array(1j), 1j], [1.0]),
    row(Num[Array, " a"], [ints, vector], [flag, key]),
    row(Inexact[Array, ""], [1.0, 1j], [1]),
    row(Real[Array, ""], [1.0, 1], [1j]),
    row(Shaped[Array, " a"], [ints, vector], [floats, "a"]),
    row(Scalar, [scalar, integer], [vector, "a"], name="Scalar"),
    row(Float[Array, "a"] | Int[Array, "a"], [vector, ints], [floats, 1j]),
    row(Float[Array, " a"] | None, [vector, None], [ints]),
    row(Float[np.ndarray, " a"], [np.ones(3, np.float32)], [np.ones((2, 3), np.float32), np.ones(3, np.int32)]),
    row(Float[ArrayLike, ""], [1.0, scalar, np.float32(1)], [vector, "a"], name="Float[ArrayLike, '']"),
    row(dict[str, Float[Array, " a"]], [{"a": vector, "b": vector}], {"x['b']": {"a": vector, "b": jnp.ones(4)}}),
    row(PyTree, [floats, [floats], {"a": 1.0}], [], name="PyTree"),
    row(PyTree[Array], [floats, [floats, {"a": floats}]], ["a"]),
    row(PyTree[float], [1.0, {"a": [1.0, 2.0]}], {"x['a'][0]": {"a": [vector]}, "x": 1j}, name="PyTree[float]"),
    row(PyTree[Float[Array, " a"]], [[vector, {"a": vector}]], [[vector, jnp.ones(4)], floats]),
    # jaxtyping, one shape context over arguments and result.
    Row(
        "one axis over two arguments",
        has_one_axis_over_two_arguments,
        [(floats, vector)],
        [("argument y", (floats, jnp.ones(4)))],
    ),
    Row(
        "one axis over an argument and the result",
        has_one_axis_over_argument_and_result,
        [(vector, 3)],
        [("the result[1]", (vector, 2))],
        is_batched=False,
    ),
    Row(
        "an axis that is an argument",
        has_an_axis_that_is_an_argument,
        [(2, floats)],
        [("argument x", (3, floats))],
        is_batched=False,
    ),
    Row(
        "an axis that is computed",
        has_an_axis_that_is_computed,
        [(vector, jnp.ones(4))],
        [("argument y", (vector, vector))],
    ),
    Row(
        "axes of all dimensions",
        has_axes_of_all_dimensions,
        [(floats, jnp.ones(2, int)), (vector, integer)],
        [("argument y", (floats, ints)), ("argument x", (jnp.ones(2), integer))],
    ),
    Row(
        "one structure over two trees",
        has_one_structure_over_two_trees,
        [([vector], [floats]), ({"a": vector}, {"a": vector})],
        [("argument y", ([vector], {"a": vector}))],
    ),
    Row(
        "one axis over a tree and arrays",
        has_one_axis_over_trees_and_arrays,
        [([vector], {"a": vector})],
        [("argument y['b']", ([vector], {"a": vector, "b": jnp.ones(4)}))],
    ),
    Row("a result", checks_its_result, [(False,)], [("the result", (True,))], is_batched=False),
    Row(
        "*args and **kwargs",
        has_hints_on_args_and_kwargs,
        [([1.0, 2.0], {"a": [1.0]}), ([], {})],
        [("argument xs[1]", ([1.0, vector], {})), ("argument ys['b'][0]", ([], {"a": [], "b": [vector]}))],
    ),
    # Validators of beartype, with markers of ours before, after and around them.
    row(Annotated[Array, IS_MATRIX], [floats], [vector, "a"], name="Is"),
    row(Annotated[Array, IsAttr["ndim", IsEqual[2]]], [floats], [vector], name="IsAttr"),
    row(Annotated[object, IsInstance[Model]], [model], [point], name="IsInstance"),
    row(Annotated[Array, NoDiff, IS_MATRIX], [floats], [vector], name="NoDiff, Is"),
    row(Annotated[Array, IS_MATRIX, NoDiff], [floats], [vector], name="Is, NoDiff"),
    row(NoDiff[Annotated[Array, IS_MATRIX, "doc"]], [floats], [vector], name="NoDiff[Is]"),
    row(Annotated[NoDiff[Array], "doc", IS_MATRIX], [floats], [vector], name="NoDiff[...], Is"),
    row(
        Annotated[Donate[Array], NoDiff, IS_MATRIX],
        [],  # its buffers would go
        [vector],
        name="Donate, NoDiff, Is",
    ),
    row(Annotated[Array, IS_MATRIX, Axis(0)], [floats], [vector], name="Is, Axis"),
    row(
        Annotated[Float[Array, "a b"], IS_WIDE, NoDiff],
        [floats],
        [floats.T, vector],
        name="jaxtyping, Is, NoDiff",
    ),
    row(
        list[Annotated[Array, IS_MATRIX]],
        [[floats]],
        {"x[1]": [floats, vector]},
        name="Is inside a list",
    ),
    static(Annotated[int, Static, POSITIVE], [1], [0, "a"], name="Static, Is"),
    static(Annotated[int, POSITIVE, Static], [1], [0, "a"], name="Is, Static"),
    static(Annotated[int, POSITIVE, Static, BELOW_5], [1], [0, 5], name="Is, Static, Is"),
    static(Static[Annotated[int, POSITIVE & BELOW_5]], [1], [0, 5], name="Static[Is & Is]"),
]

if sys.version_info >= (3, 12):
    TABLE += [
        Row(
            "def f[T]",
            written("@decorate\ndef f[T](w, x: list[T], y: T): return w"),
            [([1], 1), (["a"], floats)],
            [("argument x", (1, 1))],
        ),
        Row(
            "def f[T: float]",
            written("@decorate\ndef f[T: float](w, x: dict[str, T]): return w"),
            [({"a": 1.0},)],
            [("argument x['a']", ({"a": vector},))],
        ),
        Row(
            "def f[T: (int, Array)]",
            written("@decorate\ndef f[T: (int, Array)](w, x: T): return w"),
            [(1,), (floats,)],
            [("argument x", ("a",))],
        ),
        Row(
            "def f[T: 'Point']",
            written("@decorate\ndef f[T: 'Point'](w, x: 'list[T]'): return w"),
            [([],)],
            [("argument x", (1,))],
        ),
        Row(
            "def f[*Ts]",
            written("@decorate\ndef f[*Ts](w, x: tuple[*Ts]): return w"),
            [((1, floats),)],
            [],
        ),
        Row(
            "def f[**P]",
            written("@decorate\ndef f[**P](w, x: Static[Callable[P, int]]): return w"),
            [(len,)],
            [("argument x", ("len",))],
            is_batched=False,
        ),
        Row(
            "a type statement",
            written("type Sizes = list[int]\n@decorate\ndef f(w, x: Sizes): return w"),
            [([1],)],
            [("argument x[0]", ([1.0],))],
        ),
        Row(
            "a generic type statement",
            written("type Named[T] = dict[str, T]\n@decorate\ndef f(w, x: Named[Named[float]]): return w"),
            [({"a": {"b": 1.0}},)],
            [("argument x['a']['b']", ({"a": {"b": vector}},))],
        ),
    ]

# --- the tests -------------------------------------------------------------------------------------------------------

DECORATORS = {"jit": jit, "grad": grad(wrt="w"), "vmap": vmap}


def _batch(value: Any) -> Any:
    """Two examples of a value: leaves that can be stacked are, others are shared."""
    if isinstance(value, (np.ndarray, np.generic)):
        return np.stack([value, value])
    if isinstance(value, (Array, bool, int, float, complex)):
        return jnp.stack([value, value])
    return value


def _call(one: Row, mode: str, args: tuple[Any, ...]) -> Any:
    if mode != "vmap":
        return one.make(DECORATORS[mode])(jnp.array(1.0), *args)
    if one.is_batched:
        args = jax.tree.map(_batch, args)
    else:  # arrays among static values are batches too
        args = jax.tree.map(lambda leaf: _batch(leaf) if isinstance(leaf, Array) else leaf, args)
    return one.make(vmap)(jnp.ones(2), *args)


def _cases(of: str) -> list[Any]:
    return [
        pytest.param(one, mode, case, id=f"{one.name}-{i}-{mode}")
        for one in TABLE
        for i, case in enumerate(getattr(one, of))
        for mode in DECORATORS
    ]


@pytest.mark.parametrize(("one", "mode", "args"), _cases("fits"))
def test_a_value_that_fits_is_taken(one: Row, mode: str, args: tuple[Any, ...]) -> None:
    assert jnp.all(_call(one, mode, args) == 1.0)


@pytest.mark.parametrize(("one", "mode", "case"), _cases("misfits"))
def test_a_value_that_does_not_fit_is_refused_by_name(one: Row, mode: str, case: tuple[str, Any]) -> None:
    place, args = case
    with pytest.raises(CheckError, match=rf"f\(\): (the )?{re.escape(place.removeprefix('the '))} does not fit"):
        _call(one, mode, args)


def test_the_table_is_long_enough():
    assert len(TABLE) >= 60
    assert len({one.name for one in TABLE}) == len(TABLE)
