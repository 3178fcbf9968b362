"""`f.traces`: why a function was traced, and `jit(max_traces=n)`, which says it where one trace more is a mistake."""

import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import cloudpickle
import equinox as eqx
import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import annotax
from annotax import Static, Trace, TraceError, grad, jit, transform, value_and_grad, vmap

FIRST = "the first call"


@annotax.pytree
class Layer:
    w: Array
    activation: Static[Callable[[Array], Array]] = jnp.tanh
    power: Static[int] = 1


class Pair(NamedTuple):
    a: Any
    b: Any


@jit(max_traces=1)
def tripled(x: Array, *, n: Static[int] = 3) -> Array:
    """A function that pickles by name."""
    return n * x


def because(function: Any) -> list[str]:
    """The reasons for all traces of a function, one text a trace."""
    return ["; ".join(trace.because) for trace in function.traces]


def last(function: Any) -> str:
    """The reason for the latest trace."""
    return because(function)[-1]


def identity(x: Any) -> Any:
    return x


def new() -> Any:
    """A compiled function that nothing has traced."""
    return jit(lambda x: x)


# --- what is new -----------------------------------------------------------------------------------------------------


def test_a_function_that_was_never_called_has_no_traces():
    f = new()
    assert len(f.traces) == 0
    assert str(f.traces) == "not traced yet"


def test_the_first_trace_is_because_of_the_first_call():
    f = new()
    f(1.0)
    (trace,) = f.traces
    assert trace == Trace(1, (FIRST,))


def test_traces_are_a_sequence_that_grows():
    f = new()
    traces = f.traces
    f(jnp.ones(2))
    f(jnp.ones(3))
    assert [trace.number for trace in traces] == [1, 2]
    assert traces[-1] is traces[1]
    assert traces[:1] == [traces[0]]
    assert traces[0] in traces


def test_traces_are_printed_one_a_line():
    f = new()
    f(jnp.ones(2))
    f(jnp.ones(3))
    assert str(f.traces) == "1. the first call\n2. x: float32[2] -> float32[3]"
    assert repr(f.traces) == f"<annotax.Traces: {f.traces}>"


def test_a_cached_call_adds_nothing():
    f = jit(lambda x, *, n: x, static="n")
    for _ in range(3):
        f(jnp.ones(2), n=1)
        f(x=jnp.zeros(2), n=1)
    assert because(f) == [FIRST]


def test_a_static_value_is_shown_from_what_to_what():
    f = jit(lambda x, n, mode: x, static="n")
    f(1.0, 2, "a")
    f(1.0, 3, "a")
    assert last(f) == "n: 2 -> 3"
    f(1.0, 3, "b")
    assert last(f) == "mode: 'a' -> 'b'"


def test_a_static_value_of_another_type_is_another():
    f = jit(lambda x, n: x, static="n")
    f(1.0, 1)
    f(1.0, True)
    assert last(f) == "n: 1 -> True"


def test_a_static_object_is_shown_as_python_shows_it():
    f = jit(lambda x, spec: x, static="spec")
    f(1.0, P("a"))
    f(1.0, P("b"))
    assert last(f) == f"spec: {P('a')!r} -> {P('b')!r}"


def test_static_values_that_look_alike_are_told_apart():
    f = jit(lambda x, g: x)
    f(1.0, lambda x: x)
    f(1.0, lambda x: x)
    assert last(f) == "g: the function <lambda> -> another function <lambda>"


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (jnp.ones(3), jnp.ones(4), "x: float32[3] -> float32[4]"),
        (jnp.ones(3), jnp.ones((3, 1)), "x: float32[3] -> float32[3,1]"),
        (jnp.ones(3), jnp.ones(3, int), "x: float32[3] -> int32[3]"),
        (jnp.float32(1), 1.0, "x: float32[] -> float32[] (weak)"),
        (1.0, 1, "x: float32[] (weak) -> int32[] (weak)"),
        (1.0, True, "x: float32[] (weak) -> bool[]"),
        (np.ones(3), np.ones(3, np.float16), "x: float32[3] -> float16[3]"),
        ({"a": 1.0}, {"a": np.ones(2)}, "x['a']: float32[] (weak) -> float32[2]"),
        ([1.0], [1.0, np.ones(2)], "x[1]: float32[2] is new"),
        ([1.0, np.ones(2)], [1.0], "x[1]: float32[2] is gone"),
        (Pair(1.0, 2.0), Pair(1.0, 2), "x.b: float32[] (weak) -> int32[] (weak)"),
        (1.0, None, "x: float32[] (weak) -> None"),
    ],
    ids=str,
)
def test_the_leaf_that_changed_is_shown_from_what_to_what(before, after, shown):
    f = jit(lambda x: None)
    f(before)
    f(after)
    assert because(f) == [FIRST, shown]


