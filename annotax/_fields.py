"""Markers on the fields of pytree classes, and where in a value they hold.

`fields_of` reads a class, anyone's: its annotations. `outline` reads the structure of a value: for each leaf the path
to it and the markers of the fields on that path. Nothing is wrapped and no class is changed.
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import functools
import inspect
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, cast, get_args, get_origin

import jax
import typing_extensions
from jax.sharding import PartitionSpec

from annotax._errors import AnnotaxError, MarkerError, message
from annotax._hints import Names, Unreadable, evaluate, nested_marker, show, take_apart, without_metadata
from annotax._markers import Aux, Axis, Diff, Donate, Marker, NoDiff, Static, contradiction
from annotax._paths import Attribute, Item, Path, Step, as_step
from annotax._paths import show as show_path
from annotax._tree import is_leaf

# The checkers take the markers for `Annotated`; at run time they are markers.
_STATIC: Any = Static
_NODIFF: Any = NoDiff
_NOT_ON_FIELDS: tuple[Any, ...] = (Diff, Donate, Aux)


# --- classes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One annotated field of a class.

    Attributes:
        name: Its name.
        hint: Its type without our markers.
        markers: Those markers.
    """

    name: str
    hint: Any
    markers: tuple[Marker, ...]


class _ClassNames(Names):
    """What a name in a hint of a class body means."""

    def _class(self) -> Mapping[str, Any]:
        kind: Any = self.function
        scopes: list[dict[str, Any]] = [{kind.__name__: kind}, {**vars(kind)}, {**super()._class()}]
        return collections.ChainMap(*scopes, *self._running_globals())

    def _running_globals(self) -> Iterator[dict[str, Any]]:
        """The globals of running code that calls itself by the name of the class's module: `exec`, a doctest."""
        frame = inspect.currentframe()
        while frame is not None:
            if frame.f_globals.get("__name__") == self.function.__module__:
                yield frame.f_globals
            frame = frame.f_back


_FIELDS: weakref.WeakKeyDictionary[type, Mapping[str, Field]] = weakref.WeakKeyDictionary()
_CONTAINERS = (dict, list, tuple, collections.OrderedDict, collections.defaultdict, type(None))
_NAMES_OF_MARKERS = re.compile(r"\b(Static|NoDiff|Diff|Donate|Aux|Axis)\b")


def fields_of(kind: type) -> Mapping[str, Field]:
    """The fields of a class that have hints, by name; those that it inherits come first.

    Raises:
        MarkerError: If a field has a marker that cannot be honoured there, or may have one that cannot be read.
    """
    if kind in _CONTAINERS:
        return {}
    known = _FIELDS.get(kind)
    if known is None:
        known = {name: _field(kind, owner, name, annotation) for name, (owner, annotation) in _annotations(kind)}
        _FIELDS[kind] = known
    return known


def _annotations(kind: type) -> Iterator[tuple[str, tuple[type, Any]]]:
    found: dict[str, tuple[type, Any]] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__ in ("builtins", "typing", "abc"):
            continue
        annotations = typing_extensions.get_annotations(owner, format=typing_extensions.Format.FORWARDREF)
        found.update({name: (owner, annotation) for name, annotation in annotations.items()})
    if "__dataclass_fields__" in vars(kind):  # not inherited: the class is a dataclass itself, and done
        names = {field.name for field in dataclasses.fields(kind)}
        found = {name: entry for name, entry in found.items() if name in names}
    yield from found.items()


def _field(kind: type, owner: type, name: str, annotation: Any) -> Field:
    try:
        hint = evaluate(annotation, _ClassNames(owner, holes=True))
    except Unreadable as error:
        if isinstance(annotation, str) and _NAMES_OF_MARKERS.search(annotation):
            raise MarkerError(
                message(
                    where(kind),
                    f"cannot read the hint {annotation!r} of field {name}: {error}",
                    because="it seems to hold a marker",
                    fix="import its names where the module can find them",
                )
            ) from None
        return Field(name, Any, ())
    if get_origin(hint) is ClassVar or isinstance(hint, dataclasses.InitVar):
        return Field(name, Any, ())
    bare, markers = take_apart(hint)
    nested = nested_marker(bare)
    wrong = nested or next((marker for marker in markers if marker in _NOT_ON_FIELDS or isinstance(marker, type)), None)
    if wrong is not None:
        shown = wrong.__name__ if isinstance(wrong, type) else repr(wrong)
        fixes = {
            repr(Diff): "all fields are differentiated that are not NoDiff",
            repr(Donate): "donate a parameter: `model: Donate[Model]`",
            repr(Aux): "Aux belongs on a component of a returned tuple",
        }
        raise MarkerError(
            message(
                where(kind),
                f"field {name} has the marker {shown} where it cannot be honoured",
                got=show(hint),
                fix=f"put it outside: {shown}[...]"
                if nested is not None
                else fixes.get(shown, f"write {shown}(...), with its arguments"),
            )
        )
    problem = contradiction(tuple(dict.fromkeys(markers)))
    if problem is not None:
        what, clashing, fix = problem
        raise MarkerError(message(where(kind), f"field {name} {what}", got=", ".join(map(repr, clashing)), fix=fix))
    return Field(name, bare, markers)


