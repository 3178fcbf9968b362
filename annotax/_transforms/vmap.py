"""`vmap`: every traced parameter is mapped along axis 0 unless a marker or an override says otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, overload

import jax

from annotax._batching import FROM_MARKERS, Batching, as_in_axes
from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Selector
from annotax._normal import named_as
from annotax._transform import DEFAULT, makes


class Vmap(Batching):
    """The transform that `vmap` makes; see there."""

    name: ClassVar[str] = "vmap"

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Map the core."""
        axes = self.axes(contract)
        given = dict(self.given(contract))
        direct: Any = jax.vmap(core, **given)
        options = {name: value for name, value in given.items() if name != "in_axes"}
        is_by_leaf = False

        @functools.lru_cache(maxsize=64)
        def of_leaves(treedef: Any, in_axes: tuple[int | None, ...]) -> Any:
            def flat(*leaves: Any) -> Any:
                return core(*treedef.unflatten(leaves))

            return jax.vmap(named_as(flat, core), in_axes=in_axes, **options)

        def by_leaf(slots: tuple[Any, ...]) -> Any:
            leaves, treedef, in_axes = axes.of_leaves(slots)
            return of_leaves(treedef, in_axes)(*leaves)

        def call(*slots: Any) -> Any:
            nonlocal is_by_leaf
            try:
                return by_leaf(slots) if is_by_leaf else direct(*slots)
            except Exception:
                # JAX looks at all axes before it runs the function, so what they show is the reason for any error.
                problem = axes.problem(slots)
                if problem is None and (is_by_leaf or axes.are_by_slot(slots)):
                    raise
            if problem is not None:
                raise problem
            is_by_leaf = True
            return by_leaf(slots)

        return call, contract


@overload
def vmap(
    function: Callable[..., Any],
    /,
    *,
    in_axes: Mapping[Selector, Any] | None = ...,
    out_axes: Any = ...,
    axis_name: str | None = ...,
    axis_size: int | None = ...,
    spmd_axis_name: str | tuple[str, ...] | None = ...,
    typechecker: TypeCheckerOption = ...,
) -> Callable[..., Any]: ...


@overload
def vmap(
    *,
    in_axes: Mapping[Selector, Any] | None = ...,
    out_axes: Any = ...,
    axis_name: str | None = ...,
    axis_size: int | None = ...,
    spmd_axis_name: str | tuple[str, ...] | None = ...,
    typechecker: TypeCheckerOption = ...,
) -> Vmap: ...


@makes(Vmap)
def vmap(
    function: Callable[..., Any] | None = None,
    /,
    *,
    in_axes: Mapping[Selector, Any] | None = None,
    out_axes: Any = FROM_MARKERS,
    axis_name: str | None = None,
    axis_size: int | None = None,
    spmd_axis_name: str | tuple[str, ...] | None = None,
    typechecker: TypeCheckerOption = DEFAULT,
) -> Any:
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

    Example:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from typing import Annotated
        >>> @annotax.vmap
        ... def scaled(x: jax.Array, by: Annotated[jax.Array, annotax.Axis(None)]) -> jax.Array:
        ...     return jnp.dot(x, by)
        >>> scaled(jnp.ones((3, 2)), by=jnp.ones(2)).tolist()
        [2.0, 2.0, 2.0]
    """
    options = {"axis_size": axis_size, "spmd_axis_name": spmd_axis_name}
    step = Vmap(
        as_in_axes(in_axes, "vmap"),
        out_axes,
        axis_name,
        tuple((name, value) for name, value in options.items() if value is not None),
        typechecker,
    )
    return step if function is None else step(function)
