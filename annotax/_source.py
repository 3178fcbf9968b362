"""The equivalent of one call, written in JAX alone: text that runs in a namespace of its own.

`Writer` collects it line by line; each transform writes its own part (`Transform.write`).
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter as SignatureParameter
from typing import Any, cast

import jax
from jax.sharding import PartitionSpec

from annotax._contract import Contract

_OWN = frozenset(
    (
        "argument", "constants", "entries", "flat", "found", "gradient", "is_array", "is_traced", "layout", "leaf",
        "leaves", "moves", "moving", "of_arrays", "of_leaves", "of_moving", "pairs", "part", "places", "restored",
        "result", "returned", "structure", "structures", "value", "whole",
    )
)  # fmt: skip
"""The names of what is local in the source that the transforms write."""


class Writer:
    """Source, and what the names in it stand for.

    Attributes:
        lines: The source so far.
        namespace: The values of its names: the function, its arguments, meshes, whatever has no literal.
        slots: The parameters, in the order of the signature, under names that mean nothing else in the source.
        returned: For each leaf of what the call returns, whether JAX can return it.
    """

    def __init__(self, contract: Contract, returned: Sequence[bool]) -> None:
        self.returned = returned
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {"jax": jax, "PartitionSpec": PartitionSpec}
        self._taken = {*contract.names, *dir(builtins), *keyword.kwlist, *self.namespace, *_OWN}
        self.slots: tuple[str, ...] = tuple(map(self._slot, contract.names))

    def _slot(self, name: str) -> str:
        is_ours = name in _OWN or name in self.namespace or hasattr(builtins, name)
        return self.new(f"{name}_") if is_ours else name

    @property
    def passed(self) -> str:
        """The parameters as they stand between brackets."""
        return ", ".join(self.slots)

    def write(self, *lines: str) -> None:
        """Add lines."""
        self.lines += lines

    def new(self, wish: str) -> str:
        """A name that nothing else has."""
        name, number = wish if wish.isidentifier() else "function", 1
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}" if wish.isidentifier() else f"function_{number}"
        self._taken.add(name)
        return name

    def bind(self, wish: str, value: Any) -> str:
        """A name for a value."""
        name = self.new(wish)
        self.namespace[name] = value
        return name

    def literal(self, wish: str, value: Any) -> str:
        """A value as it is written, or a name for it."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return repr(value)
        if isinstance(value, PartitionSpec):
            return f"PartitionSpec({', '.join(self.literal(wish, entry) for entry in cast('Any', value))})"
        if type(value) is tuple:
            items = [self.literal(wish, item) for item in cast("Any", value)]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        if type(value) is list:
            return f"[{', '.join(self.literal(wish, item) for item in cast('Any', value))}]"
        if type(value) is dict:
            return f"{{{', '.join(f'{k!r}: {self.literal(wish, v)}' for k, v in cast('Any', value).items())}}}"
        return self.bind(wish, value)

    def options(self, given: Mapping[str, Any], *, without: Sequence[str] = ()) -> str:
        """Keyword arguments, each after a comma; empty tuples say nothing."""
        kept = {name: value for name, value in given.items() if name not in without and value != ()}
        return "".join(f", {name}={self.literal(name, value)}" for name, value in kept.items())

    def core(self, contract: Contract, function: Any) -> str:
        """The function with one position for each parameter."""
        function_name = self.bind(contract.where.rpartition(".")[2], function)
        if all(p.kind is SignatureParameter.POSITIONAL_OR_KEYWORD for p in contract):
            return function_name
        passed: list[str] = []
        for parameter, slot in zip(contract, self.slots, strict=True):
            match parameter.kind:
                case SignatureParameter.VAR_POSITIONAL:
                    passed.append(f"*{slot}")
                case SignatureParameter.VAR_KEYWORD:
                    passed.append(f"**{slot}")
                case SignatureParameter.KEYWORD_ONLY:
                    passed.append(f"{parameter.name}={slot}")
                case _:
                    passed.append(slot)
        name = self.new("by_position")
        self.write(f"def {name}({self.passed}):", f"    return {function_name}({', '.join(passed)})", "")
        return name

    def with_constants(
        self,
        name: str,
        inner: str,
        traced: Mapping[int, Sequence[bool]],
        call: Callable[[str], str],
        result: Sequence[bool],
    ) -> None:
        """A function of slots around a transform that cannot take or return all of their leaves.

        Arguments:
            name: Of the new function.
            inner: The function to transform.
            traced: For some slots, which of their leaves are traced; the others are constants.
            call: From the name of the function of what is left to the text of the transformed one.
            result: For each leaf of the result, whether it can be returned.
        """
        parts = {i: (self.slots[i], self.new(f"{self.slots[i]}_leaves"), self.new(f"{self.slots[i]}_structure"),
                     self.new(f"{self.slots[i]}_is_traced")) for i in traced}  # fmt: skip
        self.write(f"def {name}({self.passed}):", "    # What cannot be traced is constant.")
        for i, (slot, leaves, structure, flags) in parts.items():
            self.write(f"    {leaves}, {structure} = jax.tree.flatten({slot})", f"    {flags} = {list(traced[i])!r}")
        if not all(result):
            self.write("    constants = []")
        self.write("", f"    def of_arrays({self.passed}):")
        for slot, leaves, structure, flags in parts.values():
            self.write(
                f"        {slot} = iter({slot})",
                f"        pairs = zip({leaves}, {flags})",
                f"        whole = [next({slot}) if is_traced else leaf for leaf, is_traced in pairs]",
                f"        {slot} = {structure}.unflatten(whole)",
            )
        if all(result):
            self.write(f"        return {inner}({self.passed})")
        else:
            self.write(
                f"        leaves, structure = jax.tree.flatten({inner}({self.passed}))",
                "        constants[:] = structure, leaves",
                f"        return [leaf for leaf, is_array in zip(leaves, {list(result)!r}) if is_array]",
            )
        passed = list(self.slots)
        for i, (_, leaves, _, flags) in parts.items():
            passed[i] = f"[leaf for leaf, is_traced in zip({leaves}, {flags}) if is_traced]"
        self.write("", f"    returned = {call('of_arrays')}({', '.join(passed)})")
        if all(result):
            self.write("    return returned", "")
        else:
            self.write(
                "    structure, leaves = constants",
                "    returned = iter(returned)",
                f"    pairs = zip(leaves, {list(result)!r})",
                "    return structure.unflatten([next(returned) if is_array else leaf for leaf, is_array in pairs])",
                "",
            )

    def text(self) -> str:
        """The whole source."""
        return "\n".join(self.lines).strip() + "\n"
