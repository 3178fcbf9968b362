"""Layouts: a `PartitionSpec` in a hint, imposed on values while they are traced.

`lay_out` imposes them at the entry and the exit of the user's function, from the mesh that is ambient there, not by
`in_shardings`: so keyword calls work, a function runs unchanged without a mesh, and a gradient keeps the layout of its
parameter, for the transpose of a constraint is the same constraint.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from annotax._contract import Contract, Parameter, Result
from annotax._errors import ShardingError, message
from annotax._fields import outline
from annotax._hints import may_hold_fields
from annotax._markers import Static
from annotax._normal import named_as
from annotax._tracebacks import shortens
from annotax._tree import describe, flatten, is_traceable, leaves_with_paths

T = TypeVar("T")

_SPEC: Any = PartitionSpec  # untyped in some versions of JAX


def spec_of(parameter: Parameter | Result) -> Any:
    """The layout in the hint of a parameter or a result, or `None`."""
    return next((role.marker for role in parameter.roles if role.is_of(PartitionSpec)), None)


def lay_out(core: Callable[..., Any], contract: Contract) -> Callable[..., Any]:
    """The core with its layouts imposed on what goes in and what comes out; itself if there can be none to impose."""
    specs = {
        i: spec_of(parameter)
        for i, parameter in enumerate(contract)
        if spec_of(parameter) is not None or (parameter.role(Static) is None and may_hold_fields(parameter.hint))
    }
    may_result = _has_spec(contract.result) or may_hold_fields(contract.result.hint)
    if not contract.is_laid_out or not (specs or may_result):
        return core

    def laid_out(*slots: Any) -> Any:
        if _says_nothing(jax.sharding.get_abstract_mesh()):
            return core(*slots)
        values = list(slots)
        for i, spec in specs.items():
            values[i] = impose(values[i], spec, contract, contract.parameters[i].name)
        return impose_result(core(*values), contract.result, contract)

    return cast("Callable[..., Any]", named_as(laid_out, core))


def _says_nothing(mesh: Any) -> bool:
    """Whether layouts say nothing: without a mesh, on a laptop, or within `shard_map`, where a value is one shard."""
    return all(kind is AxisType.Manual for kind in mesh.axis_types)


def impose_result(value: Any, result: Result, contract: Contract, path: str = "result") -> Any:
    """What a function returned, laid out as its hint says, component by component."""
    spec = spec_of(result)
    if spec is not None or result.components is None or not isinstance(value, tuple):
        return impose(value, spec, contract, path)
    parts = enumerate(zip(cast("Any", value), result.components, strict=True))
    return tuple(impose_result(part, component, contract, f"{path}[{i}]") for i, (part, component) in parts)


def _has_spec(result: Result) -> bool:
    return spec_of(result) is not None or any(map(_has_spec, result.components or ()))


def specs_of_leaves(value: Any, default: Any) -> list[Any] | None:
    """For each leaf the spec of the nearest field that has one, or else the default; `None` if no field has one."""
    layouts = outline(value).layouts
    return None if layouts is None else [default if layout is None else layout for layout in layouts]


def impose(value: Any, spec: Any, contract: Contract, path: str, *, fields: bool = True) -> Any:
    """Every array of a value laid out on the ambient mesh, or the value itself without one.

    Arguments:
        value: An array, or a pytree of them.
        spec: The `PartitionSpec` for all of it, or `None`.
        contract: Of the function that it belongs to, for messages.
        path: What it is, for messages.
        fields: Whether the fields of the classes in it come first.

    Raises:
        ShardingError: If the mesh, the rank or the shape of an array does not allow it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if _says_nothing(mesh):
        return value
    specs = specs_of_leaves(value, spec) if fields else None
    if spec is None and specs is None:
        return value
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))

    def imposed(leaf: Any, spec: Any, path: str) -> Any:
        if spec is None or not is_traceable(leaf):
            return leaf
        check_spec(leaf, spec, contract, path, mesh)
        explicit, automatic = (_only(spec, kinds, kind) for kind in (AxisType.Explicit, AxisType.Auto))
        if AxisType.Explicit in kinds.values():
            leaf = cast("Any", jax.sharding).reshard(leaf, explicit)
        # Manual axes, those of a surrounding `shard_map` of some axes, have been dropped.
        if any(kind is AxisType.Auto for kind in kinds.values()) and (any(automatic) or not any(explicit)):
            # With the mesh, since before JAX 0.8 a spec alone is refused where only the abstract mesh is known.
            leaf = cast("Any", jax.lax).with_sharding_constraint(leaf, NamedSharding(mesh, automatic))
        return leaf

    pairs = leaves_with_paths(path, value)
    laid_out = [
        imposed(leaf, leaf_spec, leaf_path)
        for (leaf_path, leaf), leaf_spec in zip(pairs, specs or [spec] * len(pairs), strict=True)
    ]
    return flatten(value)[1].unflatten(laid_out)


@shortens
def shard(tree: T, mesh: Mesh) -> T:
    """Place a tree on the devices of a mesh, as the markers on its fields say.

    Arguments:
        tree: A model, an optimiser's state that holds copies of it, or any pytree.
        mesh: The devices.

    Returns:
        The tree with every array on the mesh: laid out by the `PartitionSpec` of the nearest field that has one, a copy
        on every device if none has. What is no array stays as it is.

    Raises:
        ShardingError: If the mesh lacks an axis, or an array cannot be split as its field says.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from typing import Annotated
        >>> @annotax.pytree
        ... class Embedding:
        ...     table: Annotated[jax.Array, jax.P("model", None)]
        >>> mesh = jax.make_mesh((1,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
        >>> annotax.shard(Embedding(jnp.ones((4, 2))), mesh).table.sharding.spec == jax.P("model", None)
        True
    """
    nowhere = Contract("annotax.shard", "", ())
    specs = specs_of_leaves(tree, _SPEC())
    pairs = leaves_with_paths("tree", tree)
    placed: list[Any] = []
    for (path, leaf), spec in zip(pairs, specs or [_SPEC()] * len(pairs), strict=True):
        if isinstance(leaf, (jax.Array, np.ndarray)):
            check_spec(leaf, spec, nowhere, path, mesh)
            leaf = jax.device_put(leaf, NamedSharding(mesh, spec))
        placed.append(leaf)
    return cast("T", flatten(tree)[1].unflatten(placed))


