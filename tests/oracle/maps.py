"""Transforms that map a function over a batch, or over the devices of a mesh."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np
from jax.sharding import PartitionSpec

import annotax
from annotax import Axis
from tests.oracle.functions import NOTHING, Function, Returns, Selection
from tests.oracle.models import AXES
from tests.oracle.steps import Flat, Leaves, Refusal, Step, can_be_laid_out
from tests.oracle.values import MESHES, NAMESPACE, is_traceable

if TYPE_CHECKING:
    from tests.oracle.cases import Case


@dataclass(frozen=True)
class Vmap(Step):
    """`vmap`.

    Attributes:
        overridden: The slots that `in_axes` names.
        over: The axis of each of them.
        axis_name: The name of the mapped axis.
        size: The size of the batches that are drawn for it.
        is_sized: Whether `axis_size` says so.
    """

    name: ClassVar[str] = "vmap"

    overridden: Selection = NOTHING
    over: tuple[int | None, ...] = ()
    axis_name: str | None = None
    size: int = 2
    is_sized: bool = False

    def options(self, function: Function) -> dict[str, str]:
        given: dict[str, str] = {}
        if self.overridden.slots:
            pairs = zip(self.overridden.texts(function), self.over, strict=True)
            given["in_axes"] = f"{{{', '.join(f'{name}: {axis}' for name, axis in pairs)}}}"
        if self.axis_name is not None:
            given["axis_name"] = repr(self.axis_name)
        return given | ({"axis_size": str(self.size)} if self.is_sized else {})

    def speaks(self, axes: tuple[Axis, ...]) -> Axis | None:
        """The marker that speaks to this map: the one with its name before one without a name."""
        named = [axis for axis in axes if axis.name is not None and axis.name == self.axis_name]
        return next(iter([*named, *(axis for axis in axes if axis.name is None)]), None)

    def said(self, case: Case, slot: int) -> Axis | None:
        """The axis of a slot, if anything speaks of it."""
        if slot in self.overridden.slots:
            return Axis(self.over[self.overridden.slots.index(slot)])
        return Axis(None) if case.is_static(slot) else self.speaks(case.function.parameters[slot].axes)

    def axis(self, leaves: Leaves, position: int, leaf: Any) -> int | None:
        """The axis of a leaf."""
        if leaves.is_static(position):
            return None
        owner = leaves.owners[position]
        by_fields = leaves.said_by_fields(position, AXES)
        if by_fields and owner not in self.overridden.slots:
            return by_fields[0]
        said = self.said(leaves.case, owner)
        return said.axis if said is not None else 0 if np.ndim(leaf) else None

    def axes(self, leaves: Leaves) -> list[int | None]:
        return [self.axis(leaves, position, leaf) for position, leaf in enumerate(leaves.values)]

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        for slot, parameter in enumerate(case.function.parameters):
            default = [] if parameter.default is None else jax.tree.leaves(parameter.default.make())
            if self.said(case, slot) is None and any(np.ndim(leaf) for leaf in default if is_traceable(leaf)):
                yield Refusal(annotax.MarkerError, case.function.names([slot]))
        for slot, axis in zip(self.overridden.slots, self.over, strict=True):
            if slot in case.static and axis is not None:
                yield Refusal(annotax.MarkerError, case.function.names([slot]))

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        mapped = [(position, axis) for position, axis in enumerate(self.axes(leaves)) if axis is not None]
        names_of = leaves.case.function.names
        lacking = [p for p, axis in mapped if not -np.ndim(leaves.values[p]) <= axis < np.ndim(leaves.values[p])]
        if lacking:
            yield Refusal(annotax.AxisError, names_of([leaves.owners[position] for position in lacking]))
            return
        sizes = {np.shape(leaves.values[position])[axis] for position, axis in mapped}
        if self.is_sized:
            sizes.add(self.size)
        if len(sizes) != 1:
            owners = [leaves.owners[position] for position, _ in mapped]
            yield Refusal(annotax.AxisError, (*names_of(owners), self.name))

    def inside(self, leaves: Leaves) -> Leaves:
        """The leaves of one example."""

        def example(leaf: Any, axis: int | None) -> Any:
            if axis is None:
                return leaf
            if isinstance(leaf, jax.ShapeDtypeStruct):
                shape = list(leaf.shape)
                del shape[axis]
                return jax.ShapeDtypeStruct(shape, leaf.dtype)
            return leaf[(slice(None),) * (axis % leaf.ndim) + (0,)]

        return leaves.with_values(list(map(example, leaves.values, self.axes(leaves))))

    def out_axes(self, returned: Any, returns: Returns) -> Any:
        """The axes of what comes out."""

        def of_component(i: int) -> int:
            said = self.speaks(returns.axes[i]) if returns.hinted else None
            return 0 if said is None else said.axis

        return jax.tree.map(lambda i: 0 if i is None else of_component(i), returned, is_leaf=lambda i: i is None)

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        out_axes = self.out_axes(returned, leaves.case.function.returns)

        def mapped(*values: Any) -> Any:
            function, given = leaves.of_positions(leaves.traced, flat, values)
            axes = tuple(self.axis(leaves, position, values[position]) for position in leaves.traced)
            size = {"axis_size": self.size} if self.is_sized else {}
            return jax.vmap(function, axes, out_axes, axis_name=self.axis_name, **size)(*given)

        return mapped


@dataclass(frozen=True)
class Pmap(Vmap):
    """`pmap`, on as many devices as its batch is long."""

    name: ClassVar[str] = "pmap"
    keeps_trace: ClassVar[bool] = True

    size: int = 1

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        refused = list(super().refused_at_call(case, leaves))
        if not refused:
            axes = enumerate(self.axes(leaves))
            (size,) = {np.shape(leaves.values[position])[axis] for position, axis in axes if axis is not None}
            refused = [Refusal(annotax.AxisError, (self.name,))] if size > jax.device_count() else []
        return iter(refused)

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        case = leaves.case
        out_axes = self.out_axes(returned, case.function.returns)
        donated = {i for i, p in enumerate(case.function.parameters) if "Donate" in p.markers}

        @functools.cache
        def over(*axes: int | None) -> Any:
            return jax.pmap(
                flat,
                self.axis_name,
                in_axes=axes,
                out_axes=out_axes,
                static_broadcasted_argnums=leaves.static,
                donate_argnums=[position for position in leaves.traced if leaves.owners[position] in donated],
            )

        def mapped(*values: Any) -> Any:
            return over(*(self.axis(leaves, position, leaf) for position, leaf in enumerate(values)))(*values)

        return mapped


@dataclass(frozen=True)
class ShardMap(Step):
    """`shard_map`, on a mesh or on none.

    Attributes:
        mesh: The name of its mesh, if there is one.
        overridden: The slots that `in_specs` names.
        specs: The layout of each of them, as source.
    """

    name: ClassVar[str] = "shard_map"
    keeps_trace: ClassVar[bool] = True

    mesh: str | None = "mesh"
    overridden: Selection = NOTHING
    specs: tuple[str, ...] = ()

    def options(self, function: Function) -> dict[str, str]:
        given = {} if self.mesh is None else {"mesh": self.mesh}
        if self.overridden.slots:
            pairs = zip(self.overridden.texts(function), self.specs, strict=True)
            given["in_specs"] = f"{{{', '.join(f'{name}: {spec}' for name, spec in pairs)}}}"
        return {**given, "check_vma": "False"}

    def spec(self, leaves: Leaves, position: int) -> Any:
        """The layout of a leaf."""
        slot = leaves.owners[position]
        if slot in self.overridden.slots:
            return self.of_slot(leaves.case, slot)
        return leaves.layout(position) or PartitionSpec()

    def of_slot(self, case: Case, slot: int) -> Any:
        """What is said of a whole slot, whatever it holds."""
        text = case.function.parameters[slot].layout
        if slot in self.overridden.slots:
            text = self.specs[self.overridden.slots.index(slot)]
        return PartitionSpec() if text is None else eval(text, NAMESPACE)

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        if self.mesh is None:
            return
        for slot in range(len(case.function.parameters)):  # also of what has no leaves: the mesh lacks the axis
            if slot not in case.static and {*self.of_slot(case, slot)} - {None, *MESHES[self.mesh].axis_names}:
                yield Refusal(annotax.ShardingError, case.function.names([slot]))
        for position in leaves.traced:
            if not can_be_laid_out(leaves.values[position], self.spec(leaves, position), MESHES[self.mesh]):
                yield Refusal(annotax.ShardingError, case.function.names([leaves.owners[position]]))

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        returns = leaves.case.function.returns
        if self.mesh is None:
            return jax.jit(flat, static_argnums=leaves.static)
        mesh = MESHES[self.mesh]
        out_specs = jax.tree.map(lambda i: returns.layout(i) or PartitionSpec(), returned, is_leaf=lambda i: i is None)

        def mapped(*values: Any) -> Any:
            function, given = leaves.of_positions(leaves.traced, flat, values)
            in_specs = tuple(self.spec(leaves, position) for position in leaves.traced)
            return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)(*given)

        return jax.jit(mapped, static_argnums=leaves.static)
