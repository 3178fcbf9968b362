"""Type hints: evaluating them where they are strings, and taking them apart into a type and its markers.

`Names` finds what the names in a string hint mean; `evaluate` turns an annotation into a hint, with a `HOLE` for each
name that cannot be found; `take_apart` splits a hint into the bare type and the markers on it; `why_static` and
`why_not_differentiable` say what a type alone gives away. The contract is read with these.
"""

from __future__ import annotations

import builtins
import collections.abc
import enum
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ForwardRef, Literal, NewType, TypeVar, Union, cast, get_args, get_origin

import jax
import numpy as np
import typing_extensions
from typing_extensions import TypeAliasType

from annotax._markers import Marker, is_marker


class _Empty:
    """Stands where no hint is written."""

    def __repr__(self) -> str:
        return "no hint"

    def __reduce__(self) -> str:
        return "EMPTY"  # by name, so that it stays the same object


EMPTY: Any = _Empty()


class _Hole:
    """Stands for a name that cannot be found, wherever a type may stand: `list[HOLE]`, `HOLE | None`, `HOLE.Inner`."""

    def __getitem__(self, item: Any) -> _Hole:
        return self

    def __getattr__(self, name: str) -> _Hole:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __or__(self, other: Any) -> Any:
        return Union[self, other]

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]

    def __call__(self, *arguments: Any, **keywords: Any) -> _Hole:
        return self  # `typing` takes only callables for types

    def __repr__(self) -> str:
        return "?"


HOLE: Any = _Hole()


class Unreadable(Exception):
    """A hint that cannot be evaluated (yet); the text says why."""


# --- names -----------------------------------------------------------------------------------------------------------


class Names(Mapping[str, Any]):
    """What a name in a string hint of one function means.

    Looked up in its type parameters, its closure, the frames that lexically enclose it (if they are running), its
    class, its module and the builtins. Asking a frame for `f_locals` keeps its objects alive until it returns (Python
    3.11), so only a frame is asked whose code has the name.
    """

    def __init__(self, function: Any, *, holes: bool) -> None:
        self.function = function
        self.holes = holes
        self.missing: list[str] = []
        self.globals: dict[str, Any] = getattr(function, "__globals__", None) or vars(
            sys.modules.get(getattr(function, "__module__", None) or "", builtins)
        )

    def __getitem__(self, name: str) -> Any:
        for parameter in getattr(self.function, "__type_params__", ()):
            if parameter.__name__ == name:
                return parameter
        code = getattr(self.function, "__code__", None)
        if code is not None and name in code.co_freevars:
            try:
                return self.function.__closure__[code.co_freevars.index(name)].cell_contents
            except ValueError:  # the cell is filled later
                pass
        for frame in self._enclosing_frames():
            code = frame.f_code
            has_name = name in code.co_varnames or name in code.co_cellvars or name in code.co_names
            if has_name and name in frame.f_locals:
                return frame.f_locals[name]
        for scope in (self._class(), self.globals, vars(builtins)):
            if name in scope:
                return scope[name]
        self.missing.append(name)
        if self.holes:
            return HOLE
        raise KeyError(name)

    def _class(self) -> Mapping[str, Any]:
        """The namespace of the class that holds the function, if it can be reached by its qualified name."""
        *outer, _ = getattr(self.function, "__qualname__", "").split(".")
        if not outer or "<locals>" in outer:
            return {}
        found: Any = self.globals.get(outer[0])
        for part in outer[1:]:
            found = getattr(found, part, None)
        return vars(found) if isinstance(found, type) else {}

    def _enclosing_frames(self) -> Iterator[types.FrameType]:
        """The running frames that lexically enclose the function, the innermost first."""
        *outer, _ = getattr(self.function, "__qualname__", "").split(".")
        parts = [part for part in outer if part != "<locals>"]
        frame = inspect.currentframe()
        while parts and frame is not None:
            name = frame.f_code.co_name
            if frame.f_globals is self.globals and name in parts:
                # What stands inside of it in the source, a class whose body is done, runs no longer.
                while parts.pop() != name:
                    pass
                yield frame
            frame = frame.f_back

    def __iter__(self) -> Iterator[str]:  # pragma: no cover - a mapping has to have it
        return iter(())

    def __len__(self) -> int:  # pragma: no cover - a mapping has to have it
        return 0


