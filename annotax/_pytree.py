"""`pytree`: frozen dataclasses that JAX takes apart by itself, with what is static read from the type hints."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast, overload

import jax
import numpy as np
from typing_extensions import dataclass_transform

from annotax._checks import why_not_constant
from annotax._errors import MarkerError, StaticValueError, message
from annotax._fields import Field, fields_of, where
from annotax._markers import Static
from annotax._normal import make_flatten
from annotax._tracebacks import shortens
from annotax._tree import describe

C = TypeVar("C", bound=type)

_STATIC: Any = Static
_CHECK = "__annotax_static__"
"""The attribute of a class that keeps the fields to look at whenever an object is made."""

_USER = "__annotax_post_init__"
"""The attribute of our `__post_init__` that keeps the user's own, or `None`."""


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def pytree(cls: C, /) -> C: ...


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def pytree(
    *,
    init: bool = ...,
    repr: bool = ...,
    eq: bool = ...,
    order: bool = ...,
    unsafe_hash: bool = ...,
    match_args: bool = ...,
    kw_only: bool = ...,
    slots: bool = ...,
    weakref_slot: bool = ...,
) -> Callable[[C], C]: ...


@shortens
def pytree(cls: Any = None, /, **options: bool) -> Any:
    """Make a class a frozen dataclass and a pytree; fields marked `Static` are part of its structure.

    All other fields are what JAX traces: arrays, numbers, containers, other pytrees. Markers on them are read by the
    transforms: `NoDiff` leaves a field out of gradients, `Axis` says how a batch holds it, `PartitionSpec` how it is
    laid out. Key paths have the names of the fields. `dataclasses.replace`, inheritance, generics and pickling work as
    for any dataclass.

    JAX makes the object anew whenever a transform returns it, with tracers or placeholders in the traced fields. It
    does so without `__init__` and `__post_init__`, which may check and convert what a caller gives. Only where a field
    has `init=False`, so that `__post_init__` has to make it again, are they called.

    Arguments:
        cls: The class; left out, `pytree(...)` is a decorator.
        options: Those of `dataclasses.dataclass`, but for `frozen`, which is always on.

    Returns:
        The class (with `slots=True` a new one), now a dataclass.

    Raises:
        MarkerError: For a marker on a field where it cannot be honoured.
        StaticValueError: Whenever an object is made with an array, a tracer or an unhashable value in a `Static` field.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from annotax import NoDiff, Static
        >>> @annotax.pytree
        ... class Layer:
        ...     weights: jax.Array
        ...     scale: NoDiff[jax.Array]
        ...     power: Static[int] = 1
        >>> @annotax.grad
        ... def loss(layer: Layer, x: NoDiff[jax.Array]) -> jax.Array:
        ...     return jnp.sum(layer.scale * (layer.weights * x) ** layer.power)
        >>> loss(Layer(jnp.ones(2), jnp.ones(2)), jnp.ones(2))
        Layer(weights=Array([1., 1.], dtype=float32), scale=None, power=1)
    """
    return shortens(functools.partial(_made, options=options)) if cls is None else _made(cls, options)


def _made(cls: Any, options: Mapping[str, bool]) -> Any:
    if "frozen" in options:
        raise TypeError("pytree() takes no frozen=: a pytree is always frozen; use dataclasses.replace to change it")
    if "__dataclass_fields__" in vars(cls):
        raise TypeError(f"pytree(): {cls.__qualname__} is a dataclass already; drop the other decorator")
    if any(_is_static(cls, field) for field in fields_of(cls).values()):
        _check_when_made(cls)
    made: Any = cast("Any", dataclasses.dataclass)(frozen=True, **options)(cls)
    if made is not cls:
        _follow(cls, made)
    fields = fields_of(made)
    listed: list[dataclasses.Field[Any]] = list(dataclasses.fields(made))
    static: dict[str, Field] = {}
    data: list[str] = []
    for field in listed:
        known = fields.get(field.name, Field(field.name, Any, ()))
        if _STATIC in known.markers or field.metadata.get("static"):
            static[field.name] = known
        elif field.init:
            data.append(field.name)
    setattr(made, _CHECK, tuple(static.values()))
    _register(made, data, [field.name for field in listed if field.init and field.name in static])
    return made


