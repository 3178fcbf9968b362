"""Bad weather: threads, traces that raise, recursion, import cycles, reloads, copies, odd signatures and hints."""

# ruff: noqa: F722 - the strings in hints of jaxtyping name axes

import builtins
import contextlib
import copy
import functools
import importlib
import inspect
import itertools
import keyword
import linecache
import math
import operator
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cloudpickle
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from jax import Array
from jax.sharding import AxisType
from jaxtyping import Float

import annotax
from annotax import (
    AnnotaxError,
    CheckError,
    MarkerError,
    NoDiff,
    Static,
    checkpoint,
    custom_jvp,
    grad,
    hessian,
    jacfwd,
    jit,
    shard_map,
    transform,
    value_and_grad,
    vmap,
)

MESH = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

EVERY = {
    "jit": jit,
    "grad": grad(wrt="w"),
    "vmap": vmap,
    "jacfwd": jacfwd(wrt="w"),
    "checkpoint": checkpoint,
    "custom_jvp": custom_jvp,
    "shard_map": shard_map(mesh=MESH),
    "jit of value_and_grad": transform(jit, value_and_grad(wrt="w")),
    "vmap of grad": transform(vmap, grad(wrt="w")),
    "nothing": transform(),
}
every = pytest.mark.parametrize("name", EVERY)


def run(code: str) -> str:
    """What Python prints for some code in a process of its own."""
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.parametrize("hint", ["int", "Any"])
def test_the_first_call_of_a_process_may_be_ours(hint: str) -> None:
    code = f"""
from typing import Any
from annotax import Static, jit

@jit
def f(x, n: Static[{hint}]):
    return n * x

print(f(1.0, 3))
"""
    assert run(code) == "3.0"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A function that writes a module, anew if need be, and one that is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = []

    def write(name: str, source: str) -> None:
        written.append(name)
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    yield write
    for name in written:
        sys.modules.pop(name, None)


# --- threads (see test_threads.py for the rest) ----------------------------------------------------------------------

THREADS = 16


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """What the calls of sixteen threads return that all start at the same moment."""
    barrier = threading.Barrier(THREADS)

    def wait_and_call(i: int) -> Any:
        barrier.wait(timeout=60)
        return call(i)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(wait_and_call, range(THREADS)))
    finally:
        sys.setswitchinterval(interval)


@every
def test_sixteen_threads_make_the_first_call_through_every_transform(name):
    def f(w: float, x: NoDiff[float], *, n: Static[int] = 2) -> float:
        return w * x**n

    if name == "custom_jvp":
        ours = custom_jvp(f)
        ours.defjvp(lambda n, primals, tangents: (f(*primals, n=n), tangents[0] * primals[1] ** n))
    else:
        ours = EVERY[name](f)
    make = (lambda i: jnp.full(2, float(i))) if "vmap" in name else float
    found = at_once(lambda i: ours(make(i), x=make(2)))
    assert [jax.tree.map(jnp.shape, one) for one in found] == [jax.tree.map(jnp.shape, found[0])] * THREADS
    expected = [jax.tree.leaves(ours(make(i), make(2))) for i in range(THREADS)]
    assert jax.tree.all(jax.tree.map(jnp.array_equal, [jax.tree.leaves(one) for one in found], expected))


def test_sixteen_threads_have_axes_of_their_own():
    @jit
    def f(x: Float[Array, "a b"], y: Float[Array, " b"]) -> Float[Array, " a"]:
        return x @ y

    def call(i: int) -> Any:
        try:
            return f(jnp.ones((2, i + 1)), jnp.ones(i + 1 + i % 2)).shape
        except CheckError as error:
            return "argument y" in str(error)

    assert at_once(call) == [True if i % 2 else (2,) for i in range(THREADS)]


def test_sixteen_threads_make_the_first_use_of_a_fresh_process():
    printed = run("""
import threading
from concurrent.futures import ThreadPoolExecutor
import annotax
import jax.numpy as jnp

def f(x: float, y: annotax.NoDiff[list[float]]) -> float:
    return x * y[0]

barrier = threading.Barrier(16)
names = ["jit", "grad", "checkpoint", "jacfwd"]

def call(i):
    barrier.wait()
    return float(getattr(annotax, names[i % 4])(f)(3.0, [2.0]))

with ThreadPoolExecutor(16) as threads:
    print(list(threads.map(call, range(16))))
""")
    assert printed == str([6.0, 2.0, 6.0, 2.0] * 4)


