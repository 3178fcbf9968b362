"""Differential privacy: a classifier of digits that hardly depends on any one example, by clipped gradients and noise.

    python examples/private.py --epsilon 3 --steps 40 --output examples/output

Each step of DP-SGD (Abadi et al. 2016) takes the gradient of every example by itself, clips it to a norm C, adds
Gaussian noise to the sum, and goes down the mean. The gradients of single examples are `vmap` over `grad`; the hints
say that a batch shares the parameters, and that images and labels have no gradient.

Every step takes all examples, so no privacy is gained by sampling, and the account is short. Without one example, the
sum differs by at most C. Noise of deviation z C makes a step 1/(2 z^2)-zCDP, and T steps make rho = T/(2 z^2), which is
(epsilon, delta)-private with epsilon = rho + 2 sqrt(rho ln(1/delta)): propositions 1.6 and 1.3 and lemma 1.7 of Bun and
Steinke 2016. It is a bound. Not counted are the choice of the settings below, and what floating-point noise leaks.

The program checks the clipped gradients against a loop over the examples, and that a step without clipping and noise is
one of gradient descent. It draws `private.png`: the held-out accuracy as privacy is spent, and without noise.
"""

import argparse
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import annotax
from annotax import Axis, Donate, NoDiff, Static

REQUIRED_ACCURACY = 0.85
AGREEMENT = 1e-4  # required of the checks, relative
DELTA = 1e-5
HIDDEN = 32
SEED = 0


@dataclass(frozen=True)
class Config:
    """How private a step is. Frozen, so that it has a hash and can be `Static`."""

    norm: float = 1.0  # that a gradient is clipped to
    noise: float = 0.0  # the standard deviation of the noise, in units of the norm
    learning_rate: float = 2.0


# --- privacy ---------------------------------------------------------------------------------------------------------


def spent(noise: float, steps: int) -> float:
    """The epsilon of so many steps."""
    rho = steps / (2 * noise**2)
    return rho + 2 * math.sqrt(rho * math.log(1 / DELTA))


def noise_for(epsilon: float, steps: int) -> float:
    """The noise with which so many steps spend epsilon, in units of the norm."""
    log = math.log(1 / DELTA)
    return math.sqrt(steps / 2) / (math.sqrt(log + epsilon) - math.sqrt(log))


# --- the model, and gradients of single examples ---------------------------------------------------------------------


class Params(NamedTuple):
    """A network of two layers."""

    first: Array
    bias: Array
    second: Array
    offset: Array


@annotax.jit
def init() -> Params:
    of_first, of_second = jax.random.split(jax.random.key(SEED))
    he = jax.nn.initializers.he_normal()
    return Params(he(of_first, (64, HIDDEN)), jnp.zeros(HIDDEN), he(of_second, (HIDDEN, 10)), jnp.zeros(10))


def scores(params: Params, images: Array) -> Array:
    """A score for each digit, of one image or of many."""
    return jnp.tanh(images @ params.first + params.bias) @ params.second + params.offset


@annotax.grad
def loss(params: Params, image: NoDiff[Array], label: NoDiff[Array]) -> Array:
    """Called, it returns the gradient, in `Params`."""
    return optax.softmax_cross_entropy_with_integer_labels(scores(params, image), label).mean()


gradient_of = annotax.jit(loss)


@annotax.transform(annotax.jit, annotax.vmap)
def clipped(params: Annotated[Params, Axis(None)], image: Array, label: Array, *, config: Static[Config]) -> Params:
    """Called with images and labels, it returns a gradient for each, none longer than the norm."""
    gradient = loss(params, image, label)
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in gradient))
    return Params(*(leaf * jnp.minimum(1, config.norm / norm) for leaf in gradient))


@annotax.jit
def step(params: Donate[Params], images: Array, labels: Array, key: Array, *, config: Static[Config]) -> Params:
    """One update that hardly tells if it saw some example. It reuses the memory of the parameters."""
    keys = Params(*jax.random.split(key, len(params)))

    def updated(leaf: Array, gradients: Array, key: Array) -> Array:
        noise = config.noise * config.norm * jax.random.normal(key, leaf.shape)
        return leaf - config.learning_rate * (gradients.sum(axis=0) + noise) / len(images)

    return Params(*map(updated, params, clipped(params, images, labels, config=config), keys))


@annotax.jit
def accuracy(params: Params, images: Array, labels: Array) -> Array:
    return jnp.mean(scores(params, images).argmax(axis=1) == labels)


# --- data, training and checks ---------------------------------------------------------------------------------------


