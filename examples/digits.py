"""Train a small classifier on scikit-learn's 1,797 handwritten digits, with annotax, optax and plain JAX.

    python examples/digits.py --epochs 30 --output examples/output

prints what annotax hands to JAX, trains, checks the accuracy on a held-out fifth and draws two pictures:
`loss.png`, how the loss fell, and `mistakes.png`, the digits that the model gets wrong.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import annotax
from annotax import Aux, Donate, NoDiff, Static

REQUIRED_ACCURACY = 0.95


@dataclass(frozen=True)
class Config:
    """What is fixed while training. Frozen, so that it has a hash and can be `Static`."""

    hidden: tuple[int, ...] = (128, 64)
    activation: Callable[[Array], Array] = jax.nn.gelu
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 64
    epochs: int = 30
    seed: int = 0


class Layer(NamedTuple):
    """A dense layer: `inputs @ weights + bias`."""

    weights: Array
    bias: Array


Params: TypeAlias = tuple[Layer, ...]


class State(NamedTuple):
    """What a training step replaces."""

    params: Params
    moments: optax.OptState


class Metrics(NamedTuple):
    """What a batch tells about the model."""

    loss: Array
    accuracy: Array


# --- the model -------------------------------------------------------------------------------------------------------


def init(config: Config, *, inputs: int, classes: int) -> State:
    """Random weights, and an optimizer that has seen nothing yet."""
    widths = (inputs, *config.hidden, classes)
    keys = jax.random.split(jax.random.key(config.seed), len(widths) - 1)
    he = jax.nn.initializers.he_normal()
    params = tuple(
        Layer(he(key, (rows, columns)), jnp.zeros(columns))
        for key, rows, columns in zip(keys, widths, widths[1:], strict=False)
    )
    return State(params, optimizer(config).init(params))


def optimizer(config: Config) -> optax.GradientTransformation:
    return optax.adamw(config.learning_rate, weight_decay=config.weight_decay)


def logits(params: Params, images: Array, config: Config) -> Array:
    """A score for each class: float[batch, classes]."""
    *hidden, last = params
    for layer in hidden:
        images = config.activation(images @ layer.weights + layer.bias)
    return images @ last.weights + last.bias


def measure(scores: Array, labels: Array) -> Metrics:
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return Metrics(cross_entropy.mean(), jnp.mean(scores.argmax(axis=1) == labels))


# --- what annotax compiles and differentiates ------------------------------------------------------------------------


@annotax.value_and_grad
def loss(
    params: Params, images: NoDiff[Array], labels: NoDiff[Array], *, config: Static[Config]
) -> tuple[Array, Aux[Metrics]]:
    """Called, it returns `((loss, metrics), gradient)`, the gradient with respect to `params`, in their own type."""
    metrics = measure(logits(params, images, config), labels)
    return metrics.loss, metrics


@annotax.jit
def step(state: Donate[State], images: Array, labels: Array, *, config: Static[Config]) -> tuple[State, Metrics]:
    """One update. It reuses the memory of the state that it is given, so go on with the one that it returns."""
    (_, metrics), gradient = loss(state.params, images, labels, config=config)
    updates, moments = optimizer(config).update(gradient, state.moments, state.params)
    return State(optax.apply_updates(state.params, updates), moments), metrics


@annotax.jit
def evaluate(params: Params, images: Array, labels: Array, *, config: Static[Config]) -> tuple[Metrics, Array]:
    """How well the model does, and what it takes each image for."""
    scores = logits(params, images, config)
    return measure(scores, labels), scores.argmax(axis=1)


# --- data ------------------------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """A part of the data: images as rows of 64 numbers from 0 to 1, and the digits that they show."""

    images: Array
    labels: Array


def load(seed: int) -> tuple[Split, Split]:
    """Four fifths of the digits to train on, and a fifth that is held out."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.2, random_state=seed, stratify=labels)
    train_images, test_images, train_labels, test_labels = map(jnp.asarray, parts)
    return Split(train_images, train_labels), Split(test_images, test_labels)


def batches(data: Split, size: int, random: np.random.Generator) -> Iterator[Split]:
    """One epoch in random order; the last batch is left out if it is short, so that every batch has one shape."""
    order = random.permutation(len(data.labels))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        yield Split(data.images[chosen], data.labels[chosen])


# --- training --------------------------------------------------------------------------------------------------------


class History(NamedTuple):
    """The loss of every epoch."""

    train: list[float]
    test: list[float]


def fit(train: Split, test: Split, config: Config) -> tuple[Params, History]:
    """Train for `config.epochs`, and keep an eye on the held-out digits."""
    state = init(config, inputs=train.images.shape[1], classes=10)
    random = np.random.default_rng(config.seed)
    history = History([], [])
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, held-out accuracy {task.fields[accuracy]:.1%}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=config.epochs, accuracy=0.0)
        for _ in range(config.epochs):
            losses = []
            for images, labels in batches(train, config.batch_size, random):
                state, metrics = step(state, images, labels, config=config)
                losses.append(metrics.loss)
            held_out, _ = evaluate(state.params, test.images, test.labels, config=config)
            history.train.append(float(np.mean(losses)))
            history.test.append(float(held_out.loss))
            progress.update(task, advance=1, accuracy=float(held_out.accuracy))
    return state.params, history


# --- pictures --------------------------------------------------------------------------------------------------------


def draw_loss(history: History, path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    epochs = range(1, len(history.train) + 1)
    axes.plot(epochs, history.train, label="training", color="#1f6f8b", marker=".")
    axes.plot(epochs, history.test, label="held out", color="#d1603d", marker=".")
    axes.set(title="Loss on handwritten digits", xlabel="epoch", ylabel="cross-entropy", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def draw_mistakes(data: Split, predicted: Array, path: Path, *, columns: int = 6, at_most: int = 24) -> None:
    wrong = np.flatnonzero(predicted != data.labels)
    shown = wrong[:at_most]
    rows = max(1, math.ceil(len(shown) / columns))
    figure = Figure(figsize=(1.4 * columns, 1.7 * rows + 0.5), layout="constrained")
    title = f"{len(wrong)} of {len(data.labels)} held-out digits are misread"
    figure.suptitle(title if len(shown) == len(wrong) else f"{title}; the first {len(shown)}")
    grid = figure.subplots(rows, columns, squeeze=False, subplot_kw={"xticks": [], "yticks": []})
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, i in zip(grid.flat, shown, strict=False):
        axes.imshow(data.images[i].reshape(8, 8), cmap="gray_r")
        axes.set_title(f"{data.labels[i]}, read as {predicted[i]}", fontsize=10)
        axes.spines[:].set_color("#cccccc")
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if the model is not accurate enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=Config.epochs, help="passes over the training data")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the pictures")
    options = parser.parse_args()
    config = Config(epochs=options.epochs)

    for function in (loss, step):
        annotax.explain(function)
        print()

    train, test = load(config.seed)
    params, history = fit(train, test, config)
    metrics, predicted = evaluate(params, test.images, test.labels, config=config)
    print(f"\naccuracy on {len(test.labels)} held-out digits: {metrics.accuracy:.1%}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw_loss(history, options.output / "loss.png")
    draw_mistakes(test, predicted, options.output / "mistakes.png")
    print(f"pictures: {options.output / 'loss.png'}, {options.output / 'mistakes.png'}")

    if metrics.accuracy < REQUIRED_ACCURACY:
        print(f"this is below {REQUIRED_ACCURACY:.0%}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
