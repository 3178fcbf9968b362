"""Writes the table in `guides/typing.md`, what each type checker infers: `python docs/generate_typing.py`.

Its rows are the statements below a `# row:` in `tests/typing/cases`, with the types and errors that stand beside them;
the tests run the checkers and see that they are so.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
if str(DOCS.parent) not in sys.path:
    sys.path.insert(0, str(DOCS.parent))

from tests.typing.checkers import RUNS, case_files  # noqa: E402
from tests.typing.expectations import Expectation, rows_in  # noqa: E402

BEGIN, END = "<!-- table -->", "<!-- /table -->"
NOTHING = "\N{EN DASH}"
TITLES = {"plugin": "mypy + plugin"}


def cell(row: Expectation, run: str) -> str:
    """What a run says of a statement."""
    facts = [f"`{row.types[run]}`"] if run in row.types else []
    facts += ["error"] if run in row.errors else []
    return ", ".join(facts).replace("|", "\\|") or NOTHING


def table(rows: list[Expectation]) -> str:
    """The table in Markdown."""
    lines = [["", *(TITLES.get(run, run) for run in RUNS)], ["---"] * (1 + len(RUNS))]
    lines += [[row.row or "", *(cell(row, run) for run in RUNS)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def generate(page: str) -> str:
    """The page with the table written anew."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"guides/typing.md has no {BEGIN} with {END} below it")
    rows = [row for case in case_files() for row in rows_in(case)]
    return f"{before}{BEGIN}\n{table(rows)}\n{END}{after}"


if __name__ == "__main__":
    path = DOCS / "guides" / "typing.md"
    path.write_text(generate(path.read_text()))
