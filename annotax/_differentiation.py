"""What a derivative is taken of: the rule that reads it from a contract, and the leaves that have a derivative.

`Differentiation` is the base of every transform that differentiates; `Moving` is the part of a call that moves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import jax

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Parameter, Result, Role, Selector, selectors, without_first
from annotax._errors import DifferentiationError, MarkerError, StaticValueError, message
from annotax._fields import outline, place_at
from annotax._hints import may_hold_fields
from annotax._layout import impose, spec_of
from annotax._markers import Aux, Diff, NoDiff, Static
from annotax._normal import named_as, slot_signature
from annotax._partition import hold
from annotax._paths import Path, show
from annotax._source import Writer
from annotax._transform import DEFAULT, Transform
from annotax._tree import describe, flatten, is_differentiable, is_traceable, leaves_with_paths, release


@dataclass(frozen=True, slots=True)
class Selected:
    """Something to differentiate: a parameter, or what is at the end of a path into it."""

    index: int
    path: Path = ()

    def overlaps(self, other: Selected) -> bool:
        """Whether one of the two holds the other."""
        shorter = min(len(self.path), len(other.path))
        return self.index == other.index and self.path[:shorter] == other.path[:shorter]


@dataclass(frozen=True)
class Differentiation(Transform):
    """A transform that differentiates.

    Attributes:
        wrt: What to differentiate in place of what the markers say.
        has_aux: Whether the function returns a pair `(value, aux)`, in place of what `Aux` says.
        options: Further arguments of the JAX function.
    """

    wrt: Selector | tuple[Selector, ...] | None = None
    has_aux: bool | None = None
    options: tuple[tuple[str, Any], ...] = ()
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str]

    holds_aux: ClassVar[bool] = False
    """Whether JAX maps what is auxiliary too, so that no functions or strings may be in it."""

    def for_bound_method(self, names: Sequence[str]) -> Transform | None:
        """The same without the first parameter."""
        wrt = without_first(selectors(self.wrt), names)
        if self.wrt is None or wrt is None:
            return self if self.wrt is None else None
        return dataclasses.replace(self, wrt=wrt[0] if isinstance(self.wrt, (int, str)) else wrt)

    def check(self, contract: Contract) -> Contract:
        """See that there is something to differentiate, and say what comes out: the derivative, and aux beside it."""
        self.differentiated(contract)
        aux = self._aux(contract)
        derivative = Result(is_derivative=True)
        return contract.returning(derivative if aux is None else Result(components=(derivative, aux)))

    def _aux(self, contract: Contract) -> Result | None:
        """What comes out beside the derivative: what markers say of the auxiliary components still holds."""
        components = contract.result.components or ()
        parts = [components[i] if i < len(components) else Result() for i in self.auxiliary(contract)]
        role = Role(Aux, f"auxiliary under {self.name}")
        if len(parts) > 1:
            return Result(roles=(role,), components=tuple(parts))
        for part in parts:
            return part if part.is_aux else dataclasses.replace(part, roles=(*part.roles, role))
        return None

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of the JAX function."""
        indices, is_bare = self.differentiated(contract)
        aux = {"has_aux": True} if self.auxiliary(contract) else {}
        return {"argnums": indices[0] if is_bare else indices, **aux, **dict(self.options)}

    def facts(self, contract: Contract, slots: Sequence[Any]) -> Mapping[str, str]:
        """Which leaves are differentiated, and why the others get `None`."""
        of = Differentiated(_nothing, contract, self)
        moving = Moving(of, slots)
        facts: dict[str, str] = {}
        for i in dict.fromkeys(of.indices):
            found = outline(slots[i])
            constants = found.constants(jax.tree.leaves(slots[i]))
            for position, (path, leaf) in enumerate(leaves_with_paths(contract.names[i], slots[i])):
                if moving.moves(i, position):
                    facts[path] = f"{self.name}: differentiated"
                elif not moving.is_selected(i, position):
                    facts[path] = f"{self.name}: not asked for"
                else:
                    is_frozen = found.frozen is not None and found.frozen[position]
                    is_number = constants is not None and constants[position]
                    why = (
                        "under a NoDiff field" if is_frozen else "a number of an Equinox module" if is_number else None
                    )
                    facts[path] = f"{self.name}: None, {why or f'{describe(leaf)} has no gradient'}"
        return facts

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """One of JAX's functions; where some leaves do not move, of those that do."""
        of = Differentiated(_nothing, contract, self)
        if of.auxiliary in ((), (1,)) and not of.holds_back(slots) and of.takes_all(slots):
            return super().write(writer, inner, contract, slots)
        moving = Moving(of, slots)
        value = next(i for i in range(len(of.auxiliary) + 1) if i not in of.auxiliary)
        indices = list(dict.fromkeys(of.indices))
        chosen = ", ".join(writer.slots[i] for i in indices)
        places = [(indices.index(i), position) for i, position in moving.places]
        moves = [part.moves for part in moving.parts]
        structures = writer.bind("structures", tuple(part.structure for part in moving.parts))
        given = {name: value for name, value in self.given(contract).items() if name not in ("argnums", "has_aux")}
        # One for each leaf that moves; a class of its own, to be found in a derivative however deep it is nested.
        fields = [(f"leaf_{i}", Any) for i in range(len(places))]
        leaves_class = writer.bind("Moving", NamedTuple("Moving", fields))
        name = writer.new(f"{self.name}_{inner}")
        merged = [writer.new(f"{slot}_") if i in indices else slot for i, slot in enumerate(writer.slots)]
        aux = (
            f"returned[{of.auxiliary[0]}]" if len(of.auxiliary) == 1 else f"tuple(returned[i] for i in {of.auxiliary})"
        )
        writer.write(
            f"def {name}({writer.passed}):",
            f"    flat = [jax.tree.flatten(argument) for argument in ({chosen},)]",
            f"    places = {places!r}  # argument and leaf of all that is differentiated",
            "",
            "    def of_moving(moving):",
            "        leaves = [list(leaves) for leaves, _ in flat]",
            "        for (argument, leaf), value in zip(places, moving):",
            "            leaves[argument][leaf] = value",
            *(f"        {merged[i]} = flat[{k}][1].unflatten(leaves[{k}])" for k, i in enumerate(indices)),
            f"        returned = {inner}({', '.join(merged)})",
            f"        return {f'returned[{value}]' if of.auxiliary else 'returned'}, returned",
            "",
            "    def restored(found):",
            f"        return jax.tree.map(gradient, found, is_leaf=lambda part: isinstance(part, {leaves_class}))",
            "",
            "    def gradient(moving):",
            f"        if not isinstance(moving, {leaves_class}):",
            "            return moving",
            "        entries = iter(map(restored, moving))",
            "        whole = tuple(",
            "            structure.unflatten([next(entries) if moves else None for moves in part])",
            f"            for structure, part in zip({structures}, {moves!r})",
            "        )",
            f"        return whole{'[0]' if of.is_bare else ''}",
            "",
            f"    moving = {leaves_class}(*(flat[argument][0][leaf] for argument, leaf in places))",
            self.written(writer.options(given)),
            f"    return {self.returned_text(aux if of.auxiliary else '')}",
            "",
        )
        return name

    def written(self, options: str) -> str:
        """The line that sets `found`, with an entry for each moving leaf, and `returned`."""
        return f"    found, returned = jax.{self.name}(of_moving, has_aux=True{options})(moving)"

    def returned_text(self, aux: str) -> str:
        """What is returned, as source."""
        return f"restored(found), {aux}" if aux else "restored(found)"

    @property
    def takes_integers(self) -> bool:
        """Whether integer leaves are handed to JAX all the same (`allow_int`)."""
        return bool(dict(self.options).get("allow_int"))

    def differentiated(self, contract: Contract) -> tuple[tuple[int, ...], bool]:
        """The positions to differentiate, in the order of the result, and whether the derivative comes bare."""
        selected, is_bare = self.selected(contract)
        return tuple(part.index for part in selected), is_bare

    def selected(self, contract: Contract) -> tuple[tuple[Selected, ...], bool]:
        """What to differentiate, in the order of the result, and whether the derivative comes bare."""
        if self.wrt is None:
            chosen = tuple(map(Selected, marked_to_differentiate(contract, self.name)))
            return chosen, len(chosen) == 1
        option = f"{self.name}(wrt=...)"
        chosen = tuple(Selected(*contract.locate(selector, option)) for selector in selectors(self.wrt))
        for part in chosen:
            role = contract.parameters[part.index].role(Static)
            if role is not None:
                raise MarkerError(
                    message(
                        contract.where,
                        f"{option} names the static parameter {contract.parameters[part.index].name}",
                        got=f"it is static: {role.why}",
                        fix="a static value is never traced, so it has no gradient: name another parameter",
                    )
                )
        twice = next((one for i, one in enumerate(chosen) if any(map(one.overlaps, chosen[:i]))), None)
        if not chosen or twice is not None:
            names = "a parameter" if twice is None or not twice.path else contract.names[twice.index] + show(twice.path)
            raise MarkerError(
                message(
                    contract.where,
                    f"{option} names {'no parameter' if twice is None else f'{names} twice'}",
                    got=repr(self.wrt),
                    fix="name each parameter to differentiate once",
                )
            )
        return chosen, isinstance(self.wrt, (int, str))

    def names(self, contract: Contract) -> tuple[str, ...]:
        """What is differentiated, as a person would name it."""
        return tuple(contract.names[part.index] + show(part.path) for part in self.selected(contract)[0])

    def auxiliary(self, contract: Contract) -> tuple[int, ...]:
        """The positions of the auxiliary components in what the function returns; none: it returns just the value."""
        if self.has_aux is not None:
            return (1,) if self.has_aux else ()
        components = contract.result.components or ()
        aux = tuple(i for i, component in enumerate(components) if component.is_aux)
        if aux and len(aux) != len(components) - 1:
            raise MarkerError(
                message(
                    contract.where,
                    f"{self.name} needs exactly one component of the result that is not Aux",
                    got=f"{len(components) - len(aux)} of {len(components)} components are not Aux",
                    fix="mark all but the value to differentiate: tuple[Array, Aux[Metrics], Aux[State]]",
                )
            )
        return aux


