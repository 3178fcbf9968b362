"""What the user handed in, taken apart: what to call, with which signature, and whether that signature can be trusted.

A `Callee` is the first record of the flow. It knows functions, methods, partials, callable objects, classes, functions
under `functools.wraps`, and functions that JAX itself has already transformed.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import os
import sys
import types
import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, cast

import jax

from annotax._errors import AnnotaxError, MarkerError, message

_JAX_ROOT = os.path.dirname(jax.__file__) + os.sep
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass(frozen=True, eq=False)
class Callee:
    """A user's callable.

    Attributes:
        given: What the user handed in; for a bound method it holds the object.
        function: What is called: `given` itself, or the plain function of a bound method or callable object.
        instance: The object of a bound method or of a callable object, else `None`.
        annotated: The innermost function, whose module and closure give string hints their meaning.
        signature: The parameters a caller passes.
        where: `module.qualname`, for messages.
        source: `file.py:line`, for messages.
        transformed: Whether a layer is already a JAX or annotax transform, so that the hints no longer describe values.
    """

    given: Callable[..., Any]
    function: Callable[..., Any]
    instance: Any
    annotated: Any
    signature: Signature
    where: str
    source: str
    transformed: bool

    def caller(self) -> Callable[..., Any]:
        """What the core calls. It holds the object of a bound method weakly, so that a compiled core does not keep it.

        An object that cannot be referred to weakly is held.
        """
        if self.instance is None:
            return self.function
        try:
            return _WeaklyBound(self.function, weakref.ref(self.instance))
        except TypeError:
            return self.given


class _WeaklyBound:
    """A method of an object that it does not keep alive."""

    __slots__ = ("function", "reference")

    def __init__(self, function: Callable[..., Any], reference: weakref.ref[Any]) -> None:
        self.function = function
        self.reference = reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self.reference(), *args, **kwargs)


def callee(given: Any, *, is_face: Callable[[Any], bool]) -> Callee:
    """Take a callable apart.

    Arguments:
        given: What the user handed to a decorator.
        is_face: Tells whether a function is one that annotax made.

    Raises:
        MarkerError: If its signature cannot be read or cannot be trusted.
    """
    function, instance = _bound(given)
    function = _peeled(function)
    layers = _layers(given)
    annotated = layers[-1]
    where, source = _where(given if isinstance(given, type) else annotated), _source(annotated)
    signature = _signature(given, where)
    if isinstance(given, type):  # `__init__` returns None, the class an instance
        signature = signature.replace(return_annotation=Signature.empty)
    _check_names(signature, where)
    for layer in layers:
        _check_wrapper(layer, where)
    transformed = any(_is_jax(layer) or is_face(getattr(layer, "__func__", layer)) for layer in layers)
    _check_hidden(given, signature, where)
    return Callee(given, function, instance, annotated, signature, where, source, transformed)


def _peeled(function: Any) -> Any:
    """The function below a type checker of the user's own, which would refuse tracers for numbers; ours takes over."""
    inside = getattr(function, "__wrapped__", None)
    if inside is None or not isinstance(function, types.FunctionType):
        return function
    is_beartype = function.__code__.co_filename.startswith("<@beartype(")
    is_jaxtyping = function.__globals__.get("__name__") == "jaxtyping._decorator"
    return _peeled(inside) if is_beartype or is_jaxtyping else function


def _bound(given: Any) -> tuple[Callable[..., Any], Any]:
    """The plain function and the object of a bound method or a callable object."""
    if isinstance(given, (types.FunctionType, types.BuiltinFunctionType, functools.partial, type)):
        return cast("Callable[..., Any]", given), None
    # Equinox binds methods with a class of its own, which has these two names as well.
    if hasattr(given, "__func__") and hasattr(given, "__self__"):
        return given.__func__, given.__self__
    if hasattr(given, "__wrapped__"):  # a PjitFunction, a `functools.cache`
        return cast("Callable[..., Any]", given), None
    call = _call_method(given)
    return (given, None) if call is None else (call, given)


def _call_method(given: Any) -> Callable[..., Any] | None:
    """The `__call__` that the class of a callable object defines in Python."""
    call = getattr(cast("Any", type(given)), "__call__", None)  # noqa: B004 - the function itself is wanted
    return call if isinstance(call, types.FunctionType) else None


def _layers(given: Any) -> list[Any]:
    """The callable and what it wraps, down to the function that was written by hand."""
    layers: list[Any] = []
    while not any(given is layer for layer in layers):
        layers.append(given)
        if isinstance(given, functools.partial):
            given = cast("Any", given).func
        elif isinstance(given, type):
            given = vars(given).get("__init__") or getattr(given, "__init__", given)
        else:
            inside = getattr(given, "__wrapped__", None) or getattr(given, "__func__", None) or _call_method(given)
            given = given if inside is None else inside
    return layers


def _where(function: Any) -> str:
    module = getattr(function, "__module__", None) or "builtins"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{name.rpartition('<locals>.')[2]}"


