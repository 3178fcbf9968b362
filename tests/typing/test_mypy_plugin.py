"""The mypy plugin says the same whatever the way that mypy takes: caches, daemon, modules in any order, odd code."""

from __future__ import annotations

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
def project(tmp_path: Path, cache: Path) -> Iterator[Project]:
    """An empty project with annotax in its cache."""
    yield Project(tmp_path, cache)
    shutil.rmtree(tmp_path / ".mypy_cache", ignore_errors=True)


LIBRARY = """
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
"""

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


# --- one answer, however mypy comes to it -----------------------------------------------------------------------------


def test_importers_see_the_markers_with_a_cache_and_without(project: Project) -> None:
    written(project)
    project.check("app", "lib")
    project.check("app", "lib")
    project.check("app")
    project.write(app=IMPORTER.replace("{library}", "lib") + "\n\nprint(model)\n")
    project.check("app")
    project.write(lib=LIBRARY + "\n\n# A remark.\n")
    project.check("app")


def test_importers_see_a_library_of_which_only_an_import_has_changed(project: Project) -> None:
    project.write(below="limit = 1\n", lib=f"{LIBRARY}\nimport below\n", app=IMPORTER.replace("{library}", "lib"))
    project.check("app")
    project.write(below="limit = 'one'\n")
    project.check("app")


def test_importers_see_a_library_that_was_checked_alone(project: Project) -> None:
    written(project)
    project.check("lib")
    project.check("app")


def test_importers_see_through_a_module_in_between(project: Project) -> None:
    project.write(
        lib=LIBRARY,
        between="from lib import *\n",
        again="""
            from between import (Box, Model, aliased, annotated, compiled, contradicting, decorated, generic, my_grad,
                                 pipeline, plain, two, with_aux)

            __all__ = ["Box", "Model", "aliased", "annotated", "compiled", "contradicting", "decorated", "generic",
                       "my_grad", "pipeline", "plain", "two", "with_aux"]
        """,
        app=IMPORTER.replace("{library}", "again"),
    )
    project.check("app")
    project.write(app=IMPORTER.replace("{library}", "between"))
    project.check("app")


CHANGING = """
from jax import Array

from annotax import NoDiff, grad


def f(w: Array, x: {hint}) -> Array:
    return w * x


def g(w: Array, x: Array) -> Array:
    return w * x


step = grad(wrt={wrt})
"""

FOLLOWING = """
from typing import reveal_type

from jax import Array, numpy as jnp

from annotax import grad
from lib import f, g, step

a: Array = jnp.array(1.0)
reveal_type(grad(f)(a, a))  # type: {of_f}
reveal_type(step(g)(a, a))  # type: {of_g}
"""

BEFORE = {"lib": CHANGING.format(hint="NoDiff[Array]", wrt='"w"'), "app": FOLLOWING.format(of_f="Array", of_g="Array")}
AFTER = {
    "lib": CHANGING.format(hint="Array", wrt='("w", "x")'),
    "app": FOLLOWING.format(of_f="tuple[Array, Array]", of_g="tuple[Array, Array]"),
}


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--follow-imports=silent",),
        ("--cache-fine-grained",),
        ("--sqlite-cache",),
        ("--num-workers=2",),
    ],
    ids=lambda options: " ".join(options) or "as it is",
)
def test_importers_follow_markers_and_options_that_change(project: Project, options: tuple[str, ...]) -> None:
    project.write(**BEFORE)
    project.check("app", options=options)
    expected = project.reports("app", options=options)
    project.write(lib=AFTER["lib"])
    assert project.reports("app", options=options) != expected
    project.write(app=AFTER["app"])
    project.check("app", options=options)
    project.write(**BEFORE)
    project.check("app", options=options)
    assert project.reports("app", options=options) == expected


