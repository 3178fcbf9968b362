"""How often a training step is compiled in a run that real programs resemble.

Two hundred steps in three parts, each written as someone would: a warm-up that leaves the learning rate and the
activation to their defaults, the main part that passes them by position, and a last part that passes them by keyword.
The learning rate is a Python number that shrinks from epoch to epoch, the batches grow on the way, and the last batch
of an epoch is smaller than the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

import equinox
import jax
import jax.monitoring
import jax.numpy as jnp
import jax_dataclasses
import numpy as np
from flax import nnx
from jax import Array

import annotax
from benchmarks.rows import DATACLASSES, EQUINOX, FLAX, OURS, RAW, Picture, Table, counted

EXAMPLES, FEATURES = 1000, 8

STEPS = 200
"""Of the whole run."""

SMALL, LARGE = 32, 64
"""How many examples a batch has in the first part of the run, and in the rest."""

WARM_UP, GROWS, TUNES = 32, 96, 160
"""The steps at which the learning rate is passed, the batches grow, and the arguments are passed by keyword."""

SHAPES = 4
"""The shapes of the batches: two sizes, and what is left of the examples by each."""

Step: TypeAlias = Callable[..., tuple[dict[str, Array], Array]]
"""Takes weights, inputs, targets, a learning rate and the name of an activation."""

_COMPILED = "/jax/core/compile/backend_compile_duration"


def batches() -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """The number of each step, its epoch, and its batch."""
    random = np.random.default_rng(0)
    x = random.normal(size=(EXAMPLES, FEATURES)).astype(np.float32)
    y = x.sum(axis=1)
    step = epoch = 0
    while True:
        size = SMALL if step < GROWS else LARGE
        for start in range(0, EXAMPLES, size):
            if step == STEPS:
                return
            yield step, epoch, x[start : start + size], y[start : start + size]
            step += 1
        epoch += 1


def train(step: Step, rate: Callable[[float], Any] = float) -> Array:
    """The run; the loss of its last step.

    Arguments:
        step: One update, compiled.
        rate: What to make of the learning rate before it is passed.
    """
    weights = {"first": jnp.full((FEATURES, 4), 0.1, jnp.float32), "second": jnp.full(4, 0.1, jnp.float32)}
    for number, epoch, x, y in batches():
        learning_rate = rate(0.1 * 0.9**epoch)
        if number < WARM_UP:
            weights, loss = step(weights, x, y)
        elif number < TUNES:
            weights, loss = step(weights, x, y, learning_rate, "tanh")
        else:
            weights, loss = step(weights, x=x, y=y, rate=learning_rate, activation="tanh")
    return loss


def train_alike(step: Step) -> Array:
    """The same run by someone who knows: every call is written in the same way."""
    return train(lambda weights, x, y, rate=0.1, activation="tanh": step(weights, x, y, rate, activation))


def update(weights: dict[str, Array], x: Array, y: Array, rate: Any, activation: str) -> tuple[dict[str, Array], Array]:
    """One step of gradient descent."""

    def loss(weights: dict[str, Array]) -> Array:
        hidden = getattr(jnp, activation)(x @ weights["first"])
        return jnp.mean((hidden @ weights["second"] - y) ** 2)

    value, gradient = jax.value_and_grad(loss)(weights)
    return jax.tree.map(lambda w, g: w - rate * g, weights, gradient), value


def new_step(activation_hint: Any = str) -> Step:
    """The step as a function of its own, so that no contestant finds what another has compiled."""

    def step(
        weights: dict[str, Array], x: Array, y: Array, rate: float = 0.1, activation: str = "tanh"
    ) -> tuple[dict[str, Array], Array]:
        return update(weights, x, y, rate, activation)

    step.__annotations__["activation"] = activation_hint
    return step


def runs() -> dict[str, Callable[[], Array]]:
    """The run of each contestant, compiling as its documentation says."""
    return {
        RAW: lambda: train(jax.jit(new_step(), static_argnames="activation")),
        OURS: lambda: train(annotax.jit(new_step(annotax.Static[str]))),
        DATACLASSES: lambda: train(jax_dataclasses.jit(new_step(jax_dataclasses.Static[str]))),
        EQUINOX: lambda: train(equinox.filter_jit(new_step())),
        f"{EQUINOX}, learning rate an array": lambda: train(equinox.filter_jit(new_step()), jnp.float32),
        FLAX: lambda: train(nnx.jit(new_step(), static_argnames="activation")),
        f"{RAW}, every call alike": lambda: train_alike(jax.jit(new_step(), static_argnames="activation")),
    }


def compilations(run: Callable[[], object]) -> int:
    """How many programs named after the step XLA compiles during a run."""
    programs = _compiled()
    before = len(programs)
    run()
    return sum("step" in name for name in programs[before:])


@cache
def _compiled() -> list[str]:
    """The names of the programs that are compiled from now on; one list, since a listener cannot always be removed."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **about: str | int) -> None:
        if event == _COMPILED:
            names.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


def training(_: int) -> Table:
    """Count the compilations of every contestant."""
    case = f"{STEPS} steps, {SHAPES} shapes of batches"
    counts = {contestant: compilations(run) for contestant, run in runs().items()}
    return Table(
        "Compilations of a training run",
        "compilations",
        f"{STEPS} steps of gradient descent on {EXAMPLES:,} examples: batches of {SMALL}, from step {GROWS} of "
        f"{LARGE}, and at the end of each epoch what is left. The learning rate is a Python `float` that shrinks from "
        "epoch to epoch. The first epoch leaves it and the activation, a string, to their defaults; then they are "
        f"passed by position, and from step {TUNES} by keyword. To Equinox a `float` is a constant, so it is shown "
        "with an array as well. Counted by `jax.monitoring`, not timed.",
        f"{SHAPES}, one for each shape, which raw JAX needs too if every call is written alike.",
        tuple(counted(case, counts, SHAPES)),
        Picture("How often each library compiles the step of the same training run.", by_factors=False),
    )
