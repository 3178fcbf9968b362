"""Which axis of which value a batching transform maps, read from a contract and, for single leaves, from the values.

`Batching` is the base of every transform that maps; `Axes` says it for the slots of one contract.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter as SignatureParameter
from typing import TYPE_CHECKING, Any, ClassVar, cast

import jax
import numpy as np

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Parameter, Result, Role, Selector, without_first
from annotax._errors import AxisError, MarkerError, message
from annotax._fields import outline, says
from annotax._hints import may_hold_fields
from annotax._markers import Axis, Static
from annotax._partition import returnable_leaves
from annotax._source import Writer
from annotax._transform import DEFAULT, Transform
from annotax._tree import Structure, describe, flatten, is_traceable, leaves_with_paths, split

if TYPE_CHECKING:
    from annotax._faces import CompilingDecorator, KeepingDecorator


class _FromMarkers:
    """Stands for axes that nobody gave."""

    def __repr__(self) -> str:
        return "<from markers>"

    def __reduce__(self) -> str:
        return "FROM_MARKERS"  # by name, so that it stays the same object


FROM_MARKERS: Any = _FromMarkers()


@dataclass(frozen=True)
class Batching(Transform):
    """A transform that maps a function over an axis of its arguments.

    Attributes:
        in_axes: Axes of single parameters, in place of what their markers say.
        out_axes: Axes of the result, in place of what its markers say.
        axis_name: The name of the mapped axis, for collectives and for `Axis(n, name)`.
        options: Further arguments of the JAX function.
    """

    in_axes: tuple[tuple[Selector, Any], ...] = ()
    out_axes: Any = FROM_MARKERS
    axis_name: Any = None
    options: tuple[tuple[str, Any], ...] = ()
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str]

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> KeepingDecorator: ...
        @property
        def _compiled_decorator(self) -> CompilingDecorator: ...

    def for_bound_method(self, names: Sequence[str]) -> Transform | None:
        """The same without the first parameter."""
        named = without_first([selector for selector, _ in self.in_axes], names)
        if named is None:
            return None
        given = [value for _, value in self.in_axes]
        return dataclasses.replace(self, in_axes=tuple(zip(named, given, strict=True)))

    def check(self, contract: Contract) -> Contract:
        """See that the axes can be told, and that no array default would be mapped by surprise."""
        axes = self.axes(contract)
        for i in axes.implicit:
            parameter = contract.parameters[i]
            if parameter.default is SignatureParameter.empty:
                continue
            if any(np.ndim(leaf) for leaf in jax.tree.leaves(parameter.default) if is_traceable(leaf)):
                raise MarkerError(
                    message(
                        contract.where,
                        f"{self.name} would map the array that is the default of parameter {parameter.name}",
                        got=describe(parameter.default),
                        because="a default is mostly meant for the whole batch",
                        fix="mark it Axis(None) if the batch shares it, or Axis(0) if not",
                    )
                )
        return contract

    def check_complete(self, contract: Contract, transforms: tuple[Transform, ...]) -> None:
        """See that every axis name that a marker speaks to is that of a map."""
        names = {step.axis_name for step in transforms if isinstance(step, Batching)}
        for parameter in contract:
            for axis in _axes_of(parameter.roles):
                if axis.name is not None and axis.name not in names:
                    known = ", ".join(sorted(repr(name) for name in names if name is not None))
                    raise MarkerError(
                        message(
                            contract.where,
                            f"parameter {parameter.name} is {axis!r}, but no map has that axis name",
                            got=f"maps with axis_name {known}" if known else "maps without an axis_name",
                            fix=f"write {self.name}(axis_name={axis.name!r}), or drop the name from the marker",
                        )
                    )

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of the JAX function."""
        name = {} if self.axis_name is None else {"axis_name": self.axis_name}
        return {
            "in_axes": self.axes(contract).of_slots,
            "out_axes": self.of_result(contract.result),
            **name,
            **dict(self.options),
        }

    def facts(self, contract: Contract, slots: Sequence[Any]) -> Mapping[str, str]:
        """The axis of each leaf."""
        axes = self.axes(contract)
        problem = axes.problem(slots)
        if problem is not None:
            raise problem
        pairs = [
            pair for name, slot in zip(contract.names, slots, strict=True) for pair in leaves_with_paths(name, slot)
        ]
        of_leaves = zip(pairs, axes.of_leaves(slots)[2], strict=True)
        return {path: f"{self.name}: {'shared' if axis is None else f'axis {axis}'}" for (path, _), axis in of_leaves}

    def inside(self, contract: Contract, slots: Sequence[Any]) -> Sequence[Any]:
        """The slots of one example."""
        leaves, treedef, axes = self.axes(contract).of_leaves(slots)

        def one(leaf: Any, axis: int | None) -> Any:
            if axis is None:
                return leaf
            shape = list(np.shape(leaf))
            del shape[axis]
            return cast("Any", jax.ShapeDtypeStruct)(
                tuple(shape), getattr(leaf, "dtype", None) or np.asarray(leaf).dtype
            )

        return cast("Sequence[Any]", treedef.unflatten(list(map(one, leaves, axes))))

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """JAX's map, by leaf where one axis an argument does not do."""
        axes = self.axes(contract)
        if self.out_axes is FROM_MARKERS and says(contract.result.hint, Axis):
            return self.write_applied(writer, inner, contract)
        if axes.are_by_slot(slots) and all(writer.returned):
            return super().write(writer, inner, contract, slots)
        selected = [name for name, value in self.given(contract).items() if name.endswith("argnums") and value]
        if selected or not all(writer.returned):
            return self.write_applied(writer, inner, contract)
        name = writer.new(f"{self.name}_{inner}")
        options = writer.options(self.given(contract), without=("in_axes",))
        _, _, of_leaves = axes.of_leaves(slots)
        writer.write(
            f"def {name}({writer.passed}):",
            f"    leaves, structure = jax.tree.flatten(({writer.passed},))",
            "",
            "    def of_leaves(*leaves):",
            f"        return {inner}(*structure.unflatten(leaves))",
            "",
            f"    return jax.{self.name}(of_leaves, in_axes={of_leaves!r}{options})(*leaves)",
            "",
        )
        return name

    def axes(self, contract: Contract) -> Axes:
        """The axes of the slots of a contract."""
        overrides = {contract.index(selector, f"{self.name}(in_axes=...)"): axis for selector, axis in self.in_axes}
        for i in overrides:
            role = contract.parameters[i].role(Static)
            if role is not None and not role.inferred and overrides[i] is not None:
                raise MarkerError(
                    message(
                        contract.where,
                        f"{self.name}(in_axes=...) names the static parameter {contract.parameters[i].name}",
                        got=f"it is static: {role.why}",
                        fix="a static value is shared by the whole batch: leave it out",
                    )
                )
        explicit = dict(overrides)
        for i, parameter in enumerate(contract):
            marker = self._marker(parameter.roles)
            if i not in explicit and parameter.role(Static) is not None:
                explicit[i] = None
            elif i not in explicit and marker is not None:
                explicit[i] = marker.axis
        implicit = tuple(i for i in range(len(contract.parameters)) if i not in explicit)
        with_fields = tuple(
            i
            for i, parameter in enumerate(contract)
            if i not in overrides and parameter.role(Static) is None and may_hold_fields(parameter.hint)
        )
        of_slots = tuple(explicit.get(i, 0) for i in range(len(contract.parameters)))
        return Axes(self, contract, of_slots, implicit, with_fields)

    def of_result(self, result: Result) -> Any:
        """The axes of the result, as a prefix tree: one where all of it has the same."""
        if self.out_axes is not FROM_MARKERS:
            return self.out_axes
        marker = self._marker(result.roles)
        if result.components is None or marker is not None:
            return 0 if marker is None else marker.axis
        components = tuple(self.of_result(component) for component in result.components)
        return components if any(axis != 0 for axis in components) else 0

    def of_leaves(self, value: Any, result: Result) -> list[int | None]:
        """The axes of the leaves of what was returned, one that a field names before that of the whole."""
        if result.components is not None and self._marker(result.roles) is None and isinstance(value, tuple):
            parts = zip(cast("Any", value), result.components, strict=True)
            return [axis for part, component in parts for axis in self.of_leaves(part, component)]
        whole = self.of_result(result)
        fields = None if result.is_derivative else self.axes_of_fields(value)
        axes = fields or [None] * len(jax.tree.leaves(value))
        return [whole if axis is None else axis.axis for axis in axes]

    def names_axes(self, value: Any, result: Result) -> bool:
        """Whether fields of what was returned name axes; those of a derivative speak of the arguments."""
        if result.components is not None and isinstance(value, tuple):
            parts = zip(cast("Any", value), result.components, strict=False)
            return any(self.names_axes(part, component) for part, component in parts)
        return not result.is_derivative and self.axes_of_fields(value) is not None

    def check_out_axes(self, contract: Contract, out_axes: Any, value: Any) -> None:
        """See that what was returned for one example can take the batch at these axes.

        Raises:
            AxisError: If it has too few axes.
        """

        def check(axis: Any, part: Any) -> None:
            for path, leaf in leaves_with_paths("result", part) if isinstance(axis, int) else ():
                rank = np.ndim(leaf) if is_traceable(leaf) else 0
                if not -rank - 1 <= axis <= rank:
                    raise AxisError(
                        message(
                            contract.where,
                            f"{self.name} cannot put the batch at axis {axis} of {path}",
                            got=f"{describe(leaf)} for one example, so that there are axes 0 to {rank}",
                            fix="name another axis in the result's hint, or in out_axes",
                        )
                    )

        try:
            jax.tree.map(check, out_axes, value, is_leaf=lambda axis: axis is None)
        except ValueError as error:
            if isinstance(error, AxisError):
                raise

    def axes_of_fields(self, value: Any) -> tuple[Axis | None, ...] | None:
        """For each leaf of a value the `Axis` of the nearest field that has one for this map; `None` if none has."""
        return outline(value).axes(self.axis_name)

    def _marker(self, roles: tuple[Role, ...]) -> Axis | None:
        """The marker that speaks to this map: one with its name before one without."""
        axes = _axes_of(roles)
        named = [axis for axis in axes if axis.name is not None and axis.name == self.axis_name]
        return next(iter([*named, *(axis for axis in axes if axis.name is None)]), None)