# --- a trace that raises leaves nothing behind -----------------------------------------------------------------------


class Stop(BaseException):
    """As an interrupt from the keyboard."""


def failing(name: str) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """A function through a transform that fails as its static `how` says, and what makes values of numbers for it."""

    def f(w: float, x: Float[Array, " a"], how: Static[str] = "") -> float:
        inside = jnp.sin(w)
        if how == "raise":
            raise ValueError("no luck")
        if how == "stop":
            raise Stop
        if how == "recurse":
            return f(w, x, how) + 1
        if how == "concrete":
            return w if inside * w > 0 or w * 0 > 1 else -w
        return [w] if how == "list" else w * 2

    if name == "custom_jvp":
        ours = custom_jvp(f)
        ours.defjvp(lambda how, primals, tangents: (primals[0] * 2, tangents[0] * 2))
    else:
        ours = EVERY[name](f)
    return ours, (lambda value: jnp.stack([value, value])) if "vmap" in name else (lambda value: value)


@every
@pytest.mark.parametrize(
    ("how", "error"),
    [("raise", ValueError), ("stop", Stop), ("list", CheckError), ("x", CheckError)],
)
def test_a_trace_that_raises_leaves_nothing_behind(name, how, error):
    ours, make = failing(name)
    one = make(jnp.array(1.0))
    with jax.checking_leaks():
        with pytest.raises(error, match="no luck" if error is ValueError else None):
            ours(one, make(jnp.ones((2, 2)) if how == "x" else jnp.ones(3)), how)
        good = ours(one, make(jnp.ones(4)))  # a size that an axis which was kept would refuse
    assert all(jnp.all(leaf == 2.0) for leaf in jax.tree.leaves(good))


def test_a_trace_that_raises_is_no_trace():
    ours, _ = failing("jit")
    for how in ("raise", "list"):
        with pytest.raises(Exception, match=r"no luck|result"):
            ours(1.0, jnp.ones(3), how)
    assert len(ours.traces) == 0
    ours(1.0, jnp.ones(3))
    assert len(ours.traces) == 1


def test_recursion_without_end_leaves_nothing_behind():
    ours, _ = failing("jit of value_and_grad")
    with jax.checking_leaks():
        with pytest.raises(RecursionError):
            ours(1.0, jnp.ones(3), "recurse")
        assert ours(1.0, jnp.ones(3)) == (2.0, 2.0)


def test_a_value_that_was_needed_leaves_nothing_behind():
    ours, _ = failing("jit")
    with jax.checking_leaks():
        with pytest.raises(jax.errors.ConcretizationTypeError):
            ours(1.0, jnp.ones(3), "concrete")
        assert ours(1.0, jnp.ones(3)) == 2.0


def test_a_trace_that_raises_inside_a_trace_can_be_caught_there():
    inner, _ = failing("jit")

    @jit
    def outer(x: Float[Array, " a"]) -> Float[Array, " a"]:
        with contextlib.suppress(ValueError):
            inner(x[0], x, "raise")
        with contextlib.suppress(CheckError):
            inner(x, x)
        return x * inner(x[0], jnp.concatenate([x, x]))

    with jax.checking_leaks():
        assert outer(jnp.ones(3)).tolist() == [2.0] * 3


def test_a_trace_that_raises_on_the_road_for_mixed_values_leaves_nothing_behind():
    @jit
    def f(x, options):
        if options["kind"] == "bad":
            raise ValueError("no luck")
        return x * options["scale"]

    with jax.checking_leaks():
        for _ in range(2):
            with pytest.raises(ValueError, match="no luck"):
                f(1.0, {"kind": "bad", "scale": 2.0})
            assert f(1.0, {"kind": "good", "scale": 2.0}) == 2.0


