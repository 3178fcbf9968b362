"""Data- and tensor-parallel training on a mesh of 2 by 4 devices, with every layout in a type hint.

    python examples/parallel.py --epochs 20 --output examples/output

A network of two layers learns scikit-learn's handwritten digits. Each batch is split between the two rows of the mesh;
each row holds the whole model, split between its four devices: the first weights by column, the second by row, so that
the layers meet in one sum over the devices. The optimizer's moments lie where their weights do, and a step reuses the
memory of the state that it is given. Without a mesh the hints say nothing: the program trains the same on one device,
and compares. With fewer than 8 accelerators it runs on 8 virtual devices of the CPU.

It prints where everything is, and draws `parallel.png`: which devices hold which part of a batch and of the weights.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import annotax
from annotax import Donate, NoDiff

REQUIRED_ACCURACY = 0.95
AGREEMENT = 1e-4  # required of the parameters trained on 8 devices and on one
SEED = 0
HIDDEN = 128
BATCH_SIZE = 128
OPTIMIZER = optax.adamw(2e-3, weight_decay=1e-2)


# --- the model, the step, and where they are laid out ----------------------------------------------------------------


@annotax.pytree
class Model:
    """A network of two layers."""

    first: Annotated[Array, P(None, "model")]  # float[inputs, hidden], split by column
    bias: Annotated[Array, P("model")]  # float[hidden]
    second: Annotated[Array, P("model", None)]  # float[hidden, classes], split by row
    offset: Array  # float[classes], on every device

    def __call__(self, images: Array) -> Array:
        """A score for each digit: float[batch, classes]."""
        return jax.nn.gelu(images @ self.first + self.bias) @ self.second + self.offset


class State(NamedTuple):
    """What a training step replaces. The moments hold two more `Model`s, laid out as the first."""

    model: Model
    moments: optax.OptState


Images = Annotated[Array, P("data", None)]
Labels = Annotated[Array, P("data")]


@annotax.value_and_grad
def loss(model: Model, images: NoDiff[Array], labels: NoDiff[Array]) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()


@annotax.jit
def step(state: Donate[State], images: Images, labels: Labels) -> tuple[State, Array]:
    """One update. It reuses the memory of the state that it is given, so go on with the one that it returns."""
    value, gradient = loss(state.model, images, labels)
    updates, moments = OPTIMIZER.update(gradient, state.moments, state.model)
    return State(optax.apply_updates(state.model, updates), moments), value


@annotax.jit
def accuracy(model: Model, images: Images, labels: Labels) -> Array:
    return jnp.mean(model(images).argmax(axis=1) == labels)


@annotax.jit
def start() -> State:
    """Random weights, and an optimizer that has seen nothing yet."""
    of_first, of_second = jax.random.split(jax.random.key(SEED))
    he = jax.nn.initializers.he_normal()
    model = Model(he(of_first, (64, HIDDEN)), jnp.zeros(HIDDEN), he(of_second, (HIDDEN, 10)), jnp.zeros(10))
    return State(model, OPTIMIZER.init(model))


# --- data and training -----------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """A part of the data: images as rows of 64 numbers from 0 to 1, and the digits that they show."""

    images: Images
    labels: Labels


def load() -> tuple[Split, Split]:
    """Four fifths of the digits to train on, and a fifth that is held out."""
    images, labels = load_digits(return_X_y=True)
    parts: list[Any] = train_test_split(images / 16, labels, test_size=0.2, random_state=SEED, stratify=labels)
    train_images, test_images, train_labels, test_labels = parts
    return Split(train_images, train_labels), Split(test_images, test_labels)


def batches(data: Split, epochs: int) -> Iterator[Split]:
    """Batches in random order, the same for each run; the last of an epoch is left out if it is short."""
    random = np.random.default_rng(SEED)
    for _ in range(epochs):
        order = random.permutation(len(data.labels))
        for begin in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
            chosen = order[begin : begin + BATCH_SIZE]
            yield Split(data.images[chosen], data.labels[chosen])


def fit(state: State, data: Split, epochs: int) -> State:
    """The state after training; it is on a mesh if there is one."""
    for images, labels in batches(data, epochs):
        state, _ = step(state, images, labels)
    return state


# --- where it all is -------------------------------------------------------------------------------------------------


def mesh_of_8() -> Mesh:
    """A mesh of 8 accelerators, or else of virtual devices of the CPU."""
    jax.config.update("jax_num_cpu_devices", 8)  # before JAX looks for devices
    devices = jax.devices() if jax.device_count() >= 8 else jax.devices("cpu")
    kinds = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=kinds, devices=devices[:8])


def show_layout(state: State) -> None:
    """Print how every array of the state is split."""
    table = Table("array", "layout", "shape", "on each device", "copies")
    for path, leaf in jax.tree.leaves_with_path(state):
        part = leaf.sharding.shard_shape(leaf.shape)
        copies = 8 * np.prod(part, dtype=int) // leaf.size
        table.add_row(jax.tree_util.keystr(path)[1:], *map(str, (leaf.sharding.spec, leaf.shape, part, copies)))
    Console(width=100).print(table)


def is_laid_out(state: State, mesh: Mesh) -> bool:
    """Whether each array lies where `annotax.shard` puts it."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(annotax.shard(state, mesh)), strict=True)
    return all(leaf.sharding.is_equivalent_to(placed.sharding, leaf.ndim) for leaf, placed in pairs)


