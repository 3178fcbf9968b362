"""The example trains, prints its plan and draws its pictures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

for needed in ("optax", "sklearn", "matplotlib", "rich"):
    pytest.importorskip(needed)

DIGITS = Path(__file__).parent.parent / "examples" / "digits.py"


def test_digits_reaches_95_percent_and_draws_its_pictures(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, DIGITS, "--output", tmp_path / "pictures"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"value_and_grad +argnums=0 +params", run.stdout)
    assert re.search(r"donate_argnums=\(0,\) +state", run.stdout)
    accuracy = re.search(r"accuracy on 360 held-out digits: ([\d.]+)%", run.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 95
    for name in ("loss.png", "mistakes.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_digits_fails_below_95_percent(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, DIGITS, "--epochs", "1", "--output", tmp_path], capture_output=True, check=False
    )
    assert run.returncode == 1
    assert (tmp_path / "mistakes.png").exists()


def test_the_command_line_explains_the_loss() -> None:
    command = [sys.executable, "-m", "annotax", "explain", f"{DIGITS}:loss"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("loss(params, images, labels, *, config), defined at digits.py:")
    assert re.search(r"config +Config +Static", run.stdout)
