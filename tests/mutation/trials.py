"""A trial: the tests, in a forked process, with a mutated module in place of its file."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

_HEAVY = (
    *("numpy", "jax", "jax.numpy", "hypothesis", "hypothesis.extra.numpy", "beartype.door", "jaxtyping", "equinox"),
    *("flax.struct", "flax.nnx", "optax", "jax_dataclasses", "typeguard", "cloudpickle", "IPython"),
)
_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--no-header", "--tb=line")


def prepare() -> None:
    """Import what the tests import besides annotax. No backend of JAX may start, or forks would hang."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they want to rewrite what is imported already
    warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*os.fork.*")
    for name in _HEAVY:
        importlib.import_module(name)
    import hypothesis

    hypothesis.settings.register_profile("mutation", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutation")


class _Mutated(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules whose source is not that of their files."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = {path.removesuffix(".py").replace("/", "."): (path, text) for path, text in sources.items()}

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname not in self._sources:
            return None
        file, source = self._sources[fullname]
        place = os.path.abspath(file)
        return importlib.util.spec_from_file_location(fullname, place, loader=_Mutated(fullname, place, source))


class Selection:
    """A plugin of pytest that runs certain tests in a certain order, and says which failed."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._rank = {test: rank for rank, test in enumerate(tests)}
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._rank), key=lambda item: self._rank[item.nodeid])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or f"import of {report.nodeid}"

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid


def run_tests(arguments: Sequence[str], plugin: Any) -> int:
    """Run pytest in this process."""
    return int(pytest.main([*_OPTIONS, *arguments], plugins=[plugin]))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a mutant: `killed` and by which test, `timeout`, or `survived`."""

    outcome: str
    by: str
    seconds: float


def try_out(sources: Mapping[str, str], rounds: Sequence[Sequence[str]], timeout: float) -> Verdict:
    """Run rounds of tests against mutated modules until one fails."""

    def body() -> str:
        for tests in rounds:
            selection = Selection(tests)
            status = run_tests(sorted({test.partition("::")[0] for test in tests}), selection)
            if status not in (0, 5):
                return selection.failed or f"pytest, which ended with {status}"
        return ""

    began = time.monotonic()
    by, output = forked(body, timeout, sources)
    seconds = round(time.monotonic() - began, 2)
    if by is None:
        return Verdict("timeout", output, seconds)
    return Verdict("killed" if by else "survived", by, seconds)


def forked(body: Callable[[], Any], timeout: float, sources: Mapping[str, str]) -> tuple[Any, str]:
    """What a function returns in a process of its own, and what it printed; `None` where it took too long."""
    with tempfile.TemporaryDirectory() as folder:
        answer, printed = Path(folder) / "answer", Path(folder) / "printed"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                file = os.open(printed, os.O_WRONLY | os.O_CREAT)
                for stream in (1, 2):
                    os.dup2(file, stream)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.meta_path.insert(0, _Finder(sources))
                answer.write_text(json.dumps(body()))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        status = _waited(child, timeout)
        text = printed.read_text(errors="replace") if printed.exists() else ""
        if status is None:
            return None, text
        return (json.loads(answer.read_text()) if answer.exists() else f"the process, which ended with {status}"), text


def _waited(child: int, timeout: float) -> int | None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
