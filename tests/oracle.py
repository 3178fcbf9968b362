"""The oracle: drawn functions, calls and pipelines, and what plain JAX says about them.

Hypothesis draws a `Case`: the source of a function (`Function`, `Parameter`, `Hint`), transforms around it (`Step`),
the values of a call and several ways to spell it (`Spelling`). `agree` runs it through annotax. What must come out is
worked out from the drawn records alone: the call is flattened by hand to a list of leaves, one position each, and goes
to `jax.jit` and `jax.grad` with positional indices. Nothing here asks annotax what a marker means.

Everything is kept as source text, so that a failing case is shown as the script that fails. A new marker belongs into
`MARKERS`, a new kind of argument into `HINTS`; a new transform is a subclass of `Step`, its pipelines in `PIPELINES`.

Run it longer than the test suite does with `python -m tests.oracle --examples 5000`.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import random
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter as P
from typing import Annotated, Any, ClassVar, Literal

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key

import annotax

# --- values and hints ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """A way to write a value.

    Attributes:
        text: Source, in which `{x}` becomes a number and `{n}` a positive integer.
        constant: Whether the value compares and hashes by value, so that it may be marked static.
    """

    text: str
    constant: bool = False


@dataclass(frozen=True)
class Value:
    """One value. It is made anew for each call, since a call may donate it."""

    form: Form
    seed: int

    @property
    def text(self) -> str:
        return self.form.text.format(x=(self.seed * 37 % 100 + 5) / 100, n=self.seed + 1)

    def make(self) -> Any:
        return eval(self.text, NAMESPACE)

    def moved(self) -> Value:
        """Another value of the same form, of the same type, shape and structure."""
        return dataclasses.replace(self, seed=self.seed + 51)


@dataclass(frozen=True)
class Hint:
    """What may stand behind a parameter's colon, and what may be passed for it.

    Attributes:
        text: Source; empty for a parameter without a hint.
        forms: Ways to write its values.
        static: Whether its values can never be traced.
        differentiable: Whether its values may have a gradient, as far as the hint tells.
    """

    text: str
    forms: tuple[Form, ...]
    static: bool = False
    differentiable: bool = True

    @property
    def constants(self) -> tuple[Form, ...]:
        return tuple(form for form in self.forms if form.constant)


VECTOR = Form("jnp.array([{x}, 1.0, -{x}], jnp.float32)")
INTEGERS = Form("jnp.array([{n}, 2], jnp.int32)")

DIFFERENTIABLE = (
    Hint("Array", (VECTOR, Form("jnp.float32({x})"), Form("jnp.asarray({x})"), Form("jnp.array([{x}], jnp.float16)"))),
    Hint('Float[Array, "..."]', (VECTOR, Form("jnp.full((2, 2), {x}, jnp.float32)"))),
    Hint("float", (Form("{x}", constant=True), Form("jnp.asarray({x})"), Form("np.float32({x})"))),
    Hint(
        "dict[str, dict[str, Array]]",
        (
            Form("dict(out=dict(w=jnp.array([{x}, 0.5]), b=jnp.float32({x})), hidden=dict(w=jnp.array([[{x}]])))"),
            Form("dict(hidden=dict(w=jnp.array([{x}, 2.0]), steps=jnp.array([{n}, 3])))"),
        ),
    ),
)
"""Hints whose values mostly have a gradient; those of `HINTS` may have one, or none."""

HINTS = (
    *DIFFERENTIABLE,
    Hint("int", (Form("{n}", constant=True), Form("jnp.int32({n})")), differentiable=False),
    Hint("bool", (Form("{n} % 2 == 0", constant=True),), differentiable=False),
    Hint('Int[Array, "..."]', (INTEGERS,), differentiable=False),
    Hint("Array", (INTEGERS,)),
    Hint("np.ndarray", (Form("np.array([{x}, 0.5], np.float32)"),)),
    Hint('Key[Array, ""]', (Form("jax.random.key({n})"),), differentiable=False),
    Hint("tuple[Array, ...]", (Form("(jnp.array([{x}]), jnp.float32({x}))"), Form("()", constant=True))),
    Hint("float", (Form("{n}", constant=True),)),
    Hint("Array | None", (Form("None", constant=True), VECTOR)),
    Hint(
        "dict[str, Any]",
        (
            Form("dict(act='s{n}', w=jnp.array([{x}]), deep=[({x}, None), {n}], key=jax.random.key({n}))"),
            Form("dict(act=(jnp.sin, jnp.tanh)[{n} % 2], w=jnp.array([{x}]))"),
            Form("dict()"),
        ),
    ),
    Hint("str", (Form("'s{n}'", constant=True),), static=True),
    Hint("Literal['sum', 'mean', 1, 2]", (Form("('sum', 'mean', 1, 2)[{n} % 4]", constant=True),), static=True),
    Hint("Mode", (Form("list(Mode)[{n} % 2]", constant=True),), static=True),
    Hint(
        "Callable[[Any], Any]",
        (Form("(jnp.sin, jnp.tanh)[{n} % 2]", constant=True), Form("Partial(scaled, jnp.array({x}))")),
        static=True,
    ),
    Hint("", (VECTOR, Form("{x}", constant=True), Form("{n}", constant=True), Form("'s{n}'", constant=True))),
)

MARKERS: tuple[tuple[str, ...], ...] = (
    (),
    ("NoDiff",),
    ("Diff",),
    ("Donate",),
    ("Static",),
    ("NoDiff", "Donate"),
    ("Donate", "Diff"),
    ("Static", "NoDiff"),
    ("Diff", "Diff"),
)
"""Markers that do not contradict each other."""

CONTRADICTIONS = (("Static", "Donate"), ("Static", "Diff"), ("NoDiff", "Diff"))
"""Markers that do."""


class Mode(enum.Enum):
    """What an enum among the values is a member of."""

    SLOW = "slow"
    FAST = "fast"


def scaled(by: Any, x: Any) -> Any:
    """What a `Partial` among the values calls."""
    return by * x


def mix(*slots: Any) -> Any:
    """A scalar that depends on every leaf of every slot, in another way for each place, so that no two can be swapped.

    It is a product, so that each gradient depends on all the other slots.
    """
    product = jnp.tanh(0.8)
    for i, slot in enumerate(slots):
        total = 0.2 * i
        for j, leaf in enumerate(jax.tree.leaves(slot, is_leaf=callable)):
            factor = 0.3 + 0.11 * i + 0.07 * j
            if isinstance(leaf, (str, Mode)):
                total = total + factor * sum(map(ord, str(leaf)))
            elif callable(leaf):
                total = total + leaf(factor)
            else:
                is_key = jnp.issubdtype(getattr(leaf, "dtype", np.str_), jax.dtypes.prng_key)
                leaf = jax.random.key_data(leaf) if is_key else leaf
                total = total + jnp.sum(jnp.sin(factor * leaf + 0.1 * i))
        product = product * (1.5 + 0.4 * jnp.sin(total))
    return product


def echo(*slots: Any) -> list[jax.Array]:
    """Every array changed a little, so that there is something for a donated buffer to be reused for."""
    numbers = [leaf for leaf in jax.tree.leaves(slots) if jnp.issubdtype(getattr(leaf, "dtype", np.str_), np.number)]
    return [jnp.multiply(leaf, i + 2) for i, leaf in enumerate(numbers)]


NAMESPACE: dict[str, Any] = {
    "Annotated": Annotated,
    "Any": Any,
    "Array": jax.Array,
    "Callable": Callable,
    "Float": Float,
    "Int": Int,
    "Key": Key,
    "Literal": Literal,
    "Mode": Mode,
    "Partial": jax.tree_util.Partial,
    "annotax": annotax,
    "echo": echo,
    "jax": jax,
    "jnp": jnp,
    "mix": mix,
    "np": np,
    "scaled": scaled,
    **{name: getattr(annotax, name) for name in ("Aux", "Diff", "Donate", "NoDiff", "Static")},
}
"""What drawn sources can name; no parameter has one of these names."""

NAMES = ("a", "b", "args", "kwargs", "f", "call", "core", "slots", "error", "match", "_annotax_call", "übung", "self_")
KEYWORDS = ("k", "j", "class", "not a name", "value")


# --- functions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One parameter; `aliased` says how its markers are spelled, `Static[int]` or `Annotated[int, Static]`."""

    name: str
    kind: Any
    hint: Hint
    markers: tuple[str, ...] = ()
    default: Value | None = None
    aliased: bool = True

    @property
    def text(self) -> str:
        star = {P.VAR_POSITIONAL: "*", P.VAR_KEYWORD: "**"}.get(self.kind, "")
        colon = f": {self._hint}" if self._hint else ""
        return f"{star}{self.name}{colon}{'' if self.default is None else f' = {self.default.text}'}"

    @property
    def _hint(self) -> str:
        if not self.markers:
            return self.hint.text
        if not self.aliased:
            return f"Annotated[{self.hint.text or 'Any'}, 'a unit', {', '.join(self.markers)}]"
        if not self.hint.text and len(self.markers) == 1:
            return self.markers[0]
        return functools.reduce(lambda text, marker: f"{marker}[{text}]", self.markers, self.hint.text or "Any")

    @property
    def is_inferred_static(self) -> bool:
        """Whether its hint, or without one its default, tells that it can never be traced."""
        by_default = not self.hint.text and self.default is not None and not is_traceable(self.default.make())
        return self.hint.static or by_default

    @property
    def is_static(self) -> bool:
        return "Static" in self.markers or self.is_inferred_static

    @property
    def has_array_default(self) -> bool:
        leaves = [] if self.default is None else jax.tree.leaves(self.default.make())
        return any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves)

    @property
    def contradictions(self) -> list[tuple[str, ...]]:
        """The markers that cannot be honoured together (or one, if the default is what rules it out)."""
        roles = {*self.markers, *(["Static"] if self.is_static else [])}
        found: list[tuple[str, ...]] = [pair for pair in CONTRADICTIONS if roles.issuperset(pair)]
        return found + ([("Donate",)] if "Donate" in roles and self.has_array_default else [])