def draw(arrays: dict[str, Array], path: Path) -> None:
    """Draw matrices, cut into the parts that devices hold."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    for axes, (name, array) in zip(figure.subplots(1, len(arrays)), arrays.items(), strict=True):
        rows, columns = array.shape
        holders: dict[tuple[int, int, int, int], list[int]] = {}
        for shard in array.global_shards:
            (top, bottom, _), (left, right, _) = map(slice.indices, shard.index, array.shape)
            holders.setdefault((left, top, right, bottom), []).append(shard.device.id)
        for (left, top, right, bottom), devices in holders.items():
            axes.fill_between([left, right], top, bottom, facecolor="#a5c5d1", edgecolor="white", linewidth=3)
            label = ", ".join(map(str, sorted(devices)))
            axes.text((left + right) / 2, (top + bottom) / 2, label, ha="center", va="center")
        axes.set(title=f"{name}\n{rows} by {columns}", xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    figure.suptitle("Which devices hold which part")
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if anything is not where it should be, or not what one device makes of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training data")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()

    mesh = mesh_of_8()
    train, test = load()
    annotax.explain(step)
    with jax.set_mesh(mesh):
        state = annotax.shard(start(), mesh)
        batch = annotax.shard(next(batches(train, 1)), mesh)
        compiled = annotax.jitted(step).lower(state, *batch).compile()
        state = fit(state, train, options.epochs)
        accurate = float(accuracy(state.model, *test))
    alone = fit(start(), train, options.epochs)  # without a mesh

    show_layout(state)
    jax.debug.visualize_array_sharding(state.model.first)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    reused = compiled.memory_analysis().alias_size_in_bytes
    print(f"bytes of the state on each device: {held}, of which a step reuses {reused}")
    print(f"sums over devices in a step: {compiled.as_text().count('all-reduce(')}")
    pairs = zip(jax.tree.leaves(state.model), jax.tree.leaves(alone.model), strict=True)
    difference = max(float(np.abs(np.asarray(many) - one).max()) for many, one in pairs)
    print(f"largest difference to the parameters trained on one device: {difference:.1e}")
    print(f"accuracy on {len(test.labels)} held-out digits: {accurate:.1%}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(
        {"images": batch.images, "first": state.model.first, "second": state.model.second},
        options.output / "parallel.png",
    )
    print(f"picture: {options.output / 'parallel.png'}")

    checks = {
        "an array is not where its hint puts it": is_laid_out(state, mesh),
        f"the difference is above {AGREEMENT}": difference <= AGREEMENT,
        f"the accuracy is below {REQUIRED_ACCURACY:.0%}": accurate >= REQUIRED_ACCURACY,
    }
    for trouble in (failed := [what for what, holds in checks.items() if not holds]):
        print(trouble, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
