"""Hints against values, while the function is traced.

Each hint becomes one `Check` when the core is built; the core calls it for each argument and for the result. A cached
call of a compiled function never comes here. Types are judged by a type checker, beartype unless told otherwise;
containers are walked by annotax, whole and with the path kept, since beartype looks at one random item.
"""

from __future__ import annotations

import collections
import collections.abc
import functools
import numbers
import os
import sys
import types
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter as SignatureParameter
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
import typing_extensions

from annotax._contract import Contract, Parameter, Result
from annotax._errors import CheckError, StaticValueError, message
from annotax._fields import outline
from annotax._hints import (
    EMPTY,
    HOLE,
    is_jaxtyping,
    is_jaxtyping_class,
    may_hold_fields,
    show,
    take_apart,
    without_metadata,
)
from annotax._markers import Static
from annotax._tree import describe, is_hashable, is_traceable, is_tracer, leaves_with_paths

TypeChecker: TypeAlias = Callable[[Any, Any], str | None]
"""`check(value, hint)` returns why the value does not fit the hint, or `None` where it does."""

TypeCheckerOption: TypeAlias = Literal["beartype"] | TypeChecker | None
"""What every decorator takes as `typechecker=`: `"beartype"`, a checker of your own, or `None` for no checks."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that does not fit.

    Attributes:
        path: Where it is, as a person would write it.
        hint: What was expected there.
        value: What was there.
        because: What the type checker had to say.
    """

    path: str
    hint: Any
    value: Any
    because: str | None = None


Check: TypeAlias = Callable[[Any, str], Misfit | None]
"""Looks at a value at a path."""


def beartype_checker(value: Any, hint: Any) -> str | None:
    """Judge one value by `beartype.door`."""
    # Imported at the first check, for it takes longer to import than annotax itself.
    from beartype.door import is_bearable
    from beartype.roar import BeartypeDecorHintPep585DeprecationWarning, BeartypeException

    try:
        with warnings.catch_warnings():
            # `typing.Callable` and its like are legal in the user's hint.
            warnings.simplefilter("ignore", BeartypeDecorHintPep585DeprecationWarning)
            return None if is_bearable(value, hint) else ""
    except BeartypeException:  # beartype cannot judge this hint
        return None


_of_process: TypeCheckerOption = "beartype"


def set_typechecker(option: TypeCheckerOption) -> None:
    """Set the type checker of the process: the one of all decorators that name none.

    It holds for functions that are called for the first time afterwards; what has been traced stays as it is. The
    environment variable `ANNOTAX_TYPECHECK=0` and `python -O` switch all checks off, whatever is set.

    Arguments:
        option: `"beartype"`, as it is at the start, a function `check(value, hint) -> str | None`, or `None` for no
            checks.

    Raises:
        TypeError: If it is none of these.

    Examples:
        >>> import annotax, jax
        >>> annotax.set_typechecker(None)
        >>> float(annotax.jit(lambda x: x)(2.0))
        2.0
        >>> annotax.set_typechecker("beartype")
    """
    global _of_process
    resolve_typechecker(option)
    _of_process = option


def resolve_typechecker(option: TypeCheckerOption) -> TypeChecker | None:
    """The checker that an option stands for, given the switches of the process.

    Raises:
        TypeError: If the option is none.
    """
    option = _of_process if option == "beartype" else option
    if option is None or not __debug__ or os.environ.get("ANNOTAX_TYPECHECK", "1") == "0":
        return None
    if option == "beartype":
        return beartype_checker
    if callable(option):
        return option
    raise TypeError(
        f"typechecker= takes no {option!r}.\n"
        "  expected  'beartype', a function check(value, hint) -> str | None, or None\n"
        "  fix       wrap another checker in such a function, which returns what is wrong, or None"
    )


# --- the two hooks of a core -----------------------------------------------------------------------------------------