def marked_to_differentiate(contract: Contract, name: str) -> tuple[int, ...]:
    """The positions of the parameters marked `Diff`, or else of all that are not excluded.

    Raises:
        MarkerError: If there is none.
    """
    marked = contract.indices(Diff)
    chosen = marked or tuple(i for i, p in enumerate(contract) if not p.role(Static) and not p.role(NoDiff))
    if not chosen:
        raise MarkerError(
            message(
                contract.where,
                f"{name} has nothing to differentiate",
                got="; ".join(f"{p.name}: {_why_excluded(p)}" for p in contract) or "no parameters",
                fix="mark a parameter Diff, or name one: grad(wrt='name')",
            )
        )
    return chosen


def as_wrt(wrt: Selector | Sequence[Selector] | None) -> Selector | tuple[Selector, ...] | None:
    """A `wrt=` option that can be hashed; whether it is a sequence decides the shape of the result."""
    return wrt if wrt is None or isinstance(wrt, (int, str)) else tuple(wrt)


def as_options(**options: bool) -> tuple[tuple[str, Any], ...]:
    """Options of a JAX function that can be hashed: those that are on."""
    return tuple((name, value) for name, value in options.items() if value)


def _why_excluded(parameter: Parameter) -> str:
    role = parameter.role(Static) or parameter.role(NoDiff)
    return role.why if role is not None else "not excluded"


