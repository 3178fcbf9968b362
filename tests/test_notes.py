"""What is added to JAX's own exceptions."""

import jax.numpy as jnp
import pytest
from jax import Array

from annotax import Donate, jit


def test_an_array_that_was_donated_to_an_earlier_call_is_named():
    @jit
    def step(state: Donate[dict[str, Array]], x: Array) -> dict[str, Array]:
        return {"w": state["w"] + x}

    state = {"w": jnp.ones(3)}
    step(state, jnp.ones(3))
    with pytest.raises((RuntimeError, ValueError), match=r"deleted|donated") as caught:
        step(state, jnp.ones(3))
    (note,) = [note for note in caught.value.__notes__ if "step()" in note]
    assert "deleted before this call" in note
    assert "state['w']" in note
    assert "fix" in note


def test_an_error_of_the_function_itself_gets_no_note():
    @jit
    def step(x: Array) -> Array:
        raise RuntimeError("by hand")

    with pytest.raises(RuntimeError, match="by hand") as caught:
        step(jnp.ones(3))
    assert not any("step()" in note for note in getattr(caught.value, "__notes__", []))


def test_of_many_arrays_that_are_gone_the_first_are_named_and_the_others_counted():
    @jit
    def step(state: Donate[list[Array]]) -> list[Array]:
        return [leaf + 1 for leaf in state]

    state = [jnp.ones(3) for _ in range(100)]
    step(state)
    with pytest.raises((RuntimeError, ValueError), match=r"deleted|donated") as caught:
        step(state)
    (note,) = [note for note in caught.value.__notes__ if "step()" in note]
    assert "state[0], state[1], state[2], state[3], state[4], and 95 more." in note