def test_the_daemon_follows_markers_that_change(project: Project) -> None:
    def check() -> None:
        arguments = [f"--python-executable={sys.executable}", "--show-traceback", "--no-error-summary"]
        printed = project.run("dmypy", *status, "run", "--", *arguments, *project.paths("app", "lib"))
        reports: list[Report] = []
        for path, line, kind, text in re.findall(r"^(.+?):(\d+): (note|error): (.*)$", printed, re.MULTILINE):
            revealed = re.fullmatch(r'Revealed type is "(.*)"', text)
            if revealed:
                reports.append(Report(Path(path).name, int(line), "type", normal(revealed[1])))
            elif kind == "error":
                reports.append(Report(Path(path).name, int(line), "error", text))
        project.compare(reports, "app", "lib")

    status = ("--status-file", str(project.folder / "daemon.json"))
    project.write(**BEFORE)
    try:
        check()
        project.write(app=BEFORE["app"] + "\n\nreveal_type(step(f)(a, a))  # type: Array\n")
        check()
        project.write(**AFTER)
        check()
        project.write(**BEFORE)
        check()
    finally:
        project.run("dmypy", *status, "stop")


# --- all kinds of code ------------------------------------------------------------------------------------------------

HEAD = """
from typing import reveal_type

from jax import Array, numpy as jnp

import annotax
from annotax import grad, jit, transform, vmap

a: Array = jnp.array(1.0)
"""


def test_markers_are_seen_however_they_are_written(project: Project) -> None:
    project.write(
        future="""
            from __future__ import annotations

            from typing import TYPE_CHECKING, Annotated, reveal_type

            from jax import Array, numpy as jnp

            if TYPE_CHECKING:
                from annotax import NoDiff
                from other import later
            from annotax import grad

            a: Array = jnp.array(1.0)

            def f(w: Array, x: NoDiff[Array], y: Annotated[Array, NoDiff]) -> Array:
                return w

            reveal_type(grad(f)(a, a, a))  # type: Array
            reveal_type(grad(later)(a, a))  # type: Array
        """,
        other="""
            from typing import Annotated

            from jax import Array

            from annotax import NoDiff as Frozen
            import annotax as ax
            from future import f

            Kept = Annotated[Array, ax.NoDiff]

            def later(w: Array, x: "Kept") -> Array:
                return ax.grad(f)(w, x, x)

            def renamed(w: Array, x: "Frozen[Array]", y: "ax.NoDiff[Array]") -> Array:
                return w

            def quoted(w: Array, x: Annotated["Array", ax.NoDiff], y: "Annotated[Array, Frozen]") -> Array:
                return w
        """,
        stub="# The stub beside this module is read.\n",
        stub_pyi="""
            from jax import Array
            from annotax import NoDiff, grad

            def f(w: Array, x: NoDiff[Array]) -> Array: ...
            class C:
                def loss(self, w: Array, x: NoDiff[Array]) -> Array: ...
        """,
        app=HEAD
        + """
import other, stub

reveal_type(grad(other.later)(a, a))  # type: Array
reveal_type(grad(other.renamed)(a, a, a))  # type: Array
reveal_type(grad(other.quoted)(a, a, a))  # type: Array
reveal_type(grad(stub.f)(a, a))  # type: Array
reveal_type(grad(stub.C().loss)(a, a))  # type: Array
reveal_type(annotax.grad(stub.f)(a, a))  # type: Array
""",
    )
    project.check("app", "future", "other")
    project.check("app", "future", "other")
    project.check("other")


def test_markers_are_seen_in_the_syntax_of_newer_pythons(tmp_path: Path) -> None:
    project = Project(tmp_path)  # another version has another cache
    project.write(lib=NEWER_LIBRARY, app=NEWER)
    reports = project.reports(options=("--python-version=3.13",))
    assert [report for report in reports if report.file == "lib.py"] == []
    project.compare(reports, "app")
    shutil.rmtree(tmp_path / ".mypy_cache", ignore_errors=True)


NEWER_LIBRARY = """
from typing import Annotated

from jax import Array

from annotax import NoDiff

type Frozen = Annotated[Array, NoDiff]
type Of[T] = NoDiff[T]


def of_statement(w: Array, x: Frozen, y: Of[Array]) -> Array:
    return w


def generic[T](w: T, x: NoDiff[Array]) -> Array:
    return x
"""

NEWER = (
    HEAD
    + """
from lib import generic, of_statement

reveal_type(grad(of_statement)(a, a, a))  # type: Array
reveal_type(grad(generic)((a, a), a))  # type: tuple[Array, Array]
"""
)


def test_no_code_makes_it_crash(project: Project) -> None:
    project.write(odd=ODD)
    project.reports("odd")
    project.reports("odd", options=("--python-version=3.13", "--check-untyped-defs"))
    reports = project.reports("odd")
    assert [report.text for report in reports if report.kind == "type"] == REVEALED


