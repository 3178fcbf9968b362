"""Pairs: one thing to want, written with another library and with annotax.

`tests/test_coming_from.py` runs both sides of each and compares what they give; `docs/generate_coming_from.py` makes
the pages of `docs/coming-from` of them.
"""

from __future__ import annotations

import ast
import linecache
import sys
import textwrap
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

LONGEST_LINE = 62
"""How wide code may be that stands beside other code."""


@dataclass(frozen=True)
class Pair:
    """One thing to want.

    Each side is code that ends in an expression, whose value is what the two have in common.

    Attributes:
        group: The heading that it is under.
        want: What one wants.
        their_name: How the other library calls it, for the table.
        our_name: How annotax does.
        theirs: The code of the other library.
        ours: The code of annotax.
        given: What both begin with.
        note: What else there is to know.
    """

    group: str
    want: str
    their_name: str
    our_name: str
    theirs: str
    ours: str
    given: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for field in ("theirs", "ours", "given"):
            object.__setattr__(self, field, textwrap.dedent(getattr(self, field)).strip("\n"))


@dataclass(frozen=True)
class Library:
    """A library that one may come from.

    Attributes:
        name: As its people write it.
        page: The page about it, in `docs/coming-from`.
        imports: What stands above the code of each pair.
        pairs: The pairs, group by group.
    """

    name: str
    page: str
    imports: str
    pairs: Sequence[Pair]


def value_of(*parts: str) -> Any:
    """Run parts of a program one after the other, and give the value of the expression that the last one ends in."""
    *before, last = (ast.parse(part) for part in parts)
    *statements, expression = last.body
    if not isinstance(expression, ast.Expr):
        raise AssertionError(f"the code ends in no expression: {ast.unparse(expression)}")
    module = types.ModuleType("pair")
    sys.modules[module.__name__] = module  # where classes look up their hints
    try:
        for number, part in enumerate((*before, ast.Module([*statements], []))):
            filename = f"<pair, part {number}>"
            # A function is read from its source by those who want to show it.
            linecache.cache[filename] = (len(parts[number]), None, parts[number].splitlines(keepends=True), filename)
            exec(compile(part, filename, "exec", dont_inherit=True), module.__dict__)
        return eval(compile(ast.Expression(expression.value), filename, "eval", dont_inherit=True), module.__dict__)
    finally:
        del sys.modules[module.__name__]


def assert_same(one: Any, other: Any) -> None:
    """Check that two results are the same in structure, types, shapes, dtypes, weak types, layouts and values."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for leaf, counterpart in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert type(leaf) is type(counterpart)
        if isinstance(leaf, jax.Array):
            assert jax.typeof(leaf) == jax.typeof(counterpart)
            assert leaf.weak_type == counterpart.weak_type
            assert leaf.sharding.is_equivalent_to(counterpart.sharding, leaf.ndim)
            np.testing.assert_allclose(leaf, counterpart, rtol=1e-6)
        else:
            assert np.array_equal(leaf, counterpart)