def says(hint: Any, marker: type) -> bool:
    """Whether a field of a class that a hint names, however deep, has a marker of this class."""
    seen: set[type] = set()

    def search(hint: Any) -> bool:
        hint = without_metadata(hint)
        kind = get_origin(hint) or hint
        if any(search(part) for part in get_args(hint) if part is not Ellipsis and not isinstance(part, list)):
            return True
        if not isinstance(kind, type) or kind in seen:
            return False
        seen.add(kind)
        fields = fields_of(kind).values() if "__annotations__" in vars(kind) or dataclasses.is_dataclass(kind) else ()
        return any(isinstance(m, marker) for field in fields for m in field.markers) or any(
            search(field.hint) for field in fields
        )

    return search(hint)


def where(kind: type) -> str:
    """The class, as `module.qualname`."""
    return f"{kind.__module__}.{kind.__qualname__}"


# --- structures ------------------------------------------------------------------------------------------------------

Level: TypeAlias = tuple[Any, ...]
"""The markers of one field."""


@dataclass(slots=True)
class Node:
    """One place in a structure.

    Attributes:
        path: How to get there.
        levels: The markers of the fields on that path, the outermost first; fields without any are left out.
        start: Its first leaf, counted among all.
        stop: The leaf after its last one.
        structure: What JAX calls the structure of it.
        owner: The class of which it is a field, or else the type of the container that holds it.
        children: The places directly in it.
    """

    path: Path
    levels: tuple[Level, ...]
    start: int
    stop: int
    structure: Any
    owner: type
    children: list[Node]

    @property
    def layout(self) -> Any:
        """The `PartitionSpec` of the nearest field on the path that has one, or `None`."""
        layouts = map(_layout_of, reversed(self.levels))
        return next((layout for layout in layouts if layout is not None), None)

    def child(self, step: Step) -> Node | None:
        """The place one step further: by attribute, by key, or by index, also negative and into a `NamedTuple`."""
        for child in self.children:
            if child.path[-1] == step:
                return child
        is_sequence = bool(self.children) and issubclass(self.children[0].owner, (list, tuple))
        if is_sequence and isinstance(step, Item) and isinstance(step.key, int):
            return self.children[step.key] if -len(self.children) <= step.key < len(self.children) else None
        return None


class PathError(LookupError):
    """A path that leads nowhere; says how far it goes and what is there."""

    def __init__(self, node: Node, step: Step) -> None:
        reached = show_path(node.path)
        names = [str(child.path[-1]) for child in node.children]
        near = difflib.get_close_matches(str(step), names, n=3)
        self.got = f"there is no {step} in {reached.removeprefix('.') or 'it'}"
        self.nearest = tuple(reached + name for name in (near or names[:8]))
        super().__init__(self.got)


