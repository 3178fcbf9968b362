"""The contract: what the signature of one function says to every transform.

One frozen record per parameter and one for the result, read once per function. A transform asks the contract for roles
by marker (`contract.indices(Static)`) and gets positions in the signature, the only kind of selector there is.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter as SignatureParameter
from inspect import Signature
from typing import Any, TypeAlias, get_args, get_origin

import jax
import numpy as np

from annotax._errors import MarkerError, message
from annotax._hints import (
    EMPTY,
    Names,
    Unreadable,
    evaluate,
    has_hole,
    nested_marker,
    show,
    take_apart,
    why_not_differentiable,
    why_static,
    without_metadata,
)
from annotax._markers import Aux, Axis, Diff, Donate, Marker, NoDiff, Static, contradiction
from annotax._paths import Path, parse
from annotax._paths import show as show_path
from annotax._signature import Callee
from annotax._tree import why_static_value

Selector: TypeAlias = int | str
"""A parameter, by name or by index into the signature; negative indices count from the end.

Where an option says so, also a path into one: `"model.layers[0].bias"`.
"""


@dataclass(frozen=True, slots=True)
class StaticAt(Marker):
    """The role of a parameter of which one part is static: `jit(static="model.dropout.inference")`."""

    path: Path

    def __repr__(self) -> str:
        return f"Static at {show_path(self.path)}"


@dataclass(frozen=True, slots=True)
class Role:
    """One thing that a parameter or a result is to a transform.

    Attributes:
        marker: Which.
        why: Where it comes from: a marker, an override, or an inference.
        inferred: Whether annotax found it out by itself.

    Examples:
        >>> import annotax
        >>> role = annotax.Role(annotax.Static, "marker Static")
        >>> role.is_of(annotax.Static), role.is_of(annotax.Axis)
        (True, False)
    """

    marker: Any
    why: str
    inferred: bool = False

    def is_of(self, marker: Any) -> bool:
        """Whether this is the role of a marker, or of a class of markers."""
        return self.marker is marker or (isinstance(marker, type) and isinstance(self.marker, marker))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the function.

    Attributes:
        name: Its name.
        kind: Its kind, as `inspect.Parameter.kind`.
        default: Its default, or `inspect.Parameter.empty`.
        hint: Its type without our markers, or `EMPTY`.
        roles: What it is to transforms, in the order of reading.

    Examples:
        >>> import annotax, inspect
        >>> kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        >>> n = annotax.Parameter("n", kind, empty, int, (annotax.Role(annotax.Static, "marker Static"),))
        >>> n.role(annotax.Static).why
        'marker Static'
        >>> n.without(annotax.Static).role(annotax.Static) is None
        True
    """

    name: str
    kind: Any
    default: Any
    hint: Any
    roles: tuple[Role, ...]

    def role(self, marker: Any) -> Role | None:
        """The role of this marker, or of this class of markers (`Axis`), or `None`."""
        for role in self.roles:  # asked often while decorating, so no generator
            if role.is_of(marker):
                return role
        return None

    @property
    def static_paths(self) -> tuple[Path, ...]:
        """The paths to what is static inside of it."""
        return tuple(role.marker.path for role in self.roles if isinstance(role.marker, StaticAt))

    def without(self, *markers: Any) -> Parameter:
        """The same parameter without the roles of these markers."""
        kept = tuple(role for role in self.roles if not any(map(role.is_of, markers)))
        return dataclasses.replace(self, roles=kept)

    def adding(self, role: Role) -> Parameter:
        """The same parameter with one role more, in place of its own of that marker."""
        kept = self.without(role.marker)
        return dataclasses.replace(kept, roles=(*kept.roles, role))


@dataclass(frozen=True, slots=True)
class Result:
    """What the function returns: one value, or a tuple of components.

    Attributes:
        hint: Its type without our markers, or `EMPTY` where nothing is known.
        roles: What it is to transforms, `Aux` for one.
        components: The components of a returned tuple, or `None` where it is one value.
        is_derivative: Whether it is of the types of the arguments, whose fields speak of the arguments.

    Examples:
        >>> import annotax
        >>> annotax.Result(float, (annotax.Role(annotax.Aux, "marker Aux"),)).is_aux
        True
    """

    hint: Any = EMPTY
    roles: tuple[Role, ...] = ()
    components: tuple[Result, ...] | None = None
    is_derivative: bool = False

    @property
    def is_aux(self) -> bool:
        """Whether this component is auxiliary."""
        return any(role.marker is Aux for role in self.roles)


