"""What is paid once: the import, and the decoration of each function.

No function is decorated twice and none has the source of another, so that no cache of generated code helps.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import equinox
import jax
import jax_dataclasses
from flax import nnx

import annotax
from benchmarks.measure import Times, interleave, timed
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Bound, Row, Table

DECORATION_LIMIT = 250
"""Microseconds for one function."""

IMPORT_LIMIT = 15_000
"""Microseconds."""

IMPORTS = {OURS: 10, DATACLASSES: 3, EQUINOX: 3, FLAX: 3}
"""How many processes each import is timed in; those of the peers take long and have no bound."""

FUNCTIONS = 5
"""How many functions a batch decorates."""

_IMPORT = """
import time, jax
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""

_serials = itertools.count()


def new_functions() -> list[Callable[..., Any]]:
    """Functions of four marked parameters, with names that no other function has."""
    namespace: dict[str, Any] = {"Array": jax.Array, "NoDiff": annotax.NoDiff, "Static": annotax.Static}
    functions: list[Callable[..., Any]] = []
    for serial in itertools.islice(_serials, FUNCTIONS):
        name, (w, x, y, n) = f"f_{serial}", (f"{letter}_{serial}" for letter in "wxyn")
        parameters = f"{w}: Array, {x}: NoDiff[Array], {y}: NoDiff[Array], *, {n}: Static[int] = 2"
        exec(f"def {name}({parameters}) -> Array:\n    return (({w} * {x} - {y}) ** {n}).sum()", namespace)
        functions.append(namespace[name])
    return functions


def decoration(rounds: int) -> list[Row]:
    """Time decorating functions."""
    cases: dict[str, dict[str, Callable[[Any], Any]]] = {
        "decoration: `jit`": {
            RAW: jax.jit,
            OURS: annotax.jit,
            DATACLASSES: jax_dataclasses.jit,
            EQUINOX: equinox.filter_jit,
            FLAX: nnx.jit,
        },
        "decoration: `transform(jit, value_and_grad)`": {
            RAW: lambda f: jax.jit(jax.value_and_grad(f)),
            OURS: annotax.transform(annotax.jit, annotax.value_and_grad),
            EQUINOX: lambda f: equinox.filter_jit(equinox.filter_value_and_grad(f)),
            FLAX: lambda f: nnx.jit(nnx.value_and_grad(f)),
        },
    }
    rows: list[Row] = []
    for case, decorators in cases.items():
        times = interleave({name: timed(decorator, new_functions) for name, decorator in decorators.items()}, rounds)
        rows += [_row(case, name, taken, DECORATION_LIMIT, taken.ratio_to(times[RAW])) for name, taken in times.items()]
    return rows


def importing(module: str, processes: int) -> Times:
    """Time an import where JAX is imported already, each time in a process of its own."""
    # An installed package has its bytecode; here the first process writes it, even where the shell asks for none.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _IMPORT.format(module=module)]
    seconds = [
        float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(processes + 1)
    ]
    return Times(tuple(seconds[1:]))


def _row(case: str, contestant: str, times: Times, limit: float, ratio: float | None = None) -> Row:
    bound = Bound(times.microseconds, limit, " µs") if contestant == OURS else None
    return Row(case, contestant, times.microseconds, str(times), ratio, bound)


def startup(rounds: int) -> Table:
    """Measure decoration and import."""
    modules = {OURS: "annotax", DATACLASSES: "jax_dataclasses", EQUINOX: "equinox", FLAX: "flax.nnx"}
    rows = [
        *decoration(rounds),
        *(
            _row("import after `import jax`", name, importing(module, IMPORTS[name]), IMPORT_LIMIT)
            for name, module in modules.items()
        ),
    ]
    return Table(
        "Start-up",
        "median µs (quartiles)",
        "Decorating a function of four parameters, three of them marked, that no cache has seen; annotax's import is "
        f"timed in {IMPORTS[OURS]} fresh processes, those of the peers in {IMPORTS[FLAX]} each, decoration in {rounds} "
        "rounds.",
        "`jax.jit`, which reads no hints when it decorates, and no import at all. Both are paid once, not at a call.",
        tuple(rows),
    )