def test_a_tracer_that_leaks_is_found_through_ours_too():
    leaked = []

    @jit
    def f(x):
        leaked.append(x + 1)
        return x

    with jax.checking_leaks(), pytest.raises(Exception, match=r"[Ll]eak"):
        f(1.0)
    leaked.clear()


# --- recursion -------------------------------------------------------------------------------------------------------


def test_a_function_calls_its_own_gradient_with_a_smaller_constant():
    @jit
    def derivative(x: float, n: Static[int]) -> float:
        return jnp.sin(x) if n == 0 else grad(derivative, wrt="x")(x, n - 1)

    assert [round(float(derivative(0.0, n)), 5) for n in range(5)] == [0.0, 1.0, 0.0, -1.0, 0.0]


def test_a_recursive_function_has_axes_of_its_own_at_every_depth():
    @jit
    def total(x: Float[Array, " n"], depth: Static[int]) -> Float[Array, ""]:
        half = x.shape[0] // 2
        return x.sum() if depth == 0 else total(x[:half], depth - 1) + total(x[half:], depth - 1)

    assert total(jnp.arange(12.0), 3) == 66.0


def test_a_recursive_method_calls_itself():
    @dataclass(frozen=True)
    class Polynomial:
        coefficients: tuple[float, ...]

        @jit
        def __call__(self: Static[Any], x: float) -> float:
            first, *rest = self.coefficients
            return first + x * Polynomial(tuple(rest))(x) if rest else x * 0 + first

    assert Polynomial((1.0, 2.0, 3.0))(2.0) == 17.0


# --- import cycles and reloads ---------------------------------------------------------------------------------------

CYCLE = """
from __future__ import annotations
from annotax import NoDiff, Static, grad, jit, transform
import {other}

@jit
def f(x: {other}.Number, n: {other}.Size = 2) -> {other}.Number:
    return x * n

@transform(jit, grad)
def g(w: float, x: NoDiff[{other}.Numbers]) -> float:
    return w * x[0]

Number, Numbers, Size = float, list[float], Static[int]
"""


def test_decorators_in_an_import_cycle_read_their_hints_when_the_cycle_is_done(module):
    module("weather_a", CYCLE.format(other="weather_b"))
    module("weather_b", CYCLE.format(other="weather_a"))
    first = importlib.import_module("weather_a")
    for one in (first, first.weather_b):
        assert one.f(2.0, n=3) == 6.0
        assert one.g(2.0, [3.0]) == 3.0
        with pytest.raises(CheckError, match=r"f\(\): argument x"):
            one.f(jnp.ones(2))
        with pytest.raises(CheckError, match=r"g\(\): argument x\[0\]"):
            one.g(2.0, [jnp.ones(2)])


def test_a_call_inside_an_import_cycle_says_which_hint_cannot_be_read_yet(module):
    module("weather_a", CYCLE.format(other="weather_b"))
    module("weather_b", CYCLE.format(other="weather_a") + "try:\n    f(1.0)\nexcept Exception as e:\n    error = e\n")
    first = importlib.import_module("weather_a")
    assert isinstance(first.weather_b.error, MarkerError)
    assert "weather_b.f(): cannot read the hint 'weather_a.Number' of" in str(first.weather_b.error)
    assert first.weather_b.f(2.0) == 4.0


RELOADED = """
import dataclasses
import jax
from jax import Array
from annotax import NoDiff, Static, jit, transform, value_and_grad, vmap

@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Batch:
    x: Array

@jit
def f(batches: list[Batch], n: Static[int] = {n}) -> Array:
    return batches[0].x * n

@transform(jit, value_and_grad)
def loss(w: float, batch: NoDiff[Batch]) -> float:
    return w * batch.x * {n}

class Owner:
    @jit
    def method(self: Static[object], x: float) -> float:
        return x * {n}
"""