@dataclass(frozen=True, slots=True)
class Contract:
    """What a signature says.

    Attributes:
        where: The function, as `module.qualname`, for messages.
        source: `file.py:line`, for messages.
        parameters: One record a parameter, in the order of the signature.
        result: What the function returns; a transform changes it (after `grad` it no longer is the loss).
        is_checked: Whether the hints describe the values, so that they can be checked.
        pending: Why a hint could not be read yet, or `None`. It is read again at the first call.
        is_laid_out: Whether a transform has the layouts in the hints imposed (`jit`).

    Examples:
        A transform is shown the contract at decoration, before anything is called:

        >>> import annotax
        >>> class Shown(annotax.Transform):
        ...     def check(self, contract):
        ...         print(contract.names, contract.indices(annotax.Static))
        ...         return contract
        ...     def apply(self, core, contract):
        ...         return core, contract
        >>> @annotax.transform(Shown())
        ... def f(x, *, n: annotax.Static[int] = 2): ...
        ('x', 'n') (1,)
    """

    where: str
    source: str
    parameters: tuple[Parameter, ...]
    result: Result = Result()
    is_checked: bool = True
    pending: str | None = None
    is_laid_out: bool = False

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def indices(self, marker: Any) -> tuple[int, ...]:
        """The positions of the parameters that have the role of a marker."""
        return tuple(i for i, parameter in enumerate(self.parameters) if parameter.role(marker) is not None)

    def index(self, selector: Selector, option: str) -> int:
        """The position of one parameter.

        Arguments:
            selector: Its name, or its index, negative from the end.
            option: The option that names it, for the message: `"jit(static=...)"`.

        Raises:
            MarkerError: If there is no such parameter.
        """
        names = self.names
        if isinstance(selector, str) and selector in names:
            return names.index(selector)
        if isinstance(selector, int) and not isinstance(selector, bool) and -len(names) <= selector < len(names):
            return selector % len(names)
        near = difflib.get_close_matches(selector, names, n=1) if isinstance(selector, str) else []
        raise MarkerError(
            message(
                self.where,
                f"{option} names no parameter",
                got=repr(selector),
                expected=f"one of {', '.join(names)}" if names else "nothing: the function takes no arguments",
                fix=f"write {near[0]!r}" if near else "name a parameter, or give its index in the signature",
            )
        )

    def locate(self, selector: Selector, option: str) -> tuple[int, Path]:
        """The position of one parameter and the path into it: `"model.layers[0].bias"`; mostly that is empty.

        Raises:
            MarkerError: If there is no such parameter, or if it is no path.
        """
        if not isinstance(selector, str) or selector in self.names or not set(selector) & set(".["):
            return self.index(selector, option), ()
        try:
            name, path = parse(selector)
        except ValueError as error:
            raise MarkerError(
                message(self.where, f"{option} names no parameter", got=str(error), fix="name a parameter or a path")
            ) from None
        return self.index(name, option), path

    def select(self, selectors: Iterable[Selector], option: str) -> tuple[int, ...]:
        """The positions of several parameters, in the order given."""
        return tuple(self.index(selector, option) for selector in selectors)

    def change(self, indices: Sequence[int], role: Role, *, replacing: tuple[Any, ...] = ()) -> Contract:
        """The contract with a role added to some parameters, and their roles of the markers `replacing` taken off."""
        parameters = list(self.parameters)
        for i in indices:
            parameters[i] = parameters[i].without(*replacing).adding(role)
        return dataclasses.replace(self, parameters=tuple(parameters))

    def returning(self, result: Result) -> Contract:
        """The contract with another result."""
        return dataclasses.replace(self, result=result)


