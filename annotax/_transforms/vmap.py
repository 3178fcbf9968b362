"""`vmap`: every traced parameter is mapped along axis 0 unless a marker or an override says otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, overload

import jax

from annotax._batching import FROM_MARKERS, Batching, OutByField, ResultByField, as_in_axes, for_each_axis
from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Selector
from annotax._fields import says
from annotax._hints import may_hold_fields
from annotax._markers import Axis
from annotax._normal import named_as
from annotax._partition import hold
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT
from annotax._tree import release

if TYPE_CHECKING:
    from annotax._faces import F, Jitted, VmapOptions


class Vmap(Batching):
    """Map a function over a batch, as `jax.vmap`, with the axes read from its type hints.

    Every traced parameter is mapped along axis 0 unless it is marked: `Axis(1)` maps axis 1, `Axis(None)` shares the
    value with the whole batch, `Axis(1, "time")` speaks only to `vmap(axis_name="time")`. Static parameters and values
    that cannot be traced are shared, and so is a leaf without axes that no marker speaks of.

    Arguments:
        function: A function of single examples; left out, `vmap(...)` is a decorator.
        in_axes: Axes of single parameters, by name or index, in place of what their markers say: an integer, `None`, or
            a prefix tree of them.
        out_axes: Axes of the result, an integer, `None` or a prefix tree, in place of what its markers say.
        axis_name: A name of the mapped axis, for collectives such as `jax.lax.psum` and for `Axis(n, name)`.
        axis_size: The size of the mapped axis, where no argument has it.
        spmd_axis_name: As in `jax.vmap`.
        typechecker: Checks arguments and results of one example while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one, over a batch.

    Raises:
        MarkerError: At decoration, for axes that cannot be honoured, and for an array default that no marker speaks of.
        AxisError: At a call, for a value without its axis, and for sizes that disagree.
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from typing import Annotated
        >>> @annotax.vmap
        ... def scaled(x: jax.Array, by: Annotated[jax.Array, annotax.Axis(None)]) -> jax.Array:
        ...     return jnp.dot(x, by)
        >>> scaled(jnp.ones((3, 2)), by=jnp.ones(2)).tolist()
        [2.0, 2.0, 2.0]
    """

    name: ClassVar[str] = "vmap"

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Map the core."""
        axes = self.axes(contract)
        given = dict(self.given(contract))
        out_axes = given.pop("out_axes")
        options = {name: value for name, value in given.items() if name != "in_axes"}
        # A hint tells, before the function has run, that fields of its result name axes; or else the first result does.
        is_out_by_field = self.out_axes is FROM_MARKERS and says(contract.result.hint, Axis)
        may_be_by_field = self.out_axes is FROM_MARKERS and not contract.result.is_derivative
        may_be_by_field = may_be_by_field and may_hold_fields(contract.result.hint)

        def held(*slots: Any) -> Any:
            nonlocal is_out_by_field
            result = core(*slots)
            if may_be_by_field and not isinstance(result, jax.Array) and self.names_axes(result, contract.result):
                is_out_by_field = True
                raise OutByField
            if out_axes != 0:
                self.check_out_axes(contract, out_axes, result)
            return for_each_axis(out_axes, lambda part: hold(part, contract), result)

        named_as(held, core)
        direct: Any = jax.vmap(held, **given, out_axes=out_axes)
        is_by_leaf = False

        @functools.lru_cache(maxsize=64)
        def of_leaves(treedef: Any, in_axes: tuple[int | None, ...]) -> Any:
            def flat(*leaves: Any) -> Any:
                return held(*treedef.unflatten(leaves))

            return jax.vmap(named_as(flat, core), in_axes=in_axes, out_axes=out_axes, **options)

        def by_leaf(slots: tuple[Any, ...]) -> Any:
            leaves, treedef, in_axes = axes.of_leaves(slots)
            if not is_out_by_field:
                return of_leaves(treedef, in_axes)(*leaves)
            flat = ResultByField(
                lambda *leaves: core(*treedef.unflatten(leaves)),
                lambda result: self.of_leaves(result, contract.result),
            )
            flat.look(leaves, in_axes=in_axes, **options)
            mapped = jax.vmap(named_as(flat, core), in_axes=in_axes, out_axes=flat.axes, **options)(*leaves)
            return flat.structure.join(mapped)

        def call(*slots: Any) -> Any:
            nonlocal is_by_leaf
            by_leaves = is_by_leaf or is_out_by_field or axes.are_by_field(slots)
            problem: Exception | None = None
            if "axis_size" in options:  # then JAX 0.7 looks neither for an axis that is not there nor at the sizes
                problem = axes.problem(slots)
                by_leaves = by_leaves or not axes.are_by_slot(slots)
            if problem is not None:
                raise problem
            try:
                return for_each_axis(out_axes, release, by_leaf(slots) if by_leaves else direct(*slots))
            except OutByField:
                pass
            except Exception:
                # JAX looks at all axes before it runs the function, so what they show is the reason for any error.
                problem = axes.problem(slots)
                if problem is None and (by_leaves or axes.are_by_slot(slots)):
                    raise
            if problem is not None:
                raise problem from None
            is_by_leaf = True
            return for_each_axis(out_axes, release, by_leaf(slots))

        return call, contract

    @overload
    def __call__(self, function: Jitted[F], /, **options: Unpack[VmapOptions]) -> F: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[VmapOptions]) -> F: ...
    @overload
    def __call__(self, /, **options: Unpack[VmapOptions]) -> Vmap: ...
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
        spmd_axis_name: str | tuple[str, ...] | None = None,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        options = {"axis_size": axis_size, "spmd_axis_name": spmd_axis_name}
        step = Vmap(
            as_in_axes(in_axes, "vmap"),
            out_axes,
            axis_name,
            tuple((name, value) for name, value in options.items() if value is not None),
            typechecker,
        )
        return self._made(step, function)


vmap: Vmap = Vmap()
"""`Vmap` without options: a decorator, and with options the maker of one."""
