"""The pages of docs/: their code runs, page by page and in order, and the table of markers is what the code says."""

import doctest
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import annotax

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TRANSFORMS = sorted((DOCS / "transforms").glob("*.md"))


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page, each below as many empty lines as stand above it, so that errors name its line."""
    text = page.read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in found]


@pytest.fixture(scope="module")
def generate(script_of_docs: Callable[[str], ModuleType]) -> ModuleType:
    return script_of_docs("generate")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_of_a_page_runs_and_prints_what_the_page_shows(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"__name__": page.stem}
    for block in blocks(page):
        exec(compile(block, name_of(page), "exec"), namespace)
    printed = capsys.readouterr().out
    for shown in re.findall(r"^```text\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL):
        assert shown in printed


@pytest.mark.parametrize("page", TRANSFORMS, ids=name_of)
def test_every_page_of_a_transform_asserts_what_its_example_gives(page: Path) -> None:
    assert any("assert " in block for block in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_a_page_that_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+\.md)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_table_of_markers_is_what_the_code_says(generate: ModuleType) -> None:
    assert (DOCS / "markers.md").read_text() == generate.generate(), "write it anew: python docs/generate.py"


def test_every_exported_transform_has_a_page(generate: ModuleType) -> None:
    documented = {name for names in generate.PAGES.values() for name in names}
    assert documented == {*generate.exported(), *generate.CALLED}
    for page, names in generate.PAGES.items():
        text = (DOCS / "transforms" / f"{page}.md").read_text()
        assert [name for name in names if f"`{name}`" not in text] == []
    assert documented <= set(annotax.__all__)


def test_every_public_name_is_in_the_reference_once() -> None:
    pages = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = re.findall(r"^(?:::: |## )annotax\.(\w+)", pages, flags=re.MULTILINE)
    assert sorted(documented) == sorted(annotax.__all__)


@pytest.mark.parametrize("name", sorted({*annotax.__all__} - {"PartitionSpec", "TypeChecker", "TypeCheckerOption"}))
def test_the_docstring_of_every_public_name_has_an_example_and_sections_that_fit(name: str) -> None:
    value = getattr(annotax, name)
    text = inspect.getdoc(value)
    assert text is not None
    assert "Examples:\n" in text
    if isinstance(value, (FunctionType, annotax.Transform)):
        assert [section for section in ("Arguments:\n", "Raises:\n") if section not in text] == []


@pytest.mark.parametrize(
    "name", [name for name in annotax.__all__ if isinstance(getattr(annotax, name), annotax.Marker)]
)
def test_the_examples_of_markers_run(name: str) -> None:
    found = doctest.DocTestParser().get_doctest(getattr(annotax, name).__doc__, {}, name, None, None)
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0
