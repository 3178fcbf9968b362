"""Cases: a function, a pipeline, a call, and ways to write them."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from tests.oracle.derivatives import RULES
from tests.oracle.functions import Call, Function, Spelling, each
from tests.oracle.steps import Called, Jit, Step, Way
from tests.oracle.values import NAMESPACE, Value, described, is_traceable


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
    def mesh(self) -> str | None:
        """The name of the mesh on which a `jit` lays out what its hints say."""
        return next((step.mesh for step in self.steps if isinstance(step, Jit)), None)

    @property
    def keeps_trace(self) -> bool:
        """Whether a second call like the first does not run the body."""
        return any(step.keeps_trace for step in self.steps)

    @property
    def way(self) -> Way:
        """How the decorated function is called."""
        return self.steps[0] if isinstance(self.steps[0], Way) else Called()

    @property
    def setter(self) -> str:
        """The source that sets the rules of its transforms, to stand behind the decorated function."""
        return "".join(step.setter for step in self.steps)

    @property
    def source(self) -> str:
        """The function, and what the rules of its transforms need."""
        return "\n".join([self.function.text, *(line for step in self.steps for line in step.definitions(self))])

    def decoration(self, stacked: bool) -> str:
        """How the function is decorated, as source."""
        text = {"function": "drawn", "staticmethod": "staticmethod(drawn)", "bound": "home.drawn", "method": "drawn"}
        function = text[self.function.seat]
        steps = [step.text(self.function) for step in self.steps if not isinstance(step, Way)]
        if not steps:
            return function
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
        classes, objects = ("Home.", "home.") if self.function.seat in ("staticmethod", "method") else ("", "")

        def call(name: str, spelling: Spelling, call: Call) -> str:
            return self.way.script(f"{objects}{name}", spelling.text(self.function, call))

        first, second, whole = self.spellings
        lines = [self.source, *(["Home.drawn = drawn"] if self.function.seat == "bound" else [])]
        for name, stacked in zip(("one", "two"), self.stacked, strict=True):
            lines.append(f"{classes}{name} = {self.decoration(stacked)}")
            lines += [f"{classes}{name}{self.setter}"] if self.setter else []
        lines += [
            call("one", first, self.call),
            call("two", second, self.call),
            call("two", whole, self.moved(static=False)),
        ]
        if self.restarts:
            lines.append(call("two", whole, self.moved(static=True)))
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
        self.namespace = {**NAMESPACE, **RULES, "see": self._see}
        exec(compile(case.source, "<drawn>", "exec", dont_inherit=True), self.namespace)
        if case.function.seat == "bound":
            self.namespace["Home"].drawn = self.namespace["drawn"]

    def decorated(self, stacked: bool) -> Callable[..., Any]:
        """The function under annotax."""
        decorated = found = eval(self.case.decoration(stacked), self.namespace)
        if self.case.function.seat in ("staticmethod", "method"):
            name = "stacked" if stacked else "transformed"
            setattr(self.namespace["Home"], name, decorated)
            decorated, found = (getattr(self.namespace[home], name) for home in ("Home", "home"))
        if self.case.setter:
            eval(f"decorated{self.case.setter}", {**self.namespace, "decorated": decorated})
        return found

    @property
    def undecorated(self) -> Callable[..., Any]:
        function = self.namespace["drawn"]
        has_self = self.case.function.seat in ("bound", "method")
        return types.MethodType(function, self.namespace["home"]) if has_self else function

    def _see(self, *slots: Any) -> None:
        self.seen.append(described(slots))