def selectors(value: Selector | Sequence[Selector] | None) -> tuple[Selector, ...]:
    """An override as a tuple: `"n"`, `-1`, `["n", 2]` and `None` alike."""
    if value is None:
        return ()
    return (value,) if isinstance(value, (int, str)) else tuple(value)


def without_first(given: Sequence[Selector], names: Sequence[str]) -> tuple[Selector, ...] | None:
    """The same selectors for a signature without its first parameter, or `None` if one names that.

    Arguments:
        given: Selectors for the whole signature.
        names: The parameters of the whole signature.
    """
    starts = [re.split(r"[.\[]", s, maxsplit=1)[0] if isinstance(s, str) else s for s in given]
    if not names or any(start in (0, -len(names), names[0]) for start in starts):
        return None
    return tuple(s - 1 if isinstance(s, int) and s > 0 else s for s in given)


def read(callee: Callee, *, final: bool) -> Contract:
    """Read the contract of a function.

    Arguments:
        callee: The function, taken apart.
        final: Whether this is the last chance: at the first call a hint that cannot be read raises, before that it
            leaves the contract pending.

    Raises:
        MarkerError: For a marker that is contradictory, misplaced, or (if final) may hide in an unreadable hint.
    """
    names = Names(callee.annotated, holes=True)
    pending: str | None = None

    def hint_of(label: str, annotation: Any) -> Any:
        nonlocal pending
        if annotation is Signature.empty:
            return EMPTY
        try:
            return evaluate(annotation, names)
        except Unreadable as error:
            pending = f"the hint {annotation!r} of {label}: {error}"
            return EMPTY

    hints = [(p, hint_of(f"parameter {p.name}", p.annotation)) for p in callee.signature.parameters.values()]
    result = hint_of("the result", callee.signature.return_annotation)
    if pending is not None and final:
        raise MarkerError(
            message(
                callee.where,
                f"cannot read {pending}",
                because="it may hide a marker",
                fix="import the name at run time, or put the marker outside: NoDiff['Name']",
            )
        )
    parameters = tuple(_parameter(callee, parameter, hint) for parameter, hint in hints)
    is_checked = not callee.transformed and not getattr(callee.annotated, "__no_type_check__", False)
    return Contract(callee.where, callee.source, parameters, _result(callee, result), is_checked, pending)


def filled(contract: Contract, callee: Callee) -> Contract:
    """The contract with the hints read once more that named what was not there yet: `list["Later"]`.

    Markers have been read already; what still cannot be found stays open.
    """
    names = Names(callee.annotated, holes=True)

    def again(hint: Any, annotation: Any) -> Any:
        if not has_hole(hint):
            return hint
        try:
            return take_apart(evaluate(annotation, names))[0]
        except Unreadable:
            return hint

    signature = callee.signature
    parameters = tuple(
        dataclasses.replace(p, hint=again(p.hint, signature.parameters[p.name].annotation)) for p in contract
    )
    if not has_hole(contract.result.hint):
        return dataclasses.replace(contract, parameters=parameters)
    try:
        result = _result(callee, evaluate(signature.return_annotation, names))
    except Unreadable:
        result = contract.result
    return dataclasses.replace(contract, parameters=parameters, result=result)


# The checkers take the markers for `Annotated`; at run time they are markers.
_AUX: Any = Aux
_ON_PARAMETERS: tuple[Any, ...] = (Static, NoDiff, Diff, Donate)


def _parameter(callee: Callee, parameter: SignatureParameter, hint: Any) -> Parameter:
    label = f"parameter {parameter.name}"
    bare, markers = take_apart(hint)
    misplaced = _AUX if _AUX in markers else nested_marker(bare)
    if misplaced is not None:
        raise MarkerError(
            message(
                callee.where,
                f"{label} has the marker {misplaced!r} where it cannot be honoured",
                got=show(hint),
                fix="Aux belongs on a component of the returned tuple"
                if misplaced is _AUX
                else f"put it outside: {misplaced!r}[{_example(bare)}]",
            )
        )
    _check_called(callee, label, markers)
    roles = [Role(marker, f"marked {marker!r}") for marker in dict.fromkeys(markers)]
    read = Parameter(parameter.name, parameter.kind, parameter.default, bare, tuple(roles))
    if read.role(Static) is not None:
        pass
    elif (why := _why_static(read)) is not None:
        read = read.adding(Role(Static, why, inferred=True))
    elif read.role(Diff) is None and read.role(NoDiff) is None and (why := why_not_differentiable(bare)) is not None:
        read = read.adding(Role(NoDiff, why, inferred=True))
    _check_consistent(callee, read)
    return read


