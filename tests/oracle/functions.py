"""Functions as records: parameters, what they return, where they stand, and how a call of them is spelled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter as P
from typing import Any

import jax

from annotax import Axis
from tests.oracle.values import CONTRADICTIONS, NAMESPACE, Hint, Value, holds_arrays, is_traceable


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: Its name.
        kind: Its kind, of `inspect.Parameter`.
        hint: What stands behind the colon.
        markers: The markers without arguments.
        default: Its default.
        aliased: How markers are spelled, `Static[int]` or `Annotated[int, Static]`.
        axes: Its `Axis` markers.
        layout: Its `PartitionSpec`, as source.
    """

    name: str
    kind: Any
    hint: Hint
    markers: tuple[str, ...] = ()
    default: Value | None = None
    aliased: bool = True
    axes: tuple[Axis, ...] = ()
    layout: str | None = None

    @property
    def text(self) -> str:
        star = {P.VAR_POSITIONAL: "*", P.VAR_KEYWORD: "**"}.get(self.kind, "")
        colon = f": {self._hint}" if self._hint else ""
        return f"{star}{self.name}{colon}{'' if self.default is None else f' = {self.default.text}'}"

    @property
    def _hint(self) -> str:
        with_arguments = [*map(repr, self.axes), *([self.layout] if self.layout else [])]
        if not self.markers and not with_arguments:
            return self.hint.text
        if not self.aliased:
            return f"Annotated[{self.hint.text or 'Any'}, 'a unit', {', '.join([*self.markers, *with_arguments])}]"
        if not self.hint.text and len(self.markers) == 1 and not with_arguments:
            return self.markers[0]
        inside = self.hint.text or "Any"
        if with_arguments:
            inside = f"Annotated[{inside}, {', '.join(with_arguments)}]"
        return functools.reduce(lambda text, marker: f"{marker}[{text}]", self.markers, inside)

    @property
    def is_inferred_static(self) -> bool:
        """Whether its hint, or without one its default, tells that it can never be traced."""
        with jax.ensure_compile_time_eval():  # this is asked while tracing, too
            by_default = not self.hint.text and self.default is not None and not is_traceable(self.default.make())
        return self.hint.static or by_default

    @property
    def is_static(self) -> bool:
        return "Static" in self.markers or self.is_inferred_static

    @property
    def has_array_default(self) -> bool:
        return self.default is not None and holds_arrays(self.default.make())

    @property
    def contradictions(self) -> list[tuple[str, ...]]:
        """The markers that cannot be honoured together (or one, if the default is what rules it out)."""
        roles = {*self.markers, *(["Static"] if self.is_static else [])}
        roles |= {*(["Axis"] if self.axes else []), *(["data"] if self.layout else [])}
        found: list[tuple[str, ...]] = [pair for pair in CONTRADICTIONS if roles.issuperset(pair)]
        return found + ([("Donate",)] if "Donate" in roles and self.has_array_default else [])


@dataclass(frozen=True)
class Component:
    """Something that a function may return.

    Attributes:
        hint: Its hint.
        text: Source, in which `{i}` is the place and `{names}` the parameters.
        rank: The rank of its arrays, where they have one.
    """

    hint: str
    text: str
    rank: int | None = 0


COMPONENTS = {
    "value": Component("Array", "value"),
    "array": Component("Array", "jnp.sin({i} + 3 * value)"),
    "dict": Component("dict[str, Array]", "dict(m=jnp.cos({i} + value), n=2 * value)"),
    "row": Component("Array", "value * jnp.arange(1.0, 5.0 + 2 * {i})", rank=1),
    "echo": Component("list[Array]", "echo({names})", rank=None),
}
"""What a function may return; all but the value are auxiliary."""


@dataclass(frozen=True)
class Returns:
    """What a function returns: the value, and auxiliary components around it.

    Attributes:
        components: Keys of `COMPONENTS`; all but the one `"value"` are auxiliary.
        hinted: Whether the function says so.
        axes: For each component its `Axis` markers.
        layouts: For each component its `PartitionSpec`, as source.
    """

    components: tuple[str, ...] = ("value",)
    hinted: bool = True
    axes: tuple[tuple[Axis, ...], ...] = ((),)
    layouts: tuple[str | None, ...] = (None,)

    @property
    def value(self) -> int:
        return self.components.index("value")

    @property
    def aux(self) -> tuple[int, ...]:
        return tuple(i for i, component in enumerate(self.components) if component != "value")

    def layout(self, i: int | None) -> Any:
        """The `PartitionSpec` of a component, or `None`; `None` stands for a derivative."""
        text = self.layouts[i] if i is not None and self.hinted else None
        return None if text is None else eval(text, NAMESPACE)

    @property
    def hint(self) -> str:
        hints = [self._hint(i) for i in range(len(self.components))]
        return "" if not self.hinted else f" -> tuple[{', '.join(hints)}]" if self.aux else f" -> {hints[0]}"

    def _hint(self, i: int) -> str:
        hint = COMPONENTS[self.components[i]].hint
        markers = [*(["Aux"] if i in self.aux else []), *map(repr, self.axes[i])]
        markers += [] if self.layouts[i] is None else [self.layouts[i]]
        if markers == ["Aux"] and hint == "Array":
            return "Aux[Array]"
        return f"Annotated[{hint}, {', '.join(markers)}]" if markers else hint

    def text(self, names: str) -> str:
        return ", ".join(COMPONENTS[part].text.format(i=i, names=names) for i, part in enumerate(self.components))