ODD = (
    HEAD
    + """
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypedDict, TypeVar, TypeVarTuple, Unpack, cast, no_type_check, overload

from annotax import Aux, NoDiff, Static, value_and_grad

P = ParamSpec("P")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")
Tree = dict[str, "Tree"] | NoDiff[Array]


class Options(TypedDict):
    n: Static[int]


def any_decorator(f: Any) -> Any:
    return f


def keeping(f: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(f)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        return jit(f)(*args, **kwargs)

    grad(inner)
    return inner


def f(w: Array, x: NoDiff[Array]) -> Array:
    @grad
    def inner(v: Array, y: NoDiff[Array]) -> Array:
        return v

    reveal_type(inner(w, x))
    return w


@overload
def two_ways(x: Array) -> Array: ...
@overload
def two_ways(x: NoDiff[int]) -> int: ...
def two_ways(x: Any) -> Any:
    return x


class Abstract(ABC):
    @property
    @jit
    def size(self) -> Array:
        return a

    @abstractmethod
    @grad
    def loss(self, x: NoDiff[Array]) -> Array: ...

    @grad
    @staticmethod
    def still(w: Array, x: NoDiff[Array]) -> Array:
        return w


def starred(*args: *Ts) -> Array:
    return a


def unpacked(w: Array, **kwargs: Unpack[Options]) -> Array:
    return w


def tree(w: Tree, x: NoDiff[Tree]) -> Array:
    return a


def undefined(w: Nowhere, x: NoDiff[Missing], y: Annotated[Array, Absent, NoDiff]) -> Array:
    return w


async def later(w: Array, x: NoDiff[Array]) -> Array:
    return w


@no_type_check
def unchecked(w: NoDiff[Array], x):
    return w


def unhinted(w, x=1, *args, **kwargs):
    return w


def empty_annotated(w: Annotated[Array], x: NoDiff[Array, Array], y: NoDiff, z: NoDiff[()]) -> tuple[()]:
    return ()


for given in (two_ways, starred, unpacked, tree, undefined, later, unchecked, unhinted, empty_annotated, Options):
    grad(given)
grad(two_ways), grad(starred), grad(unpacked), grad(tree), grad(undefined), grad(later), grad(unchecked)
grad(unhinted), grad(empty_annotated), grad(Options), grad(print), grad(Abstract), grad(lambda: a), grad(len)
grad(functools.partial(f, a)), grad(functools.partial), grad(None), grad(*[f]), grad(**{"f": f}), grad(1), grad()
grad(wrt=())(f), grad(wrt=[])(f), grad(wrt=("w", "w"))(f), grad(wrt=-1)(f), grad(wrt=5)(f), grad(wrt=unknown)(f)
jit(static=["n", 0, None])(f), jit(f, static="x"), jit(**{}), transform(), transform(*[jit])(f), transform(1)(f)
transform(jit, transform(vmap, grad))(f), transform(jit(), grad())(f), value_and_grad(jit(grad(f))), jit(jit)
vmap(in_axes={"x": 0, **{}})(f), vmap(in_axes=(0, None))(f), grad[Array](f), grad[Array, Array](f), grad[0](f)
reveal_type(grad(f)(a, a))
reveal_type(grad(keeping(f))(a, a))
reveal_type(grad(any_decorator(f)))
reveal_type(grad(cast("Callable[[Array], Array]", f))(a))
reveal_type(Abstract.still(a, a))
if a:
    conditional = grad(f)
else:
    conditional = grad(wrt="w")(f)
reveal_type(conditional(a, a))
redefined = f
redefined = grad(f)
del redefined
redefined(a)
Frozen = Annotated[Array, NoDiff] if a else Annotated[Array, Aux]


class Redefined:
    x: NoDiff[Array]
    x: Static[int]


annotax.pytree(Redefined)
annotax.pytree()


@annotax.pytree
@any_decorator
class Odd(Missing, Redefined):
    x, y = 1, 2
    z: NoDiff
    w: "Odd"


assert False
grad(undefined)
"""
)

REVEALED = ["Array", "Array", "Array", "Any", "Array", "Array", "Array"]
