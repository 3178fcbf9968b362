"""The adapters alone are trained, and only they have a state in the optimizer."""

from collections.abc import Callable

from tests.examples.conftest import Run


def test_only_the_adapters_learn_and_have_a_state_in_the_optimizer(run_example: Callable[..., Run]) -> None:
    run = run_example("lora.py", "--epochs", "10", "--rank", "4")
    assert run.status == 0, run.printed + run.errors
    assert "trained: 2344 of 28466 numbers; no bit of the rest has changed" in run.printed
    assert "numbers in the optimizer's state: 4689, with the whole model 52245" in run.printed
    assert run.percent("upright, without adapters:") >= 90
    assert run.percent("turned:") >= 80
    assert run.drew("lora.png")
