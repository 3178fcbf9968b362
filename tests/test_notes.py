"""What is added to JAX's own exceptions."""

import warnings

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


def test_a_warning_of_the_function_that_is_an_error_is_raised_before_the_arguments_are_gone():
    @jit
    def step(state: Donate[Array]) -> Array:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return state + 1

    state = jnp.ones(3)
    with pytest.raises(DeprecationWarning, match="old") as caught:
        step(state)
    assert not state.is_deleted()
    assert not any("deleted" in note for note in getattr(caught.value, "__notes__", []))


def test_a_warning_of_the_function_is_shown_where_the_caller_asks_for_it():
    @jit
    def step(state: Donate[Array]) -> Array:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return state + 1

    with pytest.warns(DeprecationWarning, match="old"):
        step(jnp.ones(3))


def shortened(state: Donate[Array]) -> Array:
    return state[:2]


def test_of_a_donated_buffer_that_no_result_can_take_the_argument_is_named():
    with pytest.warns(UserWarning, match=r"Some donated buffers were not usable: .*buffer of state \(float32\[3\]\)"):
        jit(shortened)(jnp.ones(3))


def test_where_that_warning_is_an_error_it_is_raised_before_the_arguments_are_gone():
    state = jnp.ones(4)
    with pytest.raises(UserWarning, match=r"Some donated buffers were not usable: .*buffer of state \(float32\[4\]\)"):
        jit(inline=True)(shortened)(state)  # not compiled yet, so not warned of either
    assert not state.is_deleted()