def _only(spec: Any, kinds: dict[Any, Any], kind: Any) -> Any:
    """The spec with the mesh axes of one kind alone."""

    def kept(entry: Any) -> Any:
        if isinstance(entry, tuple):
            names = tuple(name for name in cast("Any", entry) if kinds.get(name) is kind)
            return names or None
        return entry if entry in (None, PartitionSpec.UNCONSTRAINED) or kinds.get(entry) is kind else None

    return _SPEC(*map(kept, spec))


@contextlib.contextmanager
def ambient(mesh: Mesh | None) -> Generator[bool]:
    """A block in which a mesh is the ambient one; `None` leaves it as it is.

    Yields:
        Whether JAX is tracing and does not know of the devices of the mesh yet, so that arguments have to carry them.
    """
    if mesh is None or jax.sharding.get_abstract_mesh() == mesh.abstract_mesh:
        yield False
        return
    try:
        concrete: Any = jax.set_mesh(mesh)
    except ValueError:  # not allowed while tracing
        concrete = None
    if concrete is not None:
        with concrete:
            yield False
        return
    with cast("Any", jax.sharding).use_abstract_mesh(mesh.abstract_mesh):
        yield True


def carry(value: Any, mesh: Mesh) -> Any:
    """The value with every array on the devices of a mesh whose axes are of type Auto, in whatever layout."""

    def carried(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        free = NamedSharding(mesh, _SPEC(*[PartitionSpec.UNCONSTRAINED] * leaf.ndim))
        return cast("Any", jax.lax).with_sharding_constraint(leaf, free)

    return jax.tree.map(carried, value)


def map_specs(visit: Callable[[Any, Any, str], Any], specs: Any, value: Any, path: str) -> Any:
    """`visit(part, spec, path)` for each spec of a prefix tree and the part of the value under it."""

    def at(keys: Any, spec: Any, part: Any) -> Any:
        return part if spec is None else visit(part, spec, path + jax.tree_util.keystr(keys))

    def is_spec(part: Any) -> bool:
        return part is None or isinstance(part, PartitionSpec)

    return cast("Any", jax.tree_util).tree_map_with_path(at, specs, value, is_leaf=is_spec)


def check_spec(value: Any, spec: Any, contract: Contract, path: str, mesh: Any) -> None:
    """See that every array of a value can be laid out by a `PartitionSpec` on a mesh.

    Raises:
        ShardingError: Naming the argument and what stands in the way.
    """
    check_axes(spec, contract, path, mesh)
    # Along a Manual axis, of a surrounding `shard_map`, a value is one shard already.
    shares = zip(mesh.axis_names, mesh.axis_sizes, mesh.axis_types, strict=True)
    sizes = {name: 1 if kind is AxisType.Manual else size for name, size, kind in shares}
    groups = [_names(entry) for entry in spec]

    def error(problem: str, got: str, expected: str, fix: str) -> ShardingError:
        return ShardingError(message(contract.where, problem, got=got, expected=expected, fix=fix))

    for leaf_path, leaf in leaves_with_paths(path, value):
        if not is_traceable(leaf):
            continue
        shape: tuple[int, ...] = np.shape(leaf)
        if len(groups) > len(shape):
            raise error(
                f"the layout of {leaf_path} has more entries than the array has dimensions",
                f"{spec!r} for {describe(leaf)}",
                f"at most {len(shape)} entries",
                "leave entries out, or mark the arrays one by one",
            )
        for dimension, (size, group) in enumerate(zip(shape, groups, strict=False)):
            parts = math.prod(sizes[name] for name in group)
            if size % parts:
                raise error(
                    f"dimension {dimension} of {leaf_path} cannot be split into {parts} equal parts",
                    f"{spec!r} for {describe(leaf)} on a mesh of {dict(sizes)}",
                    f"a multiple of {parts}",
                    "pad the array, or split another dimension",
                )


def check_axes(spec: Any, contract: Contract, path: str, mesh: Any) -> None:
    """See that a mesh has the axes that a `PartitionSpec` names, each of them once.

    Raises:
        ShardingError: Naming the argument and the axis.
    """
    names = [name for entry in spec for name in _names(entry)]
    unknown = [name for name in names if name not in mesh.axis_names]
    if unknown:
        raise ShardingError(
            message(
                contract.where,
                f"the layout of {path} names the axis {unknown[0]!r}, which the mesh lacks",
                got=repr(spec),
                expected=f"axes of the mesh: {', '.join(map(repr, mesh.axis_names))}",
                fix="name an axis of the mesh, or make the mesh with that axis",
            )
        )
    if len(set(names)) < len(names):
        raise ShardingError(
            message(
                contract.where,
                f"the layout of {path} names a mesh axis twice",
                got=repr(spec),
                expected="each axis of the mesh at most once",
                fix="split each dimension over other axes",
            )
        )


def _names(entry: Any) -> Sequence[Any]:
    if entry is None or entry is PartitionSpec.UNCONSTRAINED:
        return ()
    return cast("Sequence[Any]", entry) if isinstance(entry, tuple) else (entry,)
