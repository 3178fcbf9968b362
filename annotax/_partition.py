"""The values of one call, taken apart into what JAX traces and what is constant.

Transforms that meet values rather than types work through this: a slot is static by its role, or because what it holds
cannot be traced; inside a pytree, single leaves can be. Static parts become hashable `Structure`s.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter as SignatureParameter
from typing import Any, TypeAlias, cast

import jax

from annotax._checks import check_static, check_static_leaf, is_constant_argument
from annotax._contract import Contract, Parameter
from annotax._errors import StaticValueError, message
from annotax._fields import outline, place_at
from annotax._hints import may_hold_fields, why_static
from annotax._markers import Static
from annotax._normal import as_slots, named_as
from annotax._paths import Path
from annotax._source import Writer
from annotax._tree import (
    Constant,
    Held,
    Structure,
    describe,
    flatten,
    holds_traceable,
    is_constant,
    is_same,
    is_traceable,
    leaves_with_paths,
    split,
)

Structures: TypeAlias = tuple[tuple[int, Structure], ...]
"""The static parts of some slots, by position."""


class Partition:
    """Takes the slots of calls apart, as one contract says.

    Attributes:
        marked: The slots that are static by a marker or an override.
        inferred: The slots inferred to be static, which may turn out to hold something to trace.
        found: What calls have shown to be static though nothing says so, with the reason, by path.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        static = contract.indices(Static)
        self.inferred: tuple[int, ...] = tuple(i for i in static if is_inferred(contract.parameters[i]))
        self.marked: tuple[int, ...] = tuple(i for i in static if i not in self.inferred)
        self.found: dict[str, str] = {}
        self.paths: dict[int, tuple[Path, ...]] = {
            i: paths for i, parameter in enumerate(contract) if (paths := parameter.static_paths)
        }
        self.with_fields: frozenset[int] = frozenset(i for i, p in enumerate(contract) if may_hold_fields(p.hint))
        self._last: Structures = ()

    def traced(self, i: int, slot: Any) -> list[bool]:
        """For each leaf of a slot whether it is traced, given what it is and where it is."""
        leaves, _ = flatten(slot)
        if i in self.inferred and not slot_holds_traceable(self.contract.parameters[i], slot):
            # A number where the hint wants a constant, `Literal[1, 2]`, is no more traced here than elsewhere.
            return [False] * len(leaves)
        traced = list(map(is_traceable, leaves))
        paths = self.paths.get(i, ())
        if paths:
            for path in paths:
                name = self.contract.names[i]
                node = place_at(path, slot, self.contract.where, name, "jit(static=...)", StaticValueError)
                traced[node.start : node.stop] = [False] * (node.stop - node.start)
        constants = outline(slot).constants(leaves) if i in self.with_fields else None
        if constants is not None:
            traced = [is_traced and not constant for is_traced, constant in zip(traced, constants, strict=True)]
        return traced

    def is_mixed(self, slots: Sequence[Any]) -> bool:
        """Whether a value does not fit its slot as the contract has it, so that it has to be split or refused."""
        return any(self._is_mixed(i, slot) for i, slot in enumerate(slots))

    def _is_mixed(self, i: int, slot: Any) -> bool:
        if isinstance(slot, jax.Array) and i not in self.inferred and i not in self.marked and i not in self.paths:
            return False  # what most values are, and this is asked at every eager call
        parameter = self.contract.parameters[i]
        if i in self.marked:
            return not is_constant_argument(parameter, slot)
        if i in self.inferred:
            return slot_holds_traceable(parameter, slot) or not is_constant_argument(parameter, slot)
        return not all(self.traced(i, slot))

    def split(self, slots: Sequence[Any], *, whole: bool = False) -> tuple[Structures, list[Any]]:
        """The static parts of the slots, and the slots without them; a slot that has any becomes a tuple of leaves.

        Arguments:
            slots: The slots of a call.
            whole: Whether the marked slots are taken too, as one constant each; else they stay where they are.

        Raises:
            StaticValueError: If a static value is no constant, or a value can be neither traced nor held constant.
        """
        structures: list[tuple[int, Structure]] = []
        arguments = list(slots)
        for i, parameter in enumerate(self.contract.parameters):
            if i in self.marked:
                check_static(self.contract, parameter, slots[i])
                if whole:
                    arguments[i] = ()
                    structures.append((i, Structure.of_constant(constant_of(parameter, slots[i]))))
            elif i in self.inferred or self._is_mixed(i, slots[i]):
                traced = self.traced(i, slots[i])
                self._check_constants(i, parameter, slots[i], traced)
                arguments[i], structure = split(slots[i], traced)
                structures.append((i, structure))
        if not whole:
            self._last = tuple(structures)
        return tuple(structures), arguments

    def split_again(self, slots: Sequence[Any]) -> tuple[Structures, list[Any]] | None:
        """What `split` returns, for slots of which all that is static is the same objects as the last time.

        The structures are the objects of the last time too, which JAX compares fast. `None` where something differs;
        what is new in a slot that held nothing static then is for JAX to refuse.
        """
        if not self._last:
            return None
        arguments = list(slots)
        for i, structure in self._last:
            leaves = structure.split_again(slots[i])
            if leaves is None:
                return None
            arguments[i] = tuple(leaves)
        return self._last, arguments

    def constants(self, slots: Sequence[Any]) -> dict[int, list[bool]]:
        """For each slot that holds constants where nothing marks it static: which of its leaves are traced."""
        inner = [i for i in range(len(slots)) if i not in self.marked]
        return {i: self.traced(i, slots[i]) for i in inner if i in self.inferred or self._is_mixed(i, slots[i])}

    def fit(self, structures: Structures, slots: Sequence[Any]) -> bool:
        """Whether structures split values just where they have to be split."""
        known = dict(structures)
        return not any(
            self._is_mixed(i, slot) if i not in known else self.traced(i, slot) != known[i].kept
            for i, slot in enumerate(slots)
        )

    @staticmethod
    def join(structures: Structures, arguments: Sequence[Any]) -> list[Any]:
        """The slots that `split` took apart, with what went in as a `Constant` taken out again."""
        slots = [argument.value if isinstance(argument, Constant) else argument for argument in arguments]
        for i, structure in structures:
            slots[i] = structure.join(slots[i])
        return slots

    @staticmethod
    def of_traced(structures: Structures, slots: Sequence[Any], of_leaves: Sequence[Any]) -> tuple[Any, ...]:
        """From one thing for each leaf of the slots, those of the leaves that `split` keeps."""
        known, found, start = dict(structures), list[Any](), 0
        for i, slot in enumerate(slots):
            of_slot = of_leaves[start : (start := start + len(jax.tree.leaves(slot)))]
            found += [of_slot[position] for position in known[i].positions] if i in known else of_slot
        return tuple(found)

    def _check_constants(self, i: int, parameter: Parameter, value: Any, traced: Sequence[bool]) -> None:
        for (path, leaf), is_traced in zip(leaves_with_paths(parameter.name, value), traced, strict=True):
            if is_traced:
                continue
            if is_traceable(leaf):
                check_static_leaf(self.contract, path, leaf)
                self.found[path] = (
                    "named by jit(static=...)" if self.paths.get(i) else "a Python number of an Equinox module"
                )
                continue
            is_self = i == 0 and path == "self" and not isinstance(leaf, (type, types.FunctionType))
            if leaf is parameter.default or is_constant(leaf, callables=not is_self):
                self.found[path] = f"{describe(leaf)} can never be traced"
                continue
            raise StaticValueError(
                message(
                    self.contract.where,
                    f"argument {path} can be neither traced nor held constant",
                    got=describe(leaf),
                    expected="arrays, numbers, functions, strings, or objects that define equality and a hash by value",
                    because="a later change to it would go unseen, since the compiled function keeps what it was",
                    fix=f'mark it, `self: Static["{type(leaf).__name__}"]`, if it never changes, register its class '
                    "as a pytree, or decorate the bound method: annotax.jit(obj.method)"
                    if is_self
                    else f"mark {parameter.name} Static if it never changes, or register its class as a pytree",
                )
            )


