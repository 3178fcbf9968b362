"""The normal form: one parameter, one position.

`make_core` turns `f(a, /, b, *args, c, **kw)` into `core(a, b, args, c, kw)`, so that every selector of every JAX
transform is an index into the signature. `make_face` goes the other way: a plain function with the user's own
signature whose body is one call of a core. Both are generated, since anything that takes `*args, **kwargs` costs
Python time on every call, and hides the names that JAX puts into its messages; so is what takes a pytree apart.
"""

from __future__ import annotations

import builtins
import functools
import keyword
import linecache
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, cast

from annotax._signature import Callee

MEMO = "__annotax_memo__"
"""The attribute of a user's function that keeps what was built from it."""

PIPELINE = "__annotax_pipeline__"
"""The attribute of a face that leads back to its pipeline."""


def make_core(
    callee: Callee,
    check_arguments: Callable[[tuple[Any, ...]], None] | None,
    check_result: Callable[[Any], Any] | None,
) -> Callable[..., Any]:
    """The core of a function: what every JAX transform is handed in its place.

    Arguments:
        callee: The function, taken apart.
        check_arguments: Called with all slots before the function; raises where one is wrong. `None`: not called.
        check_result: Called with what the function returned, and returns it. `None`: not called.
    """
    parameters = list(callee.signature.parameters.values())
    names = [parameter.name for parameter in parameters]
    prefix = _prefix(names)

    def write(names: Sequence[str]) -> tuple[str, str]:
        call = f"{prefix}function({', '.join(map(_passed, parameters, names))})"
        if check_result is not None:
            call = f"{prefix}check_result({call})"
        check = f"    {prefix}check_arguments({_tuple(names)})\n" if check_arguments is not None else ""
        return ", ".join(names), f"{check}    return {call}\n"

    namespace = {
        f"{prefix}function": callee.caller(),
        f"{prefix}check_arguments": check_arguments,
        f"{prefix}check_result": check_result,
    }
    core = _generate(callee.where, "core", names, write, namespace)
    as_slots(core, callee.annotated, names)
    return core


def as_slots(function: Any, wrapped: Any, names: Sequence[str]) -> Any:
    """Give a function of slots the names that JAX's messages show, and the place where the user's function stands.

    Every layer between JAX and the user needs both attributes, or JAX says `slots[0]`. The object of a bound method
    stays out of them, so that what is compiled does not keep it alive.
    """
    function.__name__ = getattr(wrapped, "__name__", None) or type(wrapped).__name__
    function.__qualname__ = getattr(wrapped, "__qualname__", function.__name__)
    function.__module__ = getattr(wrapped, "__module__", None)
    function.__wrapped__ = wrapped
    function.__signature__ = slot_signature(names)
    return function


def slot_signature(names: Sequence[str]) -> Signature:
    """The signature of a function of slots: every parameter positional, under the user's own name."""
    return Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def named_as(function: Any, core: Any) -> Any:
    """Hand the names of a core on to a function around it."""
    for attribute in ("__name__", "__qualname__", "__module__", "__wrapped__", "__signature__"):
        if hasattr(core, attribute):
            setattr(function, attribute, getattr(core, attribute))
    return function


class _Attributes(dict[str, Any]):
    """The `__dict__` of a face: what annotax put there is found, but not copied by `functools.wraps`.

    `jax.jit(face)` copies attributes too, and would hand on the `lower` of another function as its own.
    """

    def __init__(self, shared: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        super().__init__({**shared, **own})
        self._own = frozenset(own)

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if name not in self._own)

    def keys(self) -> Any:
        return list(self)

    def __reduce__(self) -> Any:
        return dict, (list(self.items()),)