class Outline:
    """Where the leaves of a structure are, and what the fields on the way to them say.

    Attributes:
        root: The whole.
        leaves: One place for each leaf, in JAX's order.
        has_markers: Whether any field on the way to any leaf has a marker.
        frozen: For each leaf, whether it is under a `NoDiff` field; `None` if none is.
        in_modules: For each leaf, whether it is a field of an Equinox module.
        has_modules: Whether any is.
    """

    def __init__(self, root: Node, leaves: tuple[Node, ...]) -> None:
        self.root = root
        self.leaves = leaves
        self.has_markers = any(leaf.levels for leaf in leaves)
        frozen = tuple(_is_frozen(leaf.levels) for leaf in leaves)
        self.frozen: tuple[bool, ...] | None = frozen if any(frozen) else None
        self.in_modules = tuple(_is_equinox_module(leaf.owner) for leaf in leaves)
        self.has_modules = any(self.in_modules)
        self._axes: dict[Any, tuple[Axis | None, ...] | None] = {}

    def at(self, path: Path) -> Node:
        """The place at the end of a path.

        Raises:
            PathError: If it leads nowhere.
        """
        node = self.root
        for step in path:
            child = node.child(step)
            if child is None:
                raise PathError(node, step)
            node = child
        return node

    def constants(self, leaves: Sequence[Any]) -> list[bool] | None:
        """For each leaf, whether it is a Python number of an Equinox module; `None` if none is.

        Such a module decides by them in Python (`Dropout.p` and `Dropout.inference`) and would take tracers for
        something else, so to Equinox's own transforms they are constants.
        """
        if not self.has_modules:
            return None
        numbers = (bool, int, float, complex)
        found = [is_in and type(leaf) in numbers for is_in, leaf in zip(self.in_modules, leaves, strict=True)]
        return found if any(found) else None

    def frozen_below(self, node: Node) -> list[bool]:
        """For each leaf of a place, whether a field further in freezes it."""
        return [_is_frozen(leaf.levels[len(node.levels) :]) for leaf in self.leaves[node.start : node.stop]]

    def nearest(self, choose: Callable[[Level], Any]) -> tuple[Any, ...] | None:
        """For each leaf what `choose` makes of the markers of the nearest field where it makes something of them.

        Returns:
            `None` stands where it makes nothing of any, and for all if it does so for all leaves.
        """
        if not self.has_markers:
            return None
        found = tuple(
            next((chosen for level in reversed(leaf.levels) if (chosen := choose(level)) is not None), None)
            for leaf in self.leaves
        )
        return found if any(chosen is not None for chosen in found) else None

    def axes(self, axis_name: Any) -> tuple[Axis | None, ...] | None:
        """For each leaf the `Axis` that speaks to the map of a name; `None` if none does."""
        if not self.has_markers:
            return None
        if axis_name not in self._axes:

            def of_map(level: Level) -> Axis | None:
                axes = [marker for marker in level if isinstance(marker, Axis)]
                named = [axis for axis in axes if axis.name is not None and axis.name == axis_name]
                return next(iter([*named, *(axis for axis in axes if axis.name is None)]), None)

            self._axes[axis_name] = self.nearest(of_map)
        return self._axes[axis_name]

    @functools.cached_property
    def layouts(self) -> tuple[Any, ...] | None:
        """For each leaf the `PartitionSpec` of the nearest field that has one; `None` if there is none at all."""
        return self.nearest(_layout_of)


def may_hold_numbers(value: Any) -> bool:
    """Whether an Equinox module in a traced value has what may have been a Python number: a weak type and no axes."""
    found = outline(value)
    if not found.has_modules:
        return False
    leaves = zip(found.in_modules, jax.tree.leaves(value), strict=True)
    return any(is_in and getattr(leaf, "weak_type", False) and leaf.shape == () for is_in, leaf in leaves)


def _is_equinox_module(owner: type) -> bool:
    equinox = sys.modules.get("equinox")
    return equinox is not None and issubclass(owner, equinox.Module)


def _layout_of(level: Level) -> Any:
    return next((marker for marker in level if isinstance(marker, PartitionSpec)), None)


def _is_frozen(levels: Sequence[Level]) -> bool:
    return any(_NODIFF in level for level in levels)


def outline(value: Any) -> Outline:
    """The outline of a value; kept for its structure, so that asking again is cheap.

    Raises:
        MarkerError: If a class in it has markers that cannot be honoured.
    """
    structure: Any = cast("Any", jax.tree).structure(value)
    try:
        return _of_structure(structure)
    except (_NotRebuilt, TypeError):  # made of placeholders it raises, or something unhashable is part of it
        pass
    return _built(structure, value)


class _NotRebuilt(Exception):
    """A class that cannot be made of placeholders; not kept by the cache, since it is raised."""


class _Placeholder:
    """Stands for a leaf."""


@functools.lru_cache(maxsize=512)
def _of_structure(structure: Any) -> Outline:
    try:
        # Of placeholders, no two the same, so that a child can be found among the attributes of its parent.
        skeleton = structure.unflatten([_Placeholder() for _ in range(structure.num_leaves)])
    except Exception as error:
        raise _NotRebuilt from error
    return _built(structure, skeleton)


def _built(structure: Any, skeleton: Any) -> Outline:
    leaves: list[Node] = []

    def walk(node: Any, path: Path, levels: tuple[Level, ...], owner: type) -> Node:
        start = len(leaves)
        place = Node(path, levels, start, start, jax.tree.structure(node), owner, [])
        if is_leaf(node):
            leaves.append(place)
        else:
            for step, child, level in _children(node):
                inner = (*levels, level) if level else levels
                place.children.append(walk(child, (*path, step), inner, cast("Any", type(node))))
        place.stop = len(leaves)
        return place

    root = walk(skeleton, (), (), type(None))
    return Outline(root, tuple(leaves))


