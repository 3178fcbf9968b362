"""Threads: sixteen that make the first call of one decorated function at once."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import Aux, NoDiff, Static, grad, jit, transform, value_and_grad

THREADS = 16


@pytest.fixture(autouse=True)
def switching_often() -> Iterator[None]:
    """Let threads take turns far more often than usual, so that they meet in the middle of things."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """What the calls of sixteen threads return that all start at the same moment; raises what one of them raised."""
    barrier = threading.Barrier(THREADS)

    def wait_and_call(i: int) -> Any:
        barrier.wait(timeout=60)
        return call(i)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(wait_and_call, range(THREADS)))


rounds = pytest.mark.parametrize("round_", range(3))


@rounds
def test_the_first_call_of_a_compiled_function(round_):
    @jit
    def f(x, *, n: Static[int] = 2):
        return jnp.full((n,), x)

    assert [r.tolist() for r in at_once(lambda i: f(float(i)))] == [[float(i)] * 2 for i in range(THREADS)]


@rounds
def test_the_first_call_of_a_pipeline(round_):
    @transform(jit, value_and_grad)
    def f(w, x: NoDiff[Array], *, n: Static[int] = 2) -> tuple[Array, Aux[Array]]:
        return w * x**n, w + x

    assert at_once(lambda i: f(float(i), x=3.0)) == [((9.0 * i, i + 3.0), 9.0) for i in range(THREADS)]


@rounds
def test_the_first_call_of_an_eager_gradient(round_):
    f = grad(lambda x: x**2)
    assert at_once(lambda i: f(float(i))) == [2.0 * i for i in range(THREADS)]


@rounds
def test_the_first_call_with_another_static_value_in_each_thread(round_):
    @jit
    def f(x, n: Static[int]):
        return jnp.full((n,), x)

    assert [r.shape for r in at_once(lambda i: f(1.0, i))] == [(i,) for i in range(THREADS)]


@rounds
def test_the_first_call_with_values_that_cannot_be_traced_in_every_other_thread(round_):
    @jit
    def f(x, kind):
        return -x if kind == "negative" else x * kind

    found = at_once(lambda i: f(float(i), "negative" if i % 2 else 2.0))
    assert found == [-float(i) if i % 2 else 2.0 * i for i in range(THREADS)]


@rounds
def test_the_first_call_with_models_and_functions(round_):
    @jit
    def apply(function: Callable[[Array], Array], x: Array) -> Array:
        return function(x)

    model = eqx.nn.Identity()
    scaled = jax.tree_util.Partial(jnp.multiply, jnp.array(2.0))
    functions = [jnp.negative, scaled, model]
    expected = [[-1.0, 2.0, 1.0][i % 3] for i in range(THREADS)]
    assert at_once(lambda i: apply(functions[i % 3], jnp.array(1.0))) == expected


@rounds
def test_the_first_call_where_a_hint_is_read_only_then(round_):
    namespace = {"annotax": annotax, "jnp": jnp, "__name__": "written_by_a_test"}
    exec("@annotax.jit\ndef f(x, n: 'Later'): return jnp.full((n,), x)\nLater = annotax.Static[int]\n", namespace)
    assert [r.shape for r in at_once(lambda i: namespace["f"](1.0, i))] == [(i,) for i in range(THREADS)]


@rounds
def test_the_first_call_that_raises(round_):
    @jit
    def f(x: int):
        return x

    def call(i: int) -> str:
        try:
            f(0.5)
        except annotax.CheckError as error:
            return type(error).__name__
        return "no error"

    assert at_once(call) == ["CheckError"] * THREADS
    assert f(1) == 1


@rounds
def test_decorating_and_calling_one_function(round_):
    def f(x, *, n: Static[int] = 2):
        return x**n

    assert at_once(lambda i: transform(jit, grad)(f)(float(i))) == [2.0 * i for i in range(THREADS)]


@rounds
def test_decorating_and_calling_the_methods_of_many_objects(round_):
    class Scale:
        def __init__(self, by):
            self.by = by

        def times(self, x):
            return x * self.by

    shared = Scale(100.0)
    found = at_once(lambda i: (jit(Scale(float(i)).times)(2.0), jit(shared.times)(float(i))))
    assert found == [(2.0 * i, 100.0 * i) for i in range(THREADS)]


@rounds
def test_lowering_and_calling(round_):
    @jit
    def f(x, *, n: Static[int] = 2):
        return jnp.full((n,), x)

    found = at_once(lambda i: f.lower(float(i), n=i).compile()(float(i), n=i) if i % 2 else f(float(i), n=i))
    assert [r.tolist() for r in found] == [[float(i)] * i for i in range(THREADS)]


@rounds
def test_the_first_call_of_functions_that_call_each_other(round_):
    @jit
    def even(x, n: Static[int]):
        return x if n == 0 else odd(x, n - 1)

    @jit
    def odd(x, n: Static[int]):
        return -x if n == 0 else even(x, n - 1)

    found = at_once(lambda i: (even if i % 2 else odd)(1.0, 4))
    assert found == [1.0 if i % 2 else -1.0 for i in range(THREADS)]


def test_many_threads_after_the_first_call():
    traces = []

    @jit
    def f(x, *, n: Static[int] = 2):
        traces.append(1)
        return x * n

    f(1.0)
    assert at_once(lambda i: [f(float(j), n=2) for j in range(50)]) == [[2.0 * j for j in range(50)]] * THREADS
    assert len(traces) == 1