@functools.lru_cache(maxsize=1024)
def _compile(text: str) -> types.CodeType:
    # A hint may start with blanks or span lines, as `inspect` and `typing` allow.
    return compile(f"({text.strip()}\n)", "<type hint>", "eval")


def evaluate(annotation: Any, names: Names) -> Any:
    """The hint that an annotation stands for, its strings and forward references evaluated at any depth.

    Raises:
        Unreadable: If evaluating raises, or if the whole hint comes out as a hole, which may hide a marker.
    """
    try:
        hint = _evaluate(annotation, names)
        is_hole = _unaliased(hint) is HOLE
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    if is_hole:
        raise Unreadable(f"the name {names.missing[-1]!r} cannot be found" if names.missing else "it is unknown")
    return hint


def _evaluate(annotation: Any, names: Names) -> Any:
    if is_plain_class(annotation):
        return annotation
    bound = getattr(annotation, "__bound__", None)
    if isinstance(bound, ForwardRef):  # of a type variable
        bound = _evaluate(bound, names)
        return annotation if has_hole(bound) else bound
    if isinstance(annotation, str):
        return _evaluate(eval(_compile(annotation), names.globals, names), names)
    if isinstance(annotation, (ForwardRef, typing_extensions.ForwardRef)):
        return _evaluate(annotation.__forward_arg__, names)
    origin: Any = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    if origin is Annotated:
        inner = _evaluate(annotation.__origin__, names)
        return annotation if inner is annotation.__origin__ else Annotated[(inner, *annotation.__metadata__)]
    return _rebuilt(annotation, lambda argument: _evaluate(argument, names))


def _rebuilt(hint: Any, change: Callable[[Any], Any]) -> Any:
    """The subscripted hint with its arguments changed, at any depth of argument lists; itself if none did."""
    arguments = get_args(hint)

    def changed(argument: Any) -> Any:
        if isinstance(argument, list):  # the parameters of a Callable
            return [changed(inner) for inner in cast("Any", argument)]
        return argument if argument is Ellipsis else change(argument)

    new = tuple(changed(argument) for argument in arguments)
    if all(a is b or (isinstance(a, list) and a == b) for a, b in zip(new, arguments, strict=True)):
        return hint
    origin = get_origin(hint)
    if origin is Union or origin is types.UnionType:
        return Union[new]
    try:
        if type(hint) is types.GenericAlias:
            return types.GenericAlias(cast(type, origin), new)
        is_callable = any(isinstance(argument, list) for argument in new)
        return hint.copy_with(new) if hasattr(hint, "copy_with") and not is_callable else origin[new]
    except TypeError:
        return hint


# --- aliases and markers ---------------------------------------------------------------------------------------------


def _unaliased(hint: Any) -> Any:
    """The hint behind `type` aliases (PEP 695), generic ones too."""
    while True:
        if _is_alias(hint):
            hint = hint.__value__
        elif _is_alias(get_origin(hint)) and not isinstance(hint, type):
            alias: Any = get_origin(hint)
            given = dict(zip(alias.__type_params__, get_args(hint), strict=False))
            hint = _substitute(alias.__value__, given)
        else:
            return hint


def _is_alias(hint: Any) -> bool:
    return isinstance(hint, TypeAliasType) or type(hint).__name__ == "TypeAliasType"


