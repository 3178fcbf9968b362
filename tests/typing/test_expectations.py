"""The harness of the case files: it sees what it must see, and reads what each checker prints."""

import json
import textwrap
from typing import Literal

import pytest

from docs.generate_typing import cell
from tests.typing.checkers import RUNS, Report, read_mypy, read_pyrefly, read_pyright, read_ty
from tests.typing.expectations import differences, expectations_in
from tests.typing.spelling import normal


def report(line: int, kind: Literal["type", "error"], text: str) -> Report:
    return Report("case.py", line, kind, text)


def found(source: str, *reports: Report, run: str = "mypy") -> list[str]:
    """The differences, the case file indented as it stands in a test."""
    return differences(run, "case.py", textwrap.dedent(source).lstrip("\n"), reports)


REVEAL = "reveal_type(f(1))  # type: str; plugin, ty: tuple[W, B]"
ERROR = 'f("a")  # error: mypy, plugin "contradict", pyright'


# --- what is a difference --------------------------------------------------------------------------------------------


def test_types_that_are_expected_are_none():
    assert found(REVEAL, report(1, "type", "str")) == []
    assert found(REVEAL, report(1, "type", "tuple[W, B]"), run="plugin") == []
    assert found(REVEAL, report(1, "type", "tuple[W, B]"), run="ty") == []


def test_a_wrong_type_is_one():
    [text] = found(REVEAL, report(1, "type", "str"), run="plugin")
    assert text.split("\n") == [
        "case.py:1: expected the type tuple[W, B]",
        "    got the type      str",
    ]


def test_a_type_that_is_expected_in_another_spelling_is_none():
    expected = "reveal_type(f)  # type: def (x: None | int =) -> Unknown"
    assert found(expected, report(1, "type", "(x: int | None = ...) -> Any")) == []


def test_a_missing_type_is_one():
    assert found(REVEAL) == ["case.py:1: expected the type str, got none: is there a reveal_type?"]


def test_a_reveal_without_an_expectation_is_one():
    [text] = found("reveal_type(f(1))", report(1, "type", "str"))
    assert "case.py:1: got the type str, but no type is expected" in text


def test_a_reveal_with_an_expectation_for_others_alone_is_one():
    assert found("reveal_type(f)  # type: ty: str", report(1, "type", "str")) != []


def test_every_type_that_a_statement_reveals_must_be_the_one():
    assert found(REVEAL, report(1, "type", "str"), report(1, "type", "int")) != []


@pytest.mark.parametrize("run", RUNS)
def test_a_missing_error_is_one(run: str):
    assert found('f("a")  # error', run=run) == ["case.py:1: expected an error, got none"]
    assert found('f("a")  # error', report(1, "error", "anything"), run=run) == []


def test_an_unexpected_error_is_one():
    assert found("f(1)", report(1, "error", "no")) == ["case.py:1: expected no error, got: no"]
    assert found(ERROR, report(1, "error", "no"), run="ty") == ["case.py:1: expected no error, got: no"]
    assert found(REVEAL, report(1, "type", "str"), report(1, "error", "no")) != []


def test_an_error_without_its_text_is_one():
    assert found(ERROR, report(1, "error", "no"), run="plugin") == [
        'case.py:1: expected an error with "contradict", got: no'
    ]
    assert found(ERROR, report(1, "error", "no"), report(1, "error", "they contradict"), run="plugin") == []
    assert found('f("a")  # error "int"', report(1, "error", "no int"), run="pyrefly") == []
    assert found('f("a")  # error "int"', report(1, "error", "no"), run="pyrefly") != []


def test_a_type_and_an_error_stand_on_one_line():
    source = 'reveal_type(f("a"))  # type: str # error: mypy  # noqa: B018'
    assert found(source, report(1, "type", "str"), report(1, "error", "no")) == []
    assert found(source, report(1, "type", "str"), run="ty") == []
    assert len(found(source)) == 2


def test_other_files_are_left_out():
    assert found("f(1)", Report("other.py", 1, "error", "no")) == []


# --- which lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [1, 2, 3])
def test_an_expectation_holds_on_every_line_of_its_statement(line: int):
    source = """
        f(
            "a",  # error
        )
        f(1)
    """
    assert found(source, report(line, "error", "no")) == []
    assert len(found(source, report(4, "error", "no"))) == 2