SEATS = ("function", "staticmethod", "bound", "method")
"""Where a function stands: alone, in a class as a static method, as the method of an object that is decorated, or as a
method that is decorated in its class with a static `self`."""


@dataclass(frozen=True)
class Function:
    """A function; `postponed` says that its hints are strings."""

    parameters: tuple[Parameter, ...]
    returns: Returns = Returns()
    seat: str = "function"
    postponed: bool = False

    @property
    def declared(self) -> str:
        """What annotax sees between the brackets of its `def`; a method's `self` is no parameter of ours."""
        declared = ["self: Static[Any]"] if self.seat == "method" else []
        kinds = [parameter.kind for parameter in self.parameters]
        for i, parameter in enumerate(self.parameters):
            if parameter.kind is P.KEYWORD_ONLY and not {P.VAR_POSITIONAL, P.KEYWORD_ONLY} & set(kinds[:i]):
                declared.append("*")
            declared.append(parameter.text)
            if parameter.kind is P.POSITIONAL_ONLY and P.POSITIONAL_ONLY not in kinds[i + 1 :]:
                declared.append("/")
        return ", ".join(declared)

    @property
    def text(self) -> str:
        """Its source."""
        names = ", ".join(parameter.name for parameter in self.parameters)
        scale = "self.scale * " if self.seat in ("bound", "method") else ""
        lines = [
            f"def drawn({'self, ' if self.seat == 'bound' else ''}{self.declared}){self.returns.hint}:",
            f"    see({names})",
            f"    value = {scale}mix({names})",
            f"    return {self.returns.text(names)}",
        ]
        if self.seat != "function":
            lines += ["class Home:", "    scale = 0.7", "home = Home()"]
        return "\n".join((["from __future__ import annotations"] if self.postponed else []) + lines)

    @property
    def call(self) -> str:
        """The source of a call of it where its parameters are names."""
        passed = {P.VAR_POSITIONAL: "*{0}", P.KEYWORD_ONLY: "{0}={0}", P.VAR_KEYWORD: "**{0}"}
        arguments = [passed.get(parameter.kind, "{0}").format(parameter.name) for parameter in self.parameters]
        first = {"bound": ["home"], "method": ["self"]}.get(self.seat, [])
        return f"drawn({', '.join([*first, *arguments])})"

    def names(self, slots: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.parameters[i].name for i in slots)

    @property
    def offset(self) -> int:
        """How many parameters stand before ours in the signature that annotax sees."""
        return int(self.seat == "method")


@dataclass(frozen=True)
class Selection:
    """An override: some slots, each spelled by name, index, or negative index."""

    slots: tuple[int, ...]
    spelled: tuple[str, ...] = ()
    bare: bool = False

    def texts(self, function: Function) -> list[str]:
        indices = {
            "name": lambda slot: repr(function.parameters[slot].name),
            "index": lambda slot: str(slot + function.offset),
            "negative": lambda slot: str(slot - len(function.parameters)),
        }
        return [indices[how](slot) for slot, how in zip(self.slots, self.spelled, strict=True)]

    def text(self, function: Function) -> str:
        texts = self.texts(function)
        return texts[0] if self.bare else f"[{', '.join(texts)}]"


NOTHING = Selection(())
"""An override that names nothing."""

Call = tuple[Any, ...]
"""One entry a parameter: a `Value`, a tuple of them for `*args`, a dict of them for `**kwargs`."""


def each(slot: Any, change: Callable[[Value], Any]) -> Any:
    """One entry of a call with its values changed."""
    if isinstance(slot, dict):
        return {name: change(value) for name, value in slot.items()}
    return tuple(map(change, slot)) if isinstance(slot, tuple) else change(slot)


@dataclass(frozen=True)
class Spelling:
    """One way to write a call.

    Attributes:
        positional: How many parameters are passed by position.
        keywords: What is passed by keyword, in this order: a parameter, and a name if it is `**kwargs`.
    """

    positional: int
    keywords: tuple[tuple[int, str | None], ...]

    def place(self, function: Function, call: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call as Python takes them."""
        positional: list[Any] = list(call[: self.positional])
        for parameter, entry in zip(function.parameters, call, strict=True):
            if parameter.kind is P.VAR_POSITIONAL:
                positional += entry
        keywords = {
            function.parameters[i].name if name is None else name: call[i] if name is None else call[i][name]
            for i, name in self.keywords
        }
        return positional, keywords

    def omitted(self, function: Function) -> list[int]:
        """The parameters that are left out."""
        passed = {*range(self.positional), *(i for i, _ in self.keywords)}
        stars = (P.VAR_POSITIONAL, P.VAR_KEYWORD)
        return [i for i, p in enumerate(function.parameters) if i not in passed and p.kind not in stars]

    def text(self, function: Function, call: Call) -> str:
        positional, keywords = self.place(function, call)
        named = [f"{name!r}: {value.text}" for name, value in keywords.items()]
        return ", ".join([value.text for value in positional] + ([f"**{{{', '.join(named)}}}"] if named else []))


def canonical(function: Function, slots: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of the spelling that leaves nothing out and uses positions wherever it can."""
    kinds = [parameter.kind for parameter in function.parameters]
    named = tuple((i, None) for i, kind in enumerate(kinds) if kind is P.KEYWORD_ONLY)
    loose = tuple((i, name) for i, kind in enumerate(kinds) if kind is P.VAR_KEYWORD for name in slots[i])
    positional = sum(kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return Spelling(positional, named + loose).place(function, slots)
