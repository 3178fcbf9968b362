"""`pmap`: one example a device, under the markers of `vmap`.

JAX keeps `pmap` in maintenance; `shard_map`, or `jit` with layouts in the hints, is the way forward.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter as SignatureParameter
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast, overload

import jax
import numpy as np

from annotax._batching import (
    FROM_MARKERS,
    Axes,
    Batching,
    OutByField,
    ResultByField,
    as_in_axes,
    for_each_axis,
)
from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Selector
from annotax._errors import AxisError, message
from annotax._hints import may_hold_fields
from annotax._markers import Donate, Static
from annotax._normal import named_as
from annotax._partition import Partition, Structures, hold
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT
from annotax._tree import flatten, release

if TYPE_CHECKING:
    from annotax._faces import F, Jitted, PmapOptions


class Pmap(Batching):
    """Map a function over devices, as `jax.pmap`, with axes, statics and donations read from its type hints.

    JAX keeps `pmap` in maintenance: new code should take `annotax.shard_map`, or `annotax.jit` with layouts in the
    hints. The markers are those of `annotax.vmap`; parameters marked `Static` are compile-time constants in every
    spelling of a call, and those marked `Donate` give their buffers away.

    Arguments:
        function: A function of the values of one device; left out, `pmap(...)` is a decorator.
        in_axes: As in `annotax.vmap`.
        out_axes: As in `annotax.vmap`.
        axis_name: As in `annotax.vmap`.
        axis_size: As in `jax.pmap`.
        devices: As in `jax.pmap`: the `jax.Device`s to use.
        backend: As in `jax.pmap`.
        typechecker: Checks arguments and results of one device while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one, over as many devices as the mapped axis is long.

    Raises:
        MarkerError: As `annotax.vmap`.
        AxisError: As `annotax.vmap`.
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.pmap
        ... def power(x: jax.Array, *, n: annotax.Static[int] = 2) -> jax.Array:
        ...     return x**n
        >>> power(jnp.full((1, 2), 3.0), n=3).tolist()
        [[27.0, 27.0]]
    """

    name: ClassVar[str] = "pmap"

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of `jax.pmap`."""
        static, donated = contract.indices(Static), contract.indices(Donate)
        return {**super().given(contract), "static_broadcasted_argnums": static, "donate_argnums": donated}

    def _too_many(self, axes: Axes, slots: Sequence[Any]) -> AxisError | None:
        """What is wrong if there are more examples than devices."""
        options = dict(self.options)
        devices: Any = options.get("devices") or cast("Any", jax).local_devices(backend=options.get("backend"))
        leaves, _, of_leaves = axes.of_leaves(slots)
        size = next((np.shape(leaf)[axis] for leaf, axis in zip(leaves, of_leaves, strict=True) if axis is not None), 0)
        if size <= len(devices):
            return None
        return AxisError(
            message(
                axes.contract.where,
                f"pmap maps {size} examples over {len(devices)} device{'' if len(devices) == 1 else 's'}",
                expected="one example for each device at most",
                fix="map the rest by annotax.vmap inside, or leave all to annotax.jit with layouts",
            )
        )

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Map the core."""
        axes = self.axes(contract)
        partition = Partition(contract)
        donated = contract.indices(Donate)
        out_axes = self.of_result(contract.result)

        may_be_by_field = self.out_axes is FROM_MARKERS and not contract.result.is_derivative
        may_be_by_field = may_be_by_field and may_hold_fields(contract.result.hint)
        is_out_by_field = False

        def held(*slots: Any) -> Any:
            result = core(*slots)
            if may_be_by_field and self.names_axes(result, contract.result):
                raise OutByField
            return for_each_axis(out_axes, lambda part: hold(part, contract), result)

        named_as(held, core)
        own = ("in_axes", "static_broadcasted_argnums", "donate_argnums")
        options = {name: value for name, value in self.given(contract).items() if name not in own}

        # `jax.pmap` keeps what it compiled on the function that it returns, so that is kept: by structure, static
        # values and axes, all of which are in the key. It is handed leaves, since axes can differ from leaf to leaf.
        @functools.lru_cache(maxsize=64)
        def of_leaves(
            structures: Structures, treedef: Any, in_axes: tuple[int | None, ...], given: tuple[int, ...]
        ) -> Any:
            def flat(*leaves: Any) -> Any:
                whole = core if is_out_by_field else held
                return whole(*Partition.join(structures, treedef.unflatten(leaves)))

            if not is_out_by_field:
                return jax.pmap(named_as(flat, core), in_axes=in_axes, donate_argnums=given, **options)
            by_field = ResultByField(flat, lambda result: self.of_leaves(result, contract.result))
            mapped: Any = None

            def call(*leaves: Any) -> Any:
                nonlocal mapped
                if mapped is None:
                    of_map = {name: options[name] for name in ("axis_name", "axis_size") if name in options}
                    by_field.look(leaves, in_axes=in_axes, **of_map)
                    given_options = {**options, "in_axes": in_axes, "donate_argnums": given, "out_axes": by_field.axes}
                    mapped = cast("Any", jax.pmap)(named_as(by_field, core), **given_options)
                return by_field.structure.join(mapped(*leaves))

            return call

        given = {**self.given(contract), "static_broadcasted_argnums": ()}
        # With two slots that hold nothing, JAX 0.10.2 takes the axis of one argument for that of another.
        variadic = (SignatureParameter.VAR_POSITIONAL, SignatureParameter.VAR_KEYWORD)
        may_be_empty = any(parameter.kind in variadic for parameter in contract)
        direct = None if contract.indices(Static) or may_be_empty else cast("Any", jax.pmap)(held, **given)
        is_by_leaf = False

        def call(*slots: Any) -> Any:
            nonlocal is_by_leaf, is_out_by_field
            if direct is not None and not is_by_leaf and not is_out_by_field and not axes.are_by_field(slots):
                try:
                    return for_each_axis(out_axes, release, direct(*slots))
                except OutByField:
                    is_out_by_field = True
                except Exception:
                    # JAX looks at all values and axes before it runs the function.
                    is_told = axes.problem(slots) is not None or self._too_many(axes, slots) is not None
                    if not is_told and not partition.is_mixed(slots) and axes.are_by_slot(slots):
                        raise
                is_by_leaf = not is_out_by_field
            structures, arguments = partition.split(slots, whole=True)
            leaves, treedef = flatten(tuple(arguments))
            # Of the slots as they came: in what is left of them no field tells its axis.
            in_axes = partition.of_traced(structures, slots, axes.of_leaves(slots)[2])
            positions = _positions_of_leaves(arguments, donated)
            try:
                try:
                    result = of_leaves(structures, treedef, in_axes, positions)(*leaves)
                except OutByField:
                    is_out_by_field = True
                    of_leaves.cache_clear()
                    result = of_leaves(structures, treedef, in_axes, positions)(*leaves)
            except Exception:
                problem = axes.problem(slots) or self._too_many(axes, slots)
                if problem is None:
                    raise
            else:
                return result if is_out_by_field else for_each_axis(out_axes, release, result)
            raise problem from None

        return call, contract

    @overload
    def __call__(self, function: Jitted[F], /, **options: Unpack[PmapOptions]) -> F: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[PmapOptions]) -> F: ...
    @overload
    def __call__(self, /, **options: Unpack[PmapOptions]) -> Pmap: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        in_axes: Mapping[Selector, Any] | None = None,
        out_axes: Any = FROM_MARKERS,
        axis_name: str | None = None,
        axis_size: int | None = None,
        devices: Sequence[Any] | None = None,
        backend: str | None = None,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        options: dict[str, Any] = {
            "axis_size": axis_size,
            "devices": None if devices is None else tuple(devices),
            "backend": backend,
        }
        step = Pmap(
            as_in_axes(in_axes, "pmap"),
            out_axes,
            axis_name,
            tuple((name, value) for name, value in options.items() if value is not None),
            typechecker,
        )
        return self._made(step, function)


def _positions_of_leaves(arguments: Sequence[Any], indices: Sequence[int]) -> tuple[int, ...]:
    """Where the leaves of some arguments stand among the leaves of all."""
    counts = [len(jax.tree.leaves(argument)) for argument in arguments]
    return tuple(position for i in indices for position in range(sum(counts[:i]), sum(counts[: i + 1])))


pmap: Pmap = Pmap()
"""`Pmap` without options: a decorator, and with options the maker of one."""