def difference(contract: Contract, old: Structures, new: Structures) -> tuple[str, Any, Any] | None:
    """The first constant inside the arguments that is not the same in both: where it is, what it was, what it is."""
    for (i, before), (j, after) in zip(old, new, strict=False):
        if i != j or not is_same(before.treedef, after.treedef):
            continue
        numbered = before.treedef.unflatten(range(len(before.constants)))
        paths = [path for path, _ in leaves_with_paths(contract.names[i], numbered)]
        for path, was, now in zip(paths, before.constants, after.constants, strict=False):
            if was != now and was is not None and now is not None:
                return path, was.value, now.value
    return None


def holding(core: Callable[..., Any], contract: Contract) -> Callable[..., Any]:
    """The core with a result that JAX can return though functions or strings are in it; `release` takes them out."""

    def held(*slots: Any) -> Any:
        return hold(core(*slots), contract)

    return cast("Callable[..., Any]", named_as(held, core))


def hold(value: Any, contract: Contract) -> Any:
    """A result, as a `Held` if there is something in it that JAX cannot return.

    Raises:
        StaticValueError: If that would be frozen into the compiled function though it can change.
    """
    returnable = returnable_leaves(value)
    if all(returnable):
        return value
    for path, leaf in leaves_with_paths("result", value):
        if not is_traceable(leaf) and not is_constant(leaf):
            raise StaticValueError(
                message(
                    contract.where,
                    f"{path} can be neither traced nor held constant",
                    got=describe(leaf),
                    expected="arrays, numbers, functions, strings, or objects that define equality and a hash by value",
                    because="every later call would return the one object that was made while tracing",
                    fix="return arrays, or register its class as a pytree",
                )
            )
    leaves, structure = split(value, returnable)
    return Held(structure, leaves)


