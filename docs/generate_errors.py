"""Writes `errors.md`, the catalogue of mistakes: `python docs/generate_errors.py`.

Its rows are those of `tests/catalogue.py`, each of which a test runs. What JAX alone says comes from running it, so it
is that of the JAX that is installed.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parent
if str(DOCS.parent) not in sys.path:
    sys.path.insert(0, str(DOCS.parent))

from tests.catalogue import IMPORTS, MISTAKES, Mistake, normal, run  # noqa: E402

NOTHING = "\N{EN DASH}"
BAR, QUOTE = "\\|", "'"
LONGEST = 160
"""How much of a message of JAX is shown."""

TEXT = """\
# What annotax says

The mistakes that a person can make, what raw JAX says about each, and what annotax says. Written by
`python docs/generate_errors.py` from `tests/catalogue.py`, whose rows the tests run. *JAX alone* is the first line of
what JAX {version} says where annotax is not used, or what it does where it says nothing; {nothing} is where it has
nothing of the kind.

A message of annotax begins with the function and names the parameter; the rows below say what was got, what was
expected, and what to write instead (`fix`). The traceback shows your frames alone;
`JAX_TRACEBACK_FILTERING=off` brings the others back. All errors derive from `annotax.AnnotaxError`:

| class | is a | for |
| --- | --- | --- |
| `MarkerError` | | markers, options or signatures that cannot be honoured, when the function is decorated |
| `StaticValueError` | `TypeError` | values that cannot be compile-time constants |
| `CheckError` | `TypeError` | values that do not fit their hints, while the function is traced |
| `AxisError` | `ValueError` | values that cannot be mapped along the axis that was told |
| `ShardingError` | `ValueError` | values that cannot be laid out as the hints say |
| `DifferentiationError` | `TypeError` | values in which there is nothing to differentiate |
| `TraceError` | `RuntimeError` | one trace more than `max_traces` |

JAX's own errors pass through as they are; where annotax knows the parameter they get a note, shown here.
The code of each row stands below these lines, in a module named `train`:

```py
{imports}
```

{contents}

{groups}
"""


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def cell(text: str) -> str:
    """Text as code in a table."""
    return f"`{text.replace('|', BAR).replace('`', QUOTE).strip()}`"


def of_jax(mistake: Mistake) -> str:
    """What JAX says, or does."""
    if mistake.jax is None:
        return NOTHING
    outcome = run(mistake.jax)
    if mistake.silently is not None:
        return f"nothing: it {mistake.silently}"
    line = normal(outcome.first_line)
    return cell(line if len(line) <= LONGEST else f"{line[: LONGEST - 3].rstrip()}...")


def of_annotax(mistake: Mistake) -> str:
    """What annotax says, in a line."""
    return cell(mistake.says.splitlines()[0]) if mistake.says else "nothing: see below"


def section(mistake: Mistake) -> str:
    """One mistake, with the whole message."""
    parts = [f"### {mistake.title}", f"```py\n{mistake.code}\n```"]
    if mistake.says:
        outcome = run(mistake.code)
        if outcome.notes:
            names = " or ".join(f"`{name}`" for name in mistake.error.split("|"))
            parts += [f"A {names} of JAX, with the note", f"```pytb\n{mistake.says}\n```"]
        else:
            parts.append(f"```pytb\n{outcome.kind}: {mistake.says}\n```")
    if mistake.advice is not None:
        parts.append(mistake.advice)
    if mistake.instead is not None:
        parts.append(f"```py\n{mistake.instead}\n```")
    return "\n\n".join(parts)


def group(name: str, mistakes: Iterable[Mistake]) -> str:
    """The mistakes under one heading, as a table and one by one."""
    mistakes = list(mistakes)
    lines = [f"| [{m.title}](#{slug(m.title)}) | {of_jax(m)} | {of_annotax(m)} |" for m in mistakes]
    table = "\n".join(["| mistake | JAX alone | annotax |", "| --- | --- | --- |", *lines])
    return "\n\n".join([f"## {name}", table, *map(section, mistakes)])


def generate() -> str:
    """The whole page."""
    import jax

    groups = [(name, list(rows)) for name, rows in itertools.groupby(MISTAKES, key=lambda mistake: mistake.group)]
    return TEXT.format(
        version=jax.__version__,
        nothing=NOTHING,
        imports=IMPORTS.strip(),
        contents="\n".join(f"- [{name}](#{slug(name)}): {len(rows)}" for name, rows in groups),
        groups="\n\n".join(group(name, rows) for name, rows in groups),
    )


def without_jax(page: str) -> str:
    """The page without what depends on the version of JAX: its column, and the version itself."""
    page = re.sub(r"JAX \S+ says where", "JAX says where", page)
    return re.sub(r"^(\| \[.*?\]\(#[^)]*\) \| ).*( \| (?:`[^`]*`|nothing: see below) \|)$", r"\1\2", page, flags=re.M)


if __name__ == "__main__":
    (DOCS / "errors.md").write_text(generate())