def test_another_class_of_the_same_leaves_is_shown_as_another_structure():
    f = new()
    f((1.0, 2.0))
    f([1.0, 2.0])
    assert last(f) == "the structure of x: (*, *) -> [*, *]"


def test_several_changes_are_all_shown():
    f = jit(lambda x, y, *, n: x, static="n")
    f(1.0, jnp.ones(2), n=1)
    f(1, jnp.ones(3), n=2)
    assert set(f.traces[-1].because) == {
        "x: float32[] (weak) -> int32[] (weak)", "y: float32[2] -> float32[3]", "n: 1 -> 2"
    }  # fmt: skip


def test_positional_and_keyword_rests_are_shown_by_their_items():
    @jit
    def f(*args: Any, **kwargs: Any) -> Any:
        return args

    f(1.0, a=1.0)
    f(1.0, 2.0, a=1.0)
    assert last(f) == "args[1]: float32[] (weak) is new"
    f(1.0, 2.0, a=1)
    assert last(f) == "kwargs['a']: float32[] (weak) -> int32[] (weak)"


def test_a_static_leaf_of_a_model_is_shown_by_its_path():
    f = jit(lambda model, x: model(x))
    key = jax.random.key(0)
    for activation in (jax.nn.relu, jnp.tanh):
        f(eqx.nn.MLP(2, 1, 4, 1, activation=activation, key=key), jnp.ones(2))
    assert last(f) == "model.activation: the function relu -> the function tanh"


def test_a_string_in_a_dict_is_shown_by_its_path():
    f = new()
    f({"kind": "relu", "w": 1.0})
    f({"kind": "tanh", "w": 1.0})
    assert last(f) == "x['kind']: 'relu' -> 'tanh'"


def test_a_static_field_of_a_pytree_class_is_shown_by_its_path():
    f = new()
    f(Layer(jnp.ones(2)))
    f(Layer(jnp.ones(2), power=2))
    assert last(f) == "x.power: 1 -> 2"
    f([Layer(jnp.ones(2))])
    f([Layer(jnp.ones(2), activation=jnp.sin)])
    assert last(f) == "x[0].activation: the function tanh -> the function sin"


def test_a_static_field_of_an_equinox_module_is_shown_by_its_path():
    f = new()
    f(eqx.nn.Linear(2, 1, use_bias=True, key=jax.random.key(0)))
    f(eqx.nn.Linear(2, 1, use_bias=False, key=jax.random.key(0)))
    assert "x.use_bias: True -> False" in f.traces[-1].because


def test_a_static_path_into_a_model_is_shown():
    f = jit(lambda x: x["w"], static="x['n']")
    f({"w": 1.0, "n": 1})
    f({"w": 1.0, "n": 2})
    assert last(f) == "x['n']: 1 -> 2"


def test_the_nearest_earlier_trace_is_compared():
    f = jit(lambda x, y, *, n: x, static="n")
    f(jnp.ones(2), jnp.ones(2), n=1)
    f(jnp.ones(3), jnp.ones(3), n=2)
    f(jnp.ones(2), jnp.ones(2), n=3)  # one change from the first, three from the second
    assert last(f) == "n: 1 -> 3"


def test_of_equally_near_traces_the_latest_is_compared():
    f = jit(lambda x, n: x, static="n")
    for n in (1, 2, 3):
        f(1.0, n)
    assert last(f) == "n: 2 -> 3"


# --- options of JAX --------------------------------------------------------------------------------------------------


def test_matmul_precision_is_shown():
    f = new()
    f(1.0)
    with jax.default_matmul_precision("highest"):
        f(1.0)
    assert last(f) == "jax option jax_default_matmul_precision: None -> highest"


