"""Notes on JAX's own exceptions: which parameter they speak of, where annotax knows and JAX does not say.

The exception itself passes through untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from annotax._contract import Contract
from annotax._tree import is_tracer, leaves_with_paths


def note_deleted(error: Exception, contract: Contract, slots: Sequence[Any]) -> None:
    """Name the arguments whose arrays are gone, most likely donated to an earlier call."""
    gone = [
        path
        for parameter, slot in zip(contract, slots, strict=True)
        for path, leaf in leaves_with_paths(parameter.name, slot)
        if isinstance(leaf, jax.Array) and not is_tracer(leaf) and leaf.is_deleted()
    ]
    if gone:
        error.add_note(
            f"{contract.where}(): deleted before this call, by a donation it seems: {', '.join(gone)}.\n"
            "  fix  Use what that call returned, or drop Donate there."
        )
