"""The head alone is trained, and it reads digits that are new to the backbone."""

from collections.abc import Callable

from tests.examples.conftest import Run


def test_only_the_head_learns_and_it_reads_digits_new_to_the_backbone(run_example: Callable[..., Run]) -> None:
    run = run_example("frozen_backbone.py", "--epochs", "10")
    assert run.status == 0, run.printed + run.errors
    assert "trained: 2570 of 43914 numbers; no bit of the backbone has changed" in run.printed
    assert run.percent("held-out digits:") >= 80
    assert run.percent("with the old head") <= 55
    assert run.drew("transfer.png")
