"""`pmap`: the markers of `vmap`, statics and donation, on 8 virtual devices.

The devices must be asked for before JAX starts, so the tests of this module run in one further process; here each of
them is reported under its own name.
"""

import os
import subprocess
import sys
import warnings
from typing import Annotated, Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from annotax import (
    Axis,
    AxisError,
    Donate,
    MarkerError,
    NoDiff,
    Static,
    StaticValueError,
    pmap,
    pytree,
    transform,
    vmap,
)

FLAG = "--xla_force_host_platform_device_count=8"
HAS_DEVICES = FLAG in os.environ.get("XLA_FLAGS", "")

A = np.arange(16, dtype=np.float32).reshape(8, 2)
W = np.array([10.0, 20.0], dtype=np.float32)


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


def is_on_all_devices():
    assert len(jax.devices()) == 8
    assert len(pmap(lambda x: x * 2)(A).sharding.device_set) == 8


def every_traced_parameter_is_mapped_in_every_spelling():
    @pmap
    def f(a, b, *, c: Annotated[Array, Axis(None)] = W):
        return a * b + c

    expected = jax.pmap(lambda a, b, c: a * b + c, in_axes=(0, 0, None))(A, A + 1, W)
    for got in (f(A, A + 1), f(A, b=A + 1), f(b=A + 1, a=A, c=W)):
        same(got, expected)


def markers_name_the_axes_of_arguments_and_results():
    def f(
        x: Annotated[Array, Axis(1)], w: Annotated[Array, Axis(None)]
    ) -> tuple[Annotated[Array, Axis(1)], Annotated[Array, Axis(None)]]:
        return x * w, w

    same(pmap(f)(A.T, W), jax.pmap(f, in_axes=(1, None), out_axes=(1, None))(A.T, W))


def overrides_win_over_markers():
    def f(x: Annotated[Array, Axis(None)], y):
        return x * y

    got = pmap(f, in_axes={"x": 0, 1: None}, out_axes=1)(A, W)
    same(got, jax.pmap(f, in_axes=(0, None), out_axes=1)(A, W))


def a_leaf_without_axes_is_shared():
    same(pmap(lambda x, scale: x * scale)(A, 3.0), A * 3)
    same(pmap(lambda x, p: x * p["s"] + p["b"])(A, {"s": 3.0, "b": A}), A * 4)


def statics_are_constants_by_keyword_and_by_position():
    traces = []

    @pmap
    def f(x, n: Static[int] = 2, *, name: str = "sin"):
        assert type(n) in (int, bool)
        traces.append((n, name))
        return getattr(jnp, name)(x) ** n

    for got in (f(A), f(A, 2), f(A, n=2), f(n=2, x=A, name="sin")):
        same(got, jax.pmap(lambda x: jnp.sin(x) ** 2)(A))
    assert traces == [(2, "sin")]
    same(f(A, name="cos", n=3), jax.pmap(lambda x: jnp.cos(x) ** 3)(A))


def statics_are_type_strict():
    @pmap
    def f(x, n: Static[Any]):
        return x + (1 if n is True else 0)

    same(f(A, 1), A)
    same(f(A, True), A + 1)
    same(f(A, 1.0), A)


def a_donated_argument_is_gone_and_the_others_are_not():
    @pmap
    def f(scale, state: Donate[dict[str, Array]], x):
        return jax.tree.map(lambda s: s * scale + x, state)

    state = {"a": pmap(lambda x: x)(A), "b": pmap(lambda x: x)(A)}
    x = pmap(lambda x: x)(A)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a backend may decline
        same(f(2.0, state=state, x=x), {"a": A * 3, "b": A * 3})
    assert all(leaf.is_deleted() for leaf in state.values())
    assert not x.is_deleted()


def a_name_is_bound_for_collectives_and_for_markers():
    def f(x: Annotated[Array, Axis(1, "i")]) -> Array:
        return x / jax.lax.psum(x, "i")

    same(pmap(f, axis_name="i")(A.T + 1), jax.pmap(f, axis_name="i", in_axes=1)(A.T + 1))


@pytree
class Columns:
    rows: Array
    columns: Annotated[Array, Axis(1)]


class Activated(equinox.Module):
    x: Array
    activation: Any
    y: Annotated[Array, Axis(1)]


COLUMNS = Columns(A, A.T)


def fields_name_the_axes_of_arguments():
    def f(value):
        return value.rows * value.columns

    same(pmap(f)(COLUMNS), vmap(f)(COLUMNS))


def fields_name_the_axes_where_the_model_holds_a_function_too():
    def f(value):
        return jnp.sum(value.activation(value.x) + value.y)

    activated = Activated(A, jnp.tanh, A.T)
    same(pmap(f)(activated), vmap(f)(activated))