COMPONENTS = {
    "value": ("Array", "value"),
    "array": ("Aux[Array]", "jnp.sin({i} + 3 * value)"),
    "dict": ("Annotated[dict[str, Array], Aux]", "dict(m=jnp.cos({i} + value), n=2 * value)"),
    "echo": ("Aux[list[Array]]", "echo({names})"),
}
"""What a function may return: hint and source, in which `{i}` is the place and `{names}` the parameters."""


@dataclass(frozen=True)
class Returns:
    """What a function returns: the value, and auxiliary components around it.

    Attributes:
        components: Keys of `COMPONENTS`; all but the one `"value"` are auxiliary.
        hinted: Whether the function says so.
    """

    components: tuple[str, ...] = ("value",)
    hinted: bool = True

    @property
    def value(self) -> int:
        return self.components.index("value")

    @property
    def aux(self) -> tuple[int, ...]:
        return tuple(i for i, component in enumerate(self.components) if component != "value")

    @property
    def hint(self) -> str:
        hints = [COMPONENTS[component][0] for component in self.components]
        return "" if not self.hinted else f" -> tuple[{', '.join(hints)}]" if self.aux else f" -> {hints[0]}"

    def text(self, names: str) -> str:
        return ", ".join(COMPONENTS[part][1].format(i=i, names=names) for i, part in enumerate(self.components))


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
    def text(self) -> str:
        """Its source; a method's `self` is no parameter of ours."""
        declared: list[str] = {"bound": ["self"], "method": ["self: Static[Any]"]}.get(self.seat, [])[:]
        kinds = [parameter.kind for parameter in self.parameters]
        for i, parameter in enumerate(self.parameters):
            if parameter.kind is P.KEYWORD_ONLY and not {P.VAR_POSITIONAL, P.KEYWORD_ONLY} & set(kinds[:i]):
                declared.append("*")
            declared.append(parameter.text)
            if parameter.kind is P.POSITIONAL_ONLY and P.POSITIONAL_ONLY not in kinds[i + 1 :]:
                declared.append("/")
        names = ", ".join(parameter.name for parameter in self.parameters)
        scale = "self.scale * " if self.seat in ("bound", "method") else ""
        lines = [
            f"def drawn({', '.join(declared)}){self.returns.hint}:",
            f"    see({names})",
            f"    value = {scale}mix({names})",
            f"    return {self.returns.text(names)}",
        ]
        if self.seat != "function":
            lines += ["class Home:", "    scale = 0.7", "home = Home()"]
        return "\n".join((["from __future__ import annotations"] if self.postponed else []) + lines)

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

    def text(self, function: Function) -> str:
        indices = {
            "name": lambda slot: repr(function.parameters[slot].name),
            "index": lambda slot: str(slot + function.offset),
            "negative": lambda slot: str(slot - len(function.parameters)),
        }
        texts = [indices[how](slot) for slot, how in zip(self.slots, self.spelled, strict=True)]
        return texts[0] if self.bare else f"[{', '.join(texts)}]"