def _check_called(callee: Callee, label: str, markers: Sequence[Any]) -> None:
    """See that a marker that takes arguments has got them."""
    for marker in markers:
        if isinstance(marker, type):
            raise MarkerError(
                message(
                    callee.where,
                    f"{label} has the marker {marker.__name__} without its arguments",
                    got=f"the class {marker.__name__}",
                    fix="write Axis(0), Axis(None)" if marker is Axis else f"write {marker.__name__}(...)",
                )
            )


def _why_static(parameter: Parameter) -> str | None:
    if parameter.hint is not EMPTY and without_metadata(parameter.hint) is not Any:
        return why_static(parameter.hint)
    if parameter.default is SignatureParameter.empty:
        return None
    return why_static_value(parameter.default, "its default")


def _check_consistent(callee: Callee, parameter: Parameter) -> None:
    problem = contradiction([role.marker for role in parameter.roles])
    if problem is not None:
        what, markers, fix = problem
        is_whole = what.startswith("is both")
        got = [role.why if is_whole else repr(role.marker) for role in parameter.roles if role.marker in markers]
        raise MarkerError(message(callee.where, f"parameter {parameter.name} {what}", got=", ".join(got), fix=fix))
    if parameter.role(Donate) is not None:
        check_donated(callee.where, parameter)


def check_donated(where: str, parameter: Parameter, option: str | None = None) -> None:
    """See that a donated parameter has no array for a default.

    Arguments:
        where: The function, for the message.
        parameter: The parameter.
        option: The option that donates it, where it is not its marker.

    Raises:
        MarkerError: If it has.
    """
    says = (
        f"parameter {parameter.name} is Donate, but its"
        if option is None
        else f"{option} names {parameter.name}, whose"
    )

    if any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(parameter.default)):
        raise MarkerError(
            message(
                where,
                f"{says} default is an array",
                because="the first call that omits it deletes the default, and the second finds it gone",
                fix="drop the default or the marker, or default to None and make the array inside",
            )
        )


def _example(hint: Any) -> str:
    """The hint with the markers inside it taken off, for a message."""
    text = show(hint)
    for marker in (*_ON_PARAMETERS, Aux):
        text = text.replace(f", {marker!r}]", "]")
    return text.replace("Annotated[", "").replace("]]", "]") if "Annotated[" in text else text


def _result(callee: Callee, hint: Any) -> Result:
    bare, markers = take_apart(hint)
    if _AUX in markers:
        _misplaced(callee, Aux, hint)
    base = without_metadata(bare)
    parts = get_args(base) if get_origin(base) is tuple else ()
    if not parts or Ellipsis in parts:
        return _component(callee, hint)
    roles = _component(callee, hint, nested=False).roles
    return Result(bare, roles, tuple(_component(callee, part) for part in parts))


def _component(callee: Callee, hint: Any, *, nested: bool = True) -> Result:
    bare, markers = take_apart(hint)
    _check_called(callee, "the result", markers)
    wrong = [marker for marker in markers if marker in _ON_PARAMETERS]
    inside = nested_marker(bare) if nested else None
    if wrong or inside is not None:
        _misplaced(callee, wrong[0] if wrong else inside, hint)
    return Result(bare, tuple(Role(marker, f"marked {marker!r}") for marker in markers))


def _misplaced(callee: Callee, marker: Marker | Any, hint: Any) -> None:
    raise MarkerError(
        message(
            callee.where,
            f"the result has the marker {marker!r} where it cannot be honoured",
            got=show(hint),
            fix=f"{marker!r} belongs on a parameter"
            if marker in _ON_PARAMETERS
            else f"mark a component of the returned tuple: tuple[Array, Annotated[Array, {marker!r}]]",
        )
    )