def argument_check(contract: Contract, checker: TypeChecker | None) -> Callable[[tuple[Any, ...]], None] | None:
    """What the core calls with its slots: static values must be constants, all values must fit their hints.

    The markers on the fields of the classes in them must be such that can be honoured.
    """
    statics = [(i, p) for i, p in enumerate(contract) if _is_marked_static(p)]
    checks: list[tuple[int, Parameter, Check]] = []
    if checker is not None and contract.is_checked:
        for i, parameter in enumerate(contract):
            check = _slot_check(parameter, checker)
            if check is not None:
                checks.append((i, parameter, check))
    with_fields = [i for i, p in enumerate(contract) if p.role(Static) is None and may_hold_fields(p.hint)]
    if not statics and not checks and not with_fields:
        return None

    def check_arguments(slots: tuple[Any, ...]) -> None:
        for i, parameter in statics:
            check_static(contract, parameter, slots[i])
        for i in with_fields:
            outline(slots[i])  # raises where a class has markers that cannot be honoured
        misfit = None
        for i, parameter, check in checks:
            # What the author wrote, `x: Array = None`; what is traced is another object by now, under every transform.
            if slots[i] is parameter.default and not is_traceable(slots[i]):
                continue
            misfit = check(slots[i], parameter.name)
            if misfit is not None:
                break
        if misfit is not None:
            raise _error(contract, f"argument {misfit.path} does not fit its hint", misfit)

    return check_arguments


def result_check(contract: Contract, checker: TypeChecker | None) -> Callable[[Any], Any] | None:
    """What the core calls with the function's result; it returns the result."""
    if checker is None or not contract.is_checked:
        return None
    check = make_check(_result_hint(contract.result), checker, traced=True)
    if check is None:
        return None

    def check_result(result: Any) -> Any:
        misfit = check(result, "result")
        if misfit is not None:
            the = "the " if misfit.path == "result" else ""
            raise _error(contract, f"{the}{misfit.path} does not fit its hint", misfit)
        return result

    return check_result


def first_check(contract: Contract, stated: Any, name: str, checker: TypeChecker | None) -> Callable[[Any], Any] | None:
    """A check of a gradient against what `grad[stated]` says it is, made until it has passed once.

    Arguments:
        contract: The function's.
        stated: The type.
        name: The name of the transform.
        checker: The type checker, if any.
    """
    check = None if checker is None else make_check(stated, checker, traced=True)
    if check is None:
        return None
    if is_jaxtyping(stated):
        import jaxtyping

        check = jaxtyping.jaxtyped(check, typechecker=None)  # one meaning of each axis name
    has_passed = False

    def check_first(gradient: Any) -> None:
        nonlocal has_passed
        misfit = None if has_passed else check(gradient, "gradient")
        if misfit is not None:
            raise CheckError(
                message(
                    contract.where,
                    f"the {misfit.path} is not what {name}[...] states",
                    expected=show(misfit.hint),
                    got=describe(misfit.value),
                    because=misfit.because or None,
                    fix=f"state what it is, in place of {name}[{show(stated)}]",
                )
            )
        has_passed = True

    return check_first


def in_shape_context(core: Callable[..., Any], contract: Contract) -> Callable[..., Any]:
    """The core inside one jaxtyping shape context over arguments and result, where any hint is jaxtyping's."""
    hints = [*(parameter.hint for parameter in contract), _result_hint(contract.result)]
    if "jaxtyping" not in sys.modules or not any(is_jaxtyping(hint) for hint in hints):
        return core
    import jaxtyping

    # Binds the slots by name, so that axes like "{n}" find their values.
    inside: Callable[..., Any] = jaxtyping.jaxtyped(core, typechecker=None)
    return inside


def check_static(contract: Contract, parameter: Parameter, value: Any) -> None:
    """Raise unless a value can be a compile-time constant.

    Raises:
        StaticValueError: If it is a tracer, an array, or unhashable.
    """
    items: list[tuple[str, Any]] = [(parameter.name, value)]
    if parameter.kind is SignatureParameter.VAR_POSITIONAL:
        items = [(f"{parameter.name}[{i}]", item) for i, item in enumerate(value)]
    elif parameter.kind is SignatureParameter.VAR_KEYWORD:
        items = [(f"{parameter.name}[{name!r}]", item) for name, item in value.items()]
    for path, item in items:
        if why_not_constant(item)[0] is not None:
            role = parameter.role(Static)
            because = f"{parameter.name} is static: {role.why}" if role is not None else None
            check_static_leaf(contract, path, item, because)


def check_static_leaf(contract: Contract, path: str, value: Any, because: str | None = None) -> None:
    """Raise unless a value, a static argument or part of one, can be a compile-time constant.

    Raises:
        StaticValueError: If it is a tracer, an array, or unhashable.
    """
    problem, reason, fix = why_not_constant(value)
    if problem is not None:
        raise StaticValueError(
            message(
                contract.where,
                f"static argument {path} {problem}",
                got=describe(value),
                expected="a hashable compile-time constant",
                because=reason or because,
                fix=fix,
            )
        )