def _source(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code is not None else "an unknown place"


def _read(function: Any, *, follow_wrapped: bool = True) -> Signature:
    if sys.version_info >= (3, 14):  # names that are not defined yet must not raise (PEP 649)
        from annotationlib import Format  # pyright: ignore  # Python 3.14

        return inspect.signature(  # pyright: ignore  # Python 3.14
            function, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF
        )
    return inspect.signature(function, follow_wrapped=follow_wrapped)


def _signature(given: Any, where: str) -> Signature:
    if not callable(given):
        raise AnnotaxError(
            f"annotax transforms functions, but was given {given!r}.\n"
            "  fix  Write the decorator above a function, or call it on one: annotax.jit(f)."
        )
    try:
        return _read(given)
    except (ValueError, TypeError) as error:
        problem = str(error)
    raise MarkerError(
        message(
            where,
            "the signature cannot be read",
            got=problem,
            fix="wrap it in a function that names its parameters: `def f(x, n): return ...`",
        )
    )


def _check_names(signature: Signature, where: str) -> None:
    """The names become generated source, so nothing but identifiers may pass."""
    for name in signature.parameters:
        if type(name) is not str or not name.isidentifier() or keyword.iskeyword(name):
            raise MarkerError(
                message(where, f"its signature names a parameter {name!r}, which is not an identifier",
                        fix="correct the __signature__ attribute of the function")
            )  # fmt: skip


def _check_hidden(given: Any, signature: Signature, where: str) -> None:
    parameters = list(signature.parameters.values())
    if [p.kind for p in parameters] == list(_VARIADIC) and all(_says_nothing(p.annotation) for p in parameters):
        raise MarkerError(
            message(
                where,
                "the parameters (*args, **kwargs) have no hints, so a wrapper may hide the function's own markers",
                fix="put @functools.wraps(function) on the wrapper, decorate below it, or write hints on both",
            )
        )


def _says_nothing(hint: Any) -> bool:
    """Whether a hint of `*args` or `**kwargs` tells nothing of the parameters: none, or that of a `ParamSpec`."""
    if isinstance(hint, str):
        return hint.endswith((".args", ".kwargs"))
    return hint is Parameter.empty or isinstance(hint, (typing.ParamSpecArgs, typing.ParamSpecKwargs))


def _check_wrapper(layer: Any, where: str) -> None:
    """A wrapper must take each parameter of the function that it claims to wrap, and none besides."""
    if not isinstance(layer, types.FunctionType) or not hasattr(layer, "__wrapped__") or _is_jax(layer):
        return
    own, claimed = _read(layer, follow_wrapped=False), _read(layer)
    if not _agree(list(own.parameters.values()), list(claimed.parameters.values())):
        raise MarkerError(
            message(
                where,
                "a wrapper takes other parameters than the function it claims to wrap",
                got=f"{_without_hints(own)} on the wrapper, defined at {_source(layer)}",
                expected=_without_hints(claimed),
                fix="give the wrapper the same parameters or (*args, **kwargs), or decorate the function below it",
            )
        )


def _agree(own: list[Parameter], claimed: list[Parameter]) -> bool:
    """Whether calls by the claimed signature mean the same to a wrapper with parameters of its own."""
    kinds = {parameter.kind for parameter in own}
    # beartype hands its wrappers what they need as defaults of names like these.
    own = [p for p in own if not (p.kind is Parameter.KEYWORD_ONLY and p.name.startswith("__"))]
    positions = [p for p in own if p.kind in _POSITIONAL]
    matched: list[Parameter] = []
    for i, parameter in enumerate(claimed):
        if parameter.kind in _VARIADIC:
            if parameter.kind not in kinds:
                return False
            continue
        if parameter.kind in _POSITIONAL:
            mine = positions[i] if i < len(positions) else None
            rest: Any = Parameter.VAR_POSITIONAL
        else:
            mine = next((p for p in own if p.name == parameter.name and p.kind is parameter.kind), None)
            rest = Parameter.VAR_KEYWORD
        if mine is None and rest in kinds:
            continue
        same_name = mine is not None and (mine.name == parameter.name or mine.kind is Parameter.POSITIONAL_ONLY)
        if mine is None or not same_name or not _same(mine.default, parameter.default):
            return False
        matched.append(mine)
    return all(parameter in matched or parameter.kind in _VARIADIC for parameter in own)


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # arrays, and whatever else will not be compared
        return False


def _without_hints(signature: Signature) -> str:
    parameters = [p.replace(annotation=Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=Signature.empty))


def _is_jax(layer: Any) -> bool:
    """Whether JAX made this callable: what `jax.jit` returns, or a closure defined in JAX's own files."""
    code = getattr(layer, "__code__", None)
    if code is not None:
        return bool(code.co_filename.startswith(_JAX_ROOT))
    return type(layer).__module__.startswith(("jaxlib", "jax."))
