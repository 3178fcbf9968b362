"""The command line: make the mutants, try each, and print which no test noticed."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant, mutants, touched
from tests.mutation.reach import Reach, record, rounds
from tests.mutation.trials import prepare, try_out

CORE = {
    "annotax/_markers.py": ("test_markers", "test_errors", "test_contract"),
    "annotax/_hints.py": ("test_hints", "test_contract", "test_contract_postponed", "test_hints_table"),
    "annotax/_signature.py": ("test_contract", "test_errors", "test_transform", "test_normal"),
    "annotax/_contract.py": ("test_contract", "test_contract_postponed", "test_errors", "test_transform"),
    "annotax/_normal.py": ("test_normal", "test_transform"),
    "annotax/_tree.py": ("test_tree", "test_jit", "test_models", "test_silent"),
    "annotax/_partition.py": ("test_models", "test_jit", "test_silent"),
}
"""The modules that every transform stands on, and the tests that speak of them most."""

FURTHER = (
    *("test_bad_weather", "test_catalogue", "test_errors", "test_fields", "test_jit", "test_models", "test_paths"),
    *("test_silent", "test_typecheckers", "test_vmap"),
)
"""More tests that reach them."""


def _file(test: str) -> str:
    return f"tests/{test}.py"


def _reach(place: Path, modules: Sequence[str]) -> Reach:
    """What the tests reach: recorded once, and again where they or the core have changed."""
    known: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    wanted = dict.fromkeys(test for tests in (*(CORE[module] for module in modules), FURTHER) for test in tests)
    core = b"".join(Path(module).read_bytes() for module in CORE)
    for test in wanted:
        digest = hashlib.sha256(core + Path(_file(test)).read_bytes()).hexdigest()
        if known.get(test, {}).get("digest") != digest:
            known[test] = {"digest": digest, "reach": record(list(CORE), _file(test))}
            place.write_text(json.dumps(known))
    return {name: seen for test in wanted for name, seen in known[test]["reach"].items()}


def _drawn(modules: Sequence[str], sample: int | None, seed: int) -> Iterator[Mutant]:
    """All mutants of some modules, or as many of each as are wanted."""
    for module in modules:
        found = mutants(module)
        drawn = set(random.Random(seed).sample(range(len(found)), min(len(found), sample or len(found))))
        print(f"{module}: {len(drawn)} of {len(found)} mutants, seed {seed}", flush=True)
        yield from (mutant for i, mutant in enumerate(found) if i in drawn)


def _summary(tried: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What became of all mutants tried so far, as a table."""
    yield "| module | mutants tried | killed | survived | killed, % |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for name, verdict in tried.items():
        for row in (f"`{name.partition(':')[0]}`", "all"):
            outcomes[row][verdict["outcome"]] += 1
    for row, counts in sorted(outcomes.items(), key=lambda item: item[0] == "all"):
        survived, total = counts["survived"], counts.total()
        yield f"| {row} | {total} | {total - survived} | {survived} | {100 * (total - survived) / total:.1f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try mutants, and print which survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Do the tests notice a change?")
    parser.add_argument("modules", nargs="*", default=list(CORE), help="the files to change; left out, the core")
    parser.add_argument("--sample", type=int, help="how many mutants to draw of each module; left out, all")
    parser.add_argument("--seed", type=int, default=0, help="what the draw starts from")
    parser.add_argument("--survivors", action="store_true", help="only those that survived the last time")
    parser.add_argument("--only", nargs="+", default=(), metavar="MUTANT", help="names of single mutants")
    parser.add_argument("--seconds", type=float, default=20, help="how long the tests of one mutant may take")
    parser.add_argument("--folder", type=Path, default=Path("build/mutation"), help="where results are kept")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    prepare()
    reach = _reach(given.folder / "reach.json", given.modules)
    results = given.folder / "results.json"
    tried: dict[str, dict[str, Any]] = json.loads(results.read_text()) if results.exists() else {}
    names = set(given.only)
    if given.survivors:
        names |= {name for name, verdict in tried.items() if verdict["outcome"] == "survived"}
    if names:
        chosen = [mutant for module in given.modules for mutant in mutants(module, names)]
    else:
        chosen = list(_drawn(given.modules, given.sample, given.seed))
    print(f"{len(chosen)} mutants", flush=True)
    for number, mutant in enumerate(chosen, start=1):
        began = time.monotonic()
        lines = touched(Path(mutant.module).read_text(), mutant.line)
        own = [_file(test) for test in CORE[mutant.module]]
        tests = rounds(reach, mutant.module, lines, own, given.seconds)
        verdict = try_out({mutant.module: mutant.source}, tests, timeout=3 * given.seconds + 30)
        tried[mutant.name] = {
            "outcome": verdict.outcome, "by": verdict.by, "line": mutant.line, "diff": mutant.diff(),
            "seconds": round(time.monotonic() - began, 2), "tests": sum(map(len, tests)),
        }  # fmt: skip
        results.write_text(json.dumps(tried, indent=1))
        print(f"{number}/{len(chosen)} {verdict.outcome} {mutant.name} {verdict.seconds} s {verdict.by}", flush=True)
        if verdict.outcome == "survived":
            print(mutant.diff(), flush=True)
    print(*_summary(tried), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
