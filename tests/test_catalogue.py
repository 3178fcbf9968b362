"""Each row of the catalogue of mistakes, and the page that is made of it, `docs/errors.md`."""

import ast
import os
import re
import traceback
import types
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

import annotax
from tests.catalogue import MISTAKES, MODULE, Mistake, Outcome, normal, run

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
GENERATED_WITH = "0.10.2"
"""The version of JAX whose messages the page shows."""

CATALOGUE = run.__code__.co_filename
"""The file whose frame is the first of each traceback, since it runs the code."""

HIDDEN = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (annotax, jax))

DEFINITIONS = (ast.FunctionDef, ast.ClassDef)

WITHOUT_FIX: set[str] = set()
"""Rows whose message does not say yet what to write instead."""

WITH_INTERNALS: set[str] = set()
"""Rows whose message shows internals of JAX yet."""

WITH_FRAMES: set[str] = {
    "A list in a static field",
}
"""Rows whose traceback is not that of the user alone yet."""

WITH_FRAMES_OF_GRAD: set[str] = set()
"""The same where `grad` stands inside `jit`."""

WITH_CHAIN: set[str] = set()
"""Rows whose traceback drags along that of another error yet."""

SAYING = [mistake for mistake in MISTAKES if mistake.says]
RAISING = [mistake for mistake in SAYING if mistake.error != "UserWarning"]
AT_CALLS = [mistake for mistake in RAISING if not isinstance(ast.parse(mistake.code).body[-1], DEFINITIONS)]
OURS = [mistake for mistake in AT_CALLS if not mistake.error]
COMPARED = [mistake for mistake in MISTAKES if mistake.jax is not None]


def each(mistakes: list[Mistake], *unfinished: set[str]) -> pytest.MarkDecorator:
    """A test of each row, which is to fail for those that are not finished."""

    def marks(mistake: Mistake) -> list[pytest.MarkDecorator]:
        return [pytest.mark.xfail(strict=True)] if any(mistake.title in titles for titles in unfinished) else []

    parameters = [pytest.param(mistake, id=mistake.title, marks=marks(mistake)) for mistake in mistakes]
    return pytest.mark.parametrize("mistake", parameters)


def error_of(mistake: Mistake) -> BaseException:
    error = run(mistake.code).error
    assert error is not None
    return error


def shown(error: BaseException) -> str:
    """What Python prints, chain and all."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def files(error: BaseException) -> list[str]:
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)][1:]  # the first is `run`


# --- what annotax says -----------------------------------------------------------------------------------------------


def test_there_are_as_many_rows_as_were_asked_for():
    assert len(SAYING) >= 40
    assert len({mistake.title for mistake in MISTAKES}) == len(MISTAKES)


@each(SAYING)
def test_the_whole_message(mistake: Mistake):
    outcome = run(mistake.code)
    assert normal(outcome.says) == mistake.says
    assert outcome.is_ours or outcome.kind in mistake.error.split("|")


@each(SAYING, WITHOUT_FIX)
def test_a_message_names_the_function_and_the_parameter_and_says_what_to_write(mistake: Mistake):
    assert mistake.names
    for name in mistake.names:
        assert name in mistake.says
    if mistake.by_annotax:
        assert re.search(r"^  fix +\S", mistake.says, flags=re.MULTILINE)


@each(SAYING, WITH_INTERNALS)
def test_a_message_shows_no_internals(mistake: Mistake):
    for internal in ("Tracer", "PyTreeDef", "annotax._", "jaxlib", "jax._src", "tree_map", "<lambda>", "object at 0x"):
        assert internal not in mistake.says


@each([mistake for mistake in MISTAKES if not mistake.says])
def test_what_annotax_cannot_say_is_written_down(mistake: Mistake):
    outcome = run(mistake.code)
    assert outcome.kind == (mistake.error or "NoneType")
    assert not outcome.is_ours
    assert mistake.advice is not None
    assert mistake.instead is not None
    assert run(mistake.instead).error is None


@each(COMPARED)
def test_jax_alone_fails_or_does_what_the_row_says(mistake: Mistake):
    assert mistake.jax is not None
    error = run(mistake.jax).error
    assert (error is None) == (mistake.silently is not None), error


# --- whose frames it shows -------------------------------------------------------------------------------------------


@each(AT_CALLS, WITH_FRAMES)
def test_the_traceback_ends_in_the_frame_of_the_user(mistake: Mistake):
    assert [file for file in files(error_of(mistake)) if file.startswith(HIDDEN)] == []
    assert files(error_of(mistake))[-1] == f"{MODULE}.py"


@each(OURS, WITH_FRAMES, WITH_CHAIN)
def test_what_python_prints_shows_the_frames_of_the_user_alone(mistake: Mistake):
    error = error_of(mistake)
    text = shown(error)
    assert {*re.findall(r'^  File "(.*?)"', text, flags=re.MULTILINE)} == {f"{MODULE}.py", CATALOGUE}
    assert "another exception occurred" not in text
    assert text.count(str(error)) == 1


@each([mistake for mistake in AT_CALLS if "@jit\n" in mistake.code], WITH_FRAMES_OF_GRAD)
def test_the_traceback_through_jit_and_grad(mistake: Mistake):
    error = run(mistake.code.replace("@jit\n", "@transform(jit, grad)\n")).error
    if error is None or isinstance(error, annotax.MarkerError):
        pytest.skip("no mistake, or another one, where it is differentiated")
    assert [file for file in files(error) if file.startswith(HIDDEN)] == []
    assert files(error)[-1] == f"{MODULE}.py"


@each(OURS, WITH_FRAMES, WITH_CHAIN)
def test_what_ipython_shows(mistake: Mistake):
    ultratb = pytest.importorskip("IPython.core.ultratb")
    error = error_of(mistake)
    trace = error.__traceback__
    assert trace is not None
    text = re.sub(r"\x1b\[[0-9;]*m", "", ultratb.VerboseTB().text(type(error), error, trace.tb_next))
    assert {*re.findall(r"^File (\S+?):\d+", text, flags=re.MULTILINE)} == {f"{MODULE}.py"}
    assert str(error) in text


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generate(script_of_docs: Callable[[str], types.ModuleType]) -> types.ModuleType:
    return script_of_docs("generate_errors")


def test_the_page_is_what_the_rows_say(generate: types.ModuleType):
    there, page = PAGE.read_text(), generate.generate()
    if jax.__version__ != GENERATED_WITH:
        there, page = generate.without_jax(there), generate.without_jax(page)
    assert there == page, f"write it anew, with jax {GENERATED_WITH}: python docs/generate_errors.py"


def test_outcomes_know_what_annotax_added():
    assert Outcome(None).says == "None"
    error = ValueError("of JAX")
    error.add_note("of somebody else")
    assert Outcome(error).says == "of JAX"
    error.add_note(f"{MODULE}.step(): more of it.")
    assert Outcome(error).says == f"{MODULE}.step(): more of it."
