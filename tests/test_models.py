"""Models that hold functions, strings and numbers that steer: as arguments and results of every transform; methods."""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Annotated, Any, Self

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array

import annotax
from annotax import (
    Donate,
    MarkerError,
    NoDiff,
    Static,
    StaticValueError,
    checkpoint,
    eval_shape,
    grad,
    jit,
    make_jaxpr,
    transform,
    value_and_grad,
    vmap,
)

KEY = jax.random.key(0)
X = jnp.array([0.5, -1.0])


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Tagged:
    """A dataclass with a leaf that JAX cannot trace, whatever it is."""

    w: Any
    tag: Any


@dataclasses.dataclass(frozen=True)
class Config:
    """No pytree; equality by value."""

    rate: float


class Identity:
    """No pytree; equality by identity."""


def mlp(activation: Any = jax.nn.relu, *, depth: int = 1, key: Any = KEY) -> eqx.nn.MLP:
    return eqx.nn.MLP(2, 2, 4, depth, activation=activation, key=key)


def module() -> Any:
    return mlp()


@functools.cache  # it holds functions of its own, so another one is not equal
def optimiser() -> Any:
    return optax.adam(0.1)


MODELS: dict[str, Callable[[], Any]] = {
    "equinox.nn.MLP": module,
    "an optimiser": optimiser,
    "a dataclass with a string": lambda: Tagged(X, "text"),
    "a dict with a function": lambda: {"w": X, "f": jnp.sin},
    "a list with a type": lambda: [X, int, (X, Colour.RED)],
    "a static field beside": lambda: eqx.nn.Linear(2, 2, key=KEY),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def same(one: Any, other: Any) -> None:
    """Whether two trees are the same: arrays by value, all else by equality."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if eqx.is_array_like(b):
            np.testing.assert_allclose(a, b, rtol=1e-6)
        else:
            assert a == b


def doubled(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf * 2 if eqx.is_inexact_array(leaf) else leaf, tree)


# --- jit -------------------------------------------------------------------------------------------------------------


@every_model
def test_a_model_goes_through_jit_as_argument_and_as_result(make):
    step = jit(doubled)
    for _ in range(3):
        same(step(make()), doubled(make()))
    same(step(step(make())), doubled(doubled(make())))


@every_model
def test_a_model_is_a_result_though_no_argument_is_one(make):
    model = make()

    @jit
    def made(x):
        return model, x * 2

    for _ in range(3):
        got, x = made(X)
        same(got, model)
        same(x, X * 2)


@every_model
def test_a_model_is_a_part_of_an_argument_and_of_a_result(make):
    @jit
    def step(state: dict[str, Any], *more: Any, **others: Any) -> tuple[Any, Array]:
        return {"a": doubled(state["model"]), "b": [more[0], others["c"]]}, state["x"] + 1

    for _ in range(2):
        got, x = step({"model": make(), "x": X}, make(), c=make())
        same(got, {"a": doubled(make()), "b": [make(), make()]})
        same(x, X + 1)


def test_a_result_is_of_the_class_of_the_argument_and_holds_the_very_function():
    got = jit(lambda model: model)(mlp(jnp.tanh))
    assert type(got) is eqx.nn.MLP
    assert got.activation is jnp.tanh
    assert type(got.layers[0].weight) is type(X)


def test_one_function_returns_arrays_in_one_call_and_a_model_in_another():
    @jit
    def f(x, how: str):
        return {"arrays": x, "model": (x, how, jnp.sin)}[how]

    for _ in range(2):
        assert np.array_equal(f(X, "arrays"), X)
        got = f(X, "model")
        assert np.array_equal(got[0], X)
        assert got[1:] == ("model", jnp.sin)


def test_a_function_that_is_made_while_tracing_is_returned():
    @jit
    def f(x):
        return x, functools.partial(jnp.add, 1)

    first, second = f(X)[1], f(X)[1]
    assert first(2) == 3
    assert first is second


def test_an_object_that_is_made_while_tracing_and_can_change_is_refused_in_a_result():
    @jit
    def f(x):
        return x, Identity()

    with pytest.raises(StaticValueError, match=r"f\(\): result\[1\] can be neither traced nor held constant") as caught:
        f(X)
    assert "Identity" in str(caught.value)
    assert "fix" in str(caught.value)


def test_an_argument_that_comes_back_untouched():
    model = mlp()
    same(jit(lambda model, x: (model, x))(model, X), (model, X))


# --- which calls share a trace ---------------------------------------------------------------------------------------


def counting() -> tuple[list[int], Any]:
    traces: list[int] = []

    @jit
    def f(model, x):
        traces.append(1)
        leaves = [leaf for leaf in jax.tree.leaves(model) if eqx.is_array(leaf)]
        return sum(map(jnp.sum, leaves)) * x

    return traces, f


@every_model
def test_two_equal_models_share_a_trace(make):
    traces, f = counting()
    first = f(make(), X)
    for _ in range(3):
        same(f(make(), x=X), first)
    same(f(doubled(make()), X), sum(jnp.sum(a) for a in jax.tree.leaves(doubled(make())) if eqx.is_array(a)) * X)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jnp.sin, jnp.cos),
        ("a", "b"),
        ("a", b"a"),
        (int, float),
        (Colour.RED, Colour.BLUE),
        (np.dtype("int8"), np.dtype("int16")),
        (Config(1.0), Config(2.0)),
        (jnp.float32, jnp.float16),
        (list[int], list[float]),
        (b"a", b"b"),
        (slice, range),
        (jnp.sin, "sin"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_another_static_leaf_is_another_trace_and_an_equal_one_is_not(one, other):
    seen = []

    @jit
    def f(model):
        seen.append(model.tag)
        return model.w * 2

    for tag in (one, other, one, other):
        same(f(Tagged(X, tag)), X * 2)
    assert seen == [one, other]


def test_a_change_inside_a_list_of_static_leaves_is_seen():
    @jit
    def f(x, steps):
        for step in steps:
            x = getattr(jnp, step)(x)
        return x

    steps = ["sin"]
    same(f(X, steps), jnp.sin(X))
    steps.append("cos")
    same(f(X, steps), jnp.cos(jnp.sin(X)))
    steps[0] = "tanh"
    same(f(X, steps), jnp.cos(jnp.tanh(X)))


def test_the_trace_report_says_which_leaf_has_changed():
    @jit
    def f(model, x):
        return model(x)

    f(mlp(jnp.tanh), X)
    f(mlp(jnp.sin), X)
    assert len(f.traces) == 2
    (because,) = f.traces[1].because
    assert because.startswith("model.activation: the function tanh -> the function sin")


def test_explain_lists_the_leaves_that_were_found_static(capsys):
    @jit
    def f(model, x):
        return model["w"] * x

    f({"w": X, "f": jnp.sin, "name": "a"}, X)
    text = str(annotax.explain(f))
    assert "model['f']" in text
    assert "model['name']" in text
    assert "can never be traced" in text


# --- what is static by inference, and what raises --------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [jnp.sin, "a", b"a", int, Colour.RED, np.dtype("int8"), Config(1.0), functools.partial(max, 1), len, list[int]],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("through", [jit, checkpoint, transform(jit, checkpoint)], ids=["jit", "checkpoint", "both"])
def test_what_compares_by_value_or_is_a_function_is_static_by_inference(through, value):
    def f(model):
        assert model["value"] is value
        return model["x"] * 2

    same(through(f)({"x": X, "value": value}), X * 2)


@pytest.mark.parametrize("value", [Identity(), object(), {1, 2}, iter([])], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("through", [jit, checkpoint], ids=["jit", "checkpoint"])
def test_an_object_whose_changes_would_go_unseen_raises_with_parameter_and_leaf(through, value):
    def f(x, model):
        return x

    with pytest.raises(StaticValueError) as caught:
        through(f)(X, {"layers": [Tagged(X, value)]})
    text = str(caught.value)
    assert "f(): argument model['layers'][0].tag can be neither traced nor held constant" in text
    assert type(value).__qualname__ in text
    assert "mark model Static if it never changes, or register its class as a pytree" in text


def test_an_unhashable_value_that_compares_by_value_raises():
    @dataclasses.dataclass
    class Mutable:
        n: int

    with pytest.raises(StaticValueError, match=r"argument model\.tag can be neither traced nor held constant"):
        jit(lambda model: model.w)(Tagged(X, Mutable(1)))


def test_an_error_of_the_function_itself_is_not_taken_for_a_mixed_value():
    @jit
    def f(model, x):
        raise KeyError("mine")

    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            f(mlp(), X)
        with pytest.raises(KeyError, match="mine"):
            f(X, X)


# --- grad, vmap, checkpoint ------------------------------------------------------------------------------------------


def loss(model: Any, x: NoDiff[Array]) -> Array:
    return jnp.sum(model(x) ** 2)


AROUND = {
    "grad": grad,
    "jit of grad": transform(jit, grad),
    "grad of jit": lambda f: grad(jit(f)),
    "grad of checkpoint": lambda f: grad(checkpoint(f)),
    "jit of grad of checkpoint": lambda f: jit(grad(checkpoint(f))),
    "grad of a pipeline": lambda f: transform(grad, jit, checkpoint)(f),
}


@pytest.mark.parametrize("through", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("depth", [0, 2])
def test_the_gradient_of_a_model_is_that_of_filter_grad(through, depth):
    model = mlp(jnp.tanh, depth=depth)
    expected = eqx.filter_grad(loss)(model, X)
    step = through(loss)
    for _ in range(2):
        got = step(model, X)
        assert type(got) is eqx.nn.MLP
        same(got, expected)


def test_a_model_goes_through_vjp_jvp_and_linearize():
    model = mlp(jnp.tanh)
    gradient = eqx.filter_grad(loss)(model, X)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(eqx.filter(model, eqx.is_array)), strict=True)
    expected = sum(jnp.vdot(slope, leaf) for slope, leaf in pairs)
    same(annotax.vjp(loss, model, X)[1](jnp.ones(())), gradient)
    same(annotax.jvp(loss, (model, X), (model,))[1], expected)
    same(annotax.linearize(loss, model, X)[1](model), expected)
    pullback = jit(lambda model, x: annotax.vjp(loss, model, x)[1])(model, X)
    same(pullback(jnp.ones(())), gradient)


@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_a_model_is_aux_of_a_gradient(around):
    def f(w: Array, model: NoDiff[Any]) -> tuple[Array, annotax.Aux[Any]]:
        return jnp.sum(model(w)), model

    for _ in range(2):
        (_, aux), gradient = around(value_and_grad(f))(X, mlp())
        same(aux, mlp())
        same(gradient, jax.grad(lambda w: jnp.sum(mlp()(w)))(X))


@pytest.mark.parametrize(
    "through", [vmap, transform(jit, vmap), transform(vmap, jit)], ids=["vmap", "jit vmap", "vmap jit"]
)
@every_model
def test_a_model_is_an_argument_and_a_result_of_vmap(through, make):
    def f(model: Annotated[Any, annotax.Axis(None)], x):
        return doubled(model), x * 2

    got, x = through(f)(make(), jnp.stack([X, X]))
    same(x, jnp.stack([X, X]) * 2)
    same(jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, got), doubled(make()))


@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_an_ensemble_of_models_is_mapped_over(around):
    ensemble = eqx.filter_vmap(lambda key: mlp(key=key))(jax.random.split(KEY, 3))
    expected = eqx.filter_vmap(lambda model, x: model(x), in_axes=(eqx.if_array(0), None))(ensemble, X)

    def f(model, x: Annotated[Array, annotax.Axis(None)]):
        return model(x)

    same(around(vmap(f))(ensemble, X), expected)


@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_an_ensemble_of_models_is_made_by_vmap(around):
    got = around(vmap(lambda key: mlp(key=key)))(jax.random.split(KEY, 3))
    same(got, eqx.filter_vmap(lambda key: mlp(key=key))(jax.random.split(KEY, 3)))


@every_model
def test_a_model_goes_through_checkpoint_as_argument_and_as_result(make):
    step = checkpoint(doubled)
    for _ in range(2):
        same(step(make()), doubled(make()))


def test_an_optimiser_is_an_argument():
    @jit
    def step(model, state, optimiser, x):
        gradient = grad(loss)(model, x)
        updates, state = optimiser.update(gradient, state, annotax.partition(model)[0])
        trained, rest = annotax.partition(model)
        return annotax.combine(optax.apply_updates(trained, updates), rest), state

    model, adam = mlp(), optimiser()
    state, trained = adam.init(annotax.partition(model)[0]), model
    for _ in range(5):
        trained, state = step(trained, state, adam, X)
    assert type(trained) is eqx.nn.MLP
    assert loss(trained, X) < loss(model, X)
    assert len(step.traces) == 1


# --- numbers that steer: Equinox modules -----------------------------------------------------------------------------


def test_dropout_is_as_under_filter_jit():
    dropout = eqx.nn.Dropout(0.5)
    x = jnp.ones(8)

    def f(dropout, x, key):
        return dropout(x, key=key)

    ours, theirs = jit(f), eqx.filter_jit(f)
    same(ours(dropout, x, KEY), theirs(dropout, x, KEY))
    off = eqx.nn.inference_mode(dropout)
    same(ours(off, x, KEY), x)
    same(ours(dropout, x, KEY), theirs(dropout, x, KEY))
    gradient, of_dropout = grad(lambda x, dropout: jnp.sum(dropout(x, key=KEY)))(x, dropout)
    same(gradient, f(dropout, x, KEY))
    assert (of_dropout.p, of_dropout.inference) == (None, None)


def test_attention_is_as_under_filter_jit():
    attention = eqx.nn.MultiheadAttention(2, 4, dropout_p=0.5, key=KEY)
    x = jnp.ones((3, 4))

    def f(attention, x, key):
        return attention(x, x, x, key=key)

    ours, theirs = jit(f), eqx.filter_jit(f)
    same(ours(attention, x, KEY), theirs(attention, x, KEY))
    off = eqx.nn.inference_mode(attention)
    same(ours(off, x, KEY), theirs(off, x, KEY))


@pytest.mark.parametrize(
    "through", [jit, checkpoint, lambda f: jit(value_and_grad(f))], ids=["jit", "checkpoint", "jit of grad"]
)
def test_a_number_of_a_module_steers_python_control_flow(through):
    class Model(eqx.Module):
        w: Array
        double: bool
        times: int

        def __call__(self):
            w = self.w * 2 if self.double else self.w
            for _ in range(self.times):
                w = w + 1
            return jnp.sum(w)

    f = through(lambda model: model())
    for model, expected in ((Model(X, True, 2), jnp.sum(X * 2 + 2)), (Model(X, False, 3), jnp.sum(X + 3))):
        same(jax.tree.leaves(f(model))[0], expected)


THROUGH = {
    "jit": jit,
    "checkpoint": checkpoint,
    "jit of checkpoint": transform(jit, checkpoint),
    "vmap": vmap(in_axes={"model": None}),
    "jit of vmap": transform(jit, vmap(in_axes={"model": None})),
}


@pytest.mark.parametrize("through", THROUGH.values(), ids=THROUGH)
def test_a_number_of_a_module_comes_back_as_the_number(through):
    got = through(lambda model, x: (model, x))(eqx.nn.Dropout(0.5, inference=True), X)[0]
    assert (got.p, type(got.p), got.inference) == (0.5, float, True)


@pytest.mark.parametrize("through", THROUGH.values(), ids=THROUGH)
def test_a_step_that_returns_a_model_with_dropout_takes_it_again(through):
    step = through(lambda model, x: (model, model(x, key=KEY)))
    model = eqx.nn.Dropout(0.5, inference=True)
    for _ in range(3):
        model, x = step(model, X)
        same(x, X)


def test_a_number_of_ones_own_pytree_is_traced_as_jax_does():
    seen = []

    @annotax.pytree
    class Model:
        w: Array
        n: int

    @jit
    def f(model):
        seen.append(1)
        return model.w * model.n

    for n in (1, 2, 3):
        same(f(Model(X, n)), X * n)
    assert len(seen) == 1


# --- static=, by path ------------------------------------------------------------------------------------------------


@annotax.pytree
class Dropout:
    rate: float
    inference: bool = False

    def __call__(self, x):
        return x if self.inference else x * (1 - self.rate)


@annotax.pytree
class Net:
    w: Array
    dropout: Dropout

    def __call__(self, x):
        return self.dropout(self.w * x)


@pytest.mark.parametrize(
    "static", ["model.dropout.inference", ["model.dropout.inference", "x"], "model.dropout"], ids=str
)
def test_a_leaf_is_made_static_by_its_path(static):
    @jit(static=static)
    def f(model, x):
        return model(x)

    for inference in (True, False, True, False):
        assert f(Net(2.0, Dropout(0.5, inference)), 3.0) == (6.0 if inference else 3.0)
    assert len(f.traces) == 2


def test_without_it_the_leaf_is_traced_and_jax_says_so():
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jit(lambda model, x: model(x))(Net(2.0, Dropout(0.5)), 3.0)


def test_a_path_is_not_differentiated():
    def f(model, x: NoDiff[Any]):
        return model(x)

    got = transform(jit(static="model.dropout"), grad)(f)(Net(2.0, Dropout(0.5)), 3.0)
    assert got == Net(1.5, Dropout(None, None))


def test_a_path_into_self_of_a_method():
    @annotax.pytree
    class Scaled:
        w: Array
        on: bool

        @jit(static="self.on")
        def __call__(self, x):
            return self.w * x if self.on else x

    same(Scaled(X, True)(X), X * X)
    same(Scaled(X, False)(x=X), X)
    same(Scaled.__call__.lower(Scaled(X, True), X).compile()(Scaled(X, True), X), X * X)


@pytest.mark.parametrize("inner", [vmap, checkpoint], ids=["vmap", "checkpoint"])
def test_a_static_path_holds_for_the_whole_pipeline(inner):
    f = transform(jit(static="tree['n']"), inner)(lambda tree: tree["w"] * sum(range(tree["n"])))
    same(f({"w": X, "n": 3}), X * 3)
    same(f({"w": X, "n": 4}), X * 6)


def test_explain_shows_a_static_path():
    f = jit(lambda model, x: model(x), static="model.dropout.inference")
    assert ".dropout.inference, named by jit(static=...)" in str(annotax.explain(f))


def test_a_path_into_a_list_and_a_dict():
    @jit(static=["tree['steps'][0]", "tree['n']"])
    def f(tree):
        return tree["x"] * sum(range(tree["n"])) + tree["steps"][1] + int(tree["steps"][0])

    assert f({"x": 2.0, "n": 3, "steps": [4, 5.0]}) == 15.0
    assert f(tree={"x": 2.0, "n": 3, "steps": [5, 5.0]}) == 16.0


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("model.dropout.inferenc", StaticValueError, "'model.dropout.inference'"),
        ("model.drop", StaticValueError, "'model.dropout'"),
        ("model.w", StaticValueError, "argument model.w"),
        ("modle.w", MarkerError, "names no parameter"),
        ("model.w[", MarkerError, "names no parameter"),
    ],
)
def test_a_path_that_cannot_be_static_raises(path, error, said):
    with pytest.raises(error) as caught:
        jit(static=path)(lambda model, x: model(x))(Net(X, Dropout(0.5)), 3.0)
    assert said in str(caught.value)
    assert "fix" in str(caught.value)


# --- ahead of time, abstractly, donated ------------------------------------------------------------------------------


@every_model
def test_a_model_is_lowered_and_compiled(make):
    f = jit(lambda model, x: (doubled(model), x * 2))
    for compiled in (f.lower(make(), X).compile(), f.trace(make(), x=X).lower().compile()):
        for _ in range(2):
            same(compiled(make(), x=X), (doubled(make()), X * 2))


def test_a_compiled_function_refuses_a_model_with_another_static_leaf():
    compiled = jit(lambda model, x: model(x)).lower(mlp(jnp.tanh), X).compile()
    same(compiled(mlp(jnp.tanh), X), mlp(jnp.tanh)(X))
    with pytest.raises(StaticValueError, match="compiled for another value") as caught:
        compiled(mlp(jnp.sin), X)
    text = str(caught.value)
    assert "model.activation" in text
    assert "the function sin" in text
    assert "the function tanh" in text


@every_model
def test_eval_shape_gives_a_model_of_shapes(make):
    got = jit(lambda model: doubled(model)).eval_shape(make())
    other = eval_shape(doubled, make())
    for one in (got, other):
        assert jax.tree.structure(one) == jax.tree.structure(make())
        for shape, leaf in zip(jax.tree.leaves(one), jax.tree.leaves(make()), strict=True):
            assert shape.shape == leaf.shape if eqx.is_array(leaf) else shape == leaf


def test_a_model_of_shapes_is_lowered():
    abstract = eqx.filter_eval_shape(mlp)
    compiled = jit(lambda model, x: model(x)).lower(abstract, jax.ShapeDtypeStruct((2,), jnp.float32)).compile()
    same(compiled(mlp(), X), mlp()(X))


def test_make_jaxpr_takes_a_model():
    jaxpr = make_jaxpr(lambda model, x: model(x))(mlp(jnp.tanh), X)
    assert "tanh" in str(jaxpr)


@pytest.mark.parametrize("how", ["marker", "option"])
def test_a_donated_model_gives_its_arrays_away(how):
    def step(model, x):
        return doubled(model), x

    if how == "marker":
        step.__annotations__["model"] = Donate[Any]
    f = jit(step) if how == "marker" else jit(step, donate="model")
    for _ in range(3):
        model = mlp()
        got, _ = f(model, X)
        assert model.layers[0].weight.is_deleted()
        same(got, doubled(mlp()))
        assert model.activation is jax.nn.relu
        assert not X.is_deleted()


# --- the fast road ---------------------------------------------------------------------------------------------------


def test_a_function_that_meets_no_such_value_stays_on_the_road_of_jax(monkeypatch):
    @jit
    def f(model: dict[str, Array], x: Array) -> Array:
        return model["w"] * x

    first = f({"w": X}, X)

    def fail(*_: Any) -> Any:
        raise AssertionError("Python ran on a cached call")

    monkeypatch.setattr("annotax._partition.Partition.split", fail)
    monkeypatch.setattr("annotax._partition.Partition.split_again", fail)
    monkeypatch.setattr("annotax._partition.Partition.is_mixed", fail)
    monkeypatch.setattr("annotax._transforms.jit._JitCore.__call__", fail)
    same(f({"w": X}, X), first)
    same(f(model={"w": X}, x=X + 1), X * (X + 1))


@pytest.mark.parametrize("first", ["arrays", "model"])
def test_arrays_and_models_go_through_one_function_in_any_order(first):
    traces, f = counting()
    values = [X, mlp()] if first == "arrays" else [mlp(), X]
    for _ in range(3):
        for value in values:
            total = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(value) if eqx.is_array(leaf))
            same(f(value, X), total * X)
    assert len(traces) == 2


def test_a_later_call_with_a_wrong_number_of_arguments_raises_as_python_does():
    f = jit(lambda model, x: model(x))
    f(mlp(), X)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        f(mlp())


def test_a_model_under_disable_jit():
    f, net = jit(lambda model, x: (model, model(x))), mlp()
    with jax.disable_jit():
        model, value = f(net, X)
    assert model.activation is jax.nn.relu
    same(f(net, X)[1], value)


# --- methods ---------------------------------------------------------------------------------------------------------


def test_a_method_of_a_pytree_class_traces_self():
    traces = []

    @annotax.pytree
    class Linear:
        w: Array
        times: Static[int] = 1

        @annotax.jit
        def __call__(self, x: Array) -> Array:
            traces.append(self.times)
            return self.w * x * self.times

        @jit
        def changed(self, by: Array) -> Self:
            return dataclasses.replace(self, w=self.w + by)

    same(Linear(X)(X), X * X)
    same(Linear(X * 2)(x=X), X * X * 2)
    same(Linear(X, 3)(X), X * X * 3)
    assert traces == [1, 3]
    got = Linear(X, 3).changed(X)
    assert type(got) is Linear
    same(got, Linear(X * 2, 3))


@pytest.mark.parametrize("base", ["equinox", "flax"])
def test_a_method_of_a_foreign_pytree_class_traces_self(base):
    traces = []

    def method(self, x):
        traces.append(1)
        return self.w * x

    fields = {"__annotations__": {"w": Array}, "__module__": __name__, "__call__": jit(method)}
    if base == "equinox":
        cls = type("Linear", (eqx.Module,), fields)
    else:
        cls = flax.struct.dataclass(type("Linear", (), fields))
    same(cls(X)(X), X * X)
    same(cls(X + 1)(X), (X + 1) * X)
    assert len(traces) == 1


def test_a_method_of_a_module_that_holds_functions():
    class Model(eqx.Module):
        inner: eqx.nn.MLP
        training: bool = True

        @jit
        def __call__(self, x: Array) -> Array:
            return self.inner(x) if self.training else x

        @transform(jit, grad)
        def gradient(self, x: NoDiff[Array]) -> Array:
            return jnp.sum(self.inner(x))

    same(Model(mlp())(X), mlp()(X))
    same(Model(mlp(), False)(X), X)
    assert type(Model(mlp()).gradient(X)) is Model


def test_grad_and_vmap_of_a_method():
    @annotax.pytree
    class Model:
        w: Annotated[Array, annotax.Axis(None)]
        basis: Annotated[Array, annotax.Axis(None), NoDiff]

        @vmap
        def __call__(self, x: Array) -> Array:
            return jnp.sum(self.w * self.basis * x)

        @grad
        def slope(self, x: NoDiff[Array]) -> Array:
            return jnp.sum(self.w * self.basis * x)

    model = Model(X, X + 1)
    same(model(jnp.stack([X, X])), jnp.stack([jnp.sum(X * (X + 1) * X)] * 2))
    assert model.slope(X).basis is None


def test_self_of_an_ordinary_class_raises_and_says_what_to_do():
    class Trainer:
        @annotax.jit
        def __call__(self, x):
            return x

        @jit
        def step(self, x):
            return x

    for call in (lambda: Trainer()(X), lambda: Trainer().step(X)):
        with pytest.raises(StaticValueError) as caught:
            call()
        text = str(caught.value)
        assert "argument self can be neither traced nor held constant" in text
        assert "an object of type" in text
        assert "Trainer" in text
        assert 'mark it, `self: Static["Trainer"]`, if it never changes' in text
        assert "register its class as a pytree" in text
        assert "decorate the bound method" in text


# --- strictness of what is static ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [((1,), (True,)), (0.0, -0.0), (1, True), (1, 1.0)], ids=str)
def test_a_static_path_compares_strictly(one, other):
    seen = []

    @jit(static="tree['n']")
    def f(tree):
        seen.append(tree["n"])
        return tree["x"]

    for value in (one, other, one, other):
        f({"x": 1.0, "n": value})
    assert list(map(repr, seen)) == [repr(one), repr(other)]


def test_a_static_path_that_is_nan_is_traced_once():
    @jit(static="tree['n']")
    def f(tree):
        return tree["x"] * 2

    for _ in range(3):
        f({"x": 1.0, "n": float("nan")})
    assert len(f.traces) == 1


@pytest.mark.parametrize(("one", "other"), [(1, True), (0.0, -0.0), (1, 1.0)], ids=str)
def test_a_number_of_a_module_compares_strictly(one, other):
    class Model(eqx.Module):
        w: Array
        n: Any

    seen = []

    @jit
    def f(model):
        seen.append(model.n)
        return model.w

    for value in (one, other, one, other):
        f(Model(X, value))
    assert list(map(repr, seen)) == [repr(one), repr(other)]


@pytest.mark.parametrize(("one", "other"), [(1, True), (0.0, -0.0), ((1,), (True,))], ids=str)
def test_a_static_field_compares_as_dataclasses_do(one, other):
    @annotax.pytree
    class Model:
        w: Array
        n: Static[Any]

    @jit
    def f(model):
        return model.w

    f(Model(X, one))
    f(Model(X, other))
    assert len(f.traces) == 1
    assert jax.tree.structure(Model(X, one)) == jax.tree.structure(Model(X, other))


@pytest.mark.parametrize("hint", [int, bool, str, Colour, Callable[..., Any]], ids=str)
def test_parameters_whose_hint_leaves_no_doubt_go_to_jax_as_they_are(hint):
    def f(x, value):
        return x

    f.__annotations__["value"] = Static[hint]
    strict = jit(f)
    value = {int: 2, bool: True, str: "a", Colour: Colour.RED}.get(hint, jnp.sin)
    strict(X, value)
    text = str(annotax.explain(strict))
    assert "static_argnums=(1,)" in text
    seen = []
    g = jit(lambda x, value: seen.append(type(value)), static="value")
    g(X, value)
    assert seen == [type(value)]
