"""What static type checkers make of the case files is what the comments in them expect."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.typing.checkers import RUNS, case_files, reports_of
from tests.typing.expectations import differences

ROOT = Path(__file__).parent.parent.parent
DOCS, ANNOTAX = ROOT / "docs", ROOT / "annotax"

NOT_INSTALLED = "not installed: pip install -e '.[typing]'"


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not RUNS[name].path.exists():
        pytest.skip(NOT_INSTALLED)
    return name


@pytest.fixture(scope="module")
def generate(script_of_docs: Callable[[str], ModuleType]) -> ModuleType:
    return script_of_docs("generate_typing")


@pytest.mark.parametrize("case", case_files(), ids=lambda case: case.stem)
def test_a_checker_reports_what_is_expected_and_nothing_else(run: str, case: Path) -> None:
    found = differences(run, case.name, case.read_text(), reports_of(run))
    assert not found, f"{run} says otherwise:\n" + "\n".join(found)


def test_table_of_types_is_what_the_cases_expect(generate: ModuleType) -> None:
    page = DOCS / "guides" / "typing.md"
    assert page.read_text() == generate.generate(page.read_text()), "write it anew: python docs/generate_typing.py"


def test_every_ignored_error_has_a_reason() -> None:
    ignored = re.compile(r"#\s*(?:type|pyright): ignore(?:\[[^\]]*\])?\s*$")
    files = [*ANNOTAX.rglob("*.py"), *ANNOTAX.rglob("*.pyi")]
    bare = [
        f"{file.name}:{n}"
        for file in files
        for n, line in enumerate(file.read_text().splitlines(), 1)
        if ignored.search(line)
    ]
    assert files
    assert not bare, f"say why, in a comment behind it: {bare}"


def test_all_that_is_public_has_a_type(tmp_path: Path) -> None:
    """What `pyright --verifytypes` makes of the package, as it is installed."""
    program = Path(sys.executable).parent / "pyright"
    if not program.exists():
        pytest.skip(NOT_INSTALLED)
    shutil.copytree(ANNOTAX, tmp_path / "annotax", ignore=shutil.ignore_patterns("__pycache__"))
    command = [program, "--verifytypes", "annotax", "--ignoreexternal", "--pythonpath", sys.executable, "--outputjson"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False).stdout
    report = json.loads(said)["typeCompleteness"]
    wrong = [symbol["name"] for symbol in report["symbols"] if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    assert report["completenessScore"] == 1, wrong
    assert sum(report["exportedSymbolCounts"].values()) > 50