def test_a_reloaded_module_has_new_functions_for_its_new_classes_and_the_old_ones_still_work(module):
    module("weather_reloaded", RELOADED.format(n=2))
    mod = importlib.import_module("weather_reloaded")
    old, old_batch, old_owner = mod.f, mod.Batch(jnp.array(1.0)), mod.Owner()
    assert old([old_batch]) == 2.0
    module("weather_reloaded", "\n\n" + RELOADED.format(n=3))
    linecache.checkcache()
    importlib.reload(mod)
    batch = mod.Batch(jnp.array(1.0))
    assert mod.f([batch]) == 3.0
    assert mod.loss(2.0, batch) == (6.0, 3.0)
    assert mod.Owner().method(1.0) == 3.0
    assert old([old_batch]) == 2.0
    assert old_owner.method(1.0) == 2.0
    with pytest.raises(CheckError, match=r"argument batches\[0\]"):
        mod.f([old_batch])
    with pytest.raises(CheckError, match=r"weather_reloaded.py:14"):
        mod.f([None])


def test_annotax_itself_can_be_reloaded():
    assert run("import annotax, importlib\nf = annotax.jit(lambda x: x)\nimportlib.reload(annotax)\n"
               "print(annotax.jit(f)(1.0), annotax.grad(f)(2.0), annotax.jit is importlib.reload(annotax).jit)"
               ) == "1.0 1.0 True"  # fmt: skip


# --- copies ----------------------------------------------------------------------------------------------------------


@jit
def scaled(x: float, *, n: Static[int] = 2) -> float:
    return x * n


@transform(jit, grad)
def slope(x: float, *, n: Static[int] = 2) -> float:
    return x**n


@dataclass(frozen=True)
class Owner:
    by: int

    @jit
    def method(self: Static[Any], x: float) -> float:
        return x * self.by


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "cloudpickle": lambda value: cloudpickle.loads(cloudpickle.dumps(value)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("value", "call", "result"),
    [
        (scaled, lambda f: f(3.0), 6.0),
        (slope, lambda f: f(3.0), 6.0),
        ({"f": [scaled]}, lambda tree: tree["f"][0](3.0, n=3), 9.0),
        (functools.partial(scaled, n=4), lambda f: f(2.0), 8.0),
        (Owner(2).method, lambda f: f(3.0), 6.0),
        (Owner(2), lambda owner: owner.method(3.0), 6.0),
        (Owner, lambda cls: cls(2).method(3.0), 6.0),
    ],
    ids=["jit", "pipeline", "in a tree", "partial", "bound method", "object", "class"],
)
def test_a_copy_works_as_what_it_was_made_of(way, value, call, result):
    assert call(value) == result
    assert call(way(value)) == result
    assert call(value) == result


def _raised() -> list[Exception]:
    errors = []
    for call in (lambda: scaled("a"), lambda: scaled(1.0, n=[1]), lambda: jit(_contradiction)):
        with pytest.raises(AnnotaxError) as info:
            call()
        errors.append(info.value)
    return errors


def _contradiction(x: Annotated[float, Static, NoDiff, annotax.Diff]) -> float:
    return x


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_error_of_ours_can_be_copied(way):
    for error in _raised():
        again = way(error)
        assert type(again) is type(error)
        assert str(again) == str(error)


# --- signatures ------------------------------------------------------------------------------------------------------


def test_255_parameters_with_hints_are_checked_by_name():
    names = [f"p{i}" for i in range(255)]
    namespace: dict[str, Any] = {}
    exec(f"def f({', '.join(f'{name}: float' for name in names)}) -> float: return p0 + 2 * p254", namespace)
    values = dict.fromkeys(names, 1.0)
    assert grad(namespace["f"], wrt="p254")(**values) == 2.0
    assert transform(jit, grad(wrt=-1))(namespace["f"])(**values) == 2.0
    assert vmap(namespace["f"])(*(jnp.ones(2) for _ in names)).tolist() == [3.0, 3.0]
    with pytest.raises(CheckError, match="argument p200 does"):
        jit(namespace["f"])(**{**values, "p200": jnp.ones(2)})


