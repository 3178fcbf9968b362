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

import jax

import annotax
from benchmarks.measure import Times, interleave, timed
from benchmarks.rows import OURS, RAW, Bound, Row, Table

DECORATION_LIMIT = 250
"""Microseconds for one function."""

IMPORT_LIMIT = 15_000
"""Microseconds."""

IMPORTS = 10
"""How many processes the import is timed in."""

FUNCTIONS = 5
"""How many functions a batch decorates."""

_IMPORT = """
import time, jax
start = time.perf_counter()
import annotax
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
    """Time decorating functions. `jax.jit` reads no hints, so it is shown for scale and sets no bar."""
    decorators: dict[tuple[str, str], Callable[[Any], Any]] = {
        ("`jit`", RAW): jax.jit,
        ("`jit`", OURS): annotax.jit,
        ("`transform(jit, value_and_grad)`", OURS): annotax.transform(annotax.jit, annotax.value_and_grad),
    }
    batches = {key: timed(decorator, new_functions) for key, decorator in decorators.items()}
    return [
        _row(f"decoration: {decorator}", contestant, times, DECORATION_LIMIT)
        for (decorator, contestant), times in interleave(batches, rounds).items()
    ]


def importing() -> Row:
    """Time `import annotax` where JAX is imported already, each time in a process of its own."""
    # An installed package has its bytecode; here the first process writes it, even where the shell asks for none.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds = [
        float(
            subprocess.run([sys.executable, "-c", _IMPORT], env=environment, check=True, stdout=subprocess.PIPE).stdout
        )
        for _ in range(IMPORTS + 1)
    ]
    return _row("`import annotax` after `import jax`", OURS, Times(tuple(seconds[1:])), IMPORT_LIMIT)


def _row(case: str, contestant: str, times: Times, limit: float) -> Row:
    bound = Bound(times.microseconds, limit, " µs") if contestant == OURS else None
    return Row(case, contestant, str(times), bound=bound)


def startup(rounds: int) -> Table:
    """Measure decoration and import."""
    return Table(
        "Start-up",
        "median µs (quartiles)",
        "Decorating a function of four parameters, three of them marked, that no cache has seen; the import is timed "
        f"in {IMPORTS} fresh processes, decoration in {rounds} rounds.",
        (*decoration(rounds), importing()),
    )
