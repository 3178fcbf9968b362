"""The mutants of a module: cosmic-ray's operators, fewer of a kind, and ours for what it leaves alone.

Left out is what cannot change behaviour: annotations, which are strings here, and what only type checkers read.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import pickle
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

Span = tuple[tuple[int, int], tuple[int, int]]


class DropStatement(Operator):
    """Replaces a call that stands alone, an assignment to an attribute or item, or a `raise` by `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "simple_stmt" and self._has_effect(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        _replace(node, 0, "pass")
        return node

    @staticmethod
    def _has_effect(statement: Any) -> bool:
        if statement.type == "expr_stmt":
            return statement.children[0].type == "atom_expr" and statement.children[1].type == "operator"
        return statement.type in ("atom_expr", "raise_stmt")

    @classmethod
    def examples(cls) -> Any:
        return ()


class ReturnNone(Operator):
    """Returns `None` in place of a value; `False` is for `ReplaceFalseWithTrue`."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "return_stmt" and node.children[1].get_code().strip() not in ("None", "False"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        _replace(node, 1, "None")
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class NegateMembership(Operator):
    """Swaps `in` and `not in`."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "comparison":
            for operator in node.children[1::2]:
                if operator.get_code().split() in (["in"], ["not", "in"]):
                    yield operator.start_pos, operator.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        places = [i for i, child in enumerate(node.children) if child.get_code().split() in (["in"], ["not", "in"])]
        place = places[index]
        _replace(node, place, "in" if "not" in node.children[place].get_code().split() else "not in")
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class NegateFilter(Operator):
    """Keeps in a comprehension what it would drop."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "comp_if":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        _replace(node, 1, f"not ({node.children[1].get_code().strip()})")
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class DropElement(Operator):
    """Leaves one element out of a tuple, list or set that is written with at least two."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        for element in self._elements(node):
            yield element.start_pos, element.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        inside = node.children[1]
        place = inside.children.index(self._elements(node)[index])
        del inside.children[place : place + 2]
        if len(inside.children) == 1:  # still a tuple
            _replace(inside, 0, f"{inside.children[0].get_code().strip()},")
        return node

    @staticmethod
    def _elements(node: Any) -> list[Any]:
        if node.type != "atom" or node.children[1].type not in ("testlist_comp", "dictorsetmaker"):
            return []
        elements, commas = node.children[1].children[::2], node.children[1].children[1::2]
        is_display = all(comma.type == "operator" and comma.value == "," for comma in commas)
        return elements if is_display and len(elements) > 1 else []

    @classmethod
    def examples(cls) -> Any:
        return ()


def _replace(node: Any, place: int, code: str) -> None:
    old = node.children[place]
    node.children[place] = parso.parse(old.get_first_leaf().prefix + code)


_FROM_COSMIC_RAY = (
    *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator"),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd"),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Lt_LtE", "Lt_GtE", "LtE_Lt", "Gt_GtE", "Gt_LtE")
    ),
    *("ReplaceComparisonOperator_LtE_Gt", "ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt"),
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr")
    ),
)
"""One or two replacements of an operator, not all: `a < b` as `a == b`, `a << b` and so on says nothing new."""

_OURS: tuple[type[Operator], ...] = (DropStatement, ReturnNone, NegateMembership, NegateFilter, DropElement)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: The file, from the root of the repository.
        operator: What was done.
        occurrence: To which of the places where it can be done.
        line: Where that is.
        source: The module as changed.
    """

    module: str
    operator: str
    occurrence: int
    line: int
    source: str

    @property
    def name(self) -> str:
        """How it is named on the command line."""
        return f"{self.module}:{self.operator}:{self.occurrence}"

    def diff(self) -> str:
        """What was changed."""
        before, after = Path(self.module).read_text().splitlines(), self.source.splitlines()
        lines = difflib.unified_diff(before, after, n=0, lineterm="")
        return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def mutants(module: str, names: Container[str] | None = None) -> list[Mutant]:
    """The mutants of a file in the order of its lines: those named, or all; of those that say the same, one."""
    source = Path(module).read_text()
    tree = get_ast(source)
    fresh = pickle.dumps(tree)  # far quicker than to parse again for every mutant
    nodes = list(ast_nodes(tree))
    ignored = [*_ignored(source), *_no_operators(nodes)]
    operators = {name: get_operator(f"core/{name}")() for name in _FROM_COSMIC_RAY}
    operators |= {kind.__name__: kind() for kind in _OURS}
    found: dict[str, Mutant] = {}
    for name, operator in operators.items():
        spans = (span for node in nodes for span in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(spans):
            if any(first <= start < last for first, last in ignored):
                continue
            if names is not None and f"{module}:{name}:{occurrence}" not in names:
                continue
            mutated = MutationVisitor(occurrence, operator).walk(pickle.loads(fresh)).get_code()
            try:
                ast.parse(mutated)
            except SyntaxError:
                continue
            found.setdefault("".join(mutated.split()), Mutant(module, name, occurrence, start[0], mutated))
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.name))


def _ignored(source: str) -> Iterator[Span]:
    """What cannot change behaviour, or is not to be covered."""
    lines = source.splitlines()

    def span(node: Any) -> Span:
        return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield span(node.annotation)
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias" and node.value:
                yield span(node.value)
        elif isinstance(node, ast.FunctionDef):
            if node.returns is not None:
                yield span(node.returns)
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if "overload" in decorators or "pragma: no cover" in lines[node.lineno - 1]:
                first = node.decorator_list[0] if node.decorator_list else node
                yield (first.lineno, 0), (node.end_lineno or 0, 10_000)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield (node.lineno, 0), (node.body[-1].end_lineno or 0, 10_000)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "TypeVar"):
            yield span(node.args[0])


def _no_operators(nodes: list[Any]) -> Iterator[Span]:
    """Stars that cosmic-ray takes for operators, as in `def f(x, *, y)`, and `strict=True`, an assertion of ours."""
    for node in nodes:
        is_star = node.type == "operator" and node.value in ("*", "**", "/")
        if is_star and node.parent.type not in ("term", "power"):
            yield node.start_pos, node.end_pos
        if node.type == "argument" and node.get_code().strip() == "strict=True":
            yield node.start_pos, node.end_pos


def touched(source: str, line: int) -> set[int]:
    """The lines that a change at a line concerns: its statement, and where a constant that it defines is used."""
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    around = [node for node in statements if line in _lines(node)]
    if not around:
        return {line}
    changed = min(around, key=lambda node: len(_lines(node)))
    if changed.col_offset > 0 or not isinstance(changed, ast.Assign | ast.AnnAssign):
        return set(_lines(changed))
    targets = changed.targets if isinstance(changed, ast.Assign) else [changed.target]
    names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {line for node in statements if not names.isdisjoint(_loaded(node)) for line in _lines(node)}


def _lines(node: ast.stmt) -> range:
    """The lines of a statement; of one with a body those of its header."""
    body: list[ast.stmt] = getattr(node, "body", [])
    end = max(body[0].lineno - 1, node.lineno) if body else node.end_lineno or node.lineno
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return range(min([node.lineno, *(decorator.lineno for decorator in decorators)]), end + 1)


def _loaded(node: ast.stmt) -> set[str]:
    lines = _lines(node)
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and name.lineno in lines}