@every
def test_parameters_may_have_the_name_of_every_builtin_and_of_everything_in_generated_code(name):
    generated = ["_annotax_call", "_annotax_check_arguments", "_annotax_check_result", "_annotax_function", "function"]
    generated += ["_annotax_Exception", "_annotax_error", "_annotax_refused", "_annotax_careful", "_annotax_encode_0"]
    generated += ["_0", "_1", "slots", "core", "contract", "self", "cls", "args", "kwargs", "annotax", "jax", "typing"]
    names = [name for name in dir(builtins) if name.isidentifier() and not keyword.iskeyword(name)]
    names = list(dict.fromkeys([*generated, *names]))
    names.remove("__debug__")
    namespace = {"Number": float, "Constant": Static[int]}
    exec(f"def f(w: Number, {', '.join(names)}, *, x: Constant = 2): return w * {names[-1]} * x", namespace)
    f = namespace["f"]
    if name == "custom_jvp":
        ours = custom_jvp(f)
        ours.defjvp(lambda x, primals, tangents: (primals[0] * primals[-1] * x, tangents[0]))
    else:
        ours = EVERY[name](f)
    value = jnp.ones(2) if "vmap" in name else jnp.array(1.0)
    positional, by_name = ours(value, *[value] * len(names)), ours(value, **dict.fromkeys(names, value), x=2)
    assert all(jnp.all(leaf == 2.0) for leaf in jax.tree.leaves([positional, by_name]))


UNREADABLE = [
    max, getattr, next, iter, int, dict, type, range, zip, math.hypot,
    itertools.chain, operator.itemgetter(0), functools.partial(max, 1), dict.update, types.SimpleNamespace,
]  # fmt: skip


def _is_unreadable(function: Any) -> bool:
    try:
        inspect.signature(function)
    except (ValueError, TypeError):
        return True
    return False


@pytest.mark.parametrize("function", [*filter(_is_unreadable, UNREADABLE)], ids=lambda f: getattr(f, "__name__", "_"))
@pytest.mark.parametrize("decorator", [jit, grad, transform(jit, vmap)], ids=["jit", "grad", "both"])
def test_a_function_whose_signature_cannot_be_read_is_refused_when_it_is_decorated(decorator, function):
    with pytest.raises(MarkerError, match=r"(?s)\(\): the signature cannot be read.*wrap it in a function"):
        decorator(function)


def test_a_builtin_with_a_signature_works():
    assert jit(abs)(-1.0) == 1.0
    assert jit(operator.mul)(2.0, 3.0) == 6.0
    assert grad(operator.mul, wrt=0)(2.0, 3.0) == 3.0


@pytest.mark.parametrize("signature", ["no signature", 3, lambda: 3], ids=["a string", "a number", "a function"])
def test_a_signature_attribute_that_is_none_is_refused(signature):
    def f(x):
        return x

    f.__signature__ = signature
    with pytest.raises(MarkerError, match=r"f\(\): the signature cannot be read"):
        jit(f)


def test_a_function_that_claims_to_wrap_itself_is_refused():
    def f(x):
        return x

    f.__wrapped__ = f
    with pytest.raises(MarkerError, match=r"f\(\): the signature cannot be read"):
        jit(f)


# --- hints -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EVERY if name != "custom_jvp"])  # its rules are wanted first
@pytest.mark.parametrize(
    ("hint", "why"),
    [
        ("1/0", "ZeroDivisionError"),
        ("the input of the layer", "SyntaxError"),
        ("list[", "SyntaxError"),
        ("jax.nothing", "AttributeError"),
        ("Missing", "'Missing' cannot be found"),
        (list["1/0"], "ZeroDivisionError"),
        (Annotated["1/0", Static], "ZeroDivisionError"),
        ("raises()", "KeyError: 'no hint'"),
    ],
    ids=str,
)
def test_a_hint_that_raises_says_whose_it_is_at_the_first_call_and_at_every_other(name, hint, why):
    def f(w, x):
        return w

    f.__annotations__["x"] = hint
    ours = EVERY[name](f)
    for _ in range(2):
        with pytest.raises(MarkerError, match=rf"(?s)f\(\): cannot read the hint .* of parameter x: .*{why}"):
            ours(1.0, 2.0)


def raises() -> None:
    raise KeyError("no hint")


def test_a_result_hint_that_raises_says_so():
    def f(x):
        return x

    f.__annotations__["return"] = "1/0"
    with pytest.raises(MarkerError, match=r"(?s)f\(\): cannot read the hint '1/0' of the result"):
        jit(f)(1.0)


