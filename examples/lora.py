"""LoRA: a model that reads upright digits learns to read them lying on their side, by adapters of low rank alone.

    python examples/lora.py --epochs 30 --rank 4 --output examples/output

The model is an `equinox.nn.MLP`. Each of its layers is replaced by one that holds the old layer in a `NoDiff` field and
adds a product of two thin matrices to it. Only those train, and only those have a state in the optimizer; the program
checks both, the first bit for bit. It draws `lora.png`: how the accuracy on the turned digits rises.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

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
BATCH_SIZE = 64
OPTIMIZER = optax.adamw(1e-2, weight_decay=1e-2)

T = TypeVar("T")


# --- the model -------------------------------------------------------------------------------------------------------


@annotax.pytree
class LowRank:
    """A linear layer that stays as it is, and a change of low rank to it.

    Attributes:
        base: The layer, float[outputs, inputs] and float[outputs].
        down: float[rank, inputs].
        up: float[outputs, rank].
    """

    base: NoDiff[eqx.nn.Linear]
    down: Array
    up: Array

    @classmethod
    def around(cls, base: eqx.nn.Linear, rank: int, key: Array) -> "LowRank":
        """A layer that gives what the old one gives, until it is trained."""
        outputs, inputs = base.weight.shape
        return cls(base, jax.random.normal(key, (rank, inputs)) / inputs**0.5, jnp.zeros((outputs, rank)))

    def __call__(self, x: Array) -> Array:
        return self.base(x) + self.up @ (self.down @ x)

    def merged(self) -> eqx.nn.Linear:
        """One linear layer that gives the same."""
        weight = self.base.weight + self.up @ self.down
        merged: eqx.nn.Linear = eqx.tree_at(lambda layer: layer.weight, self.base, weight)
        return merged


def with_layers(model: eqx.nn.MLP, layers: Sequence[eqx.nn.Linear | LowRank]) -> eqx.nn.MLP:
    changed: eqx.nn.MLP = eqx.tree_at(lambda model: model.layers, model, tuple(layers))
    return changed


def adapters(model: eqx.nn.MLP) -> tuple[LowRank, ...]:
    """The layers of an adapted model; to a type checker those of every `MLP` are linear."""
    return cast("tuple[LowRank, ...]", model.layers)


def adapted(model: eqx.nn.MLP, rank: int, key: Array) -> eqx.nn.MLP:
    """The model with an adapter around each layer."""
    keys = jax.random.split(key, len(model.layers))
    pairs = zip(model.layers, keys, strict=True)
    return with_layers(model, [LowRank.around(layer, rank, key) for layer, key in pairs])


def merged(model: eqx.nn.MLP) -> eqx.nn.MLP:
    """The model with each adapter merged into its layer."""
    return with_layers(model, [layer.merged() for layer in adapters(model)])


# --- what annotax compiles and differentiates ------------------------------------------------------------------------


class State(NamedTuple):
    """What a training step replaces. The moments are those of the trained part alone."""

    model: eqx.nn.MLP
    moments: optax.OptState


def start(model: eqx.nn.MLP) -> State:
    trained, _ = annotax.partition(model)
    return State(model, OPTIMIZER.init(trained))


@annotax.value_and_grad
def loss(model: eqx.nn.MLP, images: NoDiff[Array], labels: NoDiff[Array]) -> Array:
    """Called, it returns `(loss, gradient)`, the gradient in the type of the model, `None` at what is frozen."""
    return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(images), labels).mean()


@annotax.jit
def step(state: Donate[State], images: Array, labels: Array) -> tuple[State, Array]:
    """One update. It reuses the memory of the state that it is given, so go on with the one that it returns."""
    value, gradient = loss(state.model, images, labels)
    trained, rest = annotax.partition(state.model)
    updates, moments = OPTIMIZER.update(gradient, state.moments, trained)
    return State(annotax.combine(optax.apply_updates(trained, updates), rest), moments), value


@annotax.jit
def accuracy(model: eqx.nn.MLP, images: Array, labels: Array) -> Array:
    """The share of the images that the model reads correctly."""
    return jnp.mean(jax.vmap(model)(images).argmax(axis=1) == labels)


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


def turned(data: Split) -> Split:
    """The same digits, lying on their left side."""
    images = jnp.rot90(data.images.reshape(-1, 8, 8), axes=(1, 2))
    return Split(images.reshape(data.images.shape), data.labels)


def batches(data: Split, random: np.random.Generator) -> Iterator[Split]:
    """One epoch in random order; the last batch is left out if it is short, so that every batch has one shape."""
    order = random.permutation(len(data.labels))
    for begin in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
        chosen = order[begin : begin + BATCH_SIZE]
        yield Split(data.images[chosen], data.labels[chosen])


# --- training --------------------------------------------------------------------------------------------------------


def fit(model: eqx.nn.MLP, train: Split, test: Split, epochs: int, title: str) -> tuple[State, list[float]]:
    """The state after training of whatever is not frozen, and the held-out accuracy before and after every epoch."""
    state = start(copied(model))
    random = np.random.default_rng(SEED)
    history = [float(accuracy(model, *test))]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, held-out accuracy {task.fields[accuracy]:.1%}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(title, total=epochs, accuracy=history[0])
        for _ in range(epochs):
            for images, labels in batches(train, random):
                state, _ = step(state, images, labels)
            history.append(float(accuracy(state.model, *test)))
            progress.update(task, advance=1, accuracy=history[-1])
    return state, history


def copied(tree: T) -> T:
    """A tree with memory of its own, since a step reuses that of its argument."""
    return jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, tree)


def count(tree: Any) -> int:
    """How many numbers the arrays of a tree hold."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


