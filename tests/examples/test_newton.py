"""Newton's method comes to the weights that scikit-learn finds, at last with quadratic convergence."""

import re
from collections.abc import Callable
from itertools import pairwise

from tests.examples.conftest import Run


def test_it_finds_the_weights_of_scikit_learn(run_example: Callable[..., Run]) -> None:
    run = run_example("newton.py")
    assert run.status == 0, run.printed + run.errors
    assert run.number(r"difference from scikit-learn's weights: (\S+)") <= 1e-8
    assert "traces of the step: 1" in run.printed
    assert re.search(r"hessian +argnums=0 +weights", run.printed)
    assert re.search(r"vmap +in_axes=\(0, None, None\)", run.printed)
    assert run.drew("newton.png")

    rows = re.findall(r"(\d+) +│ +[\d.]+ +│ +([\d.]+) +│ +(\S+) +│", run.printed)
    lengths, norms = ([float(row[column]) for row in rows] for column in (1, 2))
    assert lengths[0] < 1
    assert lengths[-1] == 1
    quadratic = [(before, after) for before, after in pairwise(norms) if 1e-5 < before < 0.5]
    assert len(quadratic) >= 2
    assert all(after < before**2 for before, after in quadratic)


def test_it_fails_while_it_is_not_there_yet(run_example: Callable[..., Run]) -> None:
    run = run_example("newton.py", "--steps", "5")
    assert run.status == 1
    assert run.number(r"difference from scikit-learn's weights: (\S+)") > 1e-8
