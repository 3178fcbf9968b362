"""The pages of docs/coming-from: both sides of each pair give the same, and the pages show the pairs as they are."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import pytest

from tests.coming_from import LONGEST_LINE, Library, Pair, assert_same, value_of
from tests.coming_from.libraries import LIBRARIES

DOCS = Path(__file__).parent.parent / "docs"
AT_LEAST = {"JAX": 25, "Equinox": 15, "jax_dataclasses": 8}

PAIRS = [
    pytest.param(library, pair, id=f"{library.name}: {pair.want}") for library in LIBRARIES for pair in library.pairs
]

each_pair = pytest.mark.parametrize(("library", "pair"), PAIRS)
each_library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)


@pytest.fixture(scope="module")
def generate(script_of_docs: Callable[[str], ModuleType]) -> ModuleType:
    return script_of_docs("generate_coming_from")


@each_pair
def test_both_sides_give_the_same(library: Library, pair: Pair) -> None:
    theirs = value_of(library.imports, pair.given, pair.theirs)
    assert theirs is not None
    assert_same(theirs, value_of(library.imports, pair.given, pair.ours))


@each_pair
def test_each_side_speaks_of_its_own_library(library: Library, pair: Pair) -> None:
    assert "annotax" in pair.ours
    assert "annotax" not in pair.theirs
    assert "argnums" not in pair.ours
    assert "argnames" not in pair.ours


@each_pair
def test_code_is_as_narrow_as_two_columns_ask_for(library: Library, pair: Pair) -> None:
    lines = "\n".join([pair.theirs, pair.ours]).splitlines()
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


@each_library
def test_there_are_enough_pairs_and_none_has_the_name_of_another(library: Library) -> None:
    wants = [pair.want for pair in library.pairs]
    assert len(wants) >= AT_LEAST[library.name]
    assert len(set(wants)) == len(wants)


@each_library
def test_the_code_above_all_pairs_has_no_name_that_none_uses(library: Library) -> None:
    defined: set[str] = set()
    for node in ast.walk(ast.parse(library.imports)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {name.asname or name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    code = "\n".join(side for pair in library.pairs for side in (pair.given, pair.theirs, pair.ours))
    assert {name for name in defined if not re.search(rf"\b{name}\b", code)} == set()


@each_library
def test_the_page_shows_the_pairs_as_they_are(library: Library, generate: ModuleType) -> None:
    page = generate.path_of(library).read_text()
    assert page == generate.generate(library, page), "write it anew: python docs/generate_coming_from.py"


@each_library
def test_links_to_headings_of_the_page_itself_lead_to_one(library: Library, generate: ModuleType) -> None:
    page = generate.path_of(library).read_text()
    headings = {generate.slug(title) for title in re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", page) if anchor not in headings] == []


def test_every_page_about_a_library_has_its_pairs() -> None:
    assert {library.page for library in LIBRARIES} == {path.name for path in (DOCS / "coming-from").glob("*.md")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jnp.ones(2), jnp.zeros(2)),
        (jnp.ones(2), jnp.ones(3)),
        (jnp.ones(2), jnp.ones(2, int)),
        (jnp.array(1.0), jnp.array(1.0, "float32")),
        (jnp.array(1.0), 1.0),
        ((1, 2), [1, 2]),
        ("a", "b"),
        (True, 1),
    ],
    ids=["values", "shapes", "dtypes", "weak types", "a number", "structures", "strings", "types"],
)
def test_results_that_differ_are_told_apart(one: object, other: object) -> None:
    assert_same(one, one)
    with pytest.raises(AssertionError):
        assert_same(one, other)


def test_code_that_ends_in_no_expression_has_no_value() -> None:
    assert value_of("x = 1", "y = x + 1\ny + 1") == 3
    with pytest.raises(AssertionError, match="ends in no expression: y = 2"):
        value_of("x = 1", "y = 2")