# --- calls -----------------------------------------------------------------------------------------------------------

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


class Leaves:
    """The hand-flattened call: every leaf of every slot has a position of its own."""

    def __init__(self, case: Case, slots: Sequence[Any]) -> None:
        flattened = [jax.tree.flatten(slot) for slot in slots]
        self.case = case
        self.values = [leaf for leaves, _ in flattened for leaf in leaves]
        self.owners = [i for i, (leaves, _) in enumerate(flattened) for _ in leaves]
        self.structures = [structure for _, structure in flattened]

    def of(self, slot: int) -> list[int]:
        """The positions of the leaves of a slot."""
        return [position for position, owner in enumerate(self.owners) if owner == slot]

    def join(self, slot: int, leaves: Mapping[int, Any] | Sequence[Any]) -> Any:
        """A slot with other leaves, given by position."""
        return self.structures[slot].unflatten([leaves[position] for position in self.of(slot)])

    def is_static(self, position: int) -> bool:
        leaf, owner = self.values[position], self.owners[position]
        by_hint = self.case.function.parameters[owner].hint.static and not isinstance(leaf, jax.Array)
        return owner in self.case.static or by_hint or not is_traceable(leaf)


def is_traceable(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, jax.Array, np.ndarray, np.generic))


def is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, float) or jnp.issubdtype(getattr(leaf, "dtype", np.str_), jnp.floating)


# --- transforms ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """An error that must be raised, when the function is decorated or when it is called, naming one of some names."""

    error: type[Exception]
    names: tuple[str, ...]


Flat = Callable[..., Any]
"""A function of leaves; its result is what the user gets."""


@dataclass(frozen=True)
class Step:
    """A transform of a pipeline with its overrides. A subclass says what it means in plain JAX."""

    name: ClassVar[str]

    def options(self, function: Function) -> dict[str, str]:
        """The options that annotax is given, as source."""
        return {}

    def static(self) -> tuple[int, ...]:
        """The slots that its options make static."""
        return ()

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        """What must be raised once the function is decorated."""
        return iter(())

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        """What must be raised once it is called."""
        return iter(())

    def plain(self, flat: Flat, leaves: Leaves) -> Flat:
        """The transformed function of leaves, by plain JAX."""
        raise NotImplementedError

    def text(self, function: Function) -> str:
        options = ", ".join(f"{name}={text}" for name, text in self.options(function).items())
        return f"annotax.{self.name}({options})" if options else f"annotax.{self.name}"


