"""`vmap`: every traced parameter is mapped along axis 0 unless a marker or an override says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import jax

from annotax._batching import Batching, as_in_axes, as_out_axes
from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Selector
from annotax._normal import named_as
from annotax._transform import DEFAULT, makes


@dataclass(frozen=True)
class Vmap(Batching):
    """The transform that `vmap` makes; see there."""

    name: ClassVar[str] = "vmap"

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Map the core."""
        axes = self.axes(contract)
        given = dict(self.given(contract))
        direct = jax.vmap(core, **given)
        others = {name: value for name, value in given.items() if name != "in_axes"}
        meets_mixed_values = False

        @bounded_cache
        def of_leaves(treedef: Any, in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
            def flat(*leaves: Any) -> Any:
                return core(*treedef.unflatten(leaves))

            return jax.vmap(named_as(flat, core), in_axes=in_axes, **others)

        def call(*slots: Any) -> Any:
            nonlocal meets_mixed_values
            if not meets_mixed_values:
                try:
                    return direct(*slots)
                except Exception:
                    # JAX looks at all axes before it runs the function, so a value without one is the reason.
                    if axes.are_by_slot(slots) and not axes.problem(slots):
                        raise
            axes.check(slots)
            meets_mixed_values = True
            leaves, treedef, in_axes = axes.of_leaves(slots)
            return of_leaves(treedef, in_axes)(*leaves)

        return call, contract
