"""A network that knows the heat equation alone comes to the closed form."""

import re
from collections.abc import Callable

from tests.examples.conftest import Run


def test_it_comes_within_half_a_percent_of_the_closed_form(run_example: Callable[..., Run]) -> None:
    run = run_example("heat_equation.py", "--steps", "1000")
    assert run.status == 0, run.printed + run.errors
    assert run.number(r"at most ([\d.]+)") <= 5e-3
    assert run.number(r"root mean square ([\d.]+)") <= 2e-3
    assert "traces of the training step: 1" in run.printed
    assert re.search(r"hessian +argnums=1 +x\n", run.printed)
    assert re.search(r"vmap +in_axes=\(None, 0, 0\)", run.printed)
    assert re.search(r"donate_argnums=\(0,\) +state", run.printed)
    assert run.drew("heat_equation.png")


def test_it_fails_where_it_is_not_accurate_enough(run_example: Callable[..., Run]) -> None:
    run = run_example("heat_equation.py", "--steps", "1")
    assert run.status == 1
    assert "this is more than 0.005" in run.errors