@pytest.mark.parametrize("line", [1, 2, 3, 4, 5])
def test_an_expectation_on_a_decorator_holds_through_the_signature(line: int):
    source = """
        @jit
        @grad  # error
        def f(
            x: int,
        ) -> str:
            return g(x)
    """
    assert found(source, report(line, "error", "no")) == []
    assert len(found(source, report(6, "error", "no"))) == 2


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_body_behind_the_colon_is_part_of_the_signature(line: int):
    source = """
        def f(
            x: int,
        ) -> str: ...  # error
    """
    assert found(source, report(line, "error", "no")) == []


def test_the_bodies_of_statements_are_apart():
    source = """
        if f("a"):  # error
            reveal_type(1)  # type: int
        with f() as g:
            match g:
                case 1:
                    reveal_type(g)  # type: int
    """
    reports = [report(1, "error", "no"), report(2, "type", "int"), report(6, "type", "int")]
    assert found(source, *reports) == []
    assert found(source, report(4, "error", "no"), *reports) == ["case.py:4: expected no error, got: no"]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = reveal_type(1)  # type: int", "line 1: checkers read this comment as a hint"),
        ("def f(x): ...  # type: int", "line 1: checkers read this comment as a hint"),
        ("f(1)  # error: mipy", "line 1: the runs are mypy, plugin"),
        ("f(  # error\n    1,  # error: ty\n)", "line 2: this statement has two"),
        ("f(1)\n# row: nothing", "line 2: there is no statement below this row"),
    ],
)
def test_what_cannot_be_meant_is_refused(source: str, says: str):
    with pytest.raises(ValueError, match=says):
        expectations_in(source)


def test_other_comments_expect_nothing():
    assert expectations_in("f(1)  # errors are rare\ng(1)  # type: ignore[misc]\nh(1)  # error-prone\n") == []


# --- rows of the table -----------------------------------------------------------------------------------------------


def test_a_row_is_what_stands_above_a_statement():
    source = textwrap.dedent("""
        # row: `f(1)`
        # This is a remark.

        reveal_type(f(1))  # type: int | None; ty: Unknown # error: mypy
        # row: `f(2)`
        f(2)
        f(3)
    """)
    first, second = expectations_in(source)
    assert (first.row, first.lines) == ("`f(1)`", (5, 5))
    assert [cell(first, run) for run in ("mypy", "pyright", "ty")] == [
        r"`int \| None`, error",
        r"`int \| None`",
        "`Unknown`",
    ]
    assert (second.row, cell(second, "ty")) == ("`f(2)`", "\N{EN DASH}")


# --- what each checker prints ----------------------------------------------------------------------------------------

SIGNATURES = {
    "mypy": "def [T] (x: case.W, *, n: builtins.int =) -> jax._src.basearray.Array | None",
    "pyright": "(x: W, *, n: int = 2) -> (Array | None)",
    "ty": "def f[T](x: W, *, n: int = 2) -> Array | None",
    "ty of a method": "bound method Box[W].f(x: W, *, n: int = 2) -> Array | None",
    "ty of a class method": "bound method <class 'Box'>.f(x: W, *, n: int = 2) -> Array | None",
    "pyrefly": "[T](x: W, *, n: int = 2) -> Array | None",
}


@pytest.mark.parametrize("text", SIGNATURES.values(), ids=SIGNATURES)
def test_signatures_have_one_spelling(text: str):
    assert normal(text) == "(x: W, *, n: int = ...) -> Array | None"


