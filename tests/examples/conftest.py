"""Running an example as a user would, and reading what it prints and draws."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Run:
    """What became of one run of an example."""

    status: int
    printed: str
    errors: str
    pictures: Path

    def number(self, pattern: str) -> float:
        """The number that the group of the pattern finds in what was printed."""
        found = re.search(pattern, self.printed)
        assert found is not None, self.printed + self.errors
        return float(found[1])

    def percent(self, before: str) -> float:
        """The percentage that is printed after the given words."""
        return self.number(rf"{re.escape(before)}\s*([\d.]+)%")

    def drew(self, name: str) -> bool:
        """Whether there is a PNG picture of that name."""
        return (self.pictures / name).read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the examples; what they need is installed, or the test is skipped."""
    for needed in ("optax", "equinox", "sklearn", "matplotlib", "rich"):
        if find_spec(needed) is None:  # looked for, not imported: the example does that in a process of its own
            pytest.skip(f"{needed} is not installed")
    return Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example(examples: Path, tmp_path: Path) -> Callable[..., Run]:
    """A function that runs an example with some arguments, and draws its pictures into a folder of this test."""

    def run_example(name: str, *arguments: str, environment: dict[str, str] | None = None) -> Run:
        pictures = tmp_path / "pictures"
        command = [sys.executable, str(examples / name), *arguments, "--output", str(pictures)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return Run(run.returncode, run.stdout, run.stderr, pictures)

    return run_example