@dataclass(frozen=True)
class Jit(Step):
    """`jit`, with some parameters made static and others donated."""

    name: ClassVar[str] = "jit"

    makes_static: Selection | None = None
    donates: Selection | None = None

    def options(self, function: Function) -> dict[str, str]:
        given = {"static": self.makes_static, "donate": self.donates}
        return {name: selection.text(function) for name, selection in given.items() if selection is not None}

    def static(self) -> tuple[int, ...]:
        return self.makes_static.slots if self.makes_static is not None else ()

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        for slot in self.donates.slots if self.donates is not None else ():
            if case.is_static(slot):
                yield Refusal(annotax.MarkerError, case.function.names([slot]))

    def plain(self, flat: Flat, leaves: Leaves) -> Flat:
        case = leaves.case
        donated = {i for i, p in enumerate(case.function.parameters) if "Donate" in p.markers}
        if self.donates is not None:
            donated = {*donated, *self.donates.slots} if self.donates.slots else set()
        positions = range(len(leaves.values))
        return jax.jit(
            flat,
            static_argnums=[p for p in positions if leaves.is_static(p)],
            donate_argnums=[p for p in positions if leaves.owners[p] in donated and not leaves.is_static(p)],
        )


@dataclass(frozen=True)
class Grad(Step):
    """`grad`, with what is differentiated, and whether there is something auxiliary, maybe said by an override."""

    name: ClassVar[str] = "grad"

    wrt: Selection | None = None
    has_aux: bool = False

    def options(self, function: Function) -> dict[str, str]:
        wrt = {} if self.wrt is None else {"wrt": self.wrt.text(function)}
        return wrt | ({"has_aux": "True"} if self.has_aux else {})

    def chosen(self, case: Case) -> tuple[int, ...]:
        """The slots to differentiate, in the order of the gradient."""
        return self.wrt.slots if self.wrt is not None else self._marked(case) or self._not_excluded(case)

    def _marked(self, case: Case) -> tuple[int, ...]:
        parameters = enumerate(case.function.parameters)
        return tuple(i for i, p in parameters if "Diff" in p.markers and not case.is_static(i))

    def _not_excluded(self, case: Case) -> tuple[int, ...]:
        return tuple(
            i
            for i, p in enumerate(case.function.parameters)
            if not case.is_static(i) and "NoDiff" not in p.markers and p.hint.differentiable
        )

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        if not self.chosen(case):
            yield Refusal(annotax.MarkerError, (self.name,))
        for slot in self.chosen(case):
            if case.is_static(slot):
                yield Refusal(annotax.MarkerError, case.function.names([slot]))

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        chosen = self.chosen(case)
        has = {i: [is_differentiable(leaves.values[position]) for position in leaves.of(i)] for i in chosen}
        # Of an argument without leaves, such as an empty `*args`, the gradient is as empty, as in JAX.
        lacking = [i for i in chosen if has[i] and not any(has[i])]
        is_asked = self.wrt is not None or bool(self._marked(case))
        if lacking and (is_asked or not any(map(any, has.values()))):
            yield Refusal(annotax.DifferentiationError, case.function.names(lacking))

    def plain(self, flat: Flat, leaves: Leaves) -> Flat:
        returns, chosen = leaves.case.function.returns, self.chosen(leaves.case)
        moving = [p for i in chosen for p in leaves.of(i) if is_differentiable(leaves.values[p])]

        def value_and_rest(*values: Any) -> Any:
            returned = flat(*values)
            return (returned[returns.value], [returned[i] for i in returns.aux]) if returns.aux else (returned, [])

        def differentiated(*values: Any) -> Any:
            if moving:
                (value, rest), found = jax.value_and_grad(value_and_rest, moving, has_aux=True)(*values)
            else:
                (value, rest), found = value_and_rest(*values), ()
            by_position = dict.fromkeys(range(len(values))) | dict(zip(moving, found, strict=True))
            gradients = tuple(leaves.join(i, by_position) for i in chosen)
            is_bare = len(chosen) == 1 if self.wrt is None else self.wrt.bare
            return self.returned(value, rest, returns, gradients[0] if is_bare else gradients)

        return differentiated

    def returned(self, value: Any, rest: list[Any], returns: Returns, gradient: Any) -> Any:
        """What the user gets."""
        return (gradient, rest[0] if len(rest) == 1 else tuple(rest)) if rest else gradient


@dataclass(frozen=True)
class ValueAndGrad(Grad):
    """`value_and_grad`."""

    name: ClassVar[str] = "value_and_grad"

    def returned(self, value: Any, rest: list[Any], returns: Returns, gradient: Any) -> Any:
        if not rest:
            return value, gradient
        return (*rest[: returns.value], value, *rest[returns.value :]), gradient


