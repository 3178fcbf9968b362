"""The values of one call, taken apart into what JAX traces and what is constant.

Transforms that meet values rather than types work through this: a slot is static by its role, or because what it holds
cannot be traced; inside a pytree, single leaves can be. Static parts become hashable `Structure`s.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from inspect import Parameter as SignatureParameter
from typing import Any, TypeAlias, cast

import jax

from annotax._checks import check_static, is_constant_argument
from annotax._contract import Contract, Parameter
from annotax._errors import StaticValueError, message
from annotax._hints import EMPTY
from annotax._markers import Static
from annotax._normal import as_slots
from annotax._tree import (
    Constant,
    Structure,
    describe,
    holds_traceable,
    is_constant,
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
        self.inferred = tuple(i for i in static if is_inferred(contract.parameters[i]))
        self.marked = tuple(i for i in static if i not in self.inferred)
        self.found: dict[str, str] = {}

    def is_mixed(self, slots: Sequence[Any]) -> bool:
        """Whether a value does not fit its slot as the contract has it, so that it has to be split or refused."""
        return any(self._is_mixed(i, slot) for i, slot in enumerate(slots))

    def _is_mixed(self, i: int, slot: Any) -> bool:
        parameter = self.contract.parameters[i]
        if i in self.marked:
            return not is_constant_argument(parameter, slot)
        if i in self.inferred:
            return slot_holds_traceable(parameter, slot) or not is_constant_argument(parameter, slot)
        return not all(map(is_traceable, jax.tree.leaves(slot)))

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
                self._check_constants(i, parameter, slots[i])
                # A number where the hint wants a constant, `Literal[1, 2]`, is no more traced here than elsewhere.
                is_constant_slot = i in self.inferred and not slot_holds_traceable(parameter, slots[i])
                arguments[i], structure = split(slots[i], _never if is_constant_slot else is_traceable)
                structures.append((i, structure))
        return tuple(structures), arguments

    @staticmethod
    def join(structures: Structures, arguments: Sequence[Any]) -> list[Any]:
        """The slots that `split` took apart, with what went in as a `Constant` taken out again."""
        slots = [argument.value if isinstance(argument, Constant) else argument for argument in arguments]
        for i, structure in structures:
            slots[i] = structure.join(slots[i])
        return slots

    def _check_constants(self, i: int, parameter: Parameter, value: Any) -> None:
        for path, leaf in leaves_with_paths(parameter.name, value):
            if is_traceable(leaf):
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
                    fix="mark it, `self: Static[Self]`, if it never changes, register its class as a pytree, "
                    "or decorate the bound method: annotax.jit(obj.method)"
                    if is_self
                    else f"mark {parameter.name} Static if it never changes, or register its class as a pytree",
                )
            )


def with_structures(core: Callable[..., Any], contract: Contract) -> Callable[..., Any]:
    """The core as a function of what `split` makes of its slots: the structures first, then the arguments."""

    def joined(structures: Structures, *arguments: Any) -> Any:
        return core(*Partition.join(structures, arguments))

    name = "structures"
    while name in contract.names:
        name = f"_{name}"
    return cast("Callable[..., Any]", as_slots(joined, inspect.unwrap(core), (name, *contract.names)))


def is_inferred(parameter: Parameter) -> bool:
    """Whether a parameter is static only by inference."""
    role = parameter.role(Static)
    return role is not None and role.inferred


def _never(leaf: Any) -> bool:
    return False


def slot_holds_traceable(parameter: Parameter, slot: Any) -> bool:
    """Whether a slot inferred to be static turns out to hold something to trace; each element of `*args` counts."""
    items: Sequence[Any] = (slot,)
    if parameter.kind is SignatureParameter.VAR_POSITIONAL:
        items = cast("Sequence[Any]", slot)
    elif parameter.kind is SignatureParameter.VAR_KEYWORD:
        items = list(slot.values())
    return any(holds_traceable(item, numbers=parameter.hint is EMPTY) for item in items)


def constant_of(parameter: Parameter, slot: Any) -> Constant:
    """A static slot as part of a cache key."""
    return Constant.of_keywords(slot) if parameter.kind is SignatureParameter.VAR_KEYWORD else Constant(slot)