class Differentiated:
    """One core, ready to be differentiated by any of JAX's functions.

    Attributes:
        value_first: The core; if it has auxiliary components, as a function that returns `(value, all it returned)`,
            which is the form that `has_aux` of JAX wants.
        takes: Whether JAX differentiates a leaf.
        is_whole: Whether the arguments to differentiate are all there are, in their order.
    """

    def __init__(self, core: Callable[..., Any], contract: Contract, step: Differentiation) -> None:
        self.contract = contract
        self.step = step
        self.selected, self.is_bare = step.selected(contract)
        self.indices = tuple(part.index for part in self.selected)
        self.is_asked = step.wrt is not None or bool(contract.indices(Diff))
        self.has_paths = any(part.path for part in self.selected)
        self.with_fields = tuple(i for i in self.indices if may_hold_fields(contract.parameters[i].hint))
        self.auxiliary = step.auxiliary(contract)
        self.takes: Callable[[Any], bool] = is_traceable if step.takes_integers else is_differentiable
        self.is_whole = self.indices == tuple(range(len(contract.parameters)))
        self.static_paths = {i: paths for i in self.indices if (paths := contract.parameters[i].static_paths)}
        self.signature = slot_signature([*dict.fromkeys(contract.names[i] for i in self.indices)])
        specs = [spec_of(contract.parameters[part.index]) for part in self.selected if contract.is_laid_out]
        may_say = [spec is not None or self.selected[i].index in self.with_fields for i, spec in enumerate(specs)]
        self.specs = {i: spec for i, spec in enumerate(specs) if may_say[i]}
        self.value_first = core
        if self.auxiliary:
            value = next(i for i in range(len(self.auxiliary) + 1) if i not in self.auxiliary)

            def value_first(*slots: Any) -> Any:
                returned = core(*slots)
                self._check_returned(returned)
                return returned[value], hold(returned, contract) if step.holds_aux else returned

            self.value_first = named_as(value_first, core)

    def _check_returned(self, returned: Any) -> None:
        count = len(self.auxiliary) + 1
        if isinstance(returned, (tuple, list)) and len(cast("Any", returned)) == count:
            return
        is_asked = self.step.has_aux is not None
        raise DifferentiationError(
            message(
                self.contract.where,
                f"{self.step.name}{'(has_aux=True)' if is_asked else ''} needs a function that returns "
                f"{'a pair' if count == 2 else f'a tuple of {count}'}",
                got=describe(returned).removeprefix("traced "),
                expected="(value, aux)" if count == 2 else "the value and its auxiliary components",
                because=None if is_asked else "its hint has components marked Aux",
                fix="return a tuple, or drop has_aux" if is_asked else "return what the hint says, or correct the hint",
            )
        )

    def aux_of(self, returned: Any) -> Any:
        """The auxiliary components of what the function returned: bare if it is one, else a tuple."""
        returned = release(returned)
        if len(self.auxiliary) == 1:
            return returned[self.auxiliary[0]]
        return tuple(returned[i] for i in self.auxiliary)

    def of_chosen(self, slots: Sequence[Any]) -> Callable[..., Any]:
        """The function of the chosen arguments alone, the others as they are."""
        if self.is_whole:
            return self.value_first

        def chosen(*values: Any) -> Any:
            merged = list(slots)
            for i, value in zip(self.indices, values, strict=True):
                merged[i] = value
            return self.value_first(*merged)

        # Without these JAX looks for a signature, which takes longer than all the rest.
        chosen.__wrapped__ = self.value_first  # type: ignore[attr-defined]  # of a function
        chosen.__signature__ = self.signature  # type: ignore[attr-defined]  # of a function
        return chosen

    def laid_out(self, gradient: Any, slots: Sequence[Any]) -> Any:
        """A gradient with the layouts of what it is the gradient of, where the pipeline imposes layouts."""
        if not self.specs:
            return gradient
        parts = list((gradient,) if self.is_bare else gradient)
        for position, spec in self.specs.items():
            part = self.selected[position]
            if part.path:  # the fields that lead there are no more in what comes out
                layout = outline(slots[part.index]).at(part.path).layout
                spec = spec if layout is None else layout
            parts[position] = impose(parts[position], spec, self.contract, f"gradient {position}")
        return parts[0] if self.is_bare else tuple(parts)

    def takes_all(self, slots: Sequence[Any]) -> bool:
        """Whether JAX differentiates every leaf of the chosen arguments."""
        return all(map(self.takes, jax.tree.leaves([slots[i] for i in self.indices])))

    def holds_back(self, slots: Sequence[Any]) -> bool:
        """Whether something of the chosen arguments does not move though JAX would differentiate it."""
        if self.has_paths or self.static_paths:
            return True
        return any(_is_partly_constant(slots[i]) for i in self.with_fields)

    def direct_or_partly(self, transform: Any) -> Callable[[tuple[Any, ...]], Any]:
        """A function of slots that applies one of JAX's transforms.

        The core goes to JAX as it is. Only if something is frozen by a field, or if JAX refuses the values because some
        leaves have no derivative (integers, keys, functions), are those held back, with `None` in their place in the
        result.

        Arguments:
            transform: `jax.value_and_grad`, `jax.jacfwd`, ...
        """
        given = dict(self.step.given(self.contract))
        direct = transform(self.value_first, **given)
        options = {name: option for name, option in given.items() if name != "argnums"}
        meets_mixed_values = False

        def call(slots: tuple[Any, ...]) -> Any:
            nonlocal meets_mixed_values
            if not meets_mixed_values and not self.holds_back(slots):
                try:
                    return direct(*slots)
                except Exception:
                    # JAX looks at dtypes before it runs the function, so such a leaf is the reason, whatever it raised.
                    if self.takes_all(slots):
                        raise
                    meets_mixed_values = True
            moving = Moving(self, slots)
            return moving.skeleton.restored(transform(moving.function, **options)(moving.leaves))

        return call


