"""What is said about the package: its version stands in one place, and it needs no more than it says."""

import re
from importlib.metadata import metadata, requires, version
from pathlib import Path

import annotax

ROOT = Path(__file__).parent.parent


def test_the_version_is_that_of_the_module_and_the_newest_of_the_changelog() -> None:
    assert version("annotax") == annotax.__version__
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == annotax.__version__


def test_four_packages_are_all_that_is_needed_at_run_time() -> None:
    needed = {re.match(r"[\w-]+", line)[0] for line in requires("annotax") or () if "extra ==" not in line}  # type: ignore[index]
    assert needed == {"jax", "jaxlib", "typing-extensions", "beartype"}


def test_the_extras_are_those_that_contributors_are_told_of() -> None:
    extras = set(metadata("annotax").get_all("Provides-Extra") or ())
    told = (ROOT / "CONTRIBUTING.md").read_text()
    assert [extra for extra in sorted(extras) if f"`{extra}`" not in told] == []
