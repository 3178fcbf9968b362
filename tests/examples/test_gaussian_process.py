"""The likelihood, its gradient and the predictions are scikit-learn's, and what is frozen stays as it is."""

import re
from collections.abc import Callable

from tests.examples.conftest import Run


def test_it_agrees_with_scikit_learn_and_predicts_better_than_a_linear_model(run_example: Callable[..., Run]) -> None:
    run = run_example("gaussian_process.py", "--steps", "10")
    assert run.status == 0, run.printed + run.errors
    assert run.number(r"difference from scikit-learn's Gaussian process: (\S+)") <= 1e-9
    assert "Process: 12 of 13 hyperparameters trained" in run.printed
    assert "KnownNoise: 11 of 13 hyperparameters trained" in run.printed
    assert "traces of the step: 2," in run.printed
    assert re.search(r"vmap +in_axes=\(None, 0, None\)\n +out_axes=0\n +axis_name='rows'", run.printed)
    assert run.drew("gaussian_process.png")

    rows = re.findall(r"│ (\w[\w ]*?) +│ +(-?[\d.]+) +│ +([\d.]+) +│", run.printed)
    scores = {name: (float(r2), float(surprise)) for name, r2, surprise in rows}
    assert scores.keys() == {"constant", "linear", "process", "known noise"}
    for name in ("process", "known noise"):
        assert scores[name][0] > scores["linear"][0] > scores["constant"][0]
        assert scores[name][1] < scores["linear"][1] < scores["constant"][1]
