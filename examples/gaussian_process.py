"""Fit a Gaussian process by the gradient of its log marginal likelihood, with some hyperparameters frozen.

    python examples/gaussian_process.py --steps 30 --output examples/output

How far will diabetes have gone in a year, by ten measures of 442 patients? The mean of the process stays that of the
training data: it is a `NoDiff` field, so it has no gradient and no state in the optimizer. A subclass that freezes the
noise too needs nothing else. The covariance of two patients becomes a matrix by the axes in its hints. The likelihood
and its gradient are compared with scikit-learn's, and predictions of held-out patients with linear ones. Draws
`gaussian_process.png`: predictions with their uncertainty, and how much each measure matters.
"""

import argparse
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.scipy.linalg import solve_triangular
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import annotax
from annotax import Axis, Donate, NoDiff

jax.config.update("jax_enable_x64", True)

REQUIRED_AGREEMENT = 1e-6
OPTIMIZER = optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(max_backtracking_steps=15))


class Data(NamedTuple):
    """float[patients, measures], each with mean 0 and deviation 1, and float[patients], the progress of the disease."""

    measures: Array
    targets: Array


def load() -> tuple[Data, Data, list[str]]:
    """Four fifths of the patients to train on, a fifth that is held out, and what the measures are called."""
    bunch: Any = load_diabetes()
    measures = (bunch.data - bunch.data.mean(axis=0)) / bunch.data.std(axis=0)
    parts = train_test_split(measures, bunch.target, test_size=0.2, random_state=0)
    train, test, train_targets, test_targets = map(jnp.asarray, parts)
    return Data(train, train_targets), Data(test, test_targets), list(bunch.feature_names)


# --- the model -------------------------------------------------------------------------------------------------------


@annotax.pytree
class Process:
    """A Gaussian process. A measure with a long length matters little."""

    log_lengths: Array
    log_variance: Array
    log_noise: Array
    mean: NoDiff[Array]


@annotax.pytree
class KnownNoise(Process):
    """The same, with noise that stays as it is."""

    log_noise: NoDiff[Array]


@annotax.transform(annotax.vmap(axis_name="rows"), annotax.vmap(axis_name="columns"))
def covariance(
    process: Annotated[Process, Axis(None)],
    one: Annotated[Array, Axis(0, "rows"), Axis(None, "columns")],
    other: Annotated[Array, Axis(None, "rows"), Axis(0, "columns")],
) -> Array:
    """Of two patients, as it is written; called with two groups of them, the matrix."""
    distance = (one - other) / jnp.exp(process.log_lengths)
    return jnp.exp(process.log_variance - distance @ distance / 2)


def factor(process: Process, measures: Array) -> Array:
    """The Cholesky factor of the covariance of what is observed, noise included."""
    noise = jnp.exp(process.log_noise) * jnp.eye(len(measures))
    lower: Array = jnp.linalg.cholesky(covariance(process, measures, measures) + noise)
    return lower


# --- what annotax compiles and differentiates ------------------------------------------------------------------------


def surprise(process: Process, data: NoDiff[Data]) -> Array:
    """The negative log marginal likelihood."""
    lower = factor(process, data.measures)
    white = solve_triangular(lower, data.targets - process.mean, lower=True)
    return white @ white / 2 + jnp.log(jnp.diag(lower)).sum() + len(white) / 2 * jnp.log(2 * jnp.pi)


surprise_and_gradient = annotax.transform(annotax.jit, annotax.value_and_grad[Process])(surprise)


class State(NamedTuple):
    """What a step replaces. The memory of the optimizer is of the trained part alone."""

    process: Process
    memory: optax.OptState


@annotax.jit
def start(process: Process) -> State:
    trained, _ = annotax.partition(process)
    memory = OPTIMIZER.init(trained)
    # Without this a part of it is weakly typed until the first step, and the step is traced again: see `step.traces`.
    return State(process, jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), memory))


@annotax.jit
def step(state: Donate[State], data: Data) -> tuple[State, Array]:
    """One step of L-BFGS. It reuses the memory of the state that it is given, so go on with the one that it returns."""
    trained, rest = annotax.partition(state.process)
    value, gradient = surprise_and_gradient(state.process, data)
    updates, memory = OPTIMIZER.update(
        gradient,
        state.memory,
        trained,
        value=value,
        grad=gradient,
        value_fn=lambda moved: surprise(annotax.combine(moved, rest), data),
    )
    return State(annotax.combine(optax.apply_updates(trained, updates), rest), memory), value


class Prediction(NamedTuple):
    """For each patient a normal distribution."""

    mean: Array
    deviation: Array


@annotax.jit
def predict(process: Process, train: Data, measures: Array) -> Prediction:
    lower = factor(process, train.measures)
    across = solve_triangular(lower, covariance(process, train.measures, measures), lower=True)
    white = solve_triangular(lower, train.targets - process.mean, lower=True)
    variance = jnp.exp(process.log_variance) + jnp.exp(process.log_noise) - jnp.sum(across**2, axis=0)
    return Prediction(process.mean + across.T @ white, jnp.sqrt(variance))


