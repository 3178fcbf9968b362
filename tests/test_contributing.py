"""CONTRIBUTING.md: every module is on its map, below all that it imports, and its example of a transform works."""

import ast
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import annotax

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "annotax"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def names_under(folder: str) -> list[str]:
    """The files that the table of a folder names, in its order."""
    table = TEXT.split(f"| `{folder}` | |\n", 1)[1].split("\n\n", 1)[0]
    return [name for row in table.splitlines() for name in re.findall(r"`([\w/<>.]+)`", row.split(" | ")[0])]


def imported(module: Path) -> set[str]:
    """The modules of annotax that a module imports when it is imported itself."""
    found = [node for node in ast.parse(module.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {
        f"{node.module.removeprefix('annotax.')}.py" for node in found if node.module and "annotax._" in node.module
    }


@pytest.mark.parametrize("folder", ["annotax", "annotax/_transforms"])
def test_every_module_is_on_the_map(folder: str) -> None:
    modules = {path.name for path in (ROOT / folder).glob("*.py*") if path.name != "__init__.py"}
    assert modules == set(names_under(f"{folder}/")) - {"__init__.py", "_transforms/"}


def test_a_module_imports_only_from_those_above_it() -> None:
    order = [name for name in names_under("annotax/") if name.endswith(".py") and name != "__init__.py"]
    below = {name: imported(PACKAGE / name) - set(order[: order.index(name)]) for name in order}
    assert {name: modules for name, modules in below.items() if modules} == {}


@pytest.mark.parametrize("folder", ["tests", "docs"])
def test_what_it_names_is_there(folder: str) -> None:
    named = re.findall(rf"`({folder}/[\w/.]+)`", TEXT)
    assert [name for name in named if "negate" not in name and not (ROOT / name).exists()] == []


def test_links_lead_to_a_page_that_is_there() -> None:
    assert [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if not (ROOT / link).exists()] == []


def test_the_transform_that_it_shows_works() -> None:
    namespace: dict[str, Any] = {"__name__": "negate"}
    exec(re.search(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)[1], namespace)  # type: ignore[index]

    @annotax.transform(annotax.jit, namespace["negate"], annotax.grad)
    def energy(w: Any, *, power: annotax.Static[int] = 2) -> Any:
        return jnp.sum(w**power)

    assert energy(w=jnp.array([1.0, 3.0])).tolist() == [-2.0, -6.0]