def _substitute(hint: Any, given: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    if get_origin(hint) is Annotated:
        return Annotated[(_substitute(hint.__origin__, given), *hint.__metadata__)]
    if get_origin(hint) is None or get_origin(hint) is Literal:
        return hint
    return _rebuilt(hint, lambda argument: _substitute(argument, given))


def take_apart(hint: Any) -> tuple[Any, tuple[Marker, ...]]:
    """The hint without the markers at its top, and those markers, in the order of reading from left to right.

    A PEP 695 alias is opened. Foreign metadata stays where it was. A marker that stands alone, `x: Static`, is read as
    a marker on `Any`.
    """
    markers: tuple[Marker, ...] = ()
    foreign: tuple[Any, ...] = ()
    if is_plain_class(hint):  # most are, and this is asked often while decorating
        return hint, markers
    while True:
        if isinstance(hint, Marker):
            return _with_metadata(Any, foreign), (hint, *markers)
        if get_origin(hint) is Annotated:
            metadata = hint.__metadata__
            markers = (*(m for m in metadata if is_marker(m)), *markers)
            foreign = (*(m for m in metadata if not is_marker(m)), *foreign)
            hint = hint.__origin__
            continue
        opened = _unaliased(hint)
        if opened is hint:
            return _with_metadata(hint, foreign), markers
        hint = opened


def has_hole(hint: Any) -> bool:
    """Whether a name somewhere in the hint could not be found."""
    if hint is HOLE:
        return True
    if is_plain_class(hint) or get_origin(hint) in (None, Literal):
        return False
    return any(map(has_hole, (part for part in get_args(hint) if not isinstance(part, list))))


def is_plain_class(hint: Any) -> bool:
    """Whether the hint is a class and nothing more, so that there is nothing in it to look for."""
    return isinstance(hint, type) and not isinstance(hint, types.GenericAlias)


def _with_metadata(hint: Any, metadata: tuple[Any, ...]) -> Any:
    return Annotated[(hint, *metadata)] if metadata else hint


def nested_marker(hint: Any) -> Marker | None:
    """A marker somewhere inside the hint, below its top, or `None`.

    The parameters of a `Callable` are those of another function: their markers are not this one's, and harmless.
    """
    if is_plain_class(hint):
        return None
    if get_origin(hint) is Annotated:
        return nested_marker(hint.__origin__)
    if get_origin(hint) in (None, Literal) or "Callable" in repr(get_origin(hint)):
        return None
    for argument in get_args(hint):
        if isinstance(argument, list):
            continue
        inner, markers = take_apart(argument)
        found = markers[0] if markers else nested_marker(inner)
        if found is not None:
            return found
    return None


def without_metadata(hint: Any) -> Any:
    """The type itself: aliases opened, `Annotated` and `NewType` taken off, a type variable read as its bound."""
    while True:
        hint = take_apart(hint)[0]
        if get_origin(hint) is Annotated:
            hint = hint.__origin__
        elif isinstance(hint, NewType):
            hint = hint.__supertype__
        elif isinstance(hint, TypeVar):
            if hint.__constraints__:
                return Union[hint.__constraints__]
            if hint.__bound__ is None:
                return Any
            hint = hint.__bound__
        else:
            return hint


def show(hint: Any) -> str:
    """The hint as a person would write it: without the modules of the classes in it."""
    if is_jaxtyping_class(hint):
        return str(_QUALIFIER.sub("", hint.__name__))
    if is_plain_class(hint):
        # Of a local class the last part; the qualified name of JAX's own Array is `jaxlib._jax.Array`.
        return str(hint.__qualname__).rpartition("<locals>.")[2].rpartition("._jax.")[2]
    return str(_QUALIFIER.sub("", repr(hint)))


_QUALIFIER = re.compile(r"(?<![\w'\".])(?:\w+\.|<locals>\.)+(?=[^\W\d])")
"""Dotted names in the text of a hint, up to the last one: `jax.`, `typing.`, `tests.test_jit.test_f.<locals>.`."""


def is_jaxtyping_class(hint: Any) -> bool:
    """Whether the hint is one of jaxtyping's (known without importing jaxtyping)."""
    return type(hint).__module__.startswith("jaxtyping")


def is_jaxtyping(hint: Any) -> bool:
    """Whether any part of the hint is one of jaxtyping's."""
    hint = without_metadata(hint)
    if is_jaxtyping_class(hint):
        return True
    arguments = get_args(hint)
    return any(is_jaxtyping(argument) for argument in arguments if not isinstance(argument, list))


# --- what a type alone gives away ------------------------------------------------------------------------------------


def why_static(hint: Any) -> str | None:
    """Why no value of this type can ever be traced, or `None` if one might."""
    return f"{show(hint)} can never be traced" if _untraceable(hint) else None


def _untraceable(hint: Any) -> bool:
    hint = without_metadata(hint)
    if hint is EMPTY or hint is Any:
        return False
    if _is_dtype_like(hint):
        return True
    origin = get_origin(hint)
    if origin is Literal or hint is typing.LiteralString or hint is typing_extensions.LiteralString:
        return True
    if origin is Union or origin is types.UnionType:
        parts = [part for part in get_args(hint) if part is not type(None)]
        return bool(parts) and all(_untraceable(part) for part in parts)
    if origin is tuple:  # hashable as a whole, unlike a list or a dict of such values
        parts = [part for part in get_args(hint) if part is not Ellipsis]
        return bool(parts) and all(_untraceable(part) for part in parts)
    kind = hint if origin is None else origin
    if kind is typing.Callable or getattr(kind, "__name__", None) == "Callable":
        return True
    return isinstance(kind, type) and issubclass(
        kind, (str, bytes, type, enum.Enum, np.dtype, types.FunctionType, types.MethodType, types.BuiltinFunctionType)
    )


def may_be_unstrict(hint: Any) -> bool:
    """Whether values of this type may be equal though a trace tells them apart: `(1,)` and `(True,)`, `0.0` and `-0.0`.

    At the top level JAX compares types too, so integers, booleans, strings, enums and functions are safe, and other
    classes compare as they define it.
    """
    hint = without_metadata(hint)
    if hint is EMPTY or hint is Any:
        return True
    origin = get_origin(hint)
    if origin is Literal or hint is None or hint is type(None):
        return False
    if origin is Union or origin is types.UnionType:
        return any(may_be_unstrict(part) for part in get_args(hint))
    kind = hint if origin is None else origin
    if not isinstance(kind, type):
        return kind is not typing.Callable
    return kind is object or kind.__module__ == "numbers" or kind in _ABSTRACT or issubclass(kind, _LOOSE)


_LOOSE = (float, complex, tuple, frozenset, np.inexact)
_ABSTRACT = (collections.abc.Hashable, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


def why_not_differentiable(hint: Any) -> str | None:
    """Why no value of this type can ever be differentiated, or `None` if one might."""
    return f"{show(hint)} can never be differentiated" if _never_differentiable(hint) else None


def _never_differentiable(hint: Any) -> bool:
    hint = without_metadata(hint)
    if hint is EMPTY or hint is Any:
        return False
    if _untraceable(hint):
        return True
    dtypes = getattr(hint, "dtypes", None)
    if isinstance(dtypes, (list, tuple)) and is_jaxtyping(hint):
        names = [str(name) for name in cast("list[object]", dtypes)]
        return bool(names) and all(name.startswith(("int", "uint", "bool", "prng_key")) for name in names)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType, list, tuple):
        parts = [part for part in get_args(hint) if part is not Ellipsis and part is not type(None)]
        return bool(parts) and all(_never_differentiable(part) for part in parts)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _never_differentiable(get_args(hint)[-1])
    return isinstance(hint, type) and issubclass(hint, (int, np.integer, np.bool_))


def may_hold_fields(hint: Any) -> bool:
    """Whether values of this type may be, or hold, objects of a class with fields; arrays and numbers do not."""
    hint = without_metadata(hint)
    if hint is None or hint is type(None) or hint is jax.Array:
        return False
    if is_jaxtyping_class(hint):
        return not hasattr(hint, "dtypes")  # a PyTree
    origin = get_origin(hint)
    if isinstance(hint, type) and origin is None:
        return not issubclass(hint, (int, float, complex, str, bytes, np.ndarray, np.generic, enum.Enum))
    is_container = origin in (Union, types.UnionType, list, tuple, dict) or origin in _HOLDERS
    if not is_container:
        return origin is not np.ndarray
    return any(may_hold_fields(part) for part in get_args(hint) if part is not Ellipsis)


_HOLDERS = (collections.abc.Sequence, collections.abc.Mapping)


def _is_dtype_like(hint: Any) -> bool:
    """Whether the hint is what JAX or numpy call anything that names a dtype: a union that also has protocols in it."""
    named = (_unaliased(jax.typing.DTypeLike), _unaliased(np.typing.DTypeLike))
    return any(type(hint) is type(union) and hint == union for union in named)
