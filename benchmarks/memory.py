"""The memory of a training step, with and without the donation of what it replaces.

What is read is the analysis that XLA makes of the compiled program. It depends on the program and the compiler alone,
so it is the same in every run. Its own `peak_memory_in_bytes` leaves the temporary memory out on a CPU, so what is
shown is the sum of all that the program holds.
"""

# ruff: noqa: F722 - the strings in hints of jaxtyping name axes

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import jax_dataclasses
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

import annotax
from annotax import Donate, NoDiff
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Bound, Picture, Row, Table
from benchmarks.transformer import BLOCKS, Transformer, surprise, text, transformer

MIB = 2**20


@annotax.pytree
class State:
    """What a step of Adam replaces."""

    model: Transformer
    mean: Transformer
    square: Transformer
    steps: Int[Array, ""]


def adam(state: State, gradient: Transformer) -> State:
    """One update, by the usual rates."""
    steps = state.steps + 1
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, gradient)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, state.square, gradient)

    def updated(w: Array, m: Array, s: Array) -> Array:
        return w - 1e-3 * (m / (1 - 0.9**steps)) / (jnp.sqrt(s / (1 - 0.999**steps)) + 1e-8)

    return State(jax.tree.map(updated, state.model, mean, square), mean, square, steps)


def start() -> State:
    """A state that has seen nothing yet."""
    model = transformer()
    zeros = jax.tree.map(jnp.zeros_like, model)
    return State(model, zeros, zeros, jnp.array(0))


@annotax.value_and_grad
def loss(model: Transformer, tokens: NoDiff[Int[Array, "batch length"]]) -> Float[Array, ""]:
    """`surprise` with annotax's marker."""
    return surprise(model, tokens)


def our_step(state: State, tokens: Int[Array, "batch length"]) -> tuple[State, Float[Array, ""]]:
    """One step of training that keeps its arguments."""
    value, gradient = loss(state.model, tokens)
    return adam(state, gradient), value


def our_donating_step(state: Donate[State], tokens: Int[Array, "batch length"]) -> tuple[State, Float[Array, ""]]:
    """`our_step` that reuses the memory of the state."""
    value, gradient = loss(state.model, tokens)
    return adam(state, gradient), value


def step_with(value_and_grad: Callable[..., Any]) -> Callable[..., Any]:
    """The step of the other contestants, of whose `value_and_grad` it makes use."""
    of_loss = value_and_grad(surprise)

    def step(state: State, tokens: Array) -> tuple[State, Array]:
        value, gradient = of_loss(state.model, tokens)
        return adam(state, gradient), value

    return step


def tokens_first(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step for Equinox, which donates all arguments or all but the first."""
    return lambda tokens, state: step(state, tokens)


def programs(state: State, tokens: Array) -> dict[str, dict[str, Any]]:
    """The compiled steps, by case and contestant."""
    by_jax, by_equinox, by_flax = map(
        step_with, (jax.value_and_grad, equinox.filter_value_and_grad, nnx.value_and_grad)
    )
    equinox_step = equinox.filter_jit(tokens_first(by_equinox), donate="all-except-first")
    return {
        "keeps its arguments": {
            RAW: jax.jit(by_jax).lower(state, tokens).compile(),
            OURS: annotax.jit(our_step).lower(state, tokens).compile(),
        },
        "donates its state": {
            RAW: jax.jit(by_jax, donate_argnums=0).lower(state, tokens).compile(),
            OURS: annotax.jit(our_donating_step).lower(state, tokens).compile(),
            DATACLASSES: jax_dataclasses.jit(by_jax, donate_argnums=0).lower(state, tokens).compile(),
            EQUINOX: equinox_step.lower(tokens, state).compile().compiled,
            FLAX: nnx.jit(by_flax, donate_argnums=0).lower(state, tokens).compile(),
        },
    }


@dataclass(frozen=True)
class Bytes:
    """What a compiled program holds while it runs."""

    arguments: int
    results: int
    reused: int
    temporary: int

    @classmethod
    def of(cls, program: Any) -> Bytes:
        """As XLA has planned it."""
        analysis = program.memory_analysis()
        return cls(
            analysis.argument_size_in_bytes,
            analysis.output_size_in_bytes,
            analysis.alias_size_in_bytes,
            analysis.temp_size_in_bytes,
        )

    @property
    def peak(self) -> int:
        """All of it, what results reuse of the arguments once."""
        return self.arguments + self.results - self.reused + self.temporary

    def __str__(self) -> str:
        new, reused, temporary = ((self.results - self.reused) / MIB, self.reused / MIB, self.temporary / MIB)
        return f"{self.peak / MIB:.2f} ({new:.2f} new for results, {reused:.2f} reused, {temporary:.2f} temporary)"


def memory(_: int) -> Table:
    """Read the peak of every program."""
    rows: list[Row] = []
    for case, by_contestant in programs(start(), text()).items():
        found = {name: Bytes.of(program) for name, program in by_contestant.items()}
        for name, held in found.items():
            ratio = held.peak / found[RAW].peak
            bound = Bound(ratio, 1) if name == OURS else None
            rows.append(Row(case, name, held.peak / MIB, str(held), ratio, bound))
    kept, donated = (row.figure for row in rows if row.contestant == OURS)
    return Table(
        "Memory of a training step",
        "peak MiB",
        f"Adam on a transformer of {BLOCKS} blocks, from `compiled.memory_analysis()`: arguments, results that reuse "
        f"none of them, and temporary memory. With annotax donation saves {kept - donated:.2f} MiB of {kept:.2f}. "
        "Equinox is told to donate all but the first argument, since it takes no names. Read, not timed.",
        "`jax.jit` with `donate_argnums` by hand.",
        tuple(rows),
        Picture(
            "The peak memory of a training step: donating its state saves the same with annotax as with JAX by hand.",
            by_factors=False,
        ),
    )