# --- cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """A function, a pipeline, a call, and ways to write them.

    Attributes:
        function: What is decorated.
        steps: The transforms, the outermost first.
        stacked: For each of the two spellings, whether the pipeline is built by decorators one above the other.
        call: The values.
        spellings: Two that mean the same call, and one that leaves nothing out.
        restarts: Whether, at the end, the static values change too.
    """

    function: Function
    steps: tuple[Step, ...]
    stacked: tuple[bool, bool]
    call: Call
    spellings: tuple[Spelling, Spelling, Spelling]
    restarts: bool

    @functools.cached_property
    def static(self) -> frozenset[int]:
        """The slots that a marker or an override makes static."""
        return static_slots(self.function, self.steps)

    def is_static(self, slot: int) -> bool:
        return slot in self.static or self.function.parameters[slot].is_inferred_static

    @property
    def compiles(self) -> bool:
        return any(isinstance(step, Jit) for step in self.steps)

    def decoration(self, stacked: bool) -> str:
        """How the function is decorated, as source."""
        text = {"function": "drawn", "staticmethod": "staticmethod(drawn)", "bound": "home.drawn", "method": "drawn"}
        function, steps = text[self.function.seat], [step.text(self.function) for step in self.steps]
        if not stacked:
            return f"annotax.transform({', '.join(steps)})({function})"
        return functools.reduce(lambda inner, step: f"{step}({inner})", reversed(steps), function)

    def moved(self, *, static: bool) -> Call:
        """Another call: other traced values, or other static values."""

        def change(slot: int, value: Value) -> Value:
            is_static = self.is_static(slot) or not all(map(is_traceable, jax.tree.leaves(value.make())))
            return value.moved() if is_static == static else value

        return tuple(each(entry, functools.partial(change, i)) for i, entry in enumerate(self.call))

    @property
    def script(self) -> str:
        """The case as a script."""
        first, second, whole = self.spellings
        classes, objects = ("Home.", "home.") if self.function.seat in ("staticmethod", "method") else ("", "")
        lines = [
            self.function.text,
            *(["Home.drawn = drawn"] if self.function.seat == "bound" else []),
            f"{classes}one = {self.decoration(self.stacked[0])}",
            f"{objects}one({first.text(self.function, self.call)})",
            f"{classes}two = {self.decoration(self.stacked[1])}",
            f"{objects}two({second.text(self.function, self.call)})",
            f"{objects}two({whole.text(self.function, self.moved(static=False))})",
        ]
        if self.restarts:
            lines.append(f"{objects}two({whole.text(self.function, self.moved(static=True))})")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Tell Hypothesis to show the script, not the records."""
        printer.text(f"\n\n{self.script}\n\n")


def static_slots(function: Function, steps: Sequence[Step]) -> frozenset[int]:
    """The slots that a marker or an override makes static; an override speaks to the whole pipeline."""
    marked = (i for i, parameter in enumerate(function.parameters) if "Static" in parameter.markers)
    return frozenset((*marked, *(slot for step in steps for slot in step.static())))


