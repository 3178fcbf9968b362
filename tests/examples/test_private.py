"""Clipped gradients are those of single examples, the account of privacy is right, and the digits are learnt."""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest

from tests.examples.conftest import Run


@pytest.fixture(scope="module")
def example(examples: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("private", examples / "private.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_learns_in_private_as_a_loop_over_the_examples_would(run_example: Callable[..., Run]) -> None:
    run = run_example("private.py", "--epsilon", "3", "--steps", "30")
    assert run.status == 0, run.printed + run.errors
    assert "in_axes=(None, 0, 0, None)" in run.printed
    # sqrt(30 / 2) / (sqrt(ln 1e5 + 3) - sqrt(ln 1e5))
    assert "epsilon 3.00, delta 1e-05: 30 steps, norm 1, noise 9.30 times the norm, 1437 examples" in run.printed
    assert run.number(r"a loop over the examples: (\S+)") < 1e-5
    assert run.number(r"without clipping and noise: (\S+)") < 1e-5
    assert run.percent("held-out digits:") >= 85
    assert run.percent("without noise") > run.percent("held-out digits:")
    assert run.drew("private.png")


def test_it_fails_where_there_is_too_much_noise(run_example: Callable[..., Run]) -> None:
    run = run_example("private.py", "--epsilon", "0.01", "--steps", "2")
    assert run.status == 1
    assert run.errors.strip() == "the accuracy is below 85%"


def test_what_is_spent_is_at_least_what_exact_accounts_say(example: ModuleType) -> None:
    def delta(epsilon: float, noise: float, steps: int) -> float:
        """That of `steps` Gaussian mechanisms, which are as one of less noise (Balle and Wang 2018, theorem 8)."""
        mu = math.sqrt(steps) / noise

        def normal(x: float) -> float:
            return math.erfc(-x / math.sqrt(2)) / 2

        return normal(mu / 2 - epsilon / mu) - math.exp(epsilon) * normal(-mu / 2 - epsilon / mu)

    for noise, steps in [(1.0, 1), (5.0, 20), (10.0, 40), (50.0, 100)]:
        epsilon = example.spent(noise, steps)
        assert 0 < delta(epsilon, noise, steps) <= example.DELTA
        assert delta(epsilon / 1.5, noise, steps) > example.DELTA
        assert example.noise_for(epsilon, steps) == pytest.approx(noise)


def test_no_gradient_is_longer_than_the_norm_and_short_ones_are_as_they_were(example: ModuleType) -> None:
    params = example.init()
    images = jnp.linspace(0, 2, 8)[:, None] * jax.random.uniform(jax.random.key(0), (8, 64))
    labels = jnp.arange(8)
    plain = [example.loss(params, image, label) for image, label in zip(images, labels, strict=True)]
    norms = jnp.array([jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in gradient)) for gradient in plain])
    limit = float(jnp.median(norms))
    together = example.clipped(params, images, label=labels, config=example.Config(norm=limit))
    clipped_norms = jnp.sqrt(sum(jnp.sum(leaf.reshape(8, -1) ** 2, axis=1) for leaf in together))
    assert jnp.allclose(clipped_norms, jnp.minimum(norms, limit), rtol=1e-5)
    for i in jnp.flatnonzero(norms < limit):
        assert all(
            jnp.allclose(leaf[i], alone, rtol=1e-5, atol=1e-6) for leaf, alone in zip(together, plain[i], strict=True)
        )


def test_the_noise_has_the_deviation_that_is_accounted_for(example: ModuleType) -> None:
    config = example.Config(norm=0.5, noise=1000.0, learning_rate=1.0)
    images, labels = jnp.zeros((4, 64)), jnp.arange(4)
    before = example.init()
    after = example.step(example.init(), images, labels, jax.random.key(0), config=config)
    moved = jnp.concatenate([(new - old).ravel() for new, old in zip(after, before, strict=True)])
    assert float(moved.std()) == pytest.approx(config.noise * config.norm / len(images), rel=0.05)
    assert len(jnp.unique(moved)) > 0.99 * moved.size
