"""`shard_map`: one program a device, with the layouts of arguments and result read from the type hints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast, overload

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Result, Selector, without_first
from annotax._fields import outline, says
from annotax._hints import may_hold_fields
from annotax._layout import check_axes, check_spec, impose, map_specs, spec_of, specs_of_leaves
from annotax._markers import Static
from annotax._partition import Partition
from annotax._source import Writer
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT, Transform
from annotax._transforms.jit import compiled_core
from annotax._tree import Structure, flatten

if TYPE_CHECKING:
    from annotax._faces import CompilingDecorator, F, Jitted, KeepingDecorator, ShardMapOptions

REPLICATED: Any = cast("Any", PartitionSpec)()


@dataclass(frozen=True)
class ShardMap(Transform):
    """Run a function on each device on its shards, as `jax.shard_map`, with the layouts read from its type hints.

    `Annotated[Array, PartitionSpec("data")]` says how an argument, or a component of the result, is split; what has no
    layout is replicated. Calls are compiled, and take keywords. Without any mesh the layouts say nothing and the
    function runs as it is.

    Arguments:
        function: A function of the shards of one device; left out, `shard_map(...)` is a decorator.
        mesh: The mesh; left out, the ambient one of `jax.set_mesh`.
        in_specs: Layouts of single parameters, by name or index, in place of what their hints say.
        out_specs: The layout of the result, as in `jax.shard_map`, in place of what its hint says.
        axis_names: As in `jax.shard_map`: the mesh axes to map over; left out, all of them.
        check_vma: As in `jax.shard_map`.
        typechecker: Checks arguments and results of one device while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one, of whole arrays.

    Raises:
        MarkerError: At decoration, for markers or options that cannot be honoured.
        ShardingError: At a call, for an argument that the mesh cannot split so.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from typing import Annotated
        >>> from jax.sharding import AxisType, PartitionSpec as P
        >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        >>> @annotax.shard_map(mesh=mesh)
        ... def total(x: Annotated[jax.Array, P("data")], *, power: annotax.Static[int] = 1) -> jax.Array:
        ...     return jax.lax.psum(jnp.sum(x**power), "data")
        >>> float(total(jnp.arange(3.0), power=2))
        5.0
    """

    mesh: Mesh | AbstractMesh | None = None
    in_specs: tuple[tuple[Selector, Any], ...] = ()
    out_specs: Any = None
    options: tuple[tuple[str, Any], ...] = ()
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str] = "shard_map"

    def for_bound_method(self, names: Sequence[str]) -> Transform | None:
        """The same without the first parameter."""
        named = without_first([selector for selector, _ in self.in_specs], names)
        if named is None:
            return None
        given = [value for _, value in self.in_specs]
        return dataclasses.replace(self, in_specs=tuple(zip(named, given, strict=True)))

    def check(self, contract: Contract) -> Contract:
        """See that the overrides name parameters."""
        self._in_specs(contract)
        return contract

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of `jax.shard_map`."""
        mesh = {} if self.mesh is None else {"mesh": self.mesh}
        return {
            "in_specs": self._in_specs(contract),
            "out_specs": self._out_specs(contract.result),
            **mesh,
            **dict(self.options),
        }

    def _in_specs(self, contract: Contract) -> tuple[Any, ...]:
        specs = [spec_of(parameter) for parameter in contract]
        for i, spec in self._overrides(contract).items():
            specs[i] = spec
        return tuple(REPLICATED if spec is None else spec for spec in specs)

    def _overrides(self, contract: Contract) -> dict[int, Any]:
        return {contract.index(selector, "shard_map(in_specs=...)"): spec for selector, spec in self.in_specs}

    def _out_specs(self, result: Result) -> Any:
        if self.out_specs is not None:
            return self.out_specs
        spec = spec_of(result)
        if spec is not None or result.components is None:
            return REPLICATED if spec is None else spec
        return tuple(map(self._out_specs, result.components))

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """`jax.shard_map` under `jax.jit`, or the function itself where there is no mesh."""
        if self.mesh is None and jax.sharding.get_abstract_mesh().empty:
            return inner
        partition = Partition(contract)
        by_fields = says(contract.result.hint, PartitionSpec)
        by_fields = by_fields or any(specs_of_leaves(slot, None) is not None for slot in slots)
        if by_fields or partition.constants(slots):
            return self.write_applied(writer, inner, contract)
        if partition.marked:
            return self._write_around_constants(writer, inner, contract, partition.marked)
        mapped = super().write(writer, inner, contract, slots)
        compiled = writer.new(f"jit_{mapped}")
        writer.write(f"{compiled} = jax.jit({mapped})")
        return compiled

    def _write_around_constants(self, writer: Writer, inner: str, contract: Contract, static: Sequence[int]) -> str:
        given = dict(self.given(contract))
        given["in_specs"] = tuple(spec for i, spec in enumerate(given["in_specs"]) if i not in static)
        traced = ", ".join(slot for i, slot in enumerate(writer.slots) if i not in static)
        name = writer.new(f"shard_map_{inner}")
        writer.write(
            f"def {name}({writer.passed}):",
            f"    def of_arrays({traced}):",
            f"        return {inner}({writer.passed})",
            "",
            f"    return jax.jit(jax.shard_map(of_arrays{writer.options(given)}))({traced})",
            "",
        )
        return name

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Run the core once for each device, always compiled: uncompiled a call takes a thousand times as long."""
        partition = Partition(contract)
        given = dict(self.given(contract))
        overrides = self._overrides(contract)
        # A hint tells before the function has run that fields of its result have layouts, or else the result does.
        by_fields = self.out_specs is None and says(contract.result.hint, PartitionSpec)

        def into(part: Any, spec: Any, path: str) -> Any:
            mesh = jax.sharding.get_abstract_mesh() if self.mesh is None else _abstract(self.mesh)
            check_spec(part, spec, contract, path, mesh)
            # On axes of type Explicit JAX wants the argument laid out so already.
            return impose(part, spec, contract, path, fields=False) if AxisType.Explicit in mesh.axis_types else part

        def out_of(part: Any, spec: Any, path: str) -> Any:
            check_spec(part, spec, contract, path, jax.sharding.get_abstract_mesh())
            return part

        def mapped(*slots: Any) -> Any:
            nonlocal by_fields
            try:
                return of_slots(slots)
            except _OutByField:
                by_fields = True
            return of_slots(slots)

        def of_slots(slots: tuple[Any, ...]) -> Any:
            mesh = jax.sharding.get_abstract_mesh() if self.mesh is None else _abstract(self.mesh)
            if mesh.empty:  # a laptop: the layouts say nothing
                return core(*slots)
            structures, arguments = partition.split(slots, whole=True)
            in_specs = list(given["in_specs"])
            for i, parameter in enumerate(contract):
                if i not in overrides:
                    in_specs[i] = _by_fields(in_specs[i], slots[i], dict(structures).get(i))
                arguments[i] = map_specs(into, in_specs[i], arguments[i], parameter.name)
            out_specs = given["out_specs"]

            def run(*arguments: Any) -> Any:
                result = core(*Partition.join(structures, arguments))
                is_told = by_fields or self.out_specs is not None
                if not is_told and may_hold_fields(contract.result.hint) and outline(result).layouts is not None:
                    raise _OutByField
                return result

            def shard_mapped(function: Callable[..., Any], out_specs: Any) -> Any:
                return cast("Any", jax.shard_map)(
                    function, **{**given, "in_specs": tuple(in_specs), "out_specs": out_specs}
                )(*arguments)

            if by_fields:
                # What the fields of the result say can be known once it is there, so it is made once to look at it.
                def look(*arguments: Any) -> tuple[()]:
                    nonlocal out_specs
                    out_specs = _of_result(run(*arguments), contract.result)
                    return ()

                cast("Any", jax.eval_shape)(lambda: shard_mapped(look, ()))
            for keys, spec in _specs_with_paths(out_specs):
                check_axes(spec, contract, f"result{keys}", mesh)
            return shard_mapped(lambda *arguments: map_specs(out_of, out_specs, run(*arguments), "result"), out_specs)

        concrete = self.mesh if isinstance(self.mesh, Mesh) else None
        return compiled_core(mapped, core, contract, {"static_argnums": contract.indices(Static)}, concrete), contract

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> KeepingDecorator: ...
        @property
        def _compiled_decorator(self) -> CompilingDecorator: ...

    @overload
    def __call__(self, function: Jitted[F], /, **options: Unpack[ShardMapOptions]) -> F: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[ShardMapOptions]) -> F: ...
    @overload
    def __call__(self, /, **options: Unpack[ShardMapOptions]) -> ShardMap: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        mesh: Mesh | AbstractMesh | None = None,
        in_specs: Mapping[Selector, Any] | None = None,
        out_specs: Any = None,
        axis_names: Sequence[str] | None = None,
        check_vma: bool = True,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        options: dict[str, Any] = {} if axis_names is None else {"axis_names": frozenset(axis_names)}
        options |= {} if check_vma else {"check_vma": False}
        step = ShardMap(mesh, tuple((in_specs or {}).items()), out_specs, tuple(options.items()), typechecker)
        return self._made(step, function)


class _OutByField(Exception):
    """Raised while mapping: the fields of the result have layouts."""


def _by_fields(spec: Any, value: Any, structure: Structure | None) -> Any:
    """The spec of an argument, or a tree of those of its leaves where fields in it have some."""
    specs = specs_of_leaves(value, spec)
    if specs is None:
        return spec
    whole = flatten(value)[1].unflatten(specs)
    return whole if structure is None else structure.pick(whole)


def _of_result(value: Any, result: Result) -> Any:
    """The specs of a result, from its fields and its hint."""
    spec = spec_of(result)
    if spec is None and result.components is not None and isinstance(value, tuple):
        return tuple(map(_of_result, cast("Any", value), result.components))
    return _by_fields(REPLICATED if spec is None else spec, value, None)


def _specs_with_paths(specs: Any) -> list[tuple[str, Any]]:
    """The specs of a tree of them, with their paths."""

    def is_spec(part: Any) -> bool:
        return isinstance(part, PartitionSpec)

    pairs = cast("Any", jax.tree).leaves_with_path(specs, is_leaf=is_spec)
    return [(jax.tree_util.keystr(keys), spec) for keys, spec in pairs if is_spec(spec)]


def _abstract(mesh: Mesh | AbstractMesh) -> AbstractMesh:
    return mesh.abstract_mesh if isinstance(mesh, Mesh) else mesh


shard_map: ShardMap = ShardMap()
"""`ShardMap` without options: a decorator, and with options the maker of one."""
