"""The examples train, print what JAX is given and draw their pictures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

for needed in ("optax", "equinox", "sklearn", "matplotlib", "rich"):
    pytest.importorskip(needed)

EXAMPLES = Path(__file__).parent.parent / "examples"
DIGITS = EXAMPLES / "digits.py"
PNG = b"\x89PNG"


def percent(pattern: str, printed: str) -> float:
    found = re.search(pattern, printed)
    assert found is not None, printed
    return float(found[1])


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
        assert (tmp_path / "pictures" / name).read_bytes().startswith(PNG)


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


def test_frozen_backbone_trains_the_head_alone_and_reads_digits_new_to_the_backbone(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "frozen_backbone.py", "--epochs", "10", "--output", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "trained: 2570 of 43914 numbers; no bit of the backbone has changed" in run.stdout
    assert percent(r"held-out digits: ([\d.]+)%", run.stdout) >= 80
    assert percent(r"with the old head ([\d.]+)%", run.stdout) <= 55
    assert (tmp_path / "transfer.png").read_bytes().startswith(PNG)


def test_lora_trains_the_adapters_alone_and_only_they_have_a_state_in_the_optimizer(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "lora.py", "--epochs", "10", "--rank", "4", "--output", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "trained: 2344 of 28466 numbers; no bit of the rest has changed" in run.stdout
    assert "numbers in the optimizer's state: 4689, with the whole model 52245" in run.stdout
    assert percent(r"upright, without adapters: ([\d.]+)%", run.stdout) >= 90
    assert percent(r"turned: ([\d.]+)%", run.stdout) >= 80
    assert (tmp_path / "lora.png").read_bytes().startswith(PNG)
