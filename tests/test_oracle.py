"""annotax agrees with plain JAX on drawn functions, calls and pipelines; `tests.oracle` says how they are drawn."""

import pytest

from tests.oracle import PIPELINES, agree, cases, contradict, contradictions, explore


@pytest.mark.parametrize("kinds", PIPELINES, ids=lambda kinds: "-".join(kind.name for kind in kinds))
def test_every_spelling_of_a_call_gives_what_plain_jax_gives_and_shares_its_trace(kinds):
    explore(cases(kinds), agree, examples=7 if len(kinds) == 1 else 5, seed=PIPELINES.index(kinds))


def test_contradictory_markers_raise_at_decoration_and_the_message_names_the_parameter():
    explore(contradictions(), contradict, examples=150, seed=0)