def is_constant_argument(parameter: Parameter, value: Any) -> bool:
    """Whether `check_static` would accept the value."""
    items = [value]
    if parameter.kind is SignatureParameter.VAR_POSITIONAL:
        items = list(value)
    elif parameter.kind is SignatureParameter.VAR_KEYWORD:
        items = list(value.values())
    return all(why_not_constant(item)[0] is None for item in items)


def why_not_constant(value: Any) -> tuple[str | None, str | None, str | None]:
    """What is wrong with a value as a constant, why, and what to do; three times `None` if nothing is."""
    if is_tracer(value):
        return "is a traced value", None, "mark the parameter that it comes from Static too, or drop Static here"
    if isinstance(value, (jax.Array, np.ndarray)):
        return "is an array", None, "pass a Python number or a tuple, as in int(n), or drop Static to trace it"
    try:
        hash(value)
    except TypeError as error:
        fix = {list: "pass a tuple", dict: "pass a tuple of pairs", set: "pass a frozenset"}.get(
            cast("Any", type(value)), "make all of it hashable (tuples for lists), or drop Static to trace it"
        )
        return "is not hashable", str(error), fix
    return None, None, None


def _is_marked_static(parameter: Parameter) -> bool:
    role = parameter.role(Static)
    return role is not None and not role.inferred


def _error(contract: Contract, problem: str, misfit: Misfit) -> CheckError:
    return CheckError(
        message(
            contract.where,
            problem,
            expected=show(misfit.hint),
            got=describe(misfit.value),
            because=misfit.because or None,
            fix=_fix(misfit, "return" if problem.startswith(("the result", "result")) else "pass"),
            **{"while": f"tracing {contract.where.rpartition('.')[2]}, defined at {contract.source}"},
        )
    )


def _fix(misfit: Misfit, verb: str) -> str:
    if misfit.value is None:
        return f"{verb} a value, or write `{show(misfit.hint)} | None`"
    return f"{verb} what the hint says, or correct the hint"


def _result_hint(result: Result) -> Any:
    if result.components is None:
        return result.hint
    return types.GenericAlias(tuple, tuple(_known(component.hint) for component in result.components))


def _known(hint: Any) -> Any:
    return Any if hint is EMPTY else hint


def _slot_check(parameter: Parameter, checker: TypeChecker) -> Check | None:
    """The check of one slot; `*args` is a tuple of values and `**kwargs` a dict of them."""
    hint = parameter.hint
    if isinstance(hint, (typing.ParamSpecArgs, typing.ParamSpecKwargs)):
        return None
    if get_origin(hint) in (typing.Unpack, typing_extensions.Unpack):
        (hint,) = get_args(hint)
        return make_check(hint, checker, traced=True)
    if getattr(hint, "__unpacked__", False):  # *args: *tuple[float, int]
        return make_check(tuple[get_args(hint)], checker, traced=True)  # type: ignore[misc]  # a type made at run time
    if parameter.kind is SignatureParameter.VAR_POSITIONAL:
        hint = types.GenericAlias(tuple, (_known(hint), ...))
    elif parameter.kind is SignatureParameter.VAR_KEYWORD:
        hint = types.GenericAlias(dict, (str, _known(hint)))
    role = parameter.role(Static)
    return make_check(hint, checker, traced=role is None)


# --- one hint, one check ---------------------------------------------------------------------------------------------

_ACCEPTS: dict[Any, tuple[Any, ...]] = {
    # What the typing specification lets pass for a number, below: dtypes of the rank-0 array that stands for one.
    bool: (jnp.bool_,),
    int: (jnp.integer,),
    float: (jnp.floating,),
    complex: (jnp.complexfloating, jnp.floating),
    numbers.Number: (jnp.number,),
    numbers.Complex: (jnp.number,),
    numbers.Real: (jnp.floating, jnp.integer),
    numbers.Rational: (jnp.integer,),
    numbers.Integral: (jnp.integer,),
}

_PROMOTED: dict[Any, tuple[type, ...]] = {float: (int, float), complex: (int, float, complex)}

