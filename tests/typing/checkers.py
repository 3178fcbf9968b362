"""The static type checkers: how each is run over the case files, and how its output is read into reports.

There are five runs of four checkers: mypy runs with the plugin and without. Each gets a copy of the case files, in a
folder of its own with nothing but its configuration beside them, and finds annotax where the Python that runs the tests
has it installed.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.typing.spelling import normal

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Report:
    """What a checker says of a line.

    Attributes:
        file: The name of the case file.
        line: The line, counted from one.
        kind: Whether it is the type that `reveal_type` shows, or an error.
        text: The type in the spelling of `normal`, or the message.
    """

    file: str
    line: int
    kind: Literal["type", "error"]
    text: str


@dataclass(frozen=True)
class Run:
    """One of the runs.

    Attributes:
        program: The checker, as it is installed beside Python.
        configuration: The name of its configuration, and the text.
        arguments: What it is run with; the names of the case files follow.
        read: How its output is read, in the folder that it ran in.
    """

    program: str
    configuration: tuple[str, str]
    arguments: tuple[str, ...]
    read: Callable[[str], Iterator[Report]]

    @property
    def path(self) -> Path:
        """Where the checker is, if it is installed."""
        return Path(sys.executable).parent / self.program

    def reports(self, cases: Sequence[Path]) -> tuple[Report, ...]:
        """What the checker says of some case files; what it says of other files is left out."""
        with tempfile.TemporaryDirectory() as folder:
            name, text = self.configuration
            (Path(folder) / name).write_text(text)
            copies = Path(folder) / CASES.name
            copies.mkdir()
            for case in cases:
                (copies / case.name).write_text(case.read_text())
            command = [str(self.path), *self.arguments]
            if self.program != "pyright":  # which takes the files from its configuration
                command += [f"{CASES.name}/{case.name}" for case in cases]
            environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
            done = subprocess.run(
                command, cwd=folder, env={**environment, "NO_COLOR": "1"}, capture_output=True, encoding="utf-8"
            )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{self.program} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return tuple(self.read(done.stdout))


FOREIGN = {"FORCE_COLOR", "MYPY_FORCE_COLOR", "MYPYPATH", "PYTHONPATH"}
"""What of the environment no checker is given."""


def _report(path: str, line: int, kind: Literal["type", "error"], text: str) -> Iterator[Report]:
    if Path(path).parent.name == CASES.name:
        yield Report(Path(path).name, line, kind, normal(text) if kind == "type" else text)


def _json_in(output: str) -> Any:
    """The JSON object in an output that may begin with other lines."""
    start = re.search(r"^\{", output, re.MULTILINE)
    return json.JSONDecoder().raw_decode(output, start.start())[0] if start else {}


def read_mypy(output: str) -> Iterator[Report]:
    """Reads `--output json`: an object a line; notes at the place of an error, a revealed type too, are its hint."""
    for line in output.splitlines():
        if not line.startswith("{"):
            continue
        found = json.loads(line)
        texts = [found["message"], *(found["hint"] or "").splitlines()]
        revealed = [match[1] for text in texts if (match := re.fullmatch(r'Revealed type is "(.*)"', text))]
        for text in revealed:
            yield from _report(found["file"], found["line"], "type", text)
        if found["severity"] != "note":
            yield from _report(found["file"], found["line"], "error", "\n".join(texts))


def read_pyright(output: str) -> Iterator[Report]:
    """Reads `--outputjson`, whose lines are counted from zero."""
    for found in _json_in(output).get("generalDiagnostics", ()):
        line = found["range"]["start"]["line"] + 1
        revealed = re.fullmatch(r'Type of ".*" is "(.*?)"', found["message"], re.DOTALL)
        if found["severity"] in ("error", "warning"):
            yield from _report(found["file"], line, "error", found["message"])
        elif revealed:
            yield from _report(found["file"], line, "type", revealed[1])


def read_ty(output: str) -> Iterator[Report]:
    """Reads `--output-format concise`: a line each."""
    for path, line, level, text in re.findall(r"^(.+?):(\d+):\d+: (\w+)\[[\w-]+\] (.*)$", output, re.MULTILINE):
        revealed = re.fullmatch(r"Revealed type: `(.*)`", text)
        if revealed:
            yield from _report(path, int(line), "type", revealed[1])
        elif level in ("error", "warning"):
            yield from _report(path, int(line), "error", text)


def read_pyrefly(output: str) -> Iterator[Report]:
    """Reads `--output-format json`."""
    for found in _json_in(output).get("errors", ()):
        text = found["description"]
        if found["name"] == "reveal-type":
            yield from _report(found["path"], found["line"], "type", text.removeprefix("revealed type: "))
        elif found["severity"] in ("error", "warn"):
            yield from _report(found["path"], found["line"], "error", text)


def _mypy(plugin: str) -> Run:
    return Run(
        "mypy",
        ("mypy.ini", f"[mypy]\nstrict = True\n{plugin}"),
        (
            "--config-file=mypy.ini",
            f"--python-executable={sys.executable}",
            f"--cache-dir={os.devnull}",
            "--show-traceback",
            "--no-error-summary",
            "--output=json",
        ),
        read_mypy,
    )


PYRIGHT = {
    "include": [CASES.name],
    "typeCheckingMode": "strict",
    "pythonPlatform": "Linux",
    **dict.fromkeys(
        [
            *(f"reportUnknown{what}Type" for what in ("Member", "Argument", "Variable", "Parameter", "Lambda")),
            *(f"reportUnused{what}" for what in ("Expression", "Function", "Variable", "Class", "Import")),
            "reportPrivateUsage",
        ],
        "none",
    ),
}

RUNS = {
    "mypy": _mypy(plugin=""),
    "plugin": _mypy(plugin="plugins = annotax.mypy_plugin\n"),
    "pyright": Run(
        "pyright",
        ("pyrightconfig.json", json.dumps(PYRIGHT)),
        ("--project=pyrightconfig.json", f"--pythonpath={sys.executable}", "--outputjson"),
        read_pyright,
    ),
    "ty": Run(
        "ty",
        ("ty.toml", ""),
        ("check", "--output-format=concise", f"--python={sys.prefix}"),
        read_ty,
    ),
    "pyrefly": Run(
        "pyrefly",
        ("pyrefly.toml", 'preset = "default"\n'),
        (
            "check",
            "--config=pyrefly.toml",
            f"--python-interpreter-path={sys.executable}",
            "--output-format=json",
            "--summary=none",
        ),
        read_pyrefly,
    ),
}


def case_files() -> list[Path]:
    """The case files."""
    return sorted(CASES.glob("*.py"))


@functools.cache
def reports_of(run: str) -> tuple[Report, ...]:
    """What one of the runs says of all case files; it runs once."""
    return RUNS[run].reports(case_files())
