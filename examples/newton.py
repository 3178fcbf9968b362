"""Fit a logistic regression by a damped Newton method, and compare it with scikit-learn's.

    python examples/newton.py --output examples/output

Is a tumour benign, by 30 measures of it? One plain function, the objective, says in its hints what is differentiated,
what is constant and what a batch shares; `value_and_grad`, `hessian` and `vmap` all read it there. Far from the
solution a step is shortened until it goes downhill; near it the norm of the gradient is squared from step to step.
Prints every step, and draws `newton.png`: the gradient by step, and the coefficients.
"""

import argparse
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import annotax
from annotax import Axis, Donate, NoDiff, Static

jax.config.update("jax_enable_x64", True)

REQUIRED_ACCURACY = 1e-8
PENALTY = 1.0


class Data(NamedTuple):
    """float[tumours, measures] with mean 0 and deviation 1, and for each tumour 1.0 if it is benign, else -1.0."""

    measures: Array
    signs: Array


def load() -> tuple[Data, list[str]]:
    bunch: Any = load_breast_cancer()
    measures = (bunch.data - bunch.data.mean(axis=0)) / bunch.data.std(axis=0)
    return Data(jnp.asarray(measures), jnp.where(bunch.target == 1, 1.0, -1.0)), list(bunch.feature_names)


# --- what annotax compiles and differentiates ------------------------------------------------------------------------


def objective(weights: Array, data: Annotated[Data, NoDiff, Axis(None)], *, penalty: Static[float]) -> Array:
    """The negative log likelihood of the labels, with a penalty on all weights but the last, the intercept."""
    scores = data.measures @ weights[:-1] + weights[-1]
    return jnp.sum(jax.nn.softplus(-data.signs * scores)) + penalty / 2 * jnp.sum(weights[:-1] ** 2)


objective_and_gradient = annotax.value_and_grad[Array](objective)
curvature = annotax.hessian(objective)
objectives = annotax.vmap(objective)  # of a batch of weights, all on the same data


class Progress(NamedTuple):
    """What a step tells: the objective and the norm of its gradient where it began, and how much of it was taken."""

    objective: Array
    norm: Array
    length: Array


@annotax.jit
def step(weights: Donate[Array], data: Data, *, penalty: Static[float]) -> tuple[Array, Progress]:
    """The longest of some steps towards Newton's next point that go downhill as far as the gradient lets one hope."""
    value, gradient = objective_and_gradient(weights, data, penalty=penalty)
    newton: Array = -jnp.linalg.solve(curvature(weights, data, penalty=penalty), gradient)
    lengths = 0.5 ** jnp.arange(20)
    proposals = weights + lengths[:, None] * newton
    hoped = value + 1e-4 * lengths * (gradient @ newton) + 1e-12 * value  # the last for rounding, at the solution
    best = jnp.argmax(objectives(proposals, data, penalty=penalty) <= hoped)
    return proposals[best], Progress(value, jnp.linalg.norm(gradient), lengths[best])


# --- fitting, and the known solution ---------------------------------------------------------------------------------


def fit(data: Data, steps: int) -> tuple[Array, list[Progress]]:
    """The weights after some steps from a random start, and what each step told."""
    weights = jax.random.normal(jax.random.key(0), (data.measures.shape[1] + 1,))
    history: list[Progress] = []
    for _ in range(steps):
        weights, progress = step(weights, data, penalty=PENALTY)
        history.append(jax.device_get(progress))
    return weights, history


def known_solution(data: Data) -> np.ndarray:
    """The same by scikit-learn, whose C weighs the likelihood where ours weighs the penalty."""
    model = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(np.asarray(data.measures), np.asarray(data.signs))
    return np.append(model.coef_, model.intercept_)


def show(history: list[Progress]) -> None:
    table = Table(title="Newton's method")
    for heading in ("step", "objective", "length", "|gradient|", "|gradient| / previous²"):
        table.add_column(heading, justify="right")
    for number, (value, norm, length) in enumerate(history):
        before = history[number - 1].norm if number else jnp.nan
        ratio = "rounding" if norm < 1e-12 else f"{norm / before**2:.4f}"
        table.add_row(str(number), f"{value:.8f}", f"{length:g}", f"{norm:.1e}", ratio)
    Console().print(table)


def draw(history: list[Progress], weights: np.ndarray, known: np.ndarray, names: list[str], path: Path) -> None:
    figure = Figure(figsize=(10, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    shortened = [i for i, progress in enumerate(history) if progress.length < 1]
    norms = [progress.norm for progress in history]
    left.plot(norms, color="#1f6f8b", marker=".", label="full step")
    left.plot(shortened, [norms[i] for i in shortened], "o", color="#d1603d", label="shortened step")
    left.set(title="Norm of the gradient", xlabel="step", yscale="log")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False)
    right.barh(names, weights[:-1], color="#1f6f8b", label="Newton")
    right.plot(known[:-1], names, ".", color="#d1603d", label="scikit-learn")
    right.set(title="Coefficients: positive speaks for benign")
    right.tick_params(axis="y", labelsize=7)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if the weights are not those of scikit-learn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="of Newton's method")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()

    for function in (objective_and_gradient, curvature, objectives, step):
        annotax.explain(function)
        print()

    data, names = load()
    fitted, history = fit(data, options.steps)
    weights, known = np.asarray(fitted), known_solution(data)
    error = abs(weights - known).max()
    show(history)
    print(f"traces of the step: {len(step.traces)}")
    print(f"largest difference from scikit-learn's weights: {error:.1e}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(history, weights, known, names, options.output / "newton.png")
    print(f"picture: {options.output / 'newton.png'}")

    if error > REQUIRED_ACCURACY:
        print(f"this is more than {REQUIRED_ACCURACY}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