def returnable_leaves(value: Any) -> list[bool]:
    """For each leaf of a result whether JAX is to return it; not the Python numbers of Equinox modules."""
    leaves, _ = flatten(value)
    returnable = list(map(is_traceable, leaves))
    if any(type(leaf) in (bool, int, float, complex) for leaf in leaves):
        constants = outline(value).constants(leaves)
        if constants is not None:
            returnable = [is_fit and not is_held for is_fit, is_held in zip(returnable, constants, strict=True)]
    return returnable


def with_structures(core: Callable[..., Any], contract: Contract) -> Callable[..., Any]:
    """The core as a function of what `split` makes of its slots: the structures first, then the arguments."""

    def joined(structures: Structures, *arguments: Any) -> Any:
        return core(*Partition.join(structures, arguments))

    name = "structures"
    while name in contract.names:
        name = f"_{name}"
    return cast("Callable[..., Any]", as_slots(joined, inspect.unwrap(core), (name, *contract.names)))


def write_with_constants(
    transform: str, given: Mapping[str, Any], writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]
) -> str | None:
    """Write one of JAX's transforms for one call, around the arrays alone; `None` where there is nothing but arrays.

    Arguments:
        transform: Its name in JAX.
        given: Its arguments.
        writer: Takes the lines.
        inner: The function to transform.
        contract: What the slots are.
        slots: The values of the call.
    """
    static: tuple[int, ...] = given["static_argnums"]
    found = Partition(contract).constants(slots)
    constants = {i: traced for i, traced in found.items() if any(traced) or i not in static}
    if not constants and all(writer.returned):
        return None
    options = writer.options({**given, "static_argnums": tuple(i for i in static if i not in constants)})
    name = writer.new(f"{transform}_{inner}")
    writer.with_constants(name, inner, constants, lambda of: f"jax.{transform}({of}{options})", writer.returned)
    return name


def is_inferred(parameter: Parameter) -> bool:
    """Whether a parameter is static only by inference."""
    role = parameter.role(Static)
    return role is not None and role.inferred


def slot_holds_traceable(parameter: Parameter, slot: Any) -> bool:
    """Whether a slot inferred to be static turns out to hold something to trace; each element of `*args` counts."""
    items: Sequence[Any] = (slot,)
    if parameter.kind is SignatureParameter.VAR_POSITIONAL:
        items = cast("Sequence[Any]", slot)
    elif parameter.kind is SignatureParameter.VAR_KEYWORD:
        items = list(slot.values())
    if any(holds_traceable(item, numbers=False) for item in items):
        return True
    # Where its default alone made it static, and no hint asks for a constant, a number is traced as everywhere else.
    is_free = why_static(parameter.hint) is None
    return is_free and any(holds_traceable(item, numbers=True) for item in items)


def constant_of(parameter: Parameter, slot: Any) -> Constant:
    """A static slot as part of a cache key."""
    return Constant.of_keywords(slot) if parameter.kind is SignatureParameter.VAR_KEYWORD else Constant(slot)