class Split(NamedTuple):
    """A part of the data: images as rows of 64 numbers from 0 to 1, and the digits that they show."""

    images: Array
    labels: Array


def load() -> tuple[Split, Split]:
    """Four fifths of the digits to train on, and a fifth that is held out."""
    images, labels = load_digits(return_X_y=True)
    parts: list[Any] = train_test_split(images / 16, labels, test_size=0.2, random_state=SEED, stratify=labels)
    train_images, test_images, train_labels, test_labels = map(jnp.asarray, parts)
    return Split(train_images, train_labels), Split(test_images, test_labels)


def fit(train: Split, test: Split, steps: int, config: Config) -> tuple[Params, list[float]]:
    """The parameters after training, and the held-out accuracy after every step."""
    params = init()
    history: list[float] = []
    for key in jax.random.split(jax.random.key(SEED + 1), steps):
        params = step(params, *train, key, config=config)
        history.append(float(accuracy(params, *test)))
    return params, history


def difference(one: Iterable[Any], other: Iterable[Any]) -> float:
    """The largest between two numbers, relative to the largest number."""
    a, b = (np.concatenate([np.ravel(leaf) for leaf in leaves]) for leaves in (one, other))
    return float(np.abs(a - b).max() / np.abs(b).max())


def difference_to_loop(params: Params, data: Split, config: Config) -> float:
    """How far the sum of the clipped gradients is from that of a loop over the examples."""
    total = [np.zeros(leaf.shape) for leaf in params]
    for image, label in zip(*map(np.asarray, data), strict=True):
        gradient = [np.asarray(leaf, float) for leaf in gradient_of(params, image, label)]
        norm = math.sqrt(sum((leaf**2).sum() for leaf in gradient))
        total = [sum + leaf * min(1.0, config.norm / norm) for sum, leaf in zip(total, gradient, strict=True)]
    at_once = [np.asarray(leaf).sum(axis=0) for leaf in clipped(params, *data, config=config)]
    return difference(at_once, total)


def difference_to_descent(params: Params, data: Split, config: Config) -> float:
    """How far a step that neither clips nor adds noise is from one down the gradient of the mean loss."""
    free = replace(config, norm=1e9, noise=0.0)
    pairs = zip(params, gradient_of(params, *data), strict=True)
    descended = [np.asarray(leaf) - free.learning_rate * np.asarray(slope) for leaf, slope in pairs]
    return difference(step(Params(*map(jnp.copy, params)), *data, jax.random.key(0), config=free), descended)


def draw(epsilons: list[float], private: list[float], silent: list[float], path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(epsilons, silent, label="the same steps without noise", color="#bbbbbb")
    axes.plot(epsilons, private, label="private", color="#1f6f8b", marker=".")
    axes.set(
        title="What privacy costs", xlabel=f"epsilon spent, delta {DELTA:g}", ylabel="held-out accuracy", ylim=(0, 1)
    )
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if a check fails, or the model is not accurate enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epsilon", type=float, default=3.0, help="the privacy to spend")
    parser.add_argument("--steps", type=int, default=40, help="to spend it on")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()

    train, test = load()
    config = Config(noise=noise_for(options.epsilon, options.steps))
    annotax.explain(clipped)
    params, private = fit(train, test, options.steps, config)
    _, silent = fit(train, test, options.steps, replace(config, noise=0.0))
    print()
    print(
        f"private with epsilon {spent(config.noise, options.steps):.2f}, delta {DELTA:g}: {options.steps} steps,",
        f"norm {config.norm:g}, noise {config.noise:.2f} times the norm, {len(train.labels)} examples",
    )
    print(f"accuracy on {len(test.labels)} held-out digits: {private[-1]:.1%}, without noise {silent[-1]:.1%}")
    to_loop = difference_to_loop(params, train, config)
    to_descent = difference_to_descent(params, train, config)
    print(f"difference to a loop over the examples: {to_loop:.1e}")
    print(f"difference to gradient descent, without clipping and noise: {to_descent:.1e}")

    options.output.mkdir(parents=True, exist_ok=True)
    epsilons = [spent(config.noise, step + 1) for step in range(options.steps)]
    draw(epsilons, private, silent, options.output / "private.png")
    print(f"picture: {options.output / 'private.png'}")

    checks = {
        "the clipped gradients are not those of the loop": to_loop <= AGREEMENT,
        "a step is not one of gradient descent": to_descent <= AGREEMENT,
        f"the accuracy is below {REQUIRED_ACCURACY:.0%}": private[-1] >= REQUIRED_ACCURACY,
    }
    for trouble in (failed := [what for what, holds in checks.items() if not holds]):
        print(trouble, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
