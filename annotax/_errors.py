"""Every exception of annotax, and how a message is laid out.

The first line says where and what; the rows below say what was got, what was expected, and what to write instead.
This module stands first in the flow and imports nothing of annotax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class AnnotaxError(Exception):
    """Base of every error that annotax raises.

    Examples:
        >>> import annotax
        >>> @annotax.jit
        ... def f(x: int): ...
        >>> try:
        ...     f("two")
        ... except annotax.AnnotaxError as error:
        ...     print(type(error).__name__)
        CheckError
    """


class MarkerError(AnnotaxError):
    """A marker, an override or a signature that cannot be honoured; raised when the function is decorated.

    Where a hint cannot be read yet at decoration (a forward reference), the error comes at the first call.

    Examples:
        >>> import annotax
        >>> from typing import Annotated
        >>> @annotax.jit
        ... def f(n: Annotated[int, annotax.Static, annotax.Donate]): ...
        Traceback (most recent call last):
        ...
        annotax.MarkerError: ...f(): parameter n is both Static and Donate...
    """


class CheckError(AnnotaxError, TypeError):
    """An argument or a result that does not fit its hint; raised while the function is traced.

    Examples:
        >>> import annotax, jax
        >>> @annotax.jit
        ... def f(x: jax.Array): ...
        >>> f("two")
        Traceback (most recent call last):
        ...
        annotax.CheckError: ...f(): argument x does not fit its hint...
    """


class StaticValueError(AnnotaxError, TypeError):
    """A value that cannot be a compile-time constant: unhashable, an array, or a tracer.

    Also raised for an object that can be neither traced nor, safely, held constant.

    Examples:
        >>> import annotax
        >>> @annotax.jit
        ... def f(shape: annotax.Static): ...
        >>> f([2, 3])
        Traceback (most recent call last):
        ...
        annotax.StaticValueError: ...f(): static argument shape is not hashable...
    """


class AxisError(AnnotaxError, ValueError):
    """A value that a batching transform cannot map along the axis that it was told; raised at the call.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.vmap
        ... def f(x: jax.Array, y: jax.Array): ...
        >>> f(jnp.ones(2), jnp.ones(3))
        Traceback (most recent call last):
        ...
        annotax.AxisError: ...
    """


class ShardingError(AnnotaxError, ValueError):
    """A value that cannot be laid out as a `PartitionSpec` in the hints says; raised while tracing.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from typing import Annotated
        >>> @annotax.jit(mesh=jax.make_mesh((1,), ("data",)))
        ... def f(x: Annotated[jax.Array, annotax.PartitionSpec("data", None)]): ...
        >>> f(jnp.ones(2))
        Traceback (most recent call last):
        ...
        annotax.ShardingError: ...
    """


class DifferentiationError(AnnotaxError, TypeError):
    """Values in which there is nothing to differentiate; raised at the call.

    Examples:
        >>> import annotax, jax.numpy as jnp
        >>> annotax.grad(lambda x: x * 2.0)(jnp.arange(3)[0])
        Traceback (most recent call last):
        ...
        annotax.DifferentiationError: ...
    """


class TraceError(AnnotaxError, RuntimeError):
    """One trace more than `max_traces` allows; raised while tracing.

    Examples:
        >>> import annotax, jax.numpy as jnp
        >>> once = annotax.jit(lambda x: x + 1, max_traces=1)
        >>> _ = once(jnp.ones(2))
        >>> once(jnp.ones(3))
        Traceback (most recent call last):
        ...
        annotax.TraceError: ...
    """


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


MOST = 6
"""How many names a message tells one by one: a model has hundreds of leaves."""


def listed(names: Sequence[str]) -> str:
    """Names for a message, separated by commas; of many only the first ones, and how many more there are."""
    shown = names if len(names) <= MOST else [*names[: MOST - 1], f"and {len(names) - MOST + 1} more"]
    return ", ".join(shown)
