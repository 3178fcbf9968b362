"""The expectations in the case files: comments that say what each run reports on a statement.

    reveal_type(f(1))  # type: str
    reveal_type(f(1))  # type: Any; plugin: tuple[W, B]; mypy, ty: Unknown
    f("a")  # error
    f("a")  # error: mypy, plugin "incompatible type"
    reveal_type(f("a"))  # type: str # error: pyright

A type is expected of all runs, but those that are named have their own. An error is expected of all runs, or of those
named alone; what is quoted must be in one of the messages, of any run (`# error "text"`) or of the run before it.

An expectation stands on any line of a statement and holds for reports on any of its lines. A decorated function has
those from its first decorator through the line with its `def`; the body is apart. Where nothing is expected, nothing
may be reported. A line `# row: text` above a statement makes a row of it in the table in `docs/guides/typing.md`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.typing.checkers import RUNS, Report
from tests.typing.spelling import normal


@dataclass
class Expectation:
    """What is expected of a statement.

    Attributes:
        lines: The lines that it is on, the first and the last.
        types: The type that each run reveals, as it stands in the comment.
        errors: The runs that report an error, and what must be in a message.
        row: What the statement is called in the table, if it is a row there.
    """

    lines: tuple[int, int]
    types: dict[str, str] = field(default_factory=dict[str, str])
    errors: dict[str, str] = field(default_factory=dict[str, str])
    row: str | None = None

    def differences(self, run: str, reports: Iterable[Report]) -> Iterator[str]:
        """What is expected of a run and is not reported, or the other way around."""
        reports = list(reports)
        revealed = [report.text for report in reports if report.kind == "type"]
        messages = [report.text for report in reports if report.kind == "error"]
        expected = self.types.get(run)
        if expected is not None and not revealed:
            yield f"expected the type {expected}, got none: is there a reveal_type?"
        for text in revealed:
            if expected is None:
                yield f"got the type {text}, but no type is expected"
            elif text != normal(expected):
                yield f"expected the type {normal(expected)}\n    got the type      {text}"
        if run not in self.errors:
            yield from (f"expected no error, got: {message}" for message in messages)
        elif not messages:
            yield "expected an error, got none"
        elif not any(self.errors[run] in message for message in messages):
            yield f'expected an error with "{self.errors[run]}", got: {" / ".join(messages)}'


def expectations_in(source: str) -> list[Expectation]:
    """The expectations in the text of a case file, in the order of its lines."""
    statements = _statements(source)
    found: dict[tuple[int, int], Expectation] = {}

    def at(line: int) -> Expectation:
        lines = _lines_at(line, statements)
        return found.setdefault(lines, Expectation(lines))

    for line, comment, is_alone in _comments(source):
        row = re.fullmatch(r"row: (.+)", comment)
        if row and is_alone:
            following = min((other for other in statements if other > line), default=None)
            if following is None:
                raise ValueError(f"line {line}: there is no statement below this row")
            at(following).row = row[1]
            continue
        for part in re.split(r" # ", comment):
            if re.match(r"type: (?!ignore)", part):
                if not isinstance(statements.get(line), ast.Expr):
                    raise ValueError(f"line {line}: checkers read this comment as a hint; reveal in a statement alone")
                _add(at(line).types, _types(part.removeprefix("type: ")), line)
            elif re.match(r'error($|:| ")', part):
                _add(at(line).errors, _errors(part.removeprefix("error").removeprefix(":"), line), line)
    return [found[lines] for lines in sorted(found)]


def differences(run: str, case: str, source: str, reports: Iterable[Report]) -> list[str]:
    """Where a run reports something else of a case file than its text expects, each with file and line."""
    statements = _statements(source)
    by_lines: dict[tuple[int, int], list[Report]] = defaultdict(list)
    for report in reports:
        if report.file == case:
            by_lines[_lines_at(report.line, statements)].append(report)
    expected = {expectation.lines: expectation for expectation in expectations_in(source)}
    shown: list[str] = []
    for lines in sorted({*by_lines, *expected}):
        expectation = expected.get(lines) or Expectation(lines)
        shown += [f"{case}:{lines[0]}: {text}" for text in expectation.differences(run, by_lines.get(lines, ()))]
    return shown


def rows_in(case: Path) -> list[Expectation]:
    """The expectations of a case file that are rows of the table."""
    return [expectation for expectation in expectations_in(case.read_text()) if expectation.row is not None]


def _lines_at(line: int, statements: Mapping[int, ast.stmt]) -> tuple[int, int]:
    return _lines(statements[line]) if line in statements else (line, line)


def _add(known: dict[str, str], new: Mapping[str, str], line: int) -> None:
    if known:
        raise ValueError(f"line {line}: this statement has two such expectations")
    known.update(new)


def _types(text: str) -> dict[str, str]:
    """`Any; plugin: str` as the type for each run."""
    names = "|".join(RUNS)
    default: dict[str, str] = {}
    own: dict[str, str] = {}
    for part in text.split("; "):
        override = re.fullmatch(rf"((?:{names})(?:, (?:{names}))*): (.+)", part)
        if override:
            own.update(dict.fromkeys(override[1].split(", "), override[2].strip()))
        else:
            default = dict.fromkeys(RUNS, part.strip())
    return {**default, **own}


def _errors(text: str, line: int) -> dict[str, str]:
    """`mypy, plugin "text"` as what each run's message must hold."""
    alone = re.fullmatch(r'\s*(?:"(.*)")?\s*', text)
    if alone:
        return dict.fromkeys(RUNS, alone[1] or "")
    one = rf'\s*({"|".join(RUNS)})(?: "([^"]*)")?\s*'
    if not re.fullmatch(rf"{one}(?:[,;]{one})*", text):
        raise ValueError(f"line {line}: the runs are {', '.join(RUNS)}, not {text.strip()!r}")
    return dict(re.findall(rf"{one}(?:[,;]|$)", text))


def _comments(source: str) -> Iterator[tuple[int, str, bool]]:
    """The comments: the line of each, its text, and whether nothing stands before it."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.removeprefix("#").strip(), not token.line[: token.start[1]].strip()


def _first_line(node: ast.stmt) -> int:
    """The first line of a statement, its decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _lines(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement; of one with a body, those above the body, and that of a body behind the colon."""
    first, last = _first_line(node), node.end_lineno or node.lineno
    if isinstance(node, ast.Match):
        return first, max(node.lineno, node.cases[0].pattern.lineno - 1)
    body = getattr(node, "body", None)
    if not body:
        return first, last
    inside = {id(part) for statement in body for part in ast.walk(statement)}
    inside.update(id(part) for other in ("orelse", "finalbody", "handlers") for part in getattr(node, other, ()))
    head = [getattr(part, "end_lineno", 0) or 0 for part in ast.iter_child_nodes(node) if id(part) not in inside]
    head += [part.end_lineno or 0 for part in ast.walk(getattr(node, "args", node)) if isinstance(part, ast.arg)]
    start = _first_line(body[0])
    return first, start if start <= max([node.lineno, *head]) else start - 1


def _statements(source: str) -> dict[int, ast.stmt]:
    """The statement that each line belongs to; a line of several belongs to the outermost."""
    statements: dict[int, ast.stmt] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            first, last = _lines(node)
            for line in range(first, last + 1):
                statements.setdefault(line, node)
    return statements
