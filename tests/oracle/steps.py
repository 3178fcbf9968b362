"""Transforms as records, each with what it means in plain JAX for a call that is flattened by hand.

Here are the base of all of them and those that leave the values of a function as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.extend
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import annotax
from tests.oracle.functions import Function, Returns, Selection, Spelling
from tests.oracle.models import FROZEN, LAYOUTS, fields_of
from tests.oracle.values import MESHES, NAMESPACE, is_differentiable, is_traceable

if TYPE_CHECKING:
    from tests.oracle.cases import Case


class Leaves:
    """The hand-flattened call: every leaf of every slot has a position of its own."""

    def __init__(self, case: Case, slots: Sequence[Any]) -> None:
        flattened = [jax.tree_util.tree_flatten_with_path(slot) for slot in slots]
        self.case = case
        self.values = [leaf for leaves, _ in flattened for _, leaf in leaves]
        self.fields = [fields_of(path) for leaves, _ in flattened for path, _ in leaves]
        self.owners = [i for i, (leaves, _) in enumerate(flattened) for _ in leaves]
        self.structures = [structure for _, structure in flattened]

    def of(self, slot: int) -> list[int]:
        """The positions of the leaves of a slot."""
        return [position for position, owner in enumerate(self.owners) if owner == slot]

    def join(self, slot: int, leaves: Mapping[int, Any] | Sequence[Any]) -> Any:
        """A slot with other leaves, given by position."""
        return self.structures[slot].unflatten([leaves[position] for position in self.of(slot)])

    def is_static(self, position: int) -> bool:
        leaf, owner = self.values[position], self.owners[position]
        by_hint = self.case.function.parameters[owner].hint.static and not isinstance(leaf, jax.Array)
        return owner in self.case.static or by_hint or not is_traceable(leaf)

    def has_gradient(self, position: int) -> bool:
        """Whether a leaf of an argument that is differentiated has a gradient."""
        return is_differentiable(self.values[position]) and FROZEN.isdisjoint(self.fields[position])

    def said_by_fields(self, position: int, table: Mapping[str, Any]) -> list[Any]:
        """What the fields on the way to a leaf say, the nearest first."""
        return [table[name] for name in self.fields[position] if name in table]

    def layout(self, position: int) -> Any:
        """The `PartitionSpec` of a leaf, or `None`; a field comes before its parameter."""
        parameter = self.case.function.parameters[self.owners[position]]
        if self.owners[position] in self.case.static:
            return None
        by_parameter = [] if parameter.layout is None else [eval(parameter.layout, NAMESPACE)]
        return next(iter([*self.said_by_fields(position, LAYOUTS), *by_parameter]), None)

    @property
    def static(self) -> list[int]:
        """The positions of the leaves that are not traced."""
        return [position for position in range(len(self.values)) if self.is_static(position)]

    @property
    def traced(self) -> list[int]:
        """The positions of the others."""
        return [position for position in range(len(self.values)) if not self.is_static(position)]

    def with_values(self, values: Sequence[Any]) -> Leaves:
        """The same call with other leaves."""
        changed = copy.copy(self)
        changed.values = list(values)
        return changed

    def of_positions(self, positions: Sequence[int], flat: Flat, values: Sequence[Any]) -> tuple[Flat, list[Any]]:
        """A function of some leaves alone, the others as they are, and those leaves."""

        def of_some(*some: Any) -> Any:
            merged = list(values)
            for position, value in zip(positions, some, strict=True):
                merged[position] = value
            return flat(*merged)

        return of_some, [values[position] for position in positions]


@dataclass(frozen=True)
class Refusal:
    """An error that must be raised, when the function is decorated or when it is called, naming one of some names."""

    error: type[Exception]
    names: tuple[str, ...]


Flat = Callable[..., Any]
"""A function of leaves; its result is what the user gets."""


@dataclass(frozen=True)
class Step:
    """A transform of a pipeline with its overrides. A subclass says what it means in plain JAX."""

    name: ClassVar[str]

    keeps_trace: ClassVar[bool] = False
    """Whether the body does not run again for a call with other values of the same types."""

    def options(self, function: Function) -> dict[str, str]:
        """The options that annotax is given, as source."""
        return {}

    def static(self) -> tuple[int, ...]:
        """The slots that its options make static."""
        return ()

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        """What must be raised once the function is decorated."""
        return iter(())

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        """What must be raised once it is called."""
        return iter(())

    def inside(self, leaves: Leaves) -> Leaves:
        """The leaves that the function inside is given, where nothing is refused."""
        return leaves

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        """The transformed function of leaves, by plain JAX.

        Arguments:
            flat: The function.
            leaves: The call.
            returned: What it returns, with the number of a component of the user's function in its place, and `None`
                where a derivative stands.
        """
        raise NotImplementedError

    def outcome(self, returned: Any, returns: Returns) -> Any:
        """What the transformed function returns, written likewise."""
        return returned

    def definitions(self, case: Case) -> list[str]:
        """Source that its rules need."""
        return []

    @property
    def setter(self) -> str:
        """The source that sets its rules, to stand behind the decorated function."""
        return ""

    def compared(self, result: Any, leaves: Leaves) -> Any:
        """What of a result is compared, where this is the outermost transform."""
        return result

    def text(self, function: Function) -> str:
        options = ", ".join(f"{name}={text}" for name, text in self.options(function).items())
        return f"annotax.{self.name}({options})" if options else f"annotax.{self.name}"


def can_be_laid_out(leaf: Any, spec: PartitionSpec, mesh: Mesh) -> bool:
    """Whether a mesh has the axes of a layout, and an array has dimensions that they can split."""
    splits = zip(spec, np.shape(leaf), strict=False)
    return len(spec) <= np.ndim(leaf) and all(
        name is None or (name in mesh.axis_names and size % mesh.shape[name] == 0) for name, size in splits
    )


def laid_out(value: Any, spec: PartitionSpec | None, mesh: str | None) -> Any:
    """A value with its arrays laid out on a mesh while it is traced, if there are a layout and a mesh."""
    if spec is None or mesh is None:
        return value
    return jax.lax.with_sharding_constraint(value, NamedSharding(MESHES[mesh], spec))


@dataclass(frozen=True)
class Jit(Step):
    """`jit`, with some parameters made static and others donated, and a mesh on which the hints lay arrays out."""

    name: ClassVar[str] = "jit"
    keeps_trace: ClassVar[bool] = True

    makes_static: Selection | None = None
    donates: Selection | None = None
    mesh: str | None = None

    def options(self, function: Function) -> dict[str, str]:
        given = {"static": self.makes_static, "donate": self.donates}
        texts = {name: selection.text(function) for name, selection in given.items() if selection is not None}
        return texts if self.mesh is None else {**texts, "mesh": self.mesh}

    def static(self) -> tuple[int, ...]:
        return self.makes_static.slots if self.makes_static is not None else ()

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        for slot in self.donates.slots if self.donates is not None else ():
            if case.is_static(slot):
                yield Refusal(annotax.MarkerError, case.function.names([slot]))

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        case = leaves.case
        donated = {i for i, p in enumerate(case.function.parameters) if "Donate" in p.markers}
        if self.donates is not None:
            donated = {*donated, *self.donates.slots} if self.donates.slots else set()
        compiled = jax.jit(
            named(flat),
            static_argnums=leaves.static,
            donate_argnums=[position for position in leaves.traced if leaves.owners[position] in donated],
        )
        return compiled if self.mesh is None else _on(MESHES[self.mesh], compiled)


def named(flat: Flat) -> Flat:
    """The function under the name of the drawn one, so that XLA compiles equal programs once."""

    def drawn(*values: Any) -> Any:
        return flat(*values)

    return drawn


def _on(mesh: Mesh, compiled: Flat) -> Flat:
    def on_mesh(*values: Any) -> Any:
        with jax.set_mesh(mesh):
            return compiled(*values)

    return on_mesh


@dataclass(frozen=True)
class Checkpoint(Step):
    """`checkpoint`, under either name; it changes no value.

    Attributes:
        alias: The name.
        given: Options, as source.
    """

    name: ClassVar[str] = "checkpoint"
    keeps_trace: ClassVar[bool] = True

    alias: str = "checkpoint"
    given: tuple[tuple[str, str], ...] = ()

    def options(self, function: Function) -> dict[str, str]:
        return dict(self.given)

    def text(self, function: Function) -> str:
        return super().text(function).replace(self.name, self.alias, 1)

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        return jax.checkpoint(flat, static_argnums=tuple(leaves.static))


@dataclass(frozen=True)
class MakeJaxpr(Step):
    """`make_jaxpr`."""

    name: ClassVar[str] = "make_jaxpr"

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        return jax.make_jaxpr(flat, static_argnums=leaves.static)

    def compared(self, result: Any, leaves: Leaves) -> Any:
        """What goes into a jaxpr, and what comes out of it when it is run."""
        given = [leaves.values[position] for position in leaves.traced]
        shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in result.in_avals]
        return shapes, jax.extend.core.jaxpr_as_fun(result)(*given)


# --- transforms that are called with the arguments -------------------------------------------------------------------


@dataclass(frozen=True)
class Way(Step):
    """A transform that is given a function and its arguments at once: `annotax.vjp(f, x)`. It is the outermost."""

    counts_runs: ClassVar[bool] = True
    """Whether the body runs as often as under plain JAX."""

    def run(self, function: Callable[..., Any], case: Case, spelling: Spelling, slots: Sequence[Any]) -> Any:
        """Make the call, and whatever calls it takes to see what came of it."""
        raise NotImplementedError

    def script(self, function: str, arguments: str) -> str:
        """The call as source."""
        return f"annotax.{self.name}({', '.join(filter(None, [function, arguments]))})"


@dataclass(frozen=True)
class Called(Way):
    """No transform at all: the function is called."""

    name: ClassVar[str] = "called"

    def run(self, function: Callable[..., Any], case: Case, spelling: Spelling, slots: Sequence[Any]) -> Any:
        args, kwargs = spelling.place(case.function, slots)
        return function(*args, **kwargs)

    def script(self, function: str, arguments: str) -> str:
        return f"{function}({arguments})"


@dataclass(frozen=True)
class EvalShape(Way):
    """`eval_shape`.

    Attributes:
        abstract: Whether it is given shapes in place of arrays.
    """

    name: ClassVar[str] = "eval_shape"
    counts_runs: ClassVar[bool] = False

    abstract: bool = False

    def run(self, function: Callable[..., Any], case: Case, spelling: Spelling, slots: Sequence[Any]) -> Any:
        if self.abstract:
            slots = [slot if case.is_static(i) else jax.tree.map(_shape_of, slot) for i, slot in enumerate(slots)]
        args, kwargs = spelling.place(case.function, slots)
        return annotax.eval_shape(function, *args, **kwargs)

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        return jax.jit(flat, static_argnums=leaves.static).eval_shape


def _shape_of(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=getattr(leaf, "weak_type", False))