def test_double_precision_is_shown():
    f = new()
    f(1)
    enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # before JAX 0.8
    with enable_x64(True):
        f(1)
    assert "jax option jax_enable_x64: False -> True" in f.traces[-1].because


def test_a_mesh_is_shown():
    f = new()
    f(1.0)
    with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))):
        f(1.0)
    assert last(f).startswith("jax option mesh: ")
    assert "data" in last(f)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        (lambda: jax.default_device(jax.devices()[0]), "default_device"),
        (lambda: jax.threefry_partitionable(not jax.config.jax_threefry_partitionable), "threefry_partitionable"),
    ],
    ids=["default_device", "threefry_partitionable"],
)
def test_an_option_that_makes_jax_trace_again_is_shown(option, name):
    runs = []
    f = jit(lambda x: runs.append(1) or x)
    f(1.0)
    with option():
        f(1.0)
    assert len(f.traces) == len(runs) == 2
    assert last(f).startswith("jax option ")
    assert name in last(f)


def test_other_axis_types_of_a_mesh_are_shown():
    f = new()
    for kind in (AxisType.Auto, AxisType.Explicit):
        with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(kind,))):
            f(1.0)
    assert len(f.traces) == 2
    assert "mesh" in last(f)


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_the_last_hundred_traces_are_kept():
    f = jit(lambda x, n: x, static="n")
    for n in range(103):
        f(1.0, n)
    assert len(f.traces) == 100
    assert (f.traces[0].number, f.traces[-1].number) == (4, 103)
    assert last(f) == "n: 101 -> 102"


def test_no_tracer_and_no_array_is_kept():
    seen = []

    @jit
    def f(x):
        seen.append(weakref.ref(x["a"]))
        return {"a": x["a"] + 1, "kind": x["kind"]}

    array = jnp.ones(3)
    seen.append(weakref.ref(array))
    f({"a": array, "kind": "relu"})
    del array
    gc.collect()
    assert len(f.traces) == 1
    assert [reference() for reference in seen] == [None, None]


def test_no_model_is_kept():
    @jit
    def f(model, x):
        return model(x)

    model = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0))
    references = [weakref.ref(leaf) for leaf in jax.tree.leaves(model) if eqx.is_array(leaf)]
    f(model, jnp.ones(2))
    del model
    gc.collect()
    assert len(f.traces) == 1
    assert all(reference() is None for reference in references)


def test_traces_do_not_leak_under_the_leak_checker():
    with jax.checking_leaks():
        f = transform(jit, grad)(lambda x: x * x)
        f(1.0)
        f(2.0)
    assert because(f) == [FIRST]


def test_a_function_and_its_traces_go_together():
    f = jit(lambda x: x + 1)
    f(1.0)
    reference = weakref.ref(f.__wrapped__)
    del f
    gc.collect()
    assert reference() is None


def test_a_trace_that_fails_is_not_recorded():
    fails = True

    @jit
    def f(x):
        if fails:
            raise RuntimeError("by hand")
        return x

    with pytest.raises(RuntimeError, match="by hand"):
        f(jnp.ones(2))
    assert len(f.traces) == 0
    fails = False
    f(jnp.ones(3))
    assert because(f) == [FIRST]


def test_a_call_that_is_refused_before_it_is_traced_is_not_recorded():
    f = jit(lambda x, n: x, static="n")
    with pytest.raises(annotax.StaticValueError):
        f(1.0, [1])
    assert len(f.traces) == 0


def test_clearing_the_caches_does_not_count():
    f = jit(lambda x: x, max_traces=1)
    f(1.0)
    jax.clear_caches()
    f(1.0)
    f.clear_cache()
    f(1.0)
    assert because(f) == [FIRST]


def test_running_without_jit_does_not_count():
    f = jit(lambda x: x, max_traces=1)
    with jax.disable_jit():
        f(jnp.ones(2))
        f(jnp.ones(3))
    assert len(f.traces) == 0
    f(jnp.ones(4))
    assert because(f) == [FIRST]


def test_a_result_that_jax_cannot_return_counts_once():
    f = jit(lambda x: {"x": x, "kind": "relu"}, max_traces=1)
    f(1.0)
    f(2.0)
    assert because(f) == [FIRST]


def test_a_module_that_may_hold_numbers_counts_once():
    f = jit(lambda model, x, key: model(x, key=key), max_traces=1)
    for _ in range(2):
        f(eqx.nn.Dropout(0.5), jnp.ones(2), jax.random.key(0))
    assert because(f) == [FIRST]


