"""Tracebacks that show the user's frames: those of annotax and of JAX are taken out of what an error drags along."""

from __future__ import annotations

import inspect
import os
import types
from typing import Any, cast

import jax
import jaxlib

_HIDDEN: tuple[str, ...] = (
    "<annotax ",  # generated
    *(os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, jax.__file__, jaxlib.__file__ or "")),
)


def shorten(error: BaseException) -> None:
    """Take the frames of annotax and of JAX out of the traceback of an error that leaves a face.

    `JAX_TRACEBACK_FILTERING=off` (`jax.config.jax_traceback_filtering`) keeps them, as it does for JAX.
    """
    config: Any = jax.config
    if config.jax_traceback_filtering == "off":
        return
    entries: list[types.TracebackType] = []
    entry = error.__traceback__
    while entry is not None:
        if not entry.tb_frame.f_code.co_filename.startswith(_HIDDEN):
            entries.append(entry)
        entry = entry.tb_next
    shortened: types.TracebackType | None = None
    for entry in reversed(entries):
        shortened = types.TracebackType(shortened, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    error.__traceback__ = shortened


def stack_level() -> int:
    """The `stacklevel` with which a function that warns points at the user's call."""
    frame, level = cast("types.FrameType", inspect.currentframe()).f_back, 1
    while frame is not None and frame.f_code.co_filename.startswith(_HIDDEN):
        frame, level = frame.f_back, level + 1
    return level
