"""Tracebacks that show the user's frames: those of annotax and of JAX are taken out of what an error drags along."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import types
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jaxlib

from annotax._errors import AnnotaxError

_HIDDEN: tuple[str, ...] = (
    "<annotax ",  # generated
    *(os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, jax.__file__, jaxlib.__file__ or "")),
)

_BETWEEN = (functools.__file__, contextlib.__file__)
"""Python's own, which stand between ours."""

F = TypeVar("F", bound=Callable[..., Any])


def shortens(function: F) -> F:
    """Have the errors that leave a public function show the user's frames alone."""

    @functools.wraps(function)
    def shortening(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    return cast(F, shortening)


def shorten(error: BaseException) -> None:
    """Take the frames of annotax and of JAX out of the traceback of an error that leaves a face.

    `JAX_TRACEBACK_FILTERING=off` (`jax.config.jax_traceback_filtering`) keeps them, as it does for JAX.
    """
    config: Any = jax.config
    if config.jax_traceback_filtering == "off":
        return
    entries: list[types.TracebackType] = []
    entry, is_hidden = error.__traceback__, False
    while entry is not None:
        file = entry.tb_frame.f_code.co_filename
        is_hidden = file.startswith(_HIDDEN) or (is_hidden and file in _BETWEEN)
        if not is_hidden:
            entries.append(entry)
        entry = entry.tb_next
    shortened: types.TracebackType | None = None
    for entry in reversed(entries):
        shortened = types.TracebackType(shortened, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    error.__traceback__ = shortened
    cause = error.__cause__
    if cause is not None and type(cause).__name__ == "JaxStackTraceBeforeTransformation":
        if isinstance(error, AnnotaxError):
            error.__cause__ = None  # it repeats the message, with the frames of JAX
        else:
            shorten(cause)


def stack_level() -> int:
    """The `stacklevel` with which a function that warns points at the user's call."""
    frame, level = cast("types.FrameType", inspect.currentframe()).f_back, 1
    while frame is not None and frame.f_code.co_filename.startswith((*_HIDDEN, *_BETWEEN)):
        frame, level = frame.f_back, level + 1
    return level
