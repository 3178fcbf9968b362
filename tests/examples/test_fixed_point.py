"""The derivative rule of the fixed-point solver is right, and it finds an orbit again."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import NoDiff
from tests.examples.conftest import Run

ORBIT = {"period": 111.44, "eccentricity": 0.932, "periastron": 60, "argument": -1.03, "amplitude": 470, "drift": 3.8}


@pytest.fixture(scope="module")
def example(examples: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fixed_point", examples / "fixed_point.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_finds_the_orbit_with_derivatives_that_agree(run_example: Callable[..., Run]) -> None:
    run = run_example("fixed_point.py")
    assert run.status == 0, run.printed + run.errors
    assert re.search(r"custom_vjp +nondiff_argnums=\(2, 3, 4\) +step, tolerance, limit", run.printed)
    assert run.number(r"largest disagreement: (\S+), relative") < 1e-7
    for element, truth in ORBIT.items():
        numbers = re.search(rf"{element}[ │]+[-\d.]+[ │]+([-\d.]+)[ │]+([\d.]+)[ │]+[-\d.]+ +│\n", run.printed)
        fitted, error = map(float, numbers.groups())
        assert fitted == pytest.approx(truth, abs=3 * error)
        assert error < 0.3 * abs(truth)
    assert run.drew("orbit.png")


def test_it_fails_where_the_fit_is_cut_short(run_example: Callable[..., Run]) -> None:
    run = run_example("fixed_point.py", "--steps", "2")
    assert run.status == 1
    assert "this is too much" in run.errors


def test_the_derivative_of_kepler_s_equation_is_that_of_its_closed_form(example: ModuleType) -> None:
    @annotax.value_and_grad
    def position(e: Array, anomaly: Array) -> Array:
        return example.fixed_point((anomaly, e), anomaly, step=example.kepler, tolerance=1e-6)

    e, anomaly = jnp.array(0.9), jnp.array(1.0)
    z, (by_e, by_anomaly) = position(e, anomaly)
    assert jnp.allclose(z - e * jnp.sin(z), anomaly, atol=1e-5)
    assert jnp.allclose(by_e, jnp.sin(z) / (1 - e * jnp.cos(z)), rtol=1e-4)
    assert jnp.allclose(by_anomaly, 1 / (1 - e * jnp.cos(z)), rtol=1e-4)


def layer(weights_and_input: tuple[Array, Array], z: Array) -> Array:
    weights, x = weights_and_input
    return jnp.tanh(weights @ z + x)


def test_the_derivative_of_a_coupled_layer_is_the_solution_of_its_linear_system(example: ModuleType) -> None:
    weights = 0.2 * jax.random.normal(jax.random.key(0), (5, 5))
    x, weighing = jax.random.normal(jax.random.key(1), (2, 5))

    @annotax.grad
    def loss(weights: Array, x: Array, start: Array) -> Array:
        return weighing @ example.fixed_point((weights, x), start, step=layer, tolerance=1e-7)

    z = example.fixed_point((weights, x), jnp.zeros(5), step=layer, tolerance=1e-7)
    slope = jnp.diag(1 - z**2)
    by_x = slope @ jnp.linalg.solve(jnp.eye(5) - weights.T @ slope, weighing)
    of_weights, of_x, of_start = loss(weights, x, jnp.zeros(5))
    assert jnp.allclose(of_x, by_x, rtol=1e-4, atol=1e-6)
    assert jnp.allclose(of_weights, jnp.outer(by_x, z), rtol=1e-4, atol=1e-6)
    assert not of_start.any()


def test_without_the_rule_there_is_no_derivative(example: ModuleType) -> None:
    plain = example.fixed_point.__wrapped__

    @annotax.grad
    def position(e: Array, anomaly: NoDiff[Array]) -> Array:
        return plain((anomaly, e), anomaly, step=example.kepler)

    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        position(jnp.array(0.9), jnp.array(1.0))