def make_face(
    callee: Callee, call: Callable[..., Any], refused: Any, careful: Any, attributes: Mapping[str, Any]
) -> types.FunctionType:
    """The face of a pipeline: the user's own signature around one call.

    Arguments:
        callee: The function, taken apart.
        call: Called with the slots.
        refused: `refused(error, slots)` is asked where `call` raised; true to try again with `careful`.
        careful: `careful(slots)`, a slower way to make the call that knows more.
        attributes: What the face offers besides the call.
    """
    parameters = list(callee.signature.parameters.values())
    names = [parameter.name for parameter in parameters]
    prefix = _prefix(names)

    def write(names: Sequence[str]) -> tuple[str, str]:
        return _declared(parameters, names), (
            "    try:\n"
            f"        return {prefix}call({', '.join(names)})\n"
            f"    except {prefix}Exception as {prefix}error:\n"
            f"        if not {prefix}refused({prefix}error, {_tuple(names)}):\n"
            "            raise\n"
            # Outside the handler, so that what it raises does not drag along the error that it replaces.
            f"    return {prefix}careful({_tuple(names)})\n"
        )

    namespace = {
        f"{prefix}call": call,
        f"{prefix}refused": refused,
        f"{prefix}careful": careful,
        f"{prefix}Exception": Exception,
    }
    face = _with_defaults(_generate(callee.where, "face", names, write, namespace), callee)
    # beartype, above a decorator of ours or in an import hook, takes a function with this attribute for one of its own
    # and returns it as it is: the hints are checked, and do not describe what a transformed function takes and returns.
    face.__dict__ = _Attributes(face.__dict__, {**attributes, "__beartype_wrapper": True})
    return face


def make_binder(callee: Callee) -> Callable[..., tuple[Any, ...]]:
    """A function with the user's own signature that returns its slots."""
    parameters = list(callee.signature.parameters.values())

    def write(names: Sequence[str]) -> tuple[str, str]:
        return _declared(parameters, names), f"    return {_tuple(names)}\n"

    return _with_defaults(_generate(callee.where, "binder", [p.name for p in parameters], write, {}), callee)


def make_encoder(
    where: str, names: Sequence[str], call: Callable[..., Any], encoders: Mapping[int, Callable[[Any], Any]]
) -> Callable[..., Any]:
    """A function of slots that makes a call with some of them passed through a function of one argument first."""
    prefix = _prefix(names)

    def write(names: Sequence[str]) -> tuple[str, str]:
        passed = [f"{prefix}encode_{i}({name})" if i in encoders else name for i, name in enumerate(names)]
        return ", ".join(names), f"    return {prefix}call({', '.join(passed)})\n"

    namespace = {f"{prefix}encode_{i}": encode for i, encode in encoders.items()}
    return _generate(where, "encoder", names, write, {f"{prefix}call": call, **namespace})


def make_flatten(where: str, data: Sequence[str], static: Sequence[str]) -> Callable[[Any], tuple[Any, Any]]:
    """A function of an object that returns some of its attributes in two tuples, for JAX to call at every dispatch.

    Arguments:
        where: The class, as `module.qualname`.
        data: The names of what goes into the first tuple.
        static: The names of what goes into the second one.
    """

    def write(names: Sequence[str]) -> tuple[str, str]:
        traced, constant = (_tuple([f"{names[0]}.{name}" for name in attributes]) for attributes in (data, static))
        return names[0], f"    return {traced}, {constant}\n"

    return _generate(where, "flatten", ["self"], write, {})


# --- generated source ------------------------------------------------------------------------------------------------
# Nothing but identifiers gets into it, parameters that `_signature` checked and fields from which `dataclasses` has
# generated source before; values come in through the namespace.


