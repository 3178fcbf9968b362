"""Transfer: learn the digits 0 to 4, freeze the backbone, and train a new head alone on all ten digits.

    python examples/frozen_backbone.py --epochs 30 --output examples/output

The model is an `equinox.nn.MLP` with a linear head. One marker on one field freezes the backbone; the loss and the
training step do not know of it. The program checks, bit for bit, that only the head has moved, and draws
`transfer.png`: how many of each digit are read correctly with the old head and with the new one.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
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
from annotax import Donate, NoDiff

REQUIRED_ACCURACY = 0.8
SEED = 0
FEATURES = 256
CLASSES = 10
BATCH_SIZE = 64
OPTIMIZER = optax.adamw(1e-2, weight_decay=1e-2)


# --- the model -------------------------------------------------------------------------------------------------------


@annotax.pytree
class Classifier:
    """A backbone that makes features of an image, and a head that reads a digit from them."""

    backbone: eqx.nn.MLP
    head: eqx.nn.Linear

    def __call__(self, images: Array) -> Array:
        """A score for each digit: float[batch, classes]."""
        return jax.vmap(lambda image: self.head(self.backbone(image)))(images)


@annotax.pytree
class Transferred(Classifier):
    """The same, with a backbone that stays as it is."""

    backbone: NoDiff[eqx.nn.MLP]


def new_head(key: Array) -> eqx.nn.Linear:
    return eqx.nn.Linear(FEATURES, CLASSES, key=key)


# --- what annotax compiles and differentiates ------------------------------------------------------------------------


class State(NamedTuple):
    """What a training step replaces. The moments are those of the trained part alone."""

    model: Classifier
    moments: optax.OptState


def start(model: Classifier) -> State:
    trained, _ = annotax.partition(model)
    return State(model, OPTIMIZER.init(trained))


@annotax.value_and_grad
def loss(model: Classifier, images: NoDiff[Array], labels: NoDiff[Array]) -> Array:
    """Called, it returns `(loss, gradient)`, the gradient in the type of the model, `None` at what is frozen."""
    return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()


@annotax.jit
def step(state: Donate[State], images: Array, labels: Array) -> tuple[State, Array]:
    """One update. It reuses the memory of the state that it is given, so go on with the one that it returns."""
    value, gradient = loss(state.model, images, labels)
    trained, rest = annotax.partition(state.model)
    updates, moments = OPTIMIZER.update(gradient, state.moments, trained)
    return State(annotax.combine(optax.apply_updates(trained, updates), rest), moments), value


@annotax.jit
def read(model: Classifier, images: Array) -> Array:
    """What the model takes each image for."""
    return model(images).argmax(axis=1)


# --- data ------------------------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """A part of the data: images as rows of 64 numbers from 0 to 1, and the digits that they show."""

    images: Array
    labels: Array


def load() -> tuple[Split, Split]:
    """Four fifths of the digits to train on, and a fifth that is held out."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.2, random_state=SEED, stratify=labels)
    train_images, test_images, train_labels, test_labels = map(jnp.asarray, parts)
    return Split(train_images, train_labels), Split(test_images, test_labels)


def batches(data: Split, random: np.random.Generator) -> Iterator[Split]:
    """One epoch in random order; the last batch is left out if it is short, so that every batch has one shape."""
    order = random.permutation(len(data.labels))
    for begin in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
        chosen = order[begin : begin + BATCH_SIZE]
        yield Split(data.images[chosen], data.labels[chosen])


# --- training --------------------------------------------------------------------------------------------------------


def fit(model: Classifier, data: Split, epochs: int, title: str) -> Classifier:
    """The model after training of whatever in it is not frozen."""
    state = start(jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, model))
    random = np.random.default_rng(SEED)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(title, total=epochs, loss=float("nan"))
        for _ in range(epochs):
            losses = []
            for images, labels in batches(data, random):
                state, value = step(state, images, labels)
                losses.append(value)
            progress.update(task, advance=1, loss=float(np.mean(losses)))
    return state.model


def count(tree: Any) -> int:
    """How many numbers the arrays of a tree hold."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


def check_moved(before: Classifier, after: Classifier) -> None:
    """See that every array of the head has changed, and no bit of the backbone."""
    for part, should_move in (("backbone", False), ("head", True)):
        pairs = zip(jax.tree.leaves(getattr(before, part)), jax.tree.leaves(getattr(after, part)), strict=True)
        for old, new in pairs:
            if eqx.is_array(old):
                assert (np.asarray(old).tobytes() != np.asarray(new).tobytes()) == should_move, part


# --- pictures --------------------------------------------------------------------------------------------------------


def accuracies(model: Classifier, data: Split) -> list[float]:
    """The share of each digit that is read correctly."""
    is_right = np.asarray(read(model, data.images) == data.labels)
    return [float(is_right[np.asarray(data.labels) == digit].mean()) for digit in range(CLASSES)]


def draw(old: list[float], new: list[float], path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    digits = np.arange(CLASSES)
    axes.bar(digits - 0.2, old, width=0.4, label="trained on 0 to 4", color="#d1603d")
    axes.bar(digits + 0.2, new, width=0.4, label="frozen, with a new head", color="#1f6f8b")
    axes.set(title="Held-out digits read correctly", xlabel="digit", xticks=digits, ylim=(0, 1))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if the model is not accurate enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training data, for each training")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()

    train, test = load()
    small = train.labels < 5
    of_backbone, of_head, of_new_head = jax.random.split(jax.random.key(SEED), 3)
    backbone = eqx.nn.MLP(train.images.shape[1], FEATURES, width_size=128, depth=1, key=of_backbone)

    first = Classifier(backbone, new_head(of_head))
    first = fit(first, Split(train.images[small], train.labels[small]), options.epochs, "digits 0 to 4, whole model")

    before = Transferred(first.backbone, new_head(of_new_head))
    after = fit(before, train, options.epochs, "all ten digits, head alone")
    check_moved(before, after)

    trained, _ = annotax.partition(after)
    annotax.explain(step)
    old, new = (float(jnp.mean(read(model, test.images) == test.labels)) for model in (first, after))
    print(f"\ntrained: {count(trained)} of {count(after)} numbers; no bit of the backbone has changed")
    print(f"accuracy on {len(test.labels)} held-out digits: {new:.1%}, with the old head {old:.1%}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(accuracies(first, test), accuracies(after, test), options.output / "transfer.png")
    print(f"picture: {options.output / 'transfer.png'}")

    if new < REQUIRED_ACCURACY:
        print(f"this is below {REQUIRED_ACCURACY:.0%}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
