"""On 8 devices everything lies where the hints put it, and the training is that of one device."""

import re
from collections.abc import Callable

import pytest

from tests.examples.conftest import Run

WHERE = {  # the shape of each array, that of its part on a device, and on how many devices there is the same part
    "first": ("(64, 128)", "(64, 32)", "2"),
    "bias": ("(128,)", "(32,)", "2"),
    "second": ("(128, 10)", "(32, 10)", "2"),
    "offset": ("(10,)", "(10,)", "8"),
}


@pytest.fixture
def run_parallel(run_example: Callable[..., Run]) -> Callable[..., Run]:
    """Runs the example, again where XLA gave up: eight devices on two cores can wait for each other for good."""

    def run_parallel(*arguments: str) -> Run:
        for _ in range(3):
            run = run_example("parallel.py", *arguments)
            if "rendezvous" not in run.errors:
                return run
        pytest.skip("XLA's devices waited for each other: too few cores for eight of them")

    return run_parallel


def test_the_model_and_its_moments_are_split_and_the_training_is_that_of_one_device(
    run_parallel: Callable[..., Run],
) -> None:
    run = run_parallel("--epochs", "12")
    assert run.status == 0, run.printed + run.errors
    assert re.search(r"donate_argnums=\(0,\) +state", run.printed)
    assert re.search(r"images +Array +P(artitionSpec)?\('data', None\)", run.printed)
    cells = [[cell.strip() for cell in line.split("│")] for line in run.printed.splitlines()]
    rows = {cells[1]: tuple(cells[3:6]) for cells in cells if len(cells) == 7}
    for tree in ("model", "moments[0].mu", "moments[0].nu"):
        for name, where in WHERE.items():
            assert rows[f"{tree}.{name}"] == where
    held = 3 * 4 * (64 * 32 + 32 + 32 * 10 + 10) + 4
    assert f"bytes of the state on each device: {held}, of which a step reuses {held}" in run.printed
    assert re.search(r" 0,4 .* 1,5 .* 2,6 .* 3,7 ", run.printed)
    assert run.number(r"parameters trained on one device: (\S+)") < 1e-5
    assert run.percent("held-out digits:") >= 95
    assert run.drew("parallel.png")


def test_it_fails_below_95_percent(run_parallel: Callable[..., Run]) -> None:
    run = run_parallel("--epochs", "1")
    assert run.status == 1
    assert run.errors.strip() == "the accuracy is below 95%"