def _axes_of(roles: tuple[Role, ...]) -> list[Axis]:
    return [role.marker for role in roles if isinstance(role.marker, Axis)]


@dataclass(frozen=True)
class Axes:
    """The axes of the slots of one contract.

    Attributes:
        step: The transform that asks.
        contract: What the slots are.
        of_slots: An axis, `None`, or a prefix tree of them, for each slot.
        implicit: The slots that nothing speaks of: axis 0 where there is one, shared where there is none.
        with_fields: The slots in which fields may say more than the slot does.
    """

    step: Batching
    contract: Contract
    of_slots: tuple[Any, ...]
    implicit: tuple[int, ...]
    with_fields: tuple[int, ...]

    def are_by_field(self, slots: Sequence[Any]) -> bool:
        """Whether a field of a value names an axis."""
        return any(self.step.axes_of_fields(slots[i]) is not None for i in self.with_fields)

    def are_by_slot(self, slots: Sequence[Any]) -> bool:
        """Whether one axis a slot does: every implicit leaf has an axis 0, every explicitly mapped one is traceable."""
        if self.are_by_field(slots):
            return False
        explicit = [s for i, s in enumerate(slots) if i not in self.implicit and self.of_slots[i] is not None]
        is_mapped = map(_has_axis, jax.tree.leaves([slots[i] for i in self.implicit]))
        return all(is_mapped) and all(map(is_traceable, jax.tree.leaves(explicit)))

    def of_leaves(self, slots: Sequence[Any]) -> tuple[list[Any], Any, tuple[int | None, ...]]:
        """The leaves of the slots, their treedef, and the axis of each."""
        leaves, treedef = flatten(tuple(slots))
        axes: list[int | None] = []
        for i, slot in enumerate(slots):
            if i in self.implicit:
                of_slot: list[int | None] = [0 if _has_axis(leaf) else None for leaf in jax.tree.leaves(slot)]
            else:
                of_slot = self._broadcast(i, slot)
            fields = self.step.axes_of_fields(slot) if i in self.with_fields else None
            if fields is not None:
                pairs = zip(of_slot, fields, strict=True)
                of_slot = [axis if field is None else field.axis for axis, field in pairs]
            axes += of_slot
        return leaves, treedef, tuple(axes)

    def _broadcast(self, i: int, slot: Any) -> list[int | None]:
        """The axes of the leaves of a slot from a prefix tree."""
        axes: list[int | None] = []

        def fill(axis: int | None, part: Any) -> None:
            axes.extend(axis if is_traceable(leaf) else None for leaf in jax.tree.leaves(part))

        try:
            jax.tree.map(fill, self.of_slots[i], slot, is_leaf=lambda axis: axis is None)
        except ValueError:
            pass
        else:
            return axes
        raise AxisError(
            message(
                self.contract.where,
                f"the axes of argument {self.contract.parameters[i].name} do not fit its structure",
                got=f"axes {self.of_slots[i]!r}",
                expected=f"a prefix of the argument, {describe(slot)}",
                fix="give one axis for the whole argument, or a tree of them that begins like it",
            )
        )

    def problem(self, slots: Sequence[Any]) -> AxisError | None:
        """What keeps values from being mapped: one without its axis, no size or several; `None` if nothing does."""
        try:
            _, _, axes = self.of_leaves(slots)
        except AxisError as error:
            return error
        paths = [
            (parameter, path, leaf)
            for parameter, slot in zip(self.contract.parameters, slots, strict=True)
            for path, leaf in leaves_with_paths(parameter.name, slot)
        ]
        sizes: list[tuple[str, int, int, Any]] = []
        for (parameter, path, leaf), axis in zip(paths, axes, strict=True):
            if axis is None:
                continue
            rank = np.ndim(leaf)
            if not -rank <= axis < rank:
                return AxisError(self._no_such_axis(parameter, path, leaf, axis))
            sizes.append((path, np.shape(leaf)[axis], axis, leaf))
        given = dict(self.step.options).get("axis_size")
        if not sizes and given is None:
            return AxisError(
                message(
                    self.contract.where,
                    f"{self.step.name} has nothing to map",
                    {path: describe(leaf) for _, path, leaf in paths},
                    because="the batch shares all arguments, so nothing says how large it is",
                    fix="pass an array with an axis for the batch, or say axis_size=",
                )
            )
        if len({size for _, size, _, _ in sizes} | ({given} - {None})) > 1:
            rows = {path: f"{size}, axis {axis} of {describe(leaf)}" for path, size, axis, leaf in sizes}
            rows |= {} if given is None else {"axis_size": str(given)}
            return AxisError(
                message(
                    self.contract.where,
                    f"{self.step.name} was given arguments whose mapped axes differ in size",
                    rows,
                    fix="mark what the batch shares Axis(None), or pass arguments of one size",
                )
            )
        return None

    def _no_such_axis(self, parameter: Parameter, path: str, leaf: Any, axis: int) -> str:
        rank = np.ndim(leaf)
        return message(
            self.contract.where,
            f"{self.step.name} cannot map axis {axis} of argument {path}",
            got=f"{describe(leaf)}, which has {rank} axes",
            expected=f"at least {axis + 1 if axis >= 0 else -axis} axes",
            because=next((role.why for role in parameter.roles if isinstance(role.marker, Axis)), None),
            fix="name another axis, or mark it Axis(None) if the batch shares it",
        )