@pytest.mark.parametrize(
    "hint",
    [
        3,
        ...,
        "lambda: 0",
        len,
        annotax,
        Annotated[Array, np.ones(2)],
        Annotated[Array, []],
        list[Annotated[Array, np.ones(2)]],
        [int],
        {"a": int},
        "[int]",
        Literal[[]],
        np.ones(2),
    ],
    ids=lambda hint: str(hint)[:30],
)
def test_a_hint_that_is_no_type_is_not_checked_or_refused_by_name(hint):
    def f(x):
        return 0

    f.__annotations__["x"] = hint
    value = [jnp.ones(2)] if isinstance(hint, types.GenericAlias) else jnp.ones(2)
    try:
        outcome = str(jit(f)(value))
    except AnnotaxError as error:
        outcome = str(error)
    assert outcome == "0" or "f(): " in outcome
    assert outcome == "0" or " x" in outcome


# --- fuzz ------------------------------------------------------------------------------------------------------------

# Hints, with values that fit them.
HINTS = {
    "": ["1.0", "2", "jnp.ones(2)", "'a'", "{'a': jnp.ones(2)}"],
    "float": ["1.0", "2", "jnp.array(1.0)", "np.float32(1)"],
    "int": ["2"],
    "bool": ["True"],
    "complex": ["1j", "1.0"],
    "Array": ["jnp.ones(2)", "jnp.ones((2, 3))", "jnp.arange(2)", "jax.random.key(0)", "1.0"],
    "str": ["'a'"],
    "Any": ["1.0", "'a'", "jnp.ones(2)", "(1.0, 'a')", "jnp.sin", "{}"],
    "float | None": ["None", "1.0"],
    "int | Array": ["2", "jnp.ones(2)"],
    "list[float]": ["[1.0, 2.0]"],
    "dict[str, Array]": ["{'a': jnp.ones(2)}", "{}"],
    "tuple[float, ...]": ["(1.0, 2.0)"],
    "tuple[float, str]": ["(1.0, 'a')"],
    "Callable[[Array], Array]": ["jnp.sin", "int"],
    "Literal['a', 1]": ["'a'"],
    "Float[Array, 'a']": ["jnp.ones(2)"],
    "Float[Array, '']": ["jnp.array(1.0)", "1.0"],
    "Float[Array, 'a b']": ["jnp.ones((2, 3))"],
    "Int[Array, '...']": ["jnp.arange(2)"],
    "PyTree[Array]": ["{'a': jnp.ones(2)}", "jnp.ones(2)"],
    "np.ndarray": ["np.ones(2)"],
    "list['float']": ["[1.0, 2.0]"],
    "type[int]": ["int"],
    "Missing": ["1.0"],
}
MARKERS = ["Static", "NoDiff", "Diff", "Axis(0)", "Axis(None)", "'doc'", "Donate", "Aux"]
VALUES = sorted({value for values in HINTS.values() for value in values} | {"object()", "{1}", "b'a'", "None", "1j"})

# Transforms, with what they must make of a sum of its arguments and a call of it.
TRANSFORMS: dict[str, tuple[Any, Callable[[Any, Any], bool]]] = {
    "nothing": (transform(), lambda found, call: found == call()),
    "jit": (jit, lambda found, call: found == call()),
    "checkpoint": (checkpoint, lambda found, call: found == call()),
    "grad": (grad, lambda found, call: _all(found, lambda leaf: leaf == 1)),
    "jit of value_and_grad": (
        transform(jit, value_and_grad),
        lambda found, call: found[0] == call() and _all(found[1], lambda leaf: leaf == 1),
    ),
    "hessian": (hessian, lambda found, call: _all(found, lambda leaf: leaf == 0)),
    "vmap": (vmap, lambda found, call: found.shape == (2,)),
    "jit of vmap": (transform(jit, vmap), lambda found, call: found.shape == (2,)),
}


def _all(tree: Any, predicate: Callable[[Any], Any]) -> bool:
    return all(jnp.all(predicate(leaf)) for leaf in jax.tree.leaves(tree))


SCOPE: dict[str, Any] = {}
exec(
    "import jax, jax.numpy as jnp, numpy as np\nfrom collections.abc import Callable\nfrom typing import *\n"
    "from annotax import *\nfrom jax import Array\nfrom jaxtyping import Float, Int, PyTree\n",
    SCOPE,
)