# --- fitting, and what to compare with -------------------------------------------------------------------------------


def fit(process: Process, train: Data, steps: int) -> Process:
    state = start(process)
    for _ in track(range(steps), description=type(process).__name__):
        state, _ = step(state, train)
    return state.process


def disagreement(process: Process, train: Data, test: Data) -> float:
    """The largest relative difference from scikit-learn in the likelihood, its gradient and the predictions."""
    lengths, variance, noise = map(np.exp, (process.log_lengths, process.log_variance, process.log_noise))
    kernel = ConstantKernel(variance) * RBF(lengths) + WhiteKernel(noise)
    other: Any = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None)
    other.fit(train.measures, train.targets - process.mean)
    likelihood, slope = other.log_marginal_likelihood(other.kernel_.theta, eval_gradient=True)
    mean, deviation = other.predict(test.measures, return_std=True)

    value, gradient = surprise_and_gradient(process, train)
    slopes = jnp.array([gradient.log_variance, *gradient.log_lengths, gradient.log_noise])
    predicted = predict(process, train, test.measures)
    ours = (value, slopes, predicted.mean - process.mean, predicted.deviation)
    theirs = (-likelihood, -slope, mean, deviation)
    return max(float(np.max(abs(a - b)) / np.max(abs(b))) for a, b in zip(ours, theirs, strict=True))


def score(prediction: Prediction, targets: Array) -> tuple[float, float]:
    """The share of the variance that is explained, and the mean negative log density of what was observed."""
    error = targets - prediction.mean
    density: Array = jax.scipy.stats.norm.logpdf(error, scale=prediction.deviation)
    return float(1 - jnp.mean(error**2) / jnp.var(targets)), -float(density.mean())


def draw(prediction: Prediction, targets: Array, process: Process, names: list[str], path: Path) -> None:
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.errorbar(targets, prediction.mean, prediction.deviation, fmt=".", color="#1f6f8b", ecolor="#1f6f8b55")
    left.axline((150, 150), slope=1, color="#888888", linestyle=":")
    left.set(title="Held-out patients", xlabel="observed", ylabel="predicted, with one deviation")
    right.barh(names, np.exp(-process.log_lengths), color="#d1603d")
    right.set(title="How much each measure matters", xlabel="1 / length")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if scikit-learn disagrees, or if a linear model predicts better."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="of L-BFGS, for each process")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()
    threadpool_limits(1, "blas")  # for matrices as small as these, threads cost more than they save

    for function in (covariance, surprise_and_gradient, step):
        annotax.explain(function)
        print()

    train, test, names = load()
    linear = BayesianRidge().fit(train.measures, train.targets)
    mean, variance, noise = jnp.mean(train.targets), jnp.var(train.targets), jnp.asarray(1 / linear.alpha_)
    hyperparameters = (jnp.full(len(names), jnp.log(3.0), float), jnp.log(variance), jnp.log(noise), mean)
    difference = disagreement(Process(*hyperparameters), train, test)
    processes = [fit(kind(*hyperparameters), train, options.steps) for kind in (Process, KnownNoise)]
    for process in processes:
        trained, _ = annotax.partition(process)
        sizes = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (trained, process)]
        print(f"{type(process).__name__}: {sizes[0]} of {sizes[1]} hyperparameters trained")
        assert process.mean == mean
    assert processes[1].log_noise == jnp.log(noise)

    predictions = {
        "constant": Prediction(mean, jnp.sqrt(variance)),
        "linear": Prediction(*map(jnp.asarray, linear.predict(test.measures, return_std=True))),
        "process": predict(processes[0], train, test.measures),
        "known noise": predict(processes[1], train, test.measures),
    }
    scores = {name: score(prediction, test.targets) for name, prediction in predictions.items()}
    table = Table("model", "R²", "negative log density", title=f"{len(test.targets)} held-out patients")
    for name, (r2, negative_log_density) in scores.items():
        table.add_row(name, f"{r2:.3f}", f"{negative_log_density:.3f}")
    Console().print(table)
    print(f"traces of the step: {len(step.traces)}, one for each kind of process")
    print(f"largest relative difference from scikit-learn's Gaussian process: {difference:.1e}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(predictions["process"], test.targets, processes[0], names, options.output / "gaussian_process.png")
    print(f"picture: {options.output / 'gaussian_process.png'}")

    if difference > REQUIRED_AGREEMENT:
        print(f"this is more than {REQUIRED_AGREEMENT}", file=sys.stderr)
        return 1
    for name in ("process", "known noise"):
        if scores[name][0] < scores["linear"][0] or scores[name][1] > scores["linear"][1]:
            print(f"the linear model predicts better than {name}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