# --- pipelines, methods, stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorate", "x"),
    [
        (transform(jit, grad), 1.0),
        (transform(grad, jit), 1.0),
        (transform(jit, value_and_grad), 1.0),
        (transform(vmap, jit, grad), np.ones(2)),
        (transform(jit, vmap, grad), np.ones(2)),
    ],
    ids=["jit(grad)", "grad(jit)", "jit(value_and_grad)", "vmap(jit(grad))", "jit(vmap(grad))"],
)
def test_a_pipeline_with_a_jit_in_it_has_traces(decorate, x):
    f = decorate(lambda x, *, mode: x * x)
    f(x, mode="a")
    f(x, mode="b")
    assert because(f) == [FIRST, "mode: 'a' -> 'b'"]


def test_a_function_that_nothing_compiles_has_no_traces():
    assert not hasattr(grad(lambda x: x), "traces")


def test_two_pipelines_on_one_function_have_traces_of_their_own():
    def f(x):
        return x * x

    compiled, slope = jit(f), transform(jit, grad)(f)
    compiled(1.0)
    compiled(jnp.ones(2))
    slope(1.0)
    assert (len(compiled.traces), len(slope.traces)) == (2, 1)


def test_methods_have_traces_with_self_among_the_paths():
    @annotax.pytree
    class Model:
        w: Array
        n: Static[int] = 1

        @jit
        def step(self, x):
            return self.w * x

    Model(jnp.ones(2)).step(1.0)
    Model(jnp.ones(3)).step(1.0)
    assert last(Model.step) == "self.w: float32[2] -> float32[3]"
    Model(jnp.ones(3), n=2).step(1.0)
    assert last(Model.step) == "self.n: 1 -> 2"
    assert because(Model(jnp.ones(1)).step) == because(Model.step)


def test_a_decorated_bound_method_has_traces():
    class Model:
        def step(self, x, *, n: Static[int]):
            return n * x

    model = Model()
    step = jit(model.step)
    step(1.0, n=1)
    step(1.0, n=2)
    assert because(step) == [FIRST, "n: 1 -> 2"]


def test_a_function_that_calls_itself_records_each_static_value():
    @jit
    def power(x, n: Static[int]):
        return x if n == 0 else x * power(x, n - 1)

    power(2.0, 3)
    assert because(power) == [FIRST, "n: 0 -> 1", "n: 1 -> 2", "n: 2 -> 3"]  # the innermost ends first


def test_what_is_compiled_ahead_of_time_records_no_trace_when_called():
    f = jit(lambda x, *, n: n * x, static="n")
    compiled = f.lower(jnp.ones(2), n=2).compile()
    compiled(jnp.ones(2), n=2)
    assert because(f) == [FIRST]


@pytest.mark.parametrize("method", ["lower", "trace", "eval_shape"])
def test_a_stage_records_its_trace_and_a_call_of_the_same_shapes_adds_none(method):
    f = jit(lambda x, *, n: n * x, static="n", max_traces=1)
    getattr(f, method)(jnp.ones(2), n=2)
    assert because(f) == [FIRST]
    f(jnp.ones(2), n=2)
    assert because(f) == [FIRST]


def test_explaining_shows_the_traces():
    f = new()
    f(jnp.ones(2))
    f(jnp.ones(3))
    explanation = annotax.explain(f)
    assert explanation.traces == ("1. the first call", "2. x: float32[2] -> float32[3]")
    assert "2. x: float32[2] -> float32[3]" in str(explanation)


def test_a_call_from_another_compiled_function_is_recorded():
    inner = jit(lambda x: x + 1)
    outer = jit(lambda x: inner(x))
    outer(jnp.ones(2))
    outer(jnp.ones(3))
    assert because(inner) == because(outer) == [FIRST, "x: float32[2] -> float32[3]"]


# --- max_traces ------------------------------------------------------------------------------------------------------


def test_one_trace_more_raises_and_says_what_changed():
    @jit(max_traces=2)
    def step(x, *, n: Static[int] = 1):
        return n * x

    step(jnp.ones(2))
    step(jnp.ones(3))
    with pytest.raises(TraceError) as caught:
        step(jnp.ones(3), n=2)
    text = str(caught.value)
    assert "step(): traced once more, though max_traces=2" in text
    assert "n: 1 -> 2" in text
    assert "fix" in text
    assert isinstance(caught.value, annotax.AnnotaxError)