def fields_of_the_result_name_its_axes():
    def moved(value: Columns) -> Columns:
        return Columns(value.rows + 1, value.columns + 2)

    def unhinted(x, n: Static[int]):
        return {"made": Columns(x, n * x), "n": n}

    mapped = pmap(moved)
    for _ in range(2):
        same(mapped(COLUMNS), vmap(moved)(COLUMNS))
    same(pmap(unhinted)(A, 3), vmap(unhinted)(A, 3))
    assert pmap(unhinted)(A, 3)["made"].columns.shape == (2, 8)


def fields_of_a_donated_result_name_its_axes():
    def moved(value: Donate[Columns]) -> Columns:
        return Columns(value.rows + 1, value.columns + 2)

    once = pmap(moved)(COLUMNS)  # lies on the devices, so that its memory can be given away
    same(pmap(moved)(once), vmap(moved)(vmap(moved)(COLUMNS)))
    assert once.rows.is_deleted()


def a_shared_argument_stays_shared_beside_rests_that_are_empty():
    def f(tree, by: Annotated[float, Axis(None)], *args, **kwargs):
        return tree["a"] * by + tree["b"] + sum(args)

    tree = {"a": A, "b": A, "c": A}
    for rest in ((), (A,)):
        same(pmap(f)(tree, 2.0, *rest), vmap(f)(tree, 2.0, *rest))


def devices_are_passed_on():
    devices = jax.devices()[4:6]
    assert pmap(lambda x: x, devices=devices)(A[:2]).sharding.device_set == set(devices)


def composes_with_vmap():
    x = np.arange(48, dtype=np.float32).reshape(8, 3, 2)

    def f(x, w: Annotated[Array, Axis(None)], *, n: Static[int] = 2):
        return x @ w * n

    same(transform(pmap, vmap)(f)(x, w=W, n=3), jax.pmap(jax.vmap(lambda x: x @ W * 3))(x))


def gradients_flow_through_it():
    def f(w: Array, x: NoDiff[Array]) -> Array:
        return w * x

    got = jax.grad(lambda w: pmap(f)(w, A).sum())(A + 1)
    same(got, A)


def sizes_that_disagree_are_listed():
    with pytest.raises(AxisError, match="pmap was given arguments whose mapped axes differ") as caught:
        pmap(lambda x, *, y: x)(A, y=A[:3])
    assert " x " in str(caught.value)
    assert " y " in str(caught.value)


def an_explicit_axis_that_is_not_there_raises():
    def f(x, scale: Annotated[Any, Axis(0)]):
        return x * scale

    with pytest.raises(AxisError, match="pmap cannot map axis 0 of argument scale"):
        pmap(f)(A, 2.0)


def an_array_default_must_be_marked():
    with pytest.raises(MarkerError, match="parameter w"):
        pmap(lambda x, w=W: x * w)


def an_array_or_a_tracer_for_a_static_parameter_raises():
    @pmap
    def f(x, n: Static[int]):
        return x

    with pytest.raises(StaticValueError, match="static argument n"):
        f(A, jnp.ones(()))
    with pytest.raises(StaticValueError, match="static argument n is a traced value"):
        jax.jit(lambda n: f(A, n=n))(1)


def more_examples_than_devices_keep_the_error_of_jax():
    with pytest.raises(ValueError, match="9"):
        pmap(lambda x: x)(np.ones((9, 2)))


CASES = [
    is_on_all_devices,
    every_traced_parameter_is_mapped_in_every_spelling,
    markers_name_the_axes_of_arguments_and_results,
    overrides_win_over_markers,
    a_leaf_without_axes_is_shared,
    statics_are_constants_by_keyword_and_by_position,
    statics_are_type_strict,
    a_donated_argument_is_gone_and_the_others_are_not,
    a_name_is_bound_for_collectives_and_for_markers,
    a_shared_argument_stays_shared_beside_rests_that_are_empty,
    fields_name_the_axes_of_arguments,
    fields_name_the_axes_where_the_model_holds_a_function_too,
    fields_of_the_result_name_its_axes,
    fields_of_a_donated_result_name_its_axes,
    devices_are_passed_on,
    composes_with_vmap,
    gradients_flow_through_it,
    sizes_that_disagree_are_listed,
    an_explicit_axis_that_is_not_there_raises,
    an_array_default_must_be_marked,
    an_array_or_a_tracer_for_a_static_parameter_raises,
    more_examples_than_devices_keep_the_error_of_jax,
]


@pytest.fixture(scope="module")
def report() -> str:
    """What pytest says of this module in a process with 8 devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}".strip()
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-v", __file__]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False).stdout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_pmap(case, request):
    if HAS_DEVICES:
        case()
    else:
        report = request.getfixturevalue("report")
        assert f"test_pmap[{case.__name__}] PASSED" in report, report


def test_its_docstring_says_that_it_is_in_maintenance():
    assert "maintenance" in pmap.__doc__
    assert "shard_map" in pmap.__doc__