def _generate(
    where: str,
    part: str,
    names: Sequence[str],
    write: Callable[[Sequence[str]], tuple[str, str]],
    namespace: dict[str, Any],
) -> types.FunctionType:
    """A function from generated source.

    Arguments:
        where: The user's function or class, as `module.qualname`.
        part: What is generated, for the name of the file that tracebacks show.
        names: The parameters.
        write: From the names of the parameters to what stands between the brackets, and the body.
        namespace: The values of all other names in the body.
    """
    module, _, name = where.rpartition(".")
    if not name.isidentifier() or keyword.iskeyword(name):  # a lambda
        name = "function"
    parameters, body = write(names)
    filename = _registered(f"def {name}({parameters}):\n{body}", f"annotax {part} of {where}")
    # Compiling takes longer than the rest of a decoration, so it is done once for all functions of one shape, with
    # names that stand in for those of the parameters.
    stand_ins = [f"_{i}" for i in range(len(names))]
    parameters, body = write(stand_ins)
    renamed = dict(zip(stand_ins, names, strict=True))

    def rename(constant: Any) -> Any:  # the names of keywords are constants, alone or in a tuple
        if isinstance(constant, tuple):
            return tuple(map(rename, cast("Any", constant)))
        return renamed.get(constant, constant) if isinstance(constant, str) else constant

    code = _compiled(f"def function({parameters}):\n{body}")
    code = code.replace(
        co_name=name,
        co_qualname=name,
        co_filename=filename,
        co_varnames=tuple(renamed.get(variable, variable) for variable in code.co_varnames),
        co_consts=tuple(map(rename, code.co_consts)),
    )
    namespace["__name__"] = module
    # C code that imports looks for them here: JAX's own does so within the first call of a process.
    namespace["__builtins__"] = builtins
    return types.FunctionType(code, namespace, name)


@functools.lru_cache(maxsize=1024)
def _compiled(source: str) -> types.CodeType:
    """The code of the one function in a source."""
    constants = compile(source, "<annotax>", "exec").co_consts
    return next(constant for constant in constants if isinstance(constant, types.CodeType))


def _registered(source: str, title: str) -> str:
    """A file name under which debuggers and tracebacks find a source."""
    filename, number = f"<{title}>", 1
    lines = source.splitlines(keepends=True)
    while filename in linecache.cache and linecache.getlines(filename) != lines:
        number += 1
        filename = f"<{title}, {number}>"
    linecache.cache[filename] = (len(source), None, lines, filename)
    return filename


def _prefix(names: Sequence[str]) -> str:
    """A beginning for names of our own that no parameter has."""
    prefix = "_annotax_"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)},)" if names else "()"


def _passed(parameter: Parameter, name: str) -> str:
    match parameter.kind:
        case Parameter.VAR_POSITIONAL:
            return f"*{name}"
        case Parameter.VAR_KEYWORD:
            return f"**{name}"
        case Parameter.KEYWORD_ONLY:
            return f"{name}={name}"
        case _:
            return name


def _declared(parameters: Sequence[Parameter], names: Sequence[str]) -> str:
    """The parameters as they stand between the brackets of a `def`; defaults are set on the function, not written."""
    parts: list[str] = []
    seen: set[Any] = set()
    for parameter, name in zip(parameters, names, strict=True):
        if Parameter.POSITIONAL_ONLY in seen and parameter.kind is not Parameter.POSITIONAL_ONLY and "/" not in parts:
            parts.append("/")
        if parameter.kind is Parameter.KEYWORD_ONLY and not seen & {Parameter.VAR_POSITIONAL, Parameter.KEYWORD_ONLY}:
            parts.append("*")
        seen.add(parameter.kind)
        stars: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
        parts.append(stars.get(parameter.kind, "") + name)
    if Parameter.POSITIONAL_ONLY in seen and "/" not in parts:
        parts.append("/")
    return ", ".join(parts)


def _with_defaults(function: types.FunctionType, callee: Callee) -> types.FunctionType:
    parameters = list(callee.signature.parameters.values())
    given = [p for p in parameters if p.default is not Parameter.empty]
    function.__defaults__ = tuple(p.default for p in given if p.kind is not Parameter.KEYWORD_ONLY)
    function.__kwdefaults__ = {p.name: p.default for p in given if p.kind is Parameter.KEYWORD_ONLY}
    original = callee.given
    if not isinstance(original, functools.partial):  # whose attributes describe partials
        for attribute in _DESCRIPTION:
            value = getattr(original, attribute, None)
            if value is not None:
                setattr(function, attribute, value)
    if isinstance(original, types.FunctionType):
        function.__dict__.update({k: v for k, v in vars(original).items() if k not in (MEMO, PIPELINE)})
    function.__wrapped__ = original  # type: ignore[attr-defined]  # of a function
    return function


_DESCRIPTION = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__", "__type_params__")
