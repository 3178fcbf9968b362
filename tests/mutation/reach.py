"""Which tests run which lines, and how long each takes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pytest

from tests.mutation.trials import forked, run_tests

Reach = dict[str, dict[str, Any]]
"""By test: `seconds`, and `lines`, by module those that it runs."""


class _Recorder:
    """A plugin of pytest that records what each test reaches."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = {os.path.abspath(module): module for module in modules}
        self._lines: dict[str, set[int]] = defaultdict(set)
        self._failed: set[str] = set()
        self.reach: Reach = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self._lines = defaultdict(set)
        began = time.monotonic()
        sys.settrace(self._trace)
        threading.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]  # as documented
            if item.nodeid not in self._failed:
                lines = {module: sorted(found) for module, found in self._lines.items()}
                self.reach[item.nodeid] = {"seconds": round(time.monotonic() - began, 3), "lines": lines}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.passed:
            self._failed.add(report.nodeid)

    def _trace(self, frame: Any, event: str, _: Any) -> Any:
        module = self._modules.get(frame.f_code.co_filename)
        if module is None:
            return None
        lines = self._lines[module]
        lines.add(frame.f_lineno)

        def local(frame: Any, event: str, _: Any) -> Any:
            lines.add(frame.f_lineno)
            return local

        return local


def record(modules: Sequence[str], file: str) -> Reach:
    """What every test of a file reaches in some modules; tests that fail or are skipped are left out."""

    def body() -> Reach:
        recorder = _Recorder(modules)
        run_tests(["--maxfail=1000", file], recorder)
        return recorder.reach

    found, printed = forked(body, 1800, {})
    if not isinstance(found, dict):
        raise RuntimeError(f"{file} could not be run:\n{printed}")
    print(f"{file}: {printed.strip().splitlines()[-1]}", flush=True)
    return found


def rounds(reach: Reach, module: str, lines: set[int], own: Sequence[str], budget: float) -> list[list[str]]:
    """The tests that reach some lines of a module, a round for each of its own files and one for all others.

    Where they are too many, half of the time goes to the quickest in the module's own files, and the other half to
    those that take different ways through the module, the quickest of each way first.
    What runs only when the module is imported is reached by every test of the module.

    Arguments:
        reach: What every test reaches.
        module: The module.
        lines: The lines.
        own: The files that speak of the module most, the likeliest to notice first.
        budget: How many seconds the tests may take in all.
    """
    ways = {test: frozenset(seen["lines"].get(module, ())) for test, seen in reach.items()}
    reaching = [test for test, way in ways.items() if lines & way] or [test for test, way in ways.items() if way]
    reaching.sort(key=lambda test: reach[test]["seconds"])
    turns = dict(zip(reaching, _turns([ways[test] for test in reaching]), strict=True))

    def fitting(tests: Sequence[str], budget: float) -> list[str]:
        spent = accumulate(reach[test]["seconds"] for test in tests)
        return [test for test, seconds in zip(tests, spent, strict=True) if seconds <= budget]

    chosen = fitting([test for test in reaching if _file(test) in own], budget / 2)
    rest = sorted(set(reaching).difference(chosen), key=lambda test: (turns[test], reach[test]["seconds"]))
    groups: list[list[str]] = [[] for _ in range(len(own) + 1)]
    for test in [*chosen, *fitting(rest, budget / 2)]:
        groups[own.index(_file(test)) if _file(test) in own else len(own)].append(test)
    return [group for group in groups if group]


def _turns(keys: Sequence[Any]) -> Iterator[int]:
    """For each key how many equal ones stand before it."""
    seen: Counter[Any] = Counter()
    for key in keys:
        yield seen[key]
        seen[key] += 1


def _file(test: str) -> str:
    return test.partition("::")[0]