class Home:
    """A case's function, brought to life, with a log of what its body was given."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.seen: list[list[str]] = []
        self.namespace = {**NAMESPACE, "see": lambda *slots: self.seen.append(described(slots))}
        source = compile(case.function.text, "<drawn>", "exec", dont_inherit=True)
        exec(source, self.namespace)
        if case.function.seat == "bound":
            self.namespace["Home"].drawn = self.namespace["drawn"]

    def decorated(self, stacked: bool) -> Callable[..., Any]:
        """The function under annotax."""
        made = eval(self.case.decoration(stacked), self.namespace)
        if self.case.function.seat not in ("staticmethod", "method"):
            return made
        name = "stacked" if stacked else "transformed"
        setattr(self.namespace["Home"], name, made)
        return getattr(self.namespace["home"], name)

    @property
    def undecorated(self) -> Callable[..., Any]:
        function = self.namespace["drawn"]
        has_self = self.case.function.seat in ("bound", "method")
        return types.MethodType(function, self.namespace["home"]) if has_self else function


def described(value: Any) -> list[str]:
    """Each leaf of a value: where it is, what it is, and what it is to JAX, but not its numbers."""
    return [f"{jax.tree_util.keystr(path)}: {_described(leaf)}" for path, leaf in jax.tree.leaves_with_path(value)]


def _described(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return f"{type(leaf).__name__} {leaf if isinstance(leaf, str) else ''}"
    weak = " weak" if getattr(leaf, "weak_type", False) else ""
    return f"{type(leaf).__name__} {leaf.dtype}{list(leaf.shape)}{weak}"


# --- strategies ------------------------------------------------------------------------------------------------------


def now_and_then(draw: Any, often: int) -> bool:
    """True in one of so many cases; shrinks to false."""
    return draw(st.integers(0, often - 1)) == often - 1


@st.composite
def values(draw: Any, forms: Sequence[Form], offset: int) -> Value:
    """A value of one of some forms, with numbers that no other slot has."""
    return Value(draw(st.sampled_from(forms)), offset + draw(st.integers(0, 2)))


@st.composite
def parameters(draw: Any, name: str, kind: Any, index: int, must_default: bool, hints: Sequence[Hint]) -> Parameter:
    """A parameter that does not contradict itself."""
    hint = draw(st.sampled_from(hints))
    markers = draw(st.sampled_from(MARKERS)) if draw(st.booleans()) else ()
    if "Static" in markers and not hint.constants and not now_and_then(draw, 8):
        markers = ()
    default = None
    if kind not in (P.VAR_POSITIONAL, P.VAR_KEYWORD) and (must_default or draw(st.booleans())):
        forms = (hint.constants if "Static" in markers else ()) or hint.forms
        default = draw(values(forms, 3 * index))
    parameter = Parameter(name, kind, hint, markers, default, draw(st.booleans()))
    if parameter.contradictions:
        kept = tuple(marker for marker in markers if marker not in ("Diff", "Donate"))
        parameter = dataclasses.replace(parameter, markers=kept)
    return parameter


@st.composite
def functions(draw: Any) -> Function:
    """A function with up to eight parameters."""
    counts = [(P.POSITIONAL_ONLY, 2), (P.POSITIONAL_OR_KEYWORD, 2), (P.VAR_POSITIONAL, 1), (P.KEYWORD_ONLY, 2),
              (P.VAR_KEYWORD, 1)]  # fmt: skip
    kinds = [kind for kind, most in counts for _ in range(draw(st.integers(0, most)))] or [P.POSITIONAL_OR_KEYWORD]
    names = draw(st.permutations(NAMES))
    drawn: list[Parameter] = []
    sure = draw(st.integers(0, len(kinds) - 1))  # this one likely has a gradient
    for i, kind in enumerate(kinds):
        must_default = kind is not P.KEYWORD_ONLY and any(parameter.default is not None for parameter in drawn)
        drawn.append(draw(parameters(names[i], kind, i, must_default, DIFFERENTIABLE if i == sure else HINTS)))
    components = ["value", *draw(st.lists(st.sampled_from(["array", "dict", "echo"]), max_size=2))]
    hinted = len(components) > 2 or draw(st.booleans())
    if hinted:
        components = draw(st.permutations(components))
    seat = draw(st.sampled_from(SEATS))
    return Function(tuple(drawn), Returns(tuple(components), hinted), seat, draw(st.booleans()))


@st.composite
def selections(draw: Any, slots: Sequence[int], *, least: int = 0) -> Selection:
    """An override that names some of these slots, in any order and spelling."""
    chosen = tuple(draw(st.lists(st.sampled_from(slots), unique=True, min_size=least, max_size=3)))
    spelled = tuple(draw(st.sampled_from(["name", "index", "negative"])) for _ in chosen)
    return Selection(chosen, spelled, len(chosen) == 1 and draw(st.booleans()))


@st.composite
def jits(draw: Any, function: Function) -> Jit:
    """`jit` with or without overrides."""
    numbered = list(enumerate(function.parameters))
    can_be_static = [i for i, p in numbered if p.hint.constants and (p.default is None or p.default.form.constant)]
    can_be_donated = [i for i, p in numbered if not p.has_array_default and not p.is_static]
    if not can_be_donated or now_and_then(draw, 8):
        can_be_donated = [i for i, p in numbered if not p.has_array_default]
    static = draw(selections(can_be_static)) if can_be_static and now_and_then(draw, 4) else None
    donated = draw(selections(can_be_donated)) if can_be_donated and now_and_then(draw, 3) else None
    return Jit(static, donated)


@st.composite
def grads(draw: Any, function: Function, kind: type[Grad]) -> Grad:
    """`grad` or `value_and_grad` with or without overrides."""
    wrt = None
    if now_and_then(draw, 3):
        slots = [i for i, p in enumerate(function.parameters) if p.hint in DIFFERENTIABLE and not p.is_static]
        if not slots or now_and_then(draw, 6):
            slots = range(len(function.parameters))
        wrt = draw(selections(slots, least=1))
    returns = function.returns
    is_pair = returns.components[0] == "value" and len(returns.components) == 2
    return kind(wrt, has_aux=bool(returns.aux) and (not returns.hinted or (is_pair and now_and_then(draw, 3))))


PIPELINES: tuple[tuple[type[Any], ...], ...] = (
    (Jit,),
    (Grad,),
    (ValueAndGrad,),
    (Jit, Grad),
    (Jit, ValueAndGrad),
    (Grad, Jit),
    (ValueAndGrad, Jit),
    (Jit, ValueAndGrad, Jit),
    (Jit, Jit),
)
"""What is put around a function, the outermost first."""


@st.composite
def pipelines(draw: Any, function: Function, kinds: Sequence[type[Step]]) -> tuple[Step, ...]:
    """A pipeline for a function, with or without overrides."""
    return tuple(draw(jits(function) if kind is Jit else grads(function, kind)) for kind in kinds)


@st.composite
def calls(draw: Any, function: Function, static: frozenset[int]) -> Call:
    """The values of a call."""
    call: list[Any] = []
    taken = {p.name for p in function.parameters if p.kind in (P.POSITIONAL_OR_KEYWORD, P.KEYWORD_ONLY)}
    # A name of `**kwargs` may be that of a parameter that cannot be passed by keyword.
    names = [name for name in (*KEYWORDS, *function.names(range(len(function.parameters)))) if name not in taken]
    for i, parameter in enumerate(function.parameters):
        forms = (parameter.hint.constants if i in static else ()) or parameter.hint.forms
        if parameter.kind is P.VAR_POSITIONAL:
            call.append(tuple(draw(values(forms, 3 * i + 24 * j)) for j in range(draw(st.integers(0, 2)))))
        elif parameter.kind is P.VAR_KEYWORD:
            keys = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
            call.append({key: draw(values(forms, 3 * i + 24 * j)) for j, key in enumerate(keys)})
        else:
            omit = parameter.default is not None and draw(st.booleans())
            call.append(parameter.default if omit else draw(values(forms, 3 * i)))
    return tuple(call)


@st.composite
def spellings(draw: Any, function: Function, call: Call, *, whole: bool = False) -> Spelling:
    """One way to write a call; `whole` to leave no default out."""
    kinds = [parameter.kind for parameter in function.parameters]
    by_position = [i for i, kind in enumerate(kinds) if kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)]
    only = kinds.count(P.POSITIONAL_ONLY)
    followed = any(kind is P.VAR_POSITIONAL and call[i] for i, kind in enumerate(kinds))

    def can_omit(i: int) -> bool:
        return not whole and call[i] == function.parameters[i].default

    if followed:
        positional = len(by_position)
    else:
        least = only
        while least and can_omit(least - 1):
            least -= 1
        positional = draw(st.integers(least, len(by_position)))
    keywords: list[tuple[int, str | None]] = []
    for i, kind in enumerate(kinds):
        if kind is P.KEYWORD_ONLY or (kind is P.POSITIONAL_OR_KEYWORD and i >= positional):
            keywords += [] if can_omit(i) and draw(st.booleans()) else [(i, None)]
        elif kind is P.VAR_KEYWORD:
            keywords += [(i, name) for name in call[i]]
    return Spelling(positional, tuple(draw(st.permutations(keywords))))


@st.composite
def cases(draw: Any, kinds: Sequence[type[Step]]) -> Case:
    """A function, a pipeline of these transforms, a call, and ways to write them."""
    function = draw(functions())
    pipeline = draw(pipelines(function, kinds))
    call = draw(calls(function, static_slots(function, pipeline)))
    first, second, whole = (draw(spellings(function, call, whole=whole)) for whole in (False, False, True))
    stacked = (draw(st.booleans()), draw(st.booleans()))
    return Case(function, pipeline, stacked, call, (first, second, whole), draw(st.booleans()))


@st.composite
def contradictions(draw: Any) -> Case:
    """A case of which one parameter cannot be honoured."""
    case = draw(st.sampled_from(PIPELINES).flatmap(cases))
    index = draw(st.integers(0, len(case.function.parameters) - 1))
    parameter = case.function.parameters[index]
    clashing = [
        changed
        for markers in (*CONTRADICTIONS, ("Diff",), ("Donate",))
        for order in (markers, markers[::-1])
        for more in ((), ("NoDiff",))
        if (changed := dataclasses.replace(parameter, markers=(*more, *order))).contradictions
    ]
    changed = draw(st.sampled_from(clashing))
    changed_parameters = (*case.function.parameters[:index], changed, *case.function.parameters[index + 1 :])
    return dataclasses.replace(case, function=dataclasses.replace(case.function, parameters=changed_parameters))


# --- agreement -------------------------------------------------------------------------------------------------------

TALLY: Counter[str] = Counter()
"""What kinds of cases were run."""


class Mismatch(AssertionError):
    """annotax and plain JAX disagree."""


def agree(case: Case) -> None:
    """Run a case through annotax and through plain JAX.

    Raises:
        Mismatch: Where they disagree, or where something is not raised that must be.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
        _agree(case)