def _register(cls: Any, data: Sequence[str], static: Sequence[str]) -> None:
    """Tell JAX how to take an object apart.

    `register_dataclass` would do that without Python, but JAX 0.10 and later take the structures of two such classes
    for equal that have as many fields: JAX 0.10 may then run what was compiled for the other class.
    """
    flatten = make_flatten(where(cls), data, static)
    keys: tuple[Any, ...] = tuple(map(cast("Any", jax.tree_util).GetAttrKey, data))
    names = (*data, *static)

    def flatten_with_keys(made: Any) -> tuple[Any, Any]:
        values, constants = flatten(made)
        return tuple(zip(keys, values, strict=True)), constants

    def unflatten(constants: tuple[Any, ...], values: tuple[Any, ...]) -> Any:
        made = object.__new__(cls)
        for name, value in zip(names, (*values, *constants), strict=True):
            object.__setattr__(made, name, value)  # the class is frozen
        return made

    def call(constants: tuple[Any, ...], values: tuple[Any, ...]) -> Any:
        return cls(**dict(zip(names, (*values, *constants), strict=True)))

    is_whole = len(names) == len(dataclasses.fields(cls))
    if not is_whole:  # `__post_init__` has to make the others again
        _check_rebuilt(cls)
    cast("Any", jax.tree_util).register_pytree_with_keys(
        cls, flatten_with_keys, unflatten if is_whole else call, flatten
    )


def _is_static(cls: type, field: Field) -> bool:
    """Whether a field of a class that is no dataclass yet will be static.

    Raises:
        MarkerError: If its default is an array.
    """
    default = getattr(cls, field.name, None)
    inherited: Any = getattr(cls, "__dataclass_fields__", {}).get(field.name)
    known = cast("Any", default) if isinstance(default, dataclasses.Field) else inherited
    metadata: Mapping[Any, Any] = {} if known is None else known.metadata
    is_static = _STATIC in field.markers or bool(metadata.get("static"))
    if is_static:
        _check_default(cls, field, default.default if isinstance(default, dataclasses.Field) else default)
    return is_static


def _check_when_made(cls: type) -> None:
    """Have `__post_init__`, which the `__init__` of a dataclass calls last, look at the static fields."""
    inherited: Any = getattr(cls, "__post_init__", None)
    user: Any = getattr(inherited, _USER, inherited)

    def __post_init__(self: Any, *variables: Any) -> None:
        if user is not None:
            user(self, *variables)
        kind: type = cast("Any", type(self))
        for field in getattr(kind, _CHECK):
            _check_static(kind, field, getattr(self, field.name))

    setattr(__post_init__, _USER, user)
    if user is not None:
        __post_init__.__wrapped__ = user  # type: ignore[attr-defined]  # of a function
    __post_init__.__qualname__ = f"{cls.__qualname__}.__post_init__"
    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]  # of a class not seen


def _follow(cls: type, made: type) -> None:
    """Have `super()` in methods of a class mean the class that `slots=True` made in its place (CPython gh-90562)."""
    for member in vars(made).values():
        method: Any = inspect.unwrap(member) if callable(member) else None
        for name, cell in zip(
            getattr(getattr(method, "__code__", None), "co_freevars", ()),
            getattr(method, "__closure__", None) or (),
            strict=False,
        ):
            if name == "__class__" and cell.cell_contents is cls:
                cell.cell_contents = made


_SAFE = frozenset({bool, int, float, complex, str, bytes, type(None)})


def _check_static(cls: type, field: Field, value: Any) -> None:
    if type(value) in _SAFE:
        return
    problem, because, fix = why_not_constant(value)
    if problem is not None:
        raise StaticValueError(
            message(
                where(cls),
                f"static field {field.name} {problem}",
                got=describe(value),
                expected="a hashable compile-time constant",
                because=because,
                fix=fix,
            )
        )


def _check_default(cls: type, field: Field, default: Any) -> None:
    if isinstance(default, (jax.Array, np.ndarray)):
        raise MarkerError(
            message(
                where(cls),
                f"field {field.name} is Static, but its default is an array",
                got=describe(default),
                fix="drop Static to trace it, or make the default a number or a tuple",
            )
        )


def _check_rebuilt(cls: Any) -> None:
    """See that `__init__` can make the object anew from its fields alone."""
    names = {field.name for field in dataclasses.fields(cls)}
    parameters = inspect.signature(cls.__init__).parameters.values() if "__init__" in vars(cls) else ()
    for parameter in list(parameters)[1:]:
        if parameter.name not in names and parameter.default is inspect.Parameter.empty:
            raise MarkerError(
                message(
                    where(cls),
                    f"{parameter.name} is an InitVar without a default",
                    because="a field has init=False, so JAX makes the object anew by __init__, from the others alone",
                    fix="give it a default, or pass it to a classmethod that makes the object",
                )
            )
