"""Writes the pairs on the pages of `coming-from`: `python docs/generate_coming_from.py`.

Each is one thing to want, said with another library and with annotax. They are those of `tests/coming_from`;
the tests run both sides of each and see that they give the same.
"""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
if str(DOCS.parent) not in sys.path:
    sys.path.insert(0, str(DOCS.parent))

from tests.coming_from import Library, Pair  # noqa: E402
from tests.coming_from.libraries import LIBRARIES  # noqa: E402

WHAT_IT_SAYS = """\
## Pair by pair

Both sides of each pair run as a test, which compares what their last lines give. They begin with this:

```py
{imports}
```"""


def path_of(library: Library) -> Path:
    """The page about a library."""
    return DOCS / "coming-from" / library.page


def slug(title: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def cell(text: str) -> str:
    """Text in a table."""
    return text.replace("|", "\\|")


def table(library: Library) -> str:
    """All pairs by the names of things."""
    lines = [f"| what you want | {library.name} | annotax |", "| --- | --- | --- |"]
    lines += [
        f"| [{pair.want}](#{slug(pair.want)}) | {cell(pair.their_name)} | {cell(pair.our_name)} |"
        for pair in library.pairs
    ]
    return "\n".join(lines)


def narrow(code: str) -> str:
    """Code with one empty line where a formatter has two."""
    return re.sub(r"\n{3,}", "\n\n", code)


def parts(pair: Pair, library: Library) -> Iterator[str]:
    """One pair: the two sides in a grid, beside each other where there is room."""
    yield f"### {pair.want}"
    if pair.given:
        yield f"```py\n{narrow(pair.given)}\n```"
    yield '<div class="grid" markdown>'
    yield f'```py title="{library.name}"\n{narrow(pair.theirs)}\n```'
    yield f'```py title="annotax"\n{narrow(pair.ours)}\n```'
    yield "</div>"
    if pair.note:
        yield textwrap.fill(pair.note, width=120, break_long_words=False, break_on_hyphens=False)


def pairs(library: Library) -> str:
    """All pairs, one by one."""
    # What stands beside other code is narrower than a formatter would have it.
    found = ["<!-- fmt: off -->", WHAT_IT_SAYS.format(imports=library.imports.strip())]
    for group, members in itertools.groupby(library.pairs, key=lambda pair: pair.group):
        found.append(f"## {group}")
        for pair in members:
            found += parts(pair, library)
    return "\n\n".join([*found, "<!-- fmt: on -->"])


def between(mark: str, text: str, page: str) -> str:
    """The page with text between the two comments of a mark."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, there, rest = page.partition(begin)
    _, is_closed, after = rest.partition(end)
    if not there or not is_closed:
        raise SystemExit(f"the page has no {begin} with {end} below it")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def generate(library: Library, page: str) -> str:
    """The page of a library with its table and its pairs written anew."""
    return between("pairs", pairs(library), between("table", table(library), page))


if __name__ == "__main__":
    for library in LIBRARIES:
        path = path_of(library)
        path.write_text(generate(library, path.read_text()))