_ANYTHING: Any = (EMPTY, Any, HOLE, typing.Self, typing_extensions.Self)
_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_SEQUENCES = (list, collections.deque, collections.abc.Sequence, collections.abc.MutableSequence,
              collections.abc.Iterable, collections.abc.Collection)  # fmt: skip


def make_check(hint: Any, checker: TypeChecker, *, traced: bool) -> Check | None:
    """The check of values against one hint, or `None` where anything fits.

    Arguments:
        hint: The type, without or with our markers.
        checker: Judges what is neither a container, a union nor a number.
        traced: Whether a traced array may stand for a number or a numpy array.
    """
    hint = take_apart(hint)[0]
    base = without_metadata(hint)
    if any(base is anything for anything in _ANYTHING):
        return None
    is_plain = is_hashable(base)
    if not is_plain and get_origin(base) in (None, Literal):  # no type at all
        return None
    make = functools.partial(make_check, checker=checker, traced=traced)
    if get_origin(hint) is Annotated:
        return _annotated(hint, make(hint.__origin__), checker)
    origin = get_origin(base)
    if origin is Union or origin is types.UnionType:
        return _union(base, [make(part) for part in get_args(base)])
    if traced and is_plain and base in _ACCEPTS:
        return _number(base)
    if is_plain and base in _PROMOTED:
        return _instance(base, _PROMOTED[base])
    arguments = get_args(base)
    if origin in _SEQUENCES and arguments:
        return _sequence(base, cast(type, origin), make(arguments[0]))
    if origin is tuple and arguments:
        return _tuple(base, make)
    # Not left to beartype, which would take a class that a notebook defines anew for the one of that name before.
    if origin is type and isinstance(arguments[0], type) and checker is beartype_checker:
        return _subclass(base, arguments[0])
    if origin in _SETS and arguments:
        return _set(base, cast("type", origin), make(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping) and len(arguments) == 2:
        return _mapping(base, cast("type", origin), *map(make, arguments))
    if traced and is_jaxtyping_class(base) and _number_or_numpy(getattr(base, "leaftype", None)):
        return _pytree(base, make(base.leaftype))
    if traced and is_jaxtyping_class(base) and _is_numpy(getattr(base, "array_type", None)):
        of_jax = base.dtype[jax.Array, base.dim_str]
        return _either(hint, _judged(hint, checker), _judged(of_jax, checker))
    if typing_extensions.is_typeddict(base):
        return _typed_dict(base, make)
    if (isinstance(base, type) and traced and issubclass(base, (np.ndarray, np.generic))) or origin is np.ndarray:
        return _numpy(base)
    # A class with a metaclass of its own is left to the type checker, but for JAX's, which is asked most often.
    is_class = hint is base and origin is None and (type(base) is type or base is jax.Array)
    is_class = is_class and checker is beartype_checker  # another one may see more in it
    check = _instance(base, base) if is_class else _judged(hint, checker)
    return _as_array(check) if traced else check


def _is_numpy(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, (np.ndarray, np.generic))


def _number_or_numpy(hint: Any) -> bool:
    return hint in _ACCEPTS or _is_numpy(hint) or get_origin(hint) is np.ndarray


def _pytree(hint: Any, leaf: Check | None) -> Check:
    """jaxtyping's `PyTree` of numbers: a tracer may stand for each."""

    def check(value: Any, path: str) -> Misfit | None:
        return None if leaf is None else _first(leaf(part, where) for where, part in leaves_with_paths(path, value))

    return check


def _either(hint: Any, *checks: Check) -> Check:
    def check(value: Any, path: str) -> Misfit | None:
        return None if any(one(value, path) is None for one in checks) else Misfit(path, hint, value)

    return check


def _as_array(check: Check) -> Check:
    """A check that lets pass what JAX makes a fitting array of: under `jit` a number or numpy array arrives as one."""

    def checked(value: Any, path: str) -> Misfit | None:
        misfit = check(value, path)
        if misfit is None:
            return None
        is_array_like = isinstance(value, (np.ndarray, np.generic, bool, int, float, complex)) and is_traceable(value)
        return None if is_array_like and check(jnp.asarray(value), path) is None else misfit

    return checked


def _judged(hint: Any, checker: TypeChecker) -> Check:
    filled = _fill(hint)

    def check(value: Any, path: str) -> Misfit | None:
        because = checker(value, filled)
        return None if because is None else Misfit(path, hint, value, because)

    return check


def _fill(hint: Any) -> Any:
    """The hint with `Any` where a name could not be found."""
    if hint is HOLE:
        return Any
    if get_origin(hint) is None or get_origin(hint) is Literal or HOLE not in _parts(hint):
        return hint
    return Any


def _parts(hint: Any) -> list[Any]:
    arguments = [argument for argument in get_args(hint) if not isinstance(argument, list)]
    return [hint, *(inner for argument in arguments for inner in _parts(argument))]


def _instance(hint: Any, classes: Any) -> Check:
    def check(value: Any, path: str) -> Misfit | None:
        return None if isinstance(value, classes) else Misfit(path, hint, value)

    return check


def _number(hint: Any) -> Check:
    """A Python number, or the rank-0 array that JAX makes of one."""
    classes = _PROMOTED.get(hint, (hint,))
    dtypes = _ACCEPTS[hint]

    def check(value: Any, path: str) -> Misfit | None:
        if isinstance(value, classes):
            return None
        if isinstance(value, (jax.Array, np.generic, np.ndarray, jax.ShapeDtypeStruct)) and value.shape == ():
            array = cast("Any", value)
            dtype = array.dtype
            if any(jnp.issubdtype(dtype, kind) for kind in dtypes):
                return None
            # A Python int where a float is declared, which a type checker lets pass, arrives as a weak integer.
            if getattr(array, "weak_type", False) and hint in _PROMOTED and jnp.issubdtype(dtype, jnp.integer):
                return None
        return Misfit(path, hint, value)

    return check


def _numpy(hint: Any) -> Check:
    """A numpy array or scalar, or the traced array that it becomes."""
    base = get_origin(hint) or hint
    arguments = get_args(hint)
    dtype: Any = next(iter(get_args(arguments[1])), Any) if len(arguments) == 2 else Any
    wanted: Any = cast("Any", base) if issubclass(base, np.generic) else np.generic if dtype is Any else dtype

    def is_right_dtype(given: Any) -> bool:
        # JAX makes 32 bits of 64, unless told otherwise.
        is_concrete = isinstance(wanted, type) and wanted not in _ABSTRACT_DTYPES
        as_jax = jax.dtypes.canonicalize_dtype(wanted) if is_concrete else wanted
        return bool(jnp.issubdtype(given, wanted) or jnp.issubdtype(given, as_jax))

    def check(value: Any, path: str) -> Misfit | None:
        is_right_class = isinstance(value, (base, jax.Array))
        rank = None if base is np.ndarray else ()
        if is_right_class and (rank is None or value.shape == rank) and is_right_dtype(value.dtype):
            return None
        return Misfit(path, hint, value)

    return check


_ABSTRACT_DTYPES = (np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger, np.inexact, np.floating,
                    np.complexfloating, np.flexible, np.character)  # fmt: skip


def _union(hint: Any, checks: list[Check | None]) -> Check | None:
    if None in checks:
        return None

    def check(value: Any, path: str) -> Misfit | None:
        misfits = [cast(Check, branch)(value, path) for branch in checks]
        if None in misfits:
            return None
        # The branch that got into the value tells more than "none of these".
        deepest = max(cast("list[Misfit]", misfits), key=lambda misfit: len(misfit.path))
        return deepest if len(deepest.path) > len(path) else Misfit(path, hint, value)

    return check


def _annotated(hint: Any, inner: Check | None, checker: TypeChecker) -> Check:
    base = hint.__origin__
    if checker is beartype_checker:  # which takes no other metadata beside its own
        own = tuple(m for m in hint.__metadata__ if type(m).__module__.partition(".")[0] == "beartype")
        hint = Annotated[(base, *own)] if own else base

    def check(value: Any, path: str) -> Misfit | None:
        misfit = inner(value, path) if inner is not None else None
        if misfit is not None:
            return misfit
        try:
            because = checker(value, hint)
        except jax.errors.ConcretizationTypeError:  # a validator that needs a value cannot be decided by a tracer
            return None
        if because is None or (inner is not None and checker(value, base) is not None):
            return None  # a number that stands there as a tracer fits by our rules, not by the checker's
        return Misfit(path, hint, value, because)

    return check


def _sequence(hint: Any, origin: type, item: Check | None) -> Check:
    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, origin) or isinstance(value, (str, bytes)):
            return Misfit(path, hint, value)
        if item is None or not isinstance(value, collections.abc.Sequence) or _all_fit(item, cast("Any", value)):
            return None
        return _first(item(inner, f"{path}[{i}]") for i, inner in enumerate(cast("list[Any]", value)))

    return check