@dataclass(frozen=True)
class Drawn:
    """A function and a call of it; its text is a program."""

    parameters: tuple[tuple[str, str, str, str], ...]
    """Each with its kind, name, hint and the text of its value."""

    transform: str
    result: str

    @property
    def source(self) -> str:
        parts = []
        kinds = [kind for kind, *_ in self.parameters]
        for i, (kind, name, hint, _) in enumerate(self.parameters):
            if kind == "keyword" and "keyword" not in kinds[:i] and "args" not in kinds[:i]:
                parts.append("*")
            stars = {"args": "*", "kwargs": "**"}.get(kind, "")
            parts.append(f"{stars}{name}: {hint}" if hint else f"{stars}{name}")
            if kind == "positional" and "positional" not in kinds[i + 1 :]:
                parts.append("/")
        names = [name for _, name, _, _ in self.parameters]
        body = "0.0" + "".join(f" + total({name})" for name in names)
        return f"def f({', '.join(parts)}){f' -> {self.result}' if self.result else ''}: return {body}"

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for kind, name, _, value in self.parameters:
            if kind == "args":
                args.append(eval(value, SCOPE))
            elif kind == "kwargs":
                kwargs["extra"] = eval(value, SCOPE)
            elif kind == "keyword":
                kwargs[name] = eval(value, SCOPE)
            else:
                args.append(eval(value, SCOPE))
        return args, kwargs


def total(value: Any) -> Any:
    """The sum of whatever is a real number or an array in a value."""
    leaves = [leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, (Array, np.ndarray, np.generic, int, float))]
    arrays = [leaf for leaf in map(jnp.asarray, leaves) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return sum((jnp.sum(leaf.real) for leaf in arrays), jnp.zeros(()))


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    kinds = ["positional"] * draw(st.integers(0, 1)) + ["either"] * draw(st.integers(0, 2))
    kinds += draw(st.sampled_from([[], ["args"]])) + ["keyword"] * draw(st.integers(0, 1))
    kinds += draw(st.sampled_from([[], [], ["kwargs"]]))
    parameters = []
    for i, kind in enumerate(kinds or ["either"]):
        bare = hint = draw(st.sampled_from(sorted(HINTS)))
        number = draw(st.sampled_from([0, 0, 1, 2]))
        for marker in draw(st.lists(st.sampled_from(MARKERS), min_size=number, max_size=number)):
            hint = f"Annotated[{hint or 'Any'}, {marker}]"
        if "Missing" in hint or (hint and draw(st.booleans())):
            hint = repr(hint)
        is_wild = draw(st.integers(0, 9)) == 0
        name = {"args": "args", "kwargs": "kw"}.get(kind, f"p{i}")
        parameters.append((kind, name, hint, draw(st.sampled_from(VALUES if is_wild else HINTS[bare]))))
    results = [*["", "float", "Array", "Float[Array, '']"] * 4, "int", "Annotated[float, Aux]", "Float[Array, 'a']"]
    result = draw(st.sampled_from(results))
    return Drawn(tuple(parameters), draw(st.sampled_from(sorted(TRANSFORMS))), result)


@pytest.mark.filterwarnings("ignore:.*donated buffers|.*take the buffer")
@settings(max_examples=300, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(drawn())
def test_the_outcome_is_what_jax_computes_or_an_error_that_names_a_parameter(case):
    exec(case.source, namespace := {**SCOPE, "total": total})
    f, (args, kwargs) = namespace["f"], case.arguments()
    ours, is_right = TRANSFORMS[case.transform]
    names = [name for _, name, _, _ in case.parameters]
    try:
        found = ours(f)(*args, **kwargs)
    except (AnnotaxError, TypeError) as error:
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        is_about_no_one = isinstance(error, AnnotaxError) and ("result" in text or "has nothing to map" in text)
        assert is_about_no_one or any(name in text for name in names), f"{case.source}\n{case}\n{text}"
    else:
        args, kwargs = case.arguments()  # anew, since those of the first call may be donated
        assert is_right(found, lambda: f(*args, **kwargs)), f"{case.source}\n{case}\n{found}"
