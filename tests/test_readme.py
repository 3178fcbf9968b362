"""The README: its code runs, and what it says is printed is printed."""

import re
from pathlib import Path

import pytest

pytest.importorskip("jaxtyping")

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_code_runs_and_prints_what_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"__name__": "train"}
    for block in blocks("python"):
        exec(compile(block, "train.py", "exec"), namespace)
    printed = capsys.readouterr().out
    assert len(blocks("text")) == 2
    for block in blocks("text"):
        assert block in printed
