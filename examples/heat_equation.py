"""Solve the heat equation with a physics-informed neural network, and compare it with the closed form.

    python examples/heat_equation.py --steps 2000 --output examples/output

On a rod of length 1 whose ends are held at 0, the temperature u(x, t) obeys u_t = a u_xx. The network never sees a
solution: its loss is the square of u_t - a u_xx at random points, so a derivative by the parameters is taken of
derivatives by the coordinates. Each function says in its hints by what it is differentiated: `hessian` and `jacfwd`, in
`vmap`, in `value_and_grad`, in `jit`. Draws `heat_equation.png`: the temperature at several times, and the error.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static

REQUIRED_ACCURACY = 5e-3


@dataclass(frozen=True)
class Problem:
    """What is fixed while training. Frozen, so that it has a hash and can be `Static`."""

    diffusivity: float = 0.1
    modes: tuple[tuple[int, float], ...] = ((1, 1.0), (2, 0.5))  # half waves on the rod, and height
    width: int = 32
    points: int = 256
    learning_rate: float = 1e-2
    steps: int = 2000


# --- the model -------------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """A dense layer: `inputs @ weights + bias`."""

    weights: Array
    bias: Array


@annotax.pytree
class Rod:
    """A network for the temperature, right at the ends and at t = 0 whatever its weights are."""

    layers: tuple[Layer, ...]
    problem: Static[Problem]

    @classmethod
    def random(cls, problem: Problem, key: Array) -> "Rod":
        widths = (2, problem.width, problem.width, 1)
        glorot = jax.nn.initializers.glorot_normal()
        shapes = zip(jax.random.split(key, 3), widths, widths[1:], strict=False)
        return cls(tuple(Layer(glorot(key, shape), jnp.zeros(shape[1])) for key, *shape in shapes), problem)

    def __call__(self, x: Array, t: Array) -> Array:
        """The temperature at one place and time; all three are scalars."""
        initial = jnp.sum(jnp.stack([height * jnp.sin(k * jnp.pi * x) for k, height in self.problem.modes]))
        *hidden, last = self.layers
        features = jnp.stack([4 * x - 2, 4 * t - 2])
        for layer in hidden:
            features = jnp.tanh(features @ layer.weights + layer.bias)
        change = (features @ last.weights + last.bias).squeeze()
        return initial + 4 * x * (1 - x) * (1 - jnp.exp(-3 * t)) * change


# --- what annotax compiles and differentiates ------------------------------------------------------------------------


@annotax.jacfwd
def warming(rod: Rod, x: Array, t: Diff[Array]) -> Array:
    """u_t, by `t` alone."""
    return rod(x, t)


@annotax.hessian
def curvature(rod: Rod, x: Diff[Array], t: Array) -> Array:
    """u_xx, by `x` alone."""
    return rod(x, t)


@annotax.vmap
def residual(rod: Annotated[Rod, Axis(None)], x: Array, t: Array) -> Array:
    """By how much the equation is violated: at a point as it is written, of a batch of points when it is called."""
    u_t: Array = warming(rod, x, t)
    u_xx: Array = curvature(rod, x, t)
    return u_t - rod.problem.diffusivity * u_xx


class Metrics(NamedTuple):
    """What a batch of points tells about the model."""

    largest: Array


@annotax.value_and_grad
def loss(rod: Rod, x: NoDiff[Array], t: NoDiff[Array]) -> tuple[Array, Aux[Metrics]]:
    """Called, it returns `((loss, metrics), gradient)`, the gradient with respect to the weights in the rod."""
    violation = residual(rod, x, t)
    return jnp.mean(violation**2), Metrics(jnp.abs(violation).max())


class State(NamedTuple):
    """What a training step replaces."""

    rod: Rod
    moments: optax.OptState
    key: Array


def optimizer(problem: Problem) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(problem.learning_rate, problem.steps))


@annotax.jit
def start(seed: int, *, problem: Static[Problem]) -> State:
    """Random weights, and an optimizer that has seen nothing yet."""
    of_weights, of_points = jax.random.split(jax.random.key(seed))
    rod = Rod.random(problem, of_weights)
    return State(rod, optimizer(problem).init(rod), of_points)


@annotax.jit
def step(state: Donate[State]) -> tuple[State, Metrics]:
    """One update, at new points. It reuses the memory of the state, so go on with the one that it returns."""
    problem = state.rod.problem
    key, of_points = jax.random.split(state.key)
    x, t = jax.random.uniform(of_points, (2, problem.points))
    (_, metrics), gradient = loss(state.rod, x, t)
    updates, moments = optimizer(problem).update(gradient, state.moments)
    return State(optax.apply_updates(state.rod, updates), moments, key), metrics


@annotax.transform(annotax.jit, annotax.vmap)
def temperature(rod: Annotated[Rod, Axis(None)], x: Array, t: Array) -> Array:
    return rod(x, t)


# --- training, and the closed form -----------------------------------------------------------------------------------


def fit(problem: Problem, seed: int = 0) -> Rod:
    """The network after all its steps."""
    state = start(seed, problem=problem)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps, |u_t - a u_xx| <= {task.fields[largest]:.4f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=problem.steps, largest=float("nan"))
        for number in range(1, problem.steps + 1):
            state, metrics = step(state)
            if number % 50 == 0:
                progress.update(task, completed=number, largest=float(metrics.largest))
    return state.rod


def closed_form(x: np.ndarray, t: np.ndarray, problem: Problem) -> np.ndarray:
    """The temperature that the network should find: each mode decays at a rate of its own."""
    waves = np.array([height * np.sin(k * np.pi * x) for k, height in problem.modes])
    decays = np.array([np.exp(-problem.diffusivity * (k * np.pi) ** 2 * t) for k, _ in problem.modes])
    return np.asarray((waves * decays).sum(axis=0))


def draw(x: np.ndarray, t: np.ndarray, learnt: np.ndarray, exact: np.ndarray, path: Path) -> None:
    """Temperatures are float[times, places]."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row in range(0, len(t), 20):
        (line,) = left.plot(x[row], learnt[row], label=f"t = {t[row, 0]:.1f}")
        left.plot(x[row, ::5], exact[row, ::5], ".", color=line.get_color())
    left.set(title="Temperature: network (lines), closed form (dots)", xlabel="x", ylabel="u")
    left.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    colours = right.pcolormesh(x, t, abs(learnt - exact), cmap="magma", rasterized=True)
    right.set(title="Error", xlabel="x", ylabel="t")
    figure.colorbar(colours, ax=right)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if the network is not accurate enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=Problem.steps, help="of the optimizer")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()
    problem = Problem(steps=options.steps)

    for function in (curvature, residual, loss, step):
        annotax.explain(function)
        print()

    rod = fit(problem)
    x, t = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    learnt = np.asarray(temperature(rod, jnp.asarray(x.ravel()), jnp.asarray(t.ravel()))).reshape(x.shape)
    exact = closed_form(x, t, problem)
    error = abs(learnt - exact)
    print(
        f"\nerror against the closed form: at most {error.max():.5f}, root mean square {np.mean(error**2) ** 0.5:.5f}"
    )
    print(f"traces of the training step: {len(step.traces)}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(x, t, learnt, exact, options.output / "heat_equation.png")
    print(f"picture: {options.output / 'heat_equation.png'}")

    if error.max() > REQUIRED_ACCURACY:
        print(f"this is more than {REQUIRED_ACCURACY}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
