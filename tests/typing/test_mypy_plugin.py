"""The mypy plugin says the same whatever the way that mypy takes: caches, daemon, modules in any order, odd code."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.typing.checkers import FOREIGN, Report, read_mypy
from tests.typing.expectations import differences
from tests.typing.spelling import normal

PROGRAMS = Path(sys.executable).parent
CONFIGURATION = "[mypy]\nstrict = True\nplugins = annotax.mypy_plugin\n"

pytestmark = [
    pytest.mark.skipif(not (PROGRAMS / "mypy").exists(), reason="not installed: pip install -e '.[typing]'"),
    pytest.mark.skipif(
        importlib.util.find_spec("annotax.mypy_plugin") is None, reason="there is no annotax.mypy_plugin"
    ),
]


class Project:
    """Modules in a folder, each a case file that says what mypy must report of it."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.cases = folder / "cases"
        self.cases.mkdir()
        (folder / "mypy.ini").write_text(CONFIGURATION)
        if cache is not None:
            shutil.copytree(cache, folder / ".mypy_cache")  # with the times that mypy compares

    def write(self, **modules: str) -> None:
        """Write modules, or write them anew; `name_pyi` is a stub file."""
        for name, source in modules.items():
            path = f"{name.removesuffix('_pyi')}.pyi" if name.endswith("_pyi") else f"{name}.py"
            (self.cases / path).write_text(textwrap.dedent(source).lstrip("\n"))

    def run(self, program: str, *arguments: str) -> str:
        """What mypy or its daemon prints, which must not have crashed."""
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        done = subprocess.run(
            [str(PROGRAMS / program), *arguments],
            cwd=self.folder,
            env={**environment, "NO_COLOR": "1"},
            capture_output=True,
            encoding="utf-8",
        )
        printed = done.stdout + done.stderr
        assert "INTERNAL ERROR" not in printed
        assert "Traceback" not in printed
        assert done.returncode in (0, 1), printed
        return done.stdout

    def paths(self, *modules: str) -> list[str]:
        """The files of some modules, or of all."""
        found = [path for path in sorted(self.cases.glob("*.py*")) if not modules or path.stem in modules]
        return [f"{self.cases.name}/{path.name}" for path in found]

    def reports(self, *modules: str, options: tuple[str, ...] = ()) -> list[Report]:
        """What mypy says of some modules, or of all."""
        common = (f"--python-executable={sys.executable}", "--show-traceback", "--no-error-summary", "--output=json")
        return list(read_mypy(self.run("mypy", *common, *options, *self.paths(*modules))))

    def check(self, *modules: str, options: tuple[str, ...] = ()) -> None:
        """See that mypy says what the modules expect, and nothing else."""
        self.compare(self.reports(*modules, options=options), *modules)

    def compare(self, reports: list[Report], *modules: str) -> None:
        """See that reports are what the modules expect."""
        found: list[str] = []
        for path in self.paths(*modules):
            name = Path(path).name
            found += differences("plugin", name, (self.cases / name).read_text(), reports)
        assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds annotax and JAX, so that no test has to read them again."""
    project = Project(tmp_path_factory.mktemp("warm"))
    project.write(warm="import annotax\nimport jax\nimport jax.numpy\n")
    project.check()
    return project.folder / ".mypy_cache"


@pytest.fixture
def project(tmp_path: Path, cache: Path) -> Project:
    """An empty project with annotax in its cache."""
    return Project(tmp_path, cache)


LIBRARY = '''
from typing import Annotated, Any, Generic, TypeVar

from jax import Array

import annotax
from annotax import Aux, Diff, NoDiff, Static, grad, jit, transform, value_and_grad, vmap

T = TypeVar("T")
Frozen = NoDiff[Array]
Kept = Annotated[Array, NoDiff]


def plain(w: Array, x: NoDiff[Array]) -> Array:
    return w * x


def annotated(w: Array, x: Annotated[Array, NoDiff]) -> Array:
    return w * x


def aliased(w: Array, x: Frozen, y: Kept) -> Array:
    return w * x * y


def two(w: Array, x: Array, n: Static[int] = 2) -> Array:
    return w * x**n


def generic(w: T, x: NoDiff[Array]) -> Array:
    return x


def with_aux(w: Array, x: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
    return w, {"x": x}


@grad
def decorated(w: Array, x: NoDiff[Array]) -> Array:
    return w * x


@transform(jit, value_and_grad)
def compiled(w: Array, x: NoDiff[Array]) -> Array:
    return w * x


@annotax.pytree
class Model:
    weights: Array
    basis: NoDiff[Array]
    power: Static[int] = 2

    def loss(self, x: NoDiff[Array]) -> Array:
        return x

    @grad
    def slope(self, x: NoDiff[Array]) -> Array:
        return x


class Box(Generic[T]):
    def of(self, w: Array, x: Frozen) -> Array:
        return w * x


def contradicting(w: Array, x: Annotated[int, Static, Diff]) -> Array:
    return w


my_grad = grad(wrt="w")
pipeline = transform(jit(static="n"), vmap, grad)
'''

IMPORTER = """
from typing import reveal_type

from jax import Array, numpy as jnp

from annotax import grad, jit, value_and_grad
import {library} as lib
from {library} import Model, compiled, decorated, my_grad, plain

a: Array = jnp.array(1.0)
model = Model(a, a)

reveal_type(grad(lib.plain)(a, a))  # type: Array
reveal_type(grad(plain)(a, x=a))  # type: Array
reveal_type(grad(lib.annotated)(a, a))  # type: Array
reveal_type(grad(lib.aliased)(a, a, a))  # type: Array
reveal_type(grad(lib.two)(a, a))  # type: tuple[Array, Array]
reveal_type(grad(lib.generic)(a, a))  # type: Array
reveal_type(grad(lib.generic)((a, model), a))  # type: tuple[Array, Model]
reveal_type(value_and_grad(lib.with_aux)(a, a))  # type: tuple[tuple[Array, dict[str, Array]], Array]
reveal_type(decorated(a, a))  # type: Array
reveal_type(lib.compiled(a, a))  # type: tuple[Array, Array]
reveal_type(compiled.lower(a, a).compile()(a, a))  # type: tuple[Array, Array]
reveal_type(lib.my_grad(lib.two)(a, a))  # type: Array
reveal_type(my_grad(lib.two)(a, a))  # type: Array
reveal_type(lib.pipeline(lib.two)(a, a))  # type: tuple[Array, Array]
reveal_type(jit(grad(lib.plain))(a, a))  # type: Array
reveal_type(grad(Model.loss)(model, a))  # type: Model
reveal_type(grad(model.loss))  # type: (x: Array) -> Any # error: plugin "nothing to differentiate"
reveal_type(model.slope(a))  # type: Model
reveal_type(model.basis)  # type: Array
reveal_type(grad(lib.Box[int]().of)(a, a))  # type: Array
jit(lib.contradicting)  # error: plugin "is both Static and Diff"
lib.pipeline(plain)  # error: plugin "names no parameter: 'n'"
my_grad(grad(plain))(a, "a")  # error: plugin "incompatible type"
grad(wrt="z")(lib.two)  # error: plugin "names no parameter: 'z'"
"""


def written(project: Project, library: str = "lib") -> None:
    """Write the library and a module that imports it."""
    project.write(lib=LIBRARY, app=IMPORTER.replace("{library}", library))
