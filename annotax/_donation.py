"""Which result takes the buffer of which donated argument, found as XLA pairs them: by shape and dtype, in order."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from annotax._contract import Contract
from annotax._errors import listed, message
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
    free = [(path, leaf) for path, leaf in leaves_with_paths("result", result) if _has_buffer(leaf)]
    pairs = [pair for i in donated for pair in leaves_with_paths(contract.names[i], slots[i]) if _has_buffer(pair[1])]
    taken: dict[str, str] = {}
    # First what is alike; then, since some version of JAX after 0.7, whatever is of that size.
    for kind in (_aval, _bytes) if jax.__version_info__ >= (0, 8) else (_aval,):
        for path, leaf in pairs:
            fit = next((k for k, (_, other) in enumerate(free) if kind(other) == kind(leaf)), None)
            if path not in taken and fit is not None:
                taken[path] = free.pop(fit)[0]
    return tuple(Reuse(path, describe(leaf).removeprefix("traced "), taken.get(path)) for path, leaf in pairs)


def _has_buffer(leaf: Any) -> bool:
    return is_traceable(leaf) and hasattr(leaf, "dtype") and 0 not in np.shape(leaf)


def _aval(leaf: Any) -> str:
    return f"{np.shape(leaf)} {leaf.dtype}"


def _bytes(leaf: Any) -> int:
    return int(math.prod(np.shape(leaf)) * getattr(leaf.dtype, "itemsize", 4))


_LOCK = threading.RLock()
_OF_JAX = "Some donated buffers were not usable"


@contextlib.contextmanager
def naming_donations(contract: Contract, found: Callable[[], Sequence[Reuse]]) -> Generator[None]:
    """A block in which JAX's warning of donated buffers that it cannot use gets the names of the arguments.

    Arguments:
        contract: Of the function that is compiled in the block.
        found: What becomes of its donated arrays, asked once it has been traced.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        # Python keeps what it does with warnings for all threads at once, so they have to take turns.
        with _LOCK, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for warning in caught:
            text = str(warning.message)
            if text.startswith(_OF_JAX):
                _warn_of_unused(contract, found(), set(re.findall(r"\w+\[[\d,]*\]", text)))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _warn_of_unused(contract: Contract, found: Sequence[Reuse], arrays: set[str]) -> None:
    """Warn of donated arrays that no result can take, given which ones JAX could not use."""
    alike = [reuse for reuse in found if reuse.array in arrays]
    unused = [reuse for reuse in alike if reuse.result is None] or alike
    names = listed([f"{reuse.path} ({reuse.array})" for reuse in unused])
    warnings.warn(
        # It begins as JAX's own, so that what silences that one silences this one.
        f"{_OF_JAX}: "
        + message(
            contract.where,
            f"no result can take the buffer of {names or listed(sorted(arrays))}",
            because="a buffer is reused for a result of the same shape and dtype, or of the same size; one for each",
            fix="return an array of that shape, or drop Donate: the argument is deleted for nothing",
        ),
        stacklevel=stack_level(),
    )