def _tuple(hint: Any, make: Callable[[Any], Check | None]) -> Check:
    parts = get_args(hint)
    if len(parts) == 2 and parts[1] is Ellipsis:
        each = make(parts[0])
        return _sequence(hint, tuple, each)
    open_at = next((i for i, part in enumerate(parts) if _is_unpacked(part)), None)
    if open_at is not None:
        return _open_tuple(hint, make, parts, open_at)
    checks = [make(part) for part in parts if part != ()]

    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, tuple):
            return Misfit(path, hint, value)
        items = cast("Any", value)
        if len(items) != len(checks):
            return Misfit(path, hint, items, f"it has {len(items)} components instead of {len(checks)}")
        pairs = enumerate(zip(checks, items, strict=True))
        return _first(one(item, f"{path}[{i}]") for i, (one, item) in pairs if one is not None)

    return check


def _is_unpacked(part: Any) -> bool:
    return get_origin(part) in (typing.Unpack, typing_extensions.Unpack) or getattr(part, "__unpacked__", False)


def _open_tuple(hint: Any, make: Callable[[Any], Check | None], parts: tuple[Any, ...], open_at: int) -> Check:
    """The check of `tuple[int, *tuple[float, ...], str]`: any number of items in the middle."""
    middle = parts[open_at]
    inside = get_args(middle) if getattr(middle, "__unpacked__", False) else get_args(get_args(middle)[0])
    before, after = [make(part) for part in parts[:open_at]], [make(part) for part in parts[open_at + 1 :]]
    is_homogeneous = len(inside) == 2 and inside[1] is Ellipsis
    each = make(inside[0]) if is_homogeneous else None

    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, tuple):
            return Misfit(path, hint, value)
        items = cast("Any", value)
        rest = len(items) - len(before) - len(after)
        if rest < 0:
            return Misfit(path, hint, items, f"it has {len(items)} components, fewer than {len(before) + len(after)}")
        checks = [*before, *[each] * rest, *after]
        pairs = enumerate(zip(checks, items, strict=True))
        return _first(one(item, f"{path}[{i}]") for i, (one, item) in pairs if one is not None)

    return check