def _nothing(*slots: Any) -> None:
    """Stands for a core where none is called."""


def _is_partly_constant(slot: Any) -> bool:
    found = outline(slot)
    return found.frozen is not None or (found.has_modules and found.constants(jax.tree.leaves(slot)) is not None)


@jax.tree_util.register_pytree_node_class
class _Leaves(list[Any]):
    """The leaves that move: a class of its own, so that they can be found in a result, however it is nested."""

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        return tuple(self), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Sequence[Any]) -> _Leaves:
        return cls(leaves)


@dataclass(frozen=True)
class Skeleton:
    """The shape of a derivative: the structure of what is differentiated, and which leaves move. It holds no value.

    Attributes:
        treedef: The structure of the tuple of all parts that are differentiated.
        moves: For each leaf, whether it moves.
        is_bare: Whether there is one part, which then is not wrapped in a tuple.
    """

    treedef: Any
    moves: tuple[bool, ...]
    is_bare: bool

    def restored(self, result: Any) -> Any:
        """A result with the structure of the parts wherever it has one entry for each moving leaf."""

        def is_leaves(part: Any) -> bool:
            return isinstance(part, _Leaves)

        def restore(part: Any) -> Any:
            if not is_leaves(part):
                return part
            entries = iter([self.restored(entry) for entry in part])
            whole = self.treedef.unflatten([next(entries) if moves else None for moves in self.moves])
            return whole[0] if self.is_bare else whole

        return jax.tree.map(restore, result, is_leaf=is_leaves)

    def taken(self, arguments: Sequence[Any]) -> _Leaves:
        """The moving leaves of values that have the structure of the parts, or `None` where nothing moves."""
        leaves = self.treedef.flatten_up_to(tuple(arguments))
        return _Leaves(leaf for moves, leaf in zip(self.moves, leaves, strict=True) if moves)