def test_the_next_good_call_works_after_one_trace_too_many():
    f = jit(lambda x: x + 1, max_traces=1)
    f(jnp.ones(2))
    for _ in range(2):
        with pytest.raises(TraceError, match=r"x: float32\[2\] -> float32\[3\]"):
            f(jnp.ones(3))
    assert f(jnp.ones(2)).tolist() == [2.0, 2.0]
    assert because(f) == [FIRST]


def test_a_trace_that_fails_does_not_count_against_the_limit():
    @jit(max_traces=1)
    def f(x):
        if x.ndim:
            raise RuntimeError("by hand")
        return x

    with pytest.raises(RuntimeError, match="by hand"):
        f(jnp.ones(2))
    f(jnp.float32(1))
    assert because(f) == [FIRST]


def test_the_limit_holds_inside_of_another_transform():
    f = transform(grad, jit(max_traces=1))(lambda x, *, mode: x * x)
    f(1.0, mode="a")
    with pytest.raises(TraceError, match="mode: 'a' -> 'b'"):
        f(1.0, mode="b")


def test_the_limit_holds_for_a_model_with_functions():
    f = jit(lambda layer, x: layer["f"](x), max_traces=1)
    f({"f": jnp.sin}, 1.0)
    with pytest.raises(TraceError, match=r"layer\['f'\]: the function sin -> the function cos"):
        f({"f": jnp.cos}, 1.0)
    assert f({"f": jnp.sin}, 0.0) == 0.0


def test_the_limit_holds_for_what_is_lowered():
    f = jit(lambda x: x, max_traces=1)
    f.lower(jnp.ones(2))
    with pytest.raises(TraceError):
        f.lower(jnp.ones(3))


def test_a_thousand_calls_of_one_shape_are_one_trace():
    f = jit(lambda state, x: state + x, donate="state", max_traces=1)
    state = jnp.zeros(2)
    for _ in range(1000):
        state = f(state, jnp.ones(2))
    assert state.tolist() == [1000.0, 1000.0]


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", (), True, False], ids=repr)
def test_a_limit_that_is_no_positive_integer_is_refused(value):
    with pytest.raises(TypeError, match=r"(?s)jit\(max_traces=\.\.\.\) takes no .*a positive integer, or None.*fix"):
        jit(identity, max_traces=value)


def test_no_limit_is_none():
    f = jit(lambda x: x, max_traces=None)
    f(jnp.ones(1))
    f(jnp.ones(2))
    assert len(f.traces) == 2


# --- pickling and threads --------------------------------------------------------------------------------------------


def test_a_function_with_a_limit_pickles_and_its_copy_keeps_the_limit():
    f = jit(lambda x: x + 1, max_traces=1)
    f(jnp.ones(2))
    copy = pickle.loads(cloudpickle.dumps(f))
    assert copy(jnp.ones(3)).tolist() == [2.0] * 3
    assert because(copy) == [FIRST]
    with pytest.raises(TraceError):
        copy(jnp.ones(4))
    assert because(f) == [FIRST]


def test_a_function_of_a_module_pickles_by_name():
    assert pickle.loads(pickle.dumps(tripled)) is tripled


def test_threads_that_call_at_once_record_one_trace_for_each_shape():
    f = jit(lambda x: x + 1, max_traces=2)
    barrier, failed = threading.Barrier(16), []

    def call(size: int) -> None:
        barrier.wait()
        try:
            f(jnp.ones(size))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(1 + i % 2,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(f.traces) == 2
    assert f.traces[0].because == (FIRST,)
    assert "x: float32[" in last(f)


@pytest.mark.parametrize("limit", [1, 3])
def test_threads_that_exceed_the_limit_are_told(limit):
    @jit(max_traces=limit)
    def f(x):
        time.sleep(0.05)  # the others begin meanwhile
        return x + 1

    barrier, failed = threading.Barrier(8), []

    def call(size: int) -> None:
        barrier.wait()
        try:
            f(jnp.ones(size))
        except TraceError as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(1 + i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(f.traces) == limit
    assert len(failed) == 8 - limit