def _mapping(hint: Any, origin: type, key: Check | None, item: Check | None) -> Check:
    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, origin):
            return Misfit(path, hint, value)
        items = cast("Mapping[Any, Any]", value)
        wrong = _first(key(name, f"key {name!r} of {path}") for name in items) if key is not None else None
        if wrong is None and item is not None and not _all_fit(item, items.values()):
            wrong = _first(item(inner, f"{path}[{name!r}]") for name, inner in items.items())
        return wrong

    return check


def _all_fit(item: Check, values: typing.Iterable[Any]) -> bool:
    """Whether all items of a container fit; their paths, which take longer than the checks, are left for later."""
    return all(item(value, "") is None for value in values)


def _typed_dict(hint: Any, make: Callable[[Any], Check | None]) -> Check:
    items = {name: make(_required(item)) for name, item in typing_extensions.get_type_hints(hint).items()}

    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, dict) or not hint.__required_keys__ <= value.keys() <= items.keys():
            return Misfit(path, hint, value, f"its keys are {', '.join(map(repr, cast('Any', value)))}")
        pairs = cast("Any", value).items()
        return _first(item(inner, f"{path}[{name!r}]") for name, inner in pairs if (item := items[name]) is not None)

    return check


def _required(hint: Any) -> Any:
    """The type of an item, without `Required` and the like."""
    outer = (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly)
    return get_args(hint)[0] if get_origin(hint) in outer else hint


def _subclass(hint: Any, of: type) -> Check:
    def check(value: Any, path: str) -> Misfit | None:
        return None if isinstance(value, type) and issubclass(value, of) else Misfit(path, hint, value)

    return check


def _set(hint: Any, origin: type, item: Check | None) -> Check:
    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, origin):
            return Misfit(path, hint, value)
        items: Any = value
        return None if item is None else _first(item(inner, f"an item of {path}") for inner in items)

    return check


def _first(misfits: typing.Iterable[Misfit | None]) -> Misfit | None:
    return next((misfit for misfit in misfits if misfit is not None), None)
