"""The digits are learnt, what JAX is given is printed, and the pictures are drawn."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.examples.conftest import Run


def test_it_reaches_95_percent_and_draws_its_pictures(run_example: Callable[..., Run]) -> None:
    run = run_example("digits.py")
    assert run.status == 0, run.printed + run.errors
    assert re.search(r"value_and_grad +argnums=0 +params", run.printed)
    assert re.search(r"donate_argnums=\(0,\) +state", run.printed)
    assert run.percent("accuracy on 360 held-out digits:") >= 95
    assert run.drew("loss.png")
    assert run.drew("mistakes.png")


def test_it_fails_below_95_percent(run_example: Callable[..., Run]) -> None:
    run = run_example("digits.py", "--epochs", "1")
    assert run.status == 1
    assert run.drew("mistakes.png")


def test_the_command_line_explains_the_loss(examples: Path) -> None:
    command = [sys.executable, "-m", "annotax", "explain", f"{examples / 'digits.py'}:loss"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("loss(params, images, labels, *, config), defined at digits.py:")
    assert re.search(r"config +Config +Static", run.stdout)
