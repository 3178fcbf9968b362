"""Transforms that differentiate, and those that are told how to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import annotax
from tests.oracle.functions import Function, Returns, Selection, Spelling
from tests.oracle.steps import Flat, Leaves, Refusal, Step, Way, laid_out
from tests.oracle.values import is_differentiable, is_traceable, mix

if TYPE_CHECKING:
    from tests.oracle.cases import Case


@dataclass(frozen=True)
class Differentiating(Step):
    """The base of all that differentiate.

    Attributes:
        wrt: What is differentiated, in place of what the markers say.
        has_aux: Whether an override says that there is something auxiliary.
    """

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
        has = {i: [leaves.has_gradient(position) for position in leaves.of(i)] for i in chosen}
        # Of an argument without leaves, such as an empty `*args`, the gradient is as empty, as in JAX.
        lacking = [i for i in chosen if has[i] and not any(has[i])]
        is_asked = self.wrt is not None or bool(self._marked(case))
        if lacking and (is_asked or not any(map(any, has.values()))):
            yield Refusal(annotax.DifferentiationError, case.function.names(lacking))

    def aux(self, returns: Returns) -> tuple[int, ...]:
        """The components that are auxiliary to it."""
        return returns.aux if returns.hinted or self.has_aux else ()

    def moving(self, leaves: Leaves) -> list[int]:
        """The positions of the leaves that have a derivative."""
        chosen = self.chosen(leaves.case)
        return [p for i in chosen for p in leaves.of(i) if leaves.has_gradient(p)]

    def value_and_rest(self, flat: Flat, returns: Returns) -> Flat:
        """The function with what is auxiliary apart."""
        aux = self.aux(returns)

        def split(*values: Any) -> Any:
            returned = flat(*values)
            return (returned[returns.value], [returned[i] for i in aux]) if aux else (returned, [])

        return split

    def shaped(self, found: Sequence[Any], leaves: Leaves) -> Any:
        """What was found for each moving leaf, in the shape of the arguments."""
        chosen = self.chosen(leaves.case)
        by_position = dict.fromkeys(range(len(leaves.values))) | dict(zip(self.moving(leaves), found, strict=True))
        parts = tuple(leaves.join(i, by_position) for i in chosen)
        is_bare = len(chosen) == 1 if self.wrt is None else self.wrt.bare
        return parts[0] if is_bare else parts


@dataclass(frozen=True)
class Grad(Differentiating):
    """`grad`."""

    name: ClassVar[str] = "grad"

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        returns, moving = leaves.case.function.returns, self.moving(leaves)
        function = self.value_and_rest(flat, returns)

        def differentiated(*values: Any) -> Any:
            if moving:
                (value, rest), found = self.derivative(function, moving)(*values)
                specs = map(leaves.layout, moving)
                found = [laid_out(*pair, leaves.case.mesh) for pair in zip(found, specs, strict=True)]
            else:
                (value, rest), found = function(*values), ()
            return self.returned(value, rest, returns, self.shaped(self.rows(found, leaves), leaves))

        return differentiated

    def derivative(self, function: Flat, moving: Sequence[int]) -> Flat:
        """A function that returns `((value, rest), derivatives)`, by plain JAX."""
        return jax.value_and_grad(function, moving, has_aux=True)

    def rows(self, found: Sequence[Any], leaves: Leaves) -> Sequence[Any]:
        """What was found for each moving leaf, as it stands at that leaf."""
        return found

    def outcome(self, returned: Any, returns: Returns) -> Any:
        aux = self.aux(returns)
        value, rest = (returned[returns.value], [returned[i] for i in aux]) if aux else (returned, [])
        return self.returned(value, rest, returns, None)

    def returned(self, value: Any, rest: list[Any], returns: Returns, gradient: Any) -> Any:
        """What the user gets."""
        return (gradient, _bare(rest)) if rest else gradient


def _bare(rest: Sequence[Any]) -> Any:
    return rest[0] if len(rest) == 1 else tuple(rest)


@dataclass(frozen=True)
class ValueAndGrad(Grad):
    """`value_and_grad`."""

    name: ClassVar[str] = "value_and_grad"

    def returned(self, value: Any, rest: list[Any], returns: Returns, gradient: Any) -> Any:
        if not rest:
            return value, gradient
        return (*rest[: returns.value], value, *rest[returns.value :]), gradient


@dataclass(frozen=True)
class JacFwd(Grad):
    """`jacfwd`."""

    name: ClassVar[str] = "jacfwd"
    jax_function: ClassVar[Any] = staticmethod(jax.jacfwd)

    def derivative(self, function: Flat, moving: Sequence[int]) -> Flat:
        def with_all_beside(*values: Any) -> Any:
            value, rest = function(*values)
            return value, (value, rest)

        def derivative(*values: Any) -> Any:
            found, returned = self.jax_function(with_all_beside, moving, has_aux=True)(*values)
            return returned, found

        return derivative


@dataclass(frozen=True)
class JacRev(JacFwd):
    """`jacrev`, under either name.

    Attributes:
        alias: The name.
    """

    name: ClassVar[str] = "jacrev"
    jax_function: ClassVar[Any] = staticmethod(jax.jacrev)

    alias: str = "jacrev"

    def text(self, function: Function) -> str:
        return super().text(function).replace(self.name, self.alias, 1)


@dataclass(frozen=True)
class Hessian(JacFwd):
    """`hessian`."""

    name: ClassVar[str] = "hessian"
    jax_function: ClassVar[Any] = staticmethod(jax.hessian)

    def rows(self, found: Sequence[Any], leaves: Leaves) -> Sequence[Any]:
        return [self.shaped(row, leaves) for row in found]


# --- at one point ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _AtPoint(Differentiating, Way):
    """The base of those that take a function and a point."""

    def refused_at_decoration(self, case: Case) -> Iterator[Refusal]:
        return iter(())

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        yield from super().refused_at_decoration(case)
        yield from super().refused_at_call(case, leaves)

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        function = self.value_and_rest(flat, leaves.case.function.returns)

        def at_point(*values: Any) -> Any:
            of_moving, point = leaves.of_positions(self.moving(leaves), function, values)
            value, derivative, rest = self.derivative(lambda moved: of_moving(*moved), point, leaves)
            return value, derivative, *([_bare(rest)] if rest else [])

        return at_point

    def derivative(self, function: Callable[[list[Any]], Any], point: list[Any], leaves: Leaves) -> Any:
        """`(value, derivative, rest)`, by plain JAX."""
        raise NotImplementedError


@dataclass(frozen=True)
class Vjp(_AtPoint):
    """`vjp`, with its pullback."""

    name: ClassVar[str] = "vjp"

    def run(self, function: Callable[..., Any], case: Case, spelling: Spelling, slots: Sequence[Any]) -> Any:
        args, kwargs = spelling.place(case.function, slots)
        value, pullback, *aux = annotax.vjp(function, *args, **kwargs)
        return value, pullback(_cotangent(value)), *aux

    def derivative(self, function: Callable[[list[Any]], Any], point: list[Any], leaves: Leaves) -> Any:
        value, pullback, rest = jax.vjp(function, point, has_aux=True)
        (found,) = pullback(_cotangent(value))
        return value, self.shaped(found, leaves), rest


@dataclass(frozen=True)
class Linearize(_AtPoint):
    """`linearize`, with its linear function."""

    name: ClassVar[str] = "linearize"

    def run(self, function: Callable[..., Any], case: Case, spelling: Spelling, slots: Sequence[Any]) -> Any:
        args, kwargs = spelling.place(case.function, slots)
        value, linear, *aux = annotax.linearize(function, *args, **kwargs)
        return value, linear(*(jax.tree.map(_tangent, slots[i]) for i in self.chosen(case))), *aux

    def derivative(self, function: Callable[[list[Any]], Any], point: list[Any], leaves: Leaves) -> Any:
        value, linear, rest = jax.linearize(function, point, has_aux=True)
        return value, linear(list(map(_tangent, point))), rest


@dataclass(frozen=True)
class Jvp(_AtPoint):
    """`jvp`.

    Attributes:
        named: Whether the primals come by name, and whether the tangents do.
    """

    name: ClassVar[str] = "jvp"

    named: tuple[bool, bool] = (False, False)

    def run(self, function: Callable[..., Any], case: Case, spelling: Spelling, slots: Sequence[Any]) -> Any:
        names = case.function.names(range(len(slots)))
        primals: Any = dict(zip(names, slots, strict=True))
        for i in spelling.omitted(case.function):
            del primals[names[i]]
        tangents: Any = {names[i]: jax.tree.map(_tangent, slots[i]) for i in self.chosen(case)}
        by_name, tangents_by_name = self.named
        return annotax.jvp(
            function,
            primals if by_name else tuple(slots),
            tangents if tangents_by_name else tuple(tangents.values()),
        )

    def derivative(self, function: Callable[[list[Any]], Any], point: list[Any], leaves: Leaves) -> Any:
        return jax.jvp(function, (point,), (list(map(_tangent, point)),), has_aux=True)

    def script(self, function: str, arguments: str) -> str:
        return f"annotax.jvp({function}, ...)  # the arguments and tangents of {function}({arguments})"


def _tangent(leaf: Any) -> Any:
    """A tangent of a leaf; where there is none, anything."""
    if not is_differentiable(leaf):
        return 0
    if isinstance(leaf, float):
        return 0.3
    return (np.full_like if isinstance(leaf, (np.ndarray, np.generic)) else jnp.full_like)(leaf, 0.3 + 0.1 * leaf.ndim)


def _cotangent(value: Any) -> Any:
    """A cotangent of what a function returned."""

    def of_leaf(leaf: Any) -> Any:
        is_real = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.full_like(leaf, 0.7) if is_real else np.zeros(leaf.shape, jax.dtypes.float0)

    return jax.tree.map(of_leaf, value)


# --- rules of the user's ---------------------------------------------------------------------------------------------

ABSENT = object()
"""What a rule is given in place of a parameter that is not static."""


def rule_scale(*statics: Any) -> Any:
    """By what drawn rules scale: so it shows that they are used, and what they are given."""
    return 2.0 + mix(*statics)


def residuals_of(slots: dict[str, Any]) -> dict[str, Any]:
    """What of the slots of a call a rule may keep."""
    return {name: jax.tree.map(lambda leaf: leaf if is_traceable(leaf) else None, slot) for name, slot in slots.items()}


def cotangents_of(
    residuals: dict[str, Any], cotangent: Any, statics: dict[str, Any], moving: Sequence[str], value: int | None
) -> Any:
    """What a drawn rule of `custom_vjp` returns: the arguments themselves, scaled."""
    cotangent = cotangent if value is None else cotangent[value]
    scale = rule_scale(*(static for static in statics.values() if static is not ABSENT))
    found = [
        jax.tree.map(lambda leaf: rule_cotangent(leaf, cotangent, scale), residuals[name])
        for name in moving
        if statics[name] is ABSENT
    ]
    return found[0] if len(found) == 1 else tuple(found)


def rule_cotangent(leaf: Any, cotangent: Any, scale: Any) -> Any:
    return (scale * cotangent * leaf).astype(jnp.asarray(leaf).dtype) if is_differentiable(leaf) else None


def directed(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    statics: dict[str, Any],
    moving: Sequence[str],
    value: int | None,
) -> Any:
    """What a drawn rule of `custom_jvp` returns."""
    traced = [name for name, static in statics.items() if static is ABSENT]
    slots = statics | dict(zip(traced, primals, strict=True))
    directions = dict(zip([name for name in moving if name in traced], tangents, strict=True))
    pairs: list[tuple[Any, Any]] = []
    for name, direction in directions.items():
        leaves, structure = jax.tree.flatten(slots[name])
        pairs += zip(leaves, structure.flatten_up_to(direction), strict=True)
    returned = function(*slots.values())
    scale = rule_scale(*(static for static in statics.values() if static is not ABSENT))
    return returned, rule_tangent(returned, value, pairs, scale)


def rule_tangent(returned: Any, value: int | None, pairs: Sequence[tuple[Any, Any]], scale: Any) -> Any:
    moved = [jnp.sum(leaf * direction) for leaf, direction in pairs if is_differentiable(leaf)]

    def zero(leaf: Any) -> Any:
        is_real = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.zeros_like(leaf) if is_real else np.zeros(leaf.shape, jax.dtypes.float0)

    tangent = scale * sum(moved, jnp.float32(0))
    if value is None:
        return tangent.astype(returned.dtype)
    tangents = jax.tree.map(zero, returned)
    return (*tangents[:value], tangent.astype(returned[value].dtype), *tangents[value + 1 :])


RULES = {
    "absent": ABSENT,
    "cotangents_of": cotangents_of,
    "directed": directed,
    "residuals_of": residuals_of,
}
"""What the source of drawn rules can name besides."""


@dataclass(frozen=True)
class _CustomRule(Differentiating):
    """The base of those whose rule is drawn: it takes every parameter by name, so that it is told all that is static.

    A parameter whose value turns out to be static goes to it in the same way.
    """

    def arguments(self, case: Case) -> tuple[str, str, str]:
        """The keywords of the rule, what was given for them, and the rest of what the helpers above are told."""
        names = case.function.names(range(len(case.function.parameters)))
        first = ["self=absent"] if case.function.seat == "method" else []
        keywords = ", ".join([*first, *(f"{name}=absent" for name in names)])
        given = f"{{{', '.join(f'{name!r}: {name}' for name in names)}}}"
        returns = case.function.returns
        value = returns.value if returns.aux else None
        return keywords, given, f"{case.function.names(self.chosen(case))}, {value}"

    def refused_at_call(self, case: Case, leaves: Leaves) -> Iterator[Refusal]:
        return iter(())

    def statics(self, leaves: Leaves) -> list[int]:
        """The slots that go to the rule by name."""

        def is_static(i: int, parameter: Any) -> bool:
            positions = leaves.of(i)
            holds_nothing = all(map(leaves.is_static, positions))
            return i in leaves.case.static or (holds_nothing and (bool(positions) or parameter.is_inferred_static))

        return [i for i, parameter in enumerate(leaves.case.function.parameters) if is_static(i, parameter)]

    def plain(self, flat: Flat, leaves: Leaves, returned: Any) -> Flat:
        returns = leaves.case.function.returns
        value = returns.value if returns.aux else None
        statics, chosen = self.statics(leaves), self.chosen(leaves.case)
        # A rule speaks of whole arguments: what a field freezes has a tangent of zero there.
        moves = [leaves.owners[p] in chosen and is_differentiable(leaves.values[p]) for p in leaves.traced]

        def ruled(*values: Any) -> Any:
            function, given = leaves.of_positions(leaves.traced, flat, values)
            scale = functools.partial(rule_scale, *(leaves.join(i, values) for i in statics))
            return self.ruled(function, moves, scale, value)(*given)

        return ruled

    def ruled(self, function: Flat, moves: Sequence[bool], scale: Callable[[], Any], value: int | None) -> Flat:
        """The function with the drawn rule, by plain JAX."""
        raise NotImplementedError


@dataclass(frozen=True)
class CustomVjp(_CustomRule):
    """`custom_vjp` with a rule."""

    name: ClassVar[str] = "custom_vjp"

    def definitions(self, case: Case) -> list[str]:
        keywords, given, rest = self.arguments(case)
        return [
            f"def fwd({case.function.declared}):",
            f"    return {case.function.call}, residuals_of({given})",
            f"def bwd(residuals, cotangent, *, {keywords}):",
            f"    return cotangents_of(residuals, cotangent, {given}, {rest})",
        ]

    @property
    def setter(self) -> str:
        return ".defvjp(fwd, bwd)"

    def ruled(self, function: Flat, moves: Sequence[bool], scale: Callable[[], Any], value: int | None) -> Flat:
        def forward(*given: Any) -> Any:
            return function(*given), given

        def backward(given: Sequence[Any], cotangent: Any) -> Any:
            cotangent = cotangent if value is None else cotangent[value]
            by = scale()
            pairs = zip(given, moves, strict=True)
            return tuple(rule_cotangent(leaf, cotangent, by) if has else None for leaf, has in pairs)

        ruled = jax.custom_vjp(lambda *given: function(*given))
        ruled.defvjp(forward, backward)
        return ruled


@dataclass(frozen=True)
class CustomJvp(_CustomRule):
    """`custom_jvp` with a rule."""

    name: ClassVar[str] = "custom_jvp"

    def definitions(self, case: Case) -> list[str]:
        keywords, given, rest = self.arguments(case)
        names = ", ".join(case.function.names(range(len(case.function.parameters))))
        return [
            f"def rule(primals, tangents, *, {keywords}):",
            f"    return directed(lambda {names}: {case.function.call}, primals, tangents, {given}, {rest})",
        ]

    @property
    def setter(self) -> str:
        return ".defjvp(rule)"

    def ruled(self, function: Flat, moves: Sequence[bool], scale: Callable[[], Any], value: int | None) -> Flat:
        def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            returned = function(*primals)
            pairs = [pair for pair, has in zip(zip(primals, tangents, strict=True), moves, strict=True) if has]
            return returned, rule_tangent(returned, value, pairs, scale())

        ruled = jax.custom_jvp(lambda *given: function(*given))
        ruled.defjvp(rule)
        return ruled