def _has_axis(leaf: Any) -> bool:
    return is_traceable(leaf) and np.ndim(leaf) > 0


def as_in_axes(in_axes: Any, name: str) -> tuple[tuple[Selector, Any], ...]:
    """An `in_axes=` option as pairs.

    Raises:
        TypeError: If it is not a mapping.
    """
    if in_axes is None:
        return ()
    if not isinstance(in_axes, Mapping):
        raise TypeError(
            f"{name}(in_axes=...) takes a mapping from parameters to axes, not {in_axes!r}.\n"
            "  fix  Name the parameters: in_axes={'x': 1, 'scale': None}; the others are mapped along axis 0."
        )
    return tuple(cast("Any", in_axes).items())


def for_each_axis(axes: Any, change: Callable[[Any], Any], value: Any) -> Any:
    """A result with each part of it changed that has an axis of its own."""
    if axes is None or isinstance(axes, int):
        return change(value)

    def changed(_: Any, part: Any) -> Any:
        return change(part)

    try:
        return jax.tree.map(changed, axes, value, is_leaf=lambda axis: axis is None)
    except ValueError:  # the axes do not fit the result, which JAX says best
        return value


class OutByField(Exception):
    """Raised while mapping: fields of the result name axes, so it has to be mapped as a `ResultByField`."""


class ResultByField:
    """A function of leaves whose result is taken apart, since each of its leaves has an axis of its own.

    Attributes:
        structure: How the last result is put together from what was mapped.
        axes: Of those of its leaves that are.
    """

    structure: Structure
    axes: tuple[int | None, ...] = ()

    def __init__(self, function: Callable[..., Any], axes_of: Callable[[Any], Sequence[int | None]]) -> None:
        self._function = function
        self._axes_of = axes_of

    def __call__(self, *leaves: Any) -> Any:
        """The leaves of the result that are mapped."""
        result = self._function(*leaves)
        traced, self.structure = split(result, returnable_leaves(result))
        by_leaf = zip(self._axes_of(result), self.structure.constants, strict=True)
        self.axes = tuple(axis for axis, constant in by_leaf if constant is None)
        return traced

    def look(self, leaves: Sequence[Any], **options: Any) -> None:
        """Map it once without its numbers, to see which fields the result has."""

        def seen(*leaves: Any) -> tuple[()]:
            self(*leaves)
            return ()

        jax.eval_shape(lambda: cast("Any", jax.vmap)(seen, **options)(*leaves))