def _agree(case: Case) -> None:
    home = Home(case)
    refused = [refusal for step in case.steps for refusal in step.refused_at_decoration(case)]
    if refused:
        _count(case, "refused at decoration")
        for stacked in set(case.stacked):
            _raises(refused, lambda stacked=stacked: home.decorated(stacked))
        return
    one, two = (home.decorated(stacked) for stacked in case.stacked)
    first, second, whole = case.spellings
    made = _made(case.call)
    leaves = Leaves(case, made)
    refused = [*_static_refusals(case), *(r for step in case.steps for r in step.refused_at_call(case, leaves))]
    if refused:
        _count(case, "refused at the call")
        for function, spelling in ((one, first), (two, second)):
            args, kwargs = spelling.place(case.function, _made(case.call))
            _raises(refused, lambda function=function, args=args, kwargs=kwargs: function(*args, **kwargs))
        return
    _count(case, "ran")
    oracle = Home(case)
    flat = _plain(case, oracle, leaves)
    calls = [("first spelling", one, first, case.call), ("second spelling", two, second, case.call)]
    calls.append(("other values", two, whole, case.moved(static=False)))
    if case.restarts:
        calls.append(("other static values", two, whole, case.moved(static=True)))
    for title, function, spelling, call in calls:
        slots, plain = _made(call), Leaves(case, _made(call))
        args, kwargs = spelling.place(case.function, slots)
        got, expected = function(*args, **kwargs), flat(*plain.values)
        _same(f"the result of the {title}", expected, got, coarse="float16" in str(described(plain.values)))
        _equal(f"the arguments that the {title} deletes", _deleted(plain.values), _deleted(jax.tree.leaves(slots)))
        _equal(f"what the body is given by the {title}", oracle.seen, home.seen)
        if title == "second spelling":
            _equal("the runs of the body for two spellings", 1 if case.compiles else 2, len(home.seen))


