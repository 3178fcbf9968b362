"""Every exception of annotax, and how a message is laid out.

The first line says where and what; the rows below say what was got, what was expected, and what to write instead.
This module stands first in the flow and imports nothing of annotax.
"""

from __future__ import annotations

from collections.abc import Mapping


class AnnotaxError(Exception):
    """Base of every error that annotax raises."""


class MarkerError(AnnotaxError):
    """A marker, an override or a signature that cannot be honoured; raised when the function is decorated.

    Where a hint cannot be read yet at decoration (a forward reference), the error comes at the first call.
    """


class CheckError(AnnotaxError, TypeError):
    """An argument or a result that does not fit its hint; raised while the function is traced."""


class StaticValueError(AnnotaxError, TypeError):
    """A value that cannot be a compile-time constant: unhashable, an array, or a tracer.

    Also raised for an object that can be neither traced nor, safely, held constant.
    """


class AxisError(AnnotaxError, ValueError):
    """A value that a batching transform cannot map along the axis that it was told; raised at the call."""


class ShardingError(AnnotaxError, ValueError):
    """A value that cannot be laid out as a `PartitionSpec` in the hints says; raised while tracing."""


class DifferentiationError(AnnotaxError, TypeError):
    """Values in which there is nothing to differentiate; raised at the call."""


class TraceError(AnnotaxError, RuntimeError):
    """One trace more than `max_traces` allows; raised while tracing."""


def has_said_all(error: Exception) -> bool:
    """Whether there is no use in looking for a reason of an error, or in trying again another way."""
    return isinstance(error, AnnotaxError) and not isinstance(error, StaticValueError)


# Tracebacks should name the classes where users import them from.
for _error in AnnotaxError.__subclasses__():
    _error.__module__ = "annotax"
AnnotaxError.__module__ = "annotax"


def message(where: str, problem: str, facts: Mapping[str, str] | None = None, /, **rows: str | None) -> str:
    """Lay out an error message: one line of summary, then one aligned row for each fact that is given.

    Arguments:
        where: The function, as `module.qualname`.
        problem: What is wrong, naming the parameter, as a sentence without its full stop.
        facts: Rows whose labels are names of the user's.
        rows: Facts by label (`got`, `expected`, `because`, `fix`, ...); those that are `None` are left out.
    """
    lines = [f"{where}(): {problem}."]
    labelled = [*(facts or {}).items(), *rows.items()]
    width = max((len(label) for label, _ in labelled), default=0)
    for label, fact in labelled:
        if fact is not None:
            lines.append(f"  {label:<{width}}  {fact}")
    return "\n".join(lines)
