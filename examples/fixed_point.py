"""A derivative rule for a fixed-point solver, by the implicit function theorem; with it, an orbit fitted to velocities.

    python examples/fixed_point.py --steps 30 --output examples/output

Where a planet is follows from Kepler's equation, E = M + e sin E, which has no closed form: a loop runs until E stands
still. JAX cannot differentiate `jax.lax.while_loop` in reverse mode, as it cannot know how many steps to keep. It need
not: if z = f(a, z), then dz = (1 - df/dz)^-1 df/da da, however z was found. The backward pass solves w = v + w df/dz,
a fixed point again, by the same solver, and nothing is kept but a and z.

The program makes noisy velocities of a star whose planet has about the orbit of HD 80606 b, of eccentricity 0.93. It
compares derivatives by the rule with finite differences and a loop that JAX can differentiate, finds the orbit again by
least squares with these derivatives, and draws `orbit.png`: the velocities, the first guess and the fit.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares

import annotax
from annotax import NoDiff, Static

T = TypeVar("T")
Number: TypeAlias = Array | float
Solver: TypeAlias = Callable[..., Array]

AGREEMENT = 1e-6  # required of derivatives, relative to each
SIGMAS = 4  # allowed between the orbit and its estimate, in standard errors


# --- the solver and its derivative -----------------------------------------------------------------------------------


def solve(step: Callable[[Array], Array], start: Array, tolerance: float, limit: int) -> Array:
    """Take steps until none moves a number by more than the tolerance, or the limit is reached."""

    def moves(state: tuple[Array, Array, int]) -> Array:
        old, new, steps = state
        return (jnp.abs(new - old).max() > tolerance) & (steps < limit)

    start = jnp.asarray(start)
    _, z, _ = jax.lax.while_loop(moves, lambda state: (state[1], step(state[1]), state[2] + 1), (start, step(start), 1))
    return z


@annotax.custom_vjp
def fixed_point(
    a: T,
    start: NoDiff[Array],
    *,
    step: Static[Callable[[T, Array], Array]],
    tolerance: Static[float] = 1e-14,
    limit: Static[int] = 1000,
) -> Array:
    """The z that `step(a, z)` leaves as it is. It depends on `a`, whatever that holds, but not on where one starts."""
    return solve(lambda z: step(a, z), start, tolerance, limit)


def forward(a: Any, start: Array, **how: Any) -> tuple[Array, Any]:
    z = fixed_point(a, start, **how)
    return z, (a, z)


def backward(kept: Any, cotangent: Array, *, step: Callable[[Any, Array], Array], tolerance: float, limit: int) -> Any:
    """The cotangent of `a` alone, since `start` is `NoDiff`. What is `Static` arrives by name."""
    a, z = kept
    _, pull = jax.vjp(step, a, z)
    adjoint = solve(lambda w: cotangent + pull(w)[1], cotangent, tolerance, limit)
    return pull(adjoint)[0]


fixed_point.defvjp(forward, backward)


def unrolled(a: Any, start: Array, *, step: Callable[[Any, Array], Array]) -> Array:
    """A solver that JAX can differentiate, since it always takes as many steps, and keeps every one."""
    return jax.lax.scan(lambda z, _: (step(a, z), None), start, length=600)[0]


# --- a star that a planet moves --------------------------------------------------------------------------------------


class Orbit(NamedTuple):
    """What the velocity of a star tells of a planet."""

    period: Number  # days
    eccentricity: Number
    periastron: Number  # the day on which the two are closest
    argument: Number  # of the periastron, in radians
    amplitude: Number  # m/s
    drift: Number  # of the star itself, m/s


TRUTH = Orbit(period=111.44, eccentricity=0.932, periastron=60.0, argument=-1.03, amplitude=470.0, drift=3.8)
GUESS = Orbit(period=111.0, eccentricity=0.8, periastron=62.0, argument=-0.5, amplitude=400.0, drift=1.0)
NOISE = 5.0  # m/s


def kepler(anomaly_and_eccentricity: tuple[Array, Array], z: Array) -> Array:
    anomaly, eccentricity = anomaly_and_eccentricity
    return anomaly + eccentricity * jnp.sin(z)


@annotax.jit
def velocity(orbit: Orbit, times: Array, *, solver: Static[Solver] = fixed_point) -> Array:
    """How fast the star moves away from us, in m/s."""
    anomaly = 2 * jnp.pi * ((times - orbit.periastron) / orbit.period % 1)
    e = orbit.eccentricity
    z = solver((anomaly, e), anomaly, step=kepler)
    x, y = jnp.cos(z) - e, jnp.sqrt(1 - e**2) * jnp.sin(z)
    along = (jnp.cos(orbit.argument) * x - jnp.sin(orbit.argument) * y) / (1 - e * jnp.cos(z))
    return orbit.drift + orbit.amplitude * (along + e * jnp.cos(orbit.argument))


def observe(observations: int = 60) -> tuple[Array, Array]:
    """Times in four periods, half of them around a periastron, when the star is fast; and velocities with noise."""
    random = np.random.default_rng(0)
    periods = random.integers(0, 4, observations // 2)
    around = TRUTH.periastron + TRUTH.period * periods + random.normal(0, 2, observations // 2)
    times = jnp.array([*around, *random.uniform(0, 4 * TRUTH.period, observations // 2)])
    return times, velocity(TRUTH, times) + NOISE * random.standard_normal(observations)


# --- its derivatives, and a fit that needs them ----------------------------------------------------------------------


def residuals(
    orbit: Orbit, times: NoDiff[Array], velocities: NoDiff[Array], *, solver: Static[Solver] = fixed_point
) -> Array:
    """How far the velocities are from those of an orbit, in units of the noise."""
    return (velocity(orbit, times, solver=solver) - velocities) / NOISE


derivatives = annotax.transform(annotax.jit, annotax.jacrev)(residuals)  # an `Orbit`, of an array for each element


def fit(guess: Orbit, times: Array, velocities: Array, steps: int) -> tuple[Orbit, Orbit]:
    """The orbit of least squares, and the standard error of each element."""
    found = least_squares(
        lambda elements: residuals(Orbit(*elements), times, velocities),
        guess,
        jac=lambda elements: np.stack(derivatives(Orbit(*elements), times, velocities), axis=1),
        bounds=(-np.inf, np.where(np.array(Orbit._fields) == "eccentricity", 0.99, np.inf)),
        x_scale="jac",
        max_nfev=steps,
    )
    return Orbit(*found.x), Orbit(*np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac))))


def disagreement(orbit: Orbit, times: Array, velocities: Array) -> float:
    """Print the gradient of the squared residuals, found in three ways; the largest relative difference."""

    def squares(**changed: Number) -> Array:
        return jnp.sum(residuals(orbit._replace(**changed), times, velocities) ** 2)

    def by_differences(name: str, at: Number) -> Number:
        step = 1e-6 * at
        return (squares(**{name: at + step}) - squares(**{name: at - step})) / (2 * step)

    off = residuals(orbit, times, velocities)
    gradients = [
        [2 * off @ column for column in derivatives(orbit, times, velocities)],
        [by_differences(*element) for element in orbit._asdict().items()],
        [2 * off @ column for column in derivatives(orbit, times, velocities, solver=unrolled)],
    ]
    show(("derivative by", "the rule", "finite differences", "an unrolled loop"), *gradients)
    return float(np.abs(np.array(gradients) / gradients[0] - 1).max())


def show(titles: Sequence[str], *columns: Iterable[Number]) -> None:
    """Print columns of numbers, a row for each element of an orbit."""
    table = Table(*titles)
    for name, *numbers in zip(Orbit._fields, *columns, strict=True):
        table.add_row(name, *(f"{float(number):.8g}" for number in numbers))
    Console().print(table)


def draw(guess: Orbit, fitted: Orbit, times: Array, velocities: Array, path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    days = jnp.linspace(-6.0, 6.0, 1000)
    for orbit, label, color in ((guess, "first guess", "#bbbbbb"), (fitted, "fit", "#d1603d")):
        axes.plot(days, velocity(orbit, days + TRUTH.periastron), label=label, color=color)
    since = (times - fitted.periastron + fitted.period / 2) % fitted.period - fitted.period / 2
    axes.plot(since, velocities, ".", label="observed", color="#1f6f8b")
    axes.set(title="A star with a planet on an eccentric orbit", xlim=(-6, 6))
    axes.set(xlabel="days from periastron", ylabel="velocity, m/s")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Run all of it; 1 if the derivatives disagree, or the orbit is not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="of the fit")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the picture")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    annotax.explain(fixed_point)
    times, velocities = observe()
    worst = disagreement(GUESS, times, velocities)
    print(f"largest disagreement: {worst:.1e}, relative; at most {AGREEMENT:.0e} is allowed\n")

    fitted, errors = fit(GUESS, times, velocities, options.steps)
    show(("", "first guess", "fit", "standard error", "truth"), GUESS, fitted, errors, TRUTH)
    off = max(abs((np.array(fitted) - TRUTH) / errors))
    print(f"the fit is at most {off:.2f} standard errors from the truth")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(GUESS, fitted, times, velocities, options.output / "orbit.png")
    print(f"picture: {options.output / 'orbit.png'}")
    if not (worst <= AGREEMENT and off <= SIGMAS):
        print("this is too much", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