def _count(case: Case, outcome: str) -> None:
    TALLY[outcome] += 1
    TALLY[f"  {outcome}: {' '.join(step.name for step in case.steps)}"] += 1


def _made(call: Call) -> list[Any]:
    return [each(entry, Value.make) for entry in call]


def _plain(case: Case, oracle: Home, leaves: Leaves) -> Flat:
    """The case in plain JAX: a function of leaves."""

    def flat(*values: Any) -> Any:
        slots = [leaves.join(i, values) for i in range(len(case.function.parameters))]
        args, kwargs = canonical(case.function, slots)
        return oracle.undecorated(*args, **kwargs)

    return functools.reduce(lambda inner, step: step.plain(inner, leaves), reversed(case.steps), flat)


def _static_refusals(case: Case) -> Iterator[Refusal]:
    for slot in sorted(case.static):
        constant: list[bool] = []
        each(case.call[slot], lambda value, constant=constant: constant.append(value.form.constant))
        if not all(constant):
            yield Refusal(annotax.StaticValueError, case.function.names([slot]))


def _raises(refused: Sequence[Refusal], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except annotax.AnnotaxError as error:
        if not any(isinstance(error, refusal.error) and _names(error, refusal) for refusal in refused):
            raise Mismatch(f"expected {refused}, got {type(error).__name__}: {error}") from error
    else:
        raise Mismatch(f"expected {refused}, but nothing was raised, and it returned {result}")


def _names(error: Exception, refusal: Refusal) -> bool:
    return any(name in str(error) for name in refusal.names)


def _deleted(leaves: Sequence[Any]) -> list[bool]:
    return [isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves]


def _equal(what: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise Mismatch(f"{what}:\n  expected  {expected}\n  got       {got}")


def _same(what: str, expected: Any, got: Any, *, coarse: bool) -> None:
    """Structure, types, dtypes, shapes, weak types, and numbers: coarse ones where a half is among the arguments."""
    _equal(f"{what}, structure", jax.tree.structure(expected), jax.tree.structure(got))
    _equal(f"{what}, types", described(expected), described(got))
    for (path, wanted), given in zip(jax.tree.leaves_with_path(expected), jax.tree.leaves(got), strict=True):
        tolerance = 1e-2 if coarse else 1e-4
        if not np.allclose(wanted, given, rtol=tolerance, atol=tolerance / 10):
            raise Mismatch(f"{what}{jax.tree_util.keystr(path)}:\n  expected  {wanted}\n  got       {given}")


def contradict(case: Case) -> None:
    """Decorate a function of which one parameter cannot be honoured.

    Raises:
        Mismatch: If annotax does not say so, naming function, parameter and markers.
    """
    TALLY["contradictory"] += 1
    (parameter,) = (p for p in case.function.parameters if p.contradictions)
    try:
        Home(case).decorated(case.stacked[0])
    except annotax.MarkerError as error:
        wanted = [("drawn()", f"parameter {parameter.name} ", *markers) for markers in parameter.contradictions]
        if not any(all(word in str(error) for word in words) for words in wanted):
            raise Mismatch(f"expected one of {wanted} in: {error}") from error
    else:
        raise Mismatch(f"nothing was raised for parameter {parameter.text}")


# --- the command line ------------------------------------------------------------------------------------------------


def explore(strategy: st.SearchStrategy[Case], check: Callable[[Case], None], *, examples: int, seed: int) -> None:
    """Check drawn cases, the same ones for the same seed; the first that fails is shrunk, shown and raised."""
    settings = hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
    )

    @hypothesis.seed(seed)
    @settings
    @hypothesis.given(strategy)
    def explored(case: Case) -> None:
        check(case)

    explored()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run many cases, and print how many of which kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description="Compare annotax with plain JAX.")
    parser.add_argument("--examples", type=int, default=2000, help="how many cases to run")
    parser.add_argument("--seed", type=int, default=None, help="where to start; drawn if left out, and printed")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    warnings.simplefilter("error")  # as in the test suite
    share = max(1, given.examples // (len(PIPELINES) + 1))
    explore(contradictions(), contradict, examples=share, seed=seed)
    for i, kinds in enumerate(PIPELINES):
        explore(cases(kinds), agree, examples=share, seed=seed + i)
    for outcome, count in sorted(TALLY.items()):
        print(f"{count:>6}  {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
