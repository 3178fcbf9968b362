"""What static type checkers make of the case files is what the comments in them expect."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.typing.checkers import RUNS, case_files, reports_of
from tests.typing.expectations import differences

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not RUNS[name].path.exists():
        pytest.skip("not installed: pip install -e '.[typing]'")
    if name == "plugin" and importlib.util.find_spec("annotax.mypy_plugin") is None:
        pytest.skip("there is no annotax.mypy_plugin")
    return name


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_typing", DOCS / "generate_typing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_typing"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", case_files(), ids=lambda case: case.stem)
def test_a_checker_reports_what_is_expected_and_nothing_else(run: str, case: Path) -> None:
    found = differences(run, case.name, case.read_text(), reports_of(run))
    assert not found, f"{run} says otherwise:\n" + "\n".join(found)


def test_table_of_types_is_what_the_cases_expect(generate: ModuleType) -> None:
    page = DOCS / "typing.md"
    assert page.read_text() == generate.generate(page.read_text()), "write it anew: python docs/generate_typing.py"
