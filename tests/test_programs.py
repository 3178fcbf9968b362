"""The same compiled program: what a pipeline compiles to is what the JAX written by hand for it compiles to.

Compared is the optimised HLO, without the names, numbers and source lines in it, which do not run.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax import Array

from annotax import Aux, Axis, NoDiff, Static, checkpoint, grad, hessian, jit, transform, value_and_grad, vmap


def program(lowered: Any) -> str:
    """The optimised HLO of a lowered function, with everything named in the order of its first use."""
    text = lowered.compile().as_text()
    text = re.sub(r"^HloModule [^,\n]+", "HloModule", text)
    # Tables of source positions, which versions of JAX print before the first computation.
    text = re.sub(r"^(FileNames|FunctionNames|FileLocations|StackFrames)\n(\d.*\n)*", "", text, flags=re.MULTILINE)
    text = re.sub(r", metadata=\{[^{}]*\}", "", text)
    numbers: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        return f"%{numbers.setdefault(match[1], len(numbers))}"

    text = re.sub(r"%([\w.-]+)", numbered, text)
    # The parameters of a computation are named in its first line without a %.
    text = re.sub(r"([(,] ?)[A-Za-z_][\w.-]*: ", r"\1", text)
    return re.sub(r"\n{2,}", "\n", text).strip()


class Pipeline(NamedTuple):
    """A pipeline, the same by hand, and arguments for both, all by name."""

    ours: Any
    by_hand: Any
    arguments: Mapping[str, Any]


# --- the functions, once for us and by hand --------------------------------------------------------------------------


def layer(w: Array, x: Array) -> Array:
    return jnp.tanh(x @ w)


def loss(w: Array, x: NoDiff[Array]) -> Array:
    return jnp.mean(layer(w, x) ** 2)


def loss_and_metrics(w: Array, b: Array, x: NoDiff[Array], y: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
    error = layer(w, x) + b - y
    return jnp.mean(error**2), {"largest": jnp.max(jnp.abs(error))}


def step(
    decay: Annotated[Array, Axis(None)],
    inputs: Annotated[Array, Axis(1, "time"), Axis(0, "batch")],
    state: Annotated[Array, Axis(None, "time"), Axis(0, "batch")],
) -> Annotated[Array, Axis(1, "time"), Axis(0, "batch")]:
    return decay * state + jnp.sin(inputs) - jax.lax.pmean(inputs, "time") + jax.lax.psum(state, "batch")


def deep_loss(w: Array, x: NoDiff[Array], *, depth: Static[int], kind: str = "tanh") -> Array:
    for _ in range(depth):
        x = getattr(jnp, kind)(x @ w)
    return jnp.sum(x**2)


# --- the pipelines ---------------------------------------------------------------------------------------------------

W, B, X, Y = jnp.ones((4, 3)), jnp.ones(3), jnp.ones((5, 4)), jnp.ones((5, 3))


def _jit() -> Pipeline:
    return Pipeline(transform(jit)(layer), jax.jit(layer), {"w": W, "x": X})


def _jit_value_and_grad() -> Pipeline:
    by_hand = jax.jit(jax.value_and_grad(loss_and_metrics, argnums=(0, 1), has_aux=True))
    return Pipeline(transform(jit, value_and_grad)(loss_and_metrics), by_hand, {"w": W, "b": B, "x": X, "y": Y})


def _jit_vmap_grad() -> Pipeline:
    """Per-example gradients."""
    ours = transform(jit, vmap(in_axes={"w": None}), grad)(loss)
    return Pipeline(ours, jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0))), {"w": W, "x": X})


def _jit_hessian() -> Pipeline:
    return Pipeline(transform(jit, hessian)(loss), jax.jit(jax.hessian(loss)), {"w": W, "x": X})


def _jit_vmap_vmap() -> Pipeline:
    ours = transform(jit, vmap(axis_name="batch"), vmap(axis_name="time"))(step)
    inner = jax.vmap(step, in_axes=(None, 1, None), out_axes=1, axis_name="time")
    by_hand = jax.jit(jax.vmap(inner, in_axes=(None, 0, 0), axis_name="batch"))
    inputs, state = jnp.ones((6, 3, 5)), jnp.ones((6, 3))
    return Pipeline(ours, by_hand, {"decay": jnp.array(0.9), "inputs": inputs, "state": state})


def _jit_grad_checkpoint() -> Pipeline:
    @partial(jax.jit, static_argnames=("depth", "kind"))
    def by_hand(w: Array, x: Array, *, depth: int, kind: str = "tanh") -> Array:
        return jax.grad(jax.checkpoint(partial(deep_loss, depth=depth, kind=kind)))(w, x)

    ours = transform(jit, grad, checkpoint)(deep_loss)
    return Pipeline(ours, by_hand, {"w": jnp.ones((4, 4)), "x": X, "depth": 3})


PIPELINES = [_jit, _jit_value_and_grad, _jit_vmap_grad, _jit_hessian, _jit_vmap_vmap, _jit_grad_checkpoint]
every_pipeline = pytest.mark.parametrize("make", PIPELINES, ids=lambda make: make.__name__.strip("_").replace("_", " "))


@every_pipeline
def test_a_pipeline_compiles_to_the_program_written_by_hand(make: Callable[[], Pipeline]) -> None:
    ours, by_hand, arguments = make()
    positional = [value for value in arguments.values() if isinstance(value, Array)]
    statics = {name: value for name, value in arguments.items() if not isinstance(value, Array)}
    expected = program(by_hand.lower(*positional, **statics))
    assert program(ours.lower(*positional, **statics)) == expected
    assert program(ours.lower(**arguments)) == expected


@every_pipeline
def test_it_returns_what_the_program_written_by_hand_returns(make: Callable[[], Pipeline]) -> None:
    ours, by_hand, arguments = make()
    positional = [value for value in arguments.values() if isinstance(value, Array)]
    statics = {name: value for name, value in arguments.items() if not isinstance(value, Array)}
    expected = by_hand(*positional, **statics)
    returned = ours(**arguments)
    assert jax.tree.structure(returned) == jax.tree.structure(expected)
    assert all(jax.tree.leaves(jax.tree.map(jnp.array_equal, returned, expected)))


# --- that the comparison can fail ------------------------------------------------------------------------------------


def test_names_and_source_lines_make_no_other_program() -> None:
    def twice(x: Array) -> Array:
        return jnp.sin(x) * 2

    def also_twice(other: Array) -> Array:
        sine = jnp.sin(other)
        return sine * 2

    assert program(jax.jit(twice).lower(X)) == program(jax.jit(also_twice).lower(X))


@pytest.mark.parametrize(
    "other",
    [lambda x: jnp.cos(x) * 2, lambda x: jnp.sin(x) * 3, lambda x: jnp.sin(x).T * 2, lambda x: (jnp.sin(x) * 2, x)],
    ids=["operation", "constant", "shape", "result"],
)
def test_another_computation_is_another_program(other: Callable[[Array], Any]) -> None:
    assert program(jax.jit(lambda x: jnp.sin(x) * 2).lower(X)) != program(jax.jit(other).lower(X))


def test_arguments_in_another_order_are_another_program() -> None:
    assert program(jax.jit(lambda a, b: a - b).lower(X, X)) != program(jax.jit(lambda b, a: a - b).lower(X, X))