@pytest.mark.parametrize(
    ("spelled", "texts"),
    [
        ("Any", ["Any", "Unknown"]),
        ("Literal[1]", ["Literal[1]"]),
        ("int", ["int", "builtins.int"]),
        ("Array", ["jax.Array", "jax._src.basearray.Array"]),
        ("type[W]", ["type[case.W]", "<class 'W'>"]),
        ("() -> None", ["def ()", "() -> None", "def f() -> None"]),
        ('Literal["a", "b"] | None', ["Literal['b'] | Literal['a'] | None", 'Literal["a", "b"] | None']),
        ("Array | float", ["float | jax.Array", "Array | float"]),
        ("(int, str) -> W", ["def (int, str) -> a.W", "(int, str, /) -> W", "(x: int, y: str, /) -> W"]),
        ("(...) -> Any", ["def (*Any, **Any) -> Any", "(...) -> Unknown"]),
        ("(*args: int, n: str) -> W", ["(*args: int, n: str) -> W", "(*args: int, *, n: str) -> W"]),
        ("(x: str = ...) -> W", ["def (x: str =) -> W", "(x: str = 'a, b)') -> W", "(x: str = f(1, [2])) -> W"]),
        ("((int) -> str) | None", ["(def (int) -> str) | None", "((int, /) -> str) | None"]),
        (
            "(g: (int) -> str) -> () -> Any",
            ["(g: (int) -> str) -> (() -> Any)", "def (g: def (int) -> str) -> def () -> Any"],
        ),
        (
            "(**P) -> R",
            [
                "def (*P.args, **P.kwargs) -> R",
                "(**P@f) -> R@f",
                "(ParamSpec(P)) -> R",
                "(*args: P.args, **kwargs: P.kwargs) -> R",
            ],
        ),
        ("F[(x: str), int]", ["case.F[[x: str], int]", "F[(x: str), int]"]),
        ("F[(int), W]", ["F[[int], W]", "F[(int), W]"]),
        ("F[(), W]", ["F[[], W]", "F[(), W]"]),
        ("list[(int) -> str]", ["list[def (int) -> str]", "list[(int) -> str]", "list[((int) -> str)]"]),
        (
            "Overload[(x: int) -> str, (x: str) -> int]",
            [
                "Overload(def (x: int) -> str, def (x: str) -> int)",
                "Overload[(x: int) -> str, (x: str) -> int]",
                "Overload[\n  (x: int) -> str\n  (x: str) -> int\n]",
            ],
        ),
        ("NT", ["tuple[int, str, fallback=case.NT]", "NT"]),
        ("Coroutine[Any, Any, None]", ["typing.Coroutine[Any, Any, None]", "CoroutineType[Unknown, Unknown, None]"]),
        ("tuple[(int) -> str, ...]", ["tuple[def (int) -> str, ...]", "tuple[(int) -> str, ...]"]),
        ('<what "is" this>', ["<what 'is'  this>"]),
    ],
)
def test_types_have_one_spelling(spelled: str, texts: list[str]):
    assert {text: normal(text) for text in [spelled, *texts]} == dict.fromkeys([spelled, *texts], spelled)


EXPECTED = [Report("case.py", 3, "type", "tuple[W, Any]"), Report("case.py", 4, "error", "no such\nthing")]


def test_what_mypy_prints_is_read():
    def line(number: int, message: str, severity: str, hint: str | None = None, file: str = "cases/case.py") -> str:
        found = {"file": file, "line": number, "column": 0, "message": message, "severity": severity, "hint": hint}
        return json.dumps(found)

    output = [
        line(3, 'Revealed type is "tuple[case.W, Any]"', "note"),
        line(4, "no such", "error", hint="thing"),
        line(5, "a remark", "note"),
        line(6, "elsewhere", "error", file="annotax/_jit.py"),
    ]
    assert list(read_mypy("\n".join(output))) == EXPECTED
    hint = 'a remark\nRevealed type is "case.W"'
    kinds = [(report.kind, report.text) for report in read_mypy(line(3, "no", "error", hint=hint))]
    assert kinds == [("type", "W"), ("error", f"no\n{hint}")]


def test_what_pyright_prints_is_read():
    def found(line: int, severity: str, message: str, file: str = "/project/cases/case.py") -> dict[str, object]:
        return {"file": file, "severity": severity, "message": message, "range": {"start": {"line": line}}}

    diagnostics = [
        found(2, "information", 'Type of "f("a")" is "tuple[W, Unknown]"'),
        found(3, "error", "no such\nthing"),
        found(4, "information", "a remark"),
        found(5, "error", "elsewhere", file="/site/annotax/_jit.py"),
    ]
    output = "npm says something\n" + json.dumps({"generalDiagnostics": diagnostics}, indent=4)
    assert list(read_pyright(output)) == EXPECTED


def test_what_ty_prints_is_read():
    output = """\
cases/case.py:3:13: info[revealed-type] Revealed type: `tuple[W, Unknown]`
cases/case.py:4:15: error[invalid-argument-type] no such
cases/case.py:5:15: warning[deprecated] old
Found 3 diagnostics
"""
    assert list(read_ty(output)) == [
        EXPECTED[0],
        Report("case.py", 4, "error", "no such"),
        Report("case.py", 5, "error", "old"),
    ]


def test_what_pyrefly_prints_is_read():
    def found(line: int, severity: str, name: str, text: str) -> dict[str, object]:
        return {"path": "cases/case.py", "line": line, "name": name, "severity": severity, "description": text}

    errors = [
        found(3, "info", "reveal-type", "revealed type: tuple[W, Unknown]"),
        found(4, "error", "bad-argument-type", "no such\nthing"),
        found(5, "info", "remark", "a remark"),
    ]
    assert list(read_pyrefly(json.dumps({"errors": errors}, indent=2))) == EXPECTED
