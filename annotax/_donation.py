"""Which result takes the buffer of which donated argument, found as XLA pairs them: by shape and dtype, in order."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, cast

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
    caught: list[str] = []
    # Python keeps what it does with warnings for all threads at once, so they have to take turns.
    with _LOCK, warnings.catch_warnings():
        show: Callable[..., None] = warnings.showwarning

        def show_others(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
            if str(message).startswith(_OF_JAX):
                caught.append(str(message))
            else:
                show(message, category, filename, lineno, *rest)

        warnings.showwarning = cast("Any", show_others)
        if not _is_error():  # or else it has to be raised where JAX does, before the arguments are gone
            warnings.filterwarnings("always", message=_OF_JAX)
        try:
            yield
        except UserWarning as error:
            if not str(error).startswith(_OF_JAX):
                raise
            raise UserWarning(_unused(contract, found(), str(error))) from None
    for text in caught:
        # It begins as JAX's own, so that what silences that one silences this one.
        warnings.warn(_unused(contract, found(), text), stacklevel=stack_level())


def _is_error() -> bool:
    """Whether the first filter that fits JAX's warning makes an error of it."""
    actions = (
        action
        for action, pattern, category, module, _ in warnings.filters
        if issubclass(UserWarning, category) and module is None
        if pattern is None or pattern.match(_OF_JAX)
    )
    return next(actions, "default") == "error"


def _unused(contract: Contract, found: Sequence[Reuse], text: str) -> str:
    """What is said of donated arrays that no result can take, from JAX's text, which tells only their shapes."""
    arrays = set(re.findall(r"\w+\[[\d,]*\]", text))
    alike = [reuse for reuse in found if reuse.array in arrays]
    unused = [reuse for reuse in alike if reuse.result is None] or alike
    names = listed([f"{reuse.path} ({reuse.array})" for reuse in unused])
    problem = message(
        contract.where,
        f"no result can take the buffer of {names or listed(sorted(arrays))}",
        because="a buffer is reused for a result of the same shape and dtype, or of the same size; one for each",
        fix="return an array of that shape, or drop Donate: the argument is deleted for nothing",
    )
    return f"{_OF_JAX}: {problem}"