def _children(node: Any) -> Iterator[tuple[Step, Any, Level]]:
    """The places directly in a node, with the markers of the fields that they are."""
    kind: type = cast("Any", type(node))
    fields = fields_of(kind)
    marked = {name for name, field in fields.items() if field.markers}

    def is_child(part: Any) -> bool:
        return part is not node

    pairs = cast("Any", jax.tree_util).tree_flatten_with_path(node, is_leaf=is_child)[0]
    steps = [as_step(keys[-1]) if keys else Item(i) for i, (keys, _) in enumerate(pairs)]
    children = [child for _, child in pairs]
    if kind not in _CONTAINERS and not all(isinstance(step, Attribute) for step in steps):
        steps = [step if isinstance(step, Attribute) else _named(node, child, fields) or step
                 for step, child in zip(steps, children, strict=True)]  # fmt: skip
        pairs_of_children = zip(steps, children, strict=True)
        if marked and any(jax.tree.leaves(child) for step, child in pairs_of_children if isinstance(step, Item)):
            raise _cannot_tell_apart(kind, sorted(marked))
    names = {step.name for step in steps if isinstance(step, Attribute)}
    for name in marked:
        field = fields[name]
        if name in names and _STATIC in field.markers:
            raise _static_is_traced(kind, field)
        loose = next((m for m in field.markers if isinstance(m, (Axis, PartitionSpec))), None)
        if name not in names and loose is not None and _STATIC not in field.markers:
            raise _not_traced(kind, field, loose)
    for step, child in zip(steps, children, strict=True):
        field_of_step = fields.get(step.name) if isinstance(step, Attribute) else None
        yield step, child, field_of_step.markers if field_of_step is not None else ()


_MISSING = object()


def _named(node: Any, child: Any, fields: Mapping[str, Field]) -> Attribute | None:
    """The one attribute of a node that holds a child, for a class whose key paths are plain indices."""
    if child is None:
        return None
    names = [name for name in {**fields, **getattr(node, "__dict__", {})} if getattr(node, name, _MISSING) is child]
    return Attribute(names[0]) if len(names) == 1 else None


def _cannot_tell_apart(kind: type, marked: Sequence[str]) -> MarkerError:
    return MarkerError(
        message(
            where(kind),
            f"the markers on {', '.join(marked)} cannot be honoured",
            because="JAX takes the class apart in a way that does not tell which part is which field",
            fix="register it with jax.tree_util.register_dataclass or register_pytree_with_keys, "
            "or make it an annotax.pytree",
        )
    )


def _static_is_traced(kind: type, field: Field) -> MarkerError:
    return MarkerError(
        message(
            where(kind),
            f"field {field.name} is marked Static, but the class is registered with it as data",
            got=f"Static[{show(field.hint)}]",
            because="JAX would trace it",
            fix="make the class an annotax.pytree, or register the field as metadata "
            "(equinox.field(static=True), flax.struct.field(pytree_node=False))",
        )
    )


def _not_traced(kind: type, field: Field, marker: Marker) -> MarkerError:
    return MarkerError(
        message(
            where(kind),
            f"field {field.name} is marked {marker!r}, but it is no part of what JAX traces",
            because="the class is registered with it as metadata, or without it",
            fix="drop the marker, or register the field as data",
        )
    )


def place_at(path: Path, value: Any, of: str, name: str, option: str, error: type[AnnotaxError]) -> Node:
    """The place at the end of a path into a value.

    Arguments:
        path: Into it.
        value: An argument, or a tree that has no name.
        of: The function, for the message, as `module.qualname`.
        name: The name of the argument, or nothing.
        option: The option that has the path.
        error: What to raise.

    Raises:
        AnnotaxError: The given one, with the nearest paths that exist, if the path leads nowhere.
    """

    def named(path: str) -> str:
        return f"{name}{path}" if name else path.removeprefix(".")

    try:
        return outline(value).at(path)
    except PathError as problem:
        got, nearest = problem.got, ", ".join(repr(named(near)) for near in problem.nearest)
    raise error(
        message(
            of,
            f"{option} names {named(show_path(path))}, which does not exist",
            got=got,
            nearest=nearest or None,
            fix="name a leaf or a subtree that exists",
        )
    )