class Moving:
    """The part of one call that moves: the leaves of what is differentiated that have a derivative.

    Raises:
        DifferentiationError: If there is none, or none in something that was asked for by name.
    """

    def __init__(self, differentiated: Differentiated, slots: Sequence[Any]) -> None:
        self._of = differentiated
        self._slots = slots
        self._flat = {i: flatten(slots[i]) for i in differentiated.indices}
        self.parts = parts = [self._part(part) for part in differentiated.selected]
        moves = [is_moving for part in parts for is_moving in part.moves]
        self._check(parts, any(moves))
        structure = cast("Any", jax.tree_util).treedef_tuple([part.structure for part in parts])
        self.skeleton = Skeleton(structure, tuple(moves), differentiated.is_bare)
        self.places = [
            (part.index, position)
            for part in parts
            for position, is_moving in enumerate(part.moves, part.start)
            if is_moving
        ]
        self.leaves = _Leaves(self._flat[i][0][position] for i, position in self.places)

    def moves(self, i: int, position: int) -> bool:
        """Whether a leaf of a slot moves."""
        return (i, position) in self.places

    def is_selected(self, i: int, position: int) -> bool:
        """Whether a leaf of a slot is in one of the parts that are differentiated, whether it moves or not."""
        return any(part.index == i and part.start <= position < part.stop for part in self.parts)

    def function(self, leaves: Sequence[Any]) -> Any:
        """The core as a function of the moving leaves alone."""
        changed = {i: list(flat) for i, (flat, _) in self._flat.items()}
        for (i, position), leaf in zip(self.places, leaves, strict=True):
            changed[i][position] = leaf
        slots = list(self._slots)
        for i, flat in changed.items():
            slots[i] = self._flat[i][1].unflatten(flat)
        return self._of.value_first(*slots)

    def _part(self, selected: Selected) -> _Part:
        of, i = self._of, selected.index
        leaves, structure = self._flat[i]
        moves = list(map(of.takes, leaves))
        if not selected.path and i not in of.with_fields and i not in of.static_paths:
            return _Part(i, structure, 0, moves)
        slot, names = self._slots[i], of.contract.names
        node = place_at(
            selected.path, slot, of.contract.where, names[i], f"{of.step.name}(wrt=...)", DifferentiationError
        )
        frozen = outline(slot).frozen_below(node)
        for path in of.static_paths.get(i, ()):
            static = place_at(path, slot, of.contract.where, names[i], "jit(static=...)", StaticValueError)
            moves[static.start : static.stop] = [False] * (static.stop - static.start)
        constants = outline(slot).constants(leaves)
        if constants is not None:
            moves = [takes and not constant for takes, constant in zip(moves, constants, strict=True)]
        here = moves[node.start : node.stop]
        moves = [takes and not is_frozen for takes, is_frozen in zip(here, frozen, strict=True)]
        return _Part(i, node.structure, node.start, moves)

    def _check(self, parts: Sequence[_Part], is_any: bool) -> None:
        of = self._of
        for k, (selected, part) in enumerate(zip(of.selected, parts, strict=True)):
            name = of.contract.names[part.index]
            if any(p.index == part.index and p.start < part.stop and part.start < p.stop for p in parts[:k]):
                raise DifferentiationError(
                    message(
                        of.contract.where,
                        f"{of.step.name}(wrt=...) names {name}{show(selected.path)} twice",
                        got=repr(of.step.wrt),
                        because="another path leads to the same place",
                        fix="name each place to differentiate once",
                    )
                )
            # Of nothing the gradient is nothing, as in JAX.
            if not part.moves or any(part.moves) or (is_any and not of.is_asked):
                continue
            raise DifferentiationError(
                message(
                    of.contract.where,
                    f"{of.step.name} finds nothing to differentiate in argument {name}{show(selected.path)}",
                    got=describe(part.structure.unflatten(self._flat[part.index][0][part.start : part.stop])),
                    expected="a floating-point array or number, or a pytree that holds one",
                    because=f"asked for by {'wrt=' if of.step.wrt is not None else 'Diff'}"
                    if of.is_asked
                    else "no argument holds one",
                    fix="pass floats, or mark the parameter NoDiff",
                )
            )


@dataclass(slots=True)
class _Part:
    """One part of the arguments that is differentiated.

    Attributes:
        index: The slot that it is in.
        structure: Its structure.
        start: Its first leaf, among those of the slot.
        moves: For each of its leaves, whether it moves.
    """

    index: int
    structure: Any
    start: int
    moves: list[bool]

    @property
    def stop(self) -> int:
        """The leaf after its last one."""
        return self.start + len(self.moves)