def check_moved(before: eqx.nn.MLP, after: eqx.nn.MLP) -> None:
    """See that every adapter has changed, and no bit of what it adapts."""

    def bits(array: Array | None) -> bytes:
        return np.asarray(array).tobytes()

    for old, new in zip(adapters(before), adapters(after), strict=True):
        assert bits(old.base.weight) == bits(new.base.weight)
        assert bits(old.base.bias) == bits(new.base.bias)
        assert bits(old.down) != bits(new.down)
        assert bits(old.up) != bits(new.up)


def check_moments(state: State) -> None:
    """See that Adam keeps a count, and two moments of each adapter, and nothing else."""
    shapes = [matrix.shape for layer in adapters(state.model) for matrix in (layer.down, layer.up)]
    assert [leaf.shape for leaf in jax.tree.leaves(state.moments)] == [(), *shapes, *shapes]


# --- pictures --------------------------------------------------------------------------------------------------------


def draw(history: list[float], title: str, path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(len(history)), history, color="#1f6f8b", marker=".")
    axes.set(title=title, xlabel="epoch", ylabel="held-out accuracy", ylim=(0, 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if the model is not accurate enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training data, for each training")
    parser.add_argument("--rank", type=int, default=4, help="of the adapters")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()

    train, test = load()
    of_model, of_adapters = jax.random.split(jax.random.key(SEED))
    base = eqx.nn.MLP(train.images.shape[1], 10, width_size=128, depth=2, key=of_model)
    state, upright = fit(base, train, test, options.epochs, "upright, whole model")
    base = state.model

    before = adapted(base, options.rank, of_adapters)
    state, history = fit(before, turned(train), turned(test), options.epochs, "turned, adapters alone")
    after = state.model
    check_moved(before, after)
    check_moments(state)
    assert jnp.allclose(jax.vmap(after)(test.images), jax.vmap(merged(after))(test.images), atol=1e-3)

    trained, _ = annotax.partition(after)
    annotax.explain(step)
    print(f"\ntrained: {count(trained)} of {count(after)} numbers; no bit of the rest has changed")
    print(
        f"numbers in the optimizer's state: {count(state.moments)}, with the whole model {count(start(base).moments)}"
    )
    print(f"accuracy on {len(test.labels)} held-out digits, upright, without adapters: {upright[-1]:.1%}")
    print(
        f"accuracy on {len(test.labels)} held-out digits, turned: {history[-1]:.1%}, without adapters {history[0]:.1%}"
    )

    options.output.mkdir(parents=True, exist_ok=True)
    draw(history, f"Turned digits, adapters of rank {options.rank}", options.output / "lora.png")
    print(f"picture: {options.output / 'lora.png'}")

    if history[-1] < REQUIRED_ACCURACY:
        print(f"this is below {REQUIRED_ACCURACY:.0%}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
