"""Which result takes the buffer of which donated argument, found as XLA pairs them: by shape and dtype, in order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotax._contract import Contract
from annotax._errors import message
from annotax._tracebacks import stack_level
from annotax._tree import describe, is_traceable, leaves_with_paths


@dataclass(frozen=True)
class Reuse:
    """One donated array.

    Attributes:
        path: Where it is in the arguments.
        array: Its dtype and shape.
        result: Where the result is that takes its buffer, or `None` if none can.
    """

    path: str
    array: str
    result: str | None


def reuses(contract: Contract, donated: Sequence[int], slots: Sequence[Any], result: Any) -> tuple[Reuse, ...]:
    """What becomes of each donated array of a call.

    Arguments:
        contract: Of the function.
        donated: The positions of the donated parameters.
        slots: The values of the call, concrete, traced or abstract.
        result: What the function returned, likewise.
    """
    free: dict[str, list[str]] = {}
    for path, leaf in leaves_with_paths("result", result):
        if is_traceable(leaf):
            free.setdefault(_kind(leaf), []).append(path)
    pairs = [pair for i in donated for pair in leaves_with_paths(contract.names[i], slots[i]) if is_traceable(pair[1])]
    return tuple(
        Reuse(path, describe(leaf).removeprefix("traced "), free[_kind(leaf)].pop(0) if free.get(_kind(leaf)) else None)
        for path, leaf in pairs
    )


def _kind(leaf: Any) -> str:
    return f"{np.shape(leaf)} {getattr(leaf, 'dtype', None) or type(leaf).__name__}"


def warn_of_unused(contract: Contract, found: Sequence[Reuse]) -> None:
    """Warn of donated arrays that no result can take; JAX warns too, but does not know their names."""
    unused = [reuse for reuse in found if reuse.result is None]
    if unused:
        names = ", ".join(f"{reuse.path} ({reuse.array})" for reuse in unused)
        warnings.warn(
            # It begins as JAX's own, so that what silences that one silences this one.
            "Some donated buffers were not usable: "
            + message(
                contract.where,
                f"no result can take the buffer of {names}",
                because="a buffer is reused for a result of the same shape and dtype, one for each",
                fix="return an array of that shape, or drop Donate: the argument is deleted for nothing",
            ),
            stacklevel=stack_level(),
        )
