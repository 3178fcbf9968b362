"""`jitted`: what `jit` offers besides the call, of functions and of bound methods."""

import functools
import gc
import inspect
import weakref
from typing import Any

import cloudpickle
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import AnnotaxError, NoDiff, Static, StaticValueError, grad, jit, jitted, transform, value_and_grad, vmap

X = jnp.array(3.0)


@jit
def power(x: Array, *, n: Static[int] = 1) -> Array:
    return x**n


@annotax.pytree
class Model:
    w: Array

    @jit
    def __call__(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self.w * x**n

    @transform(jit, value_and_grad(wrt="self"))
    def loss(self, x: Array) -> Array:
        return self.w**2 * x

    @jit(static="cls")
    @classmethod
    def of_class(cls, x: Array, *, n: Static[int] = 1) -> Array:
        assert cls is Model
        return x**n

    @classmethod
    @jit
    def of_marked_class(cls: Static[Any], x: Array, *, n: Static[int] = 1) -> Array:
        assert cls is Model
        return x**n

    @staticmethod
    @jit
    def of_neither(x: Array, *, n: Static[int] = 1) -> Array:
        return x**n

    def plain(self, x: Array) -> Array:
        return self.w * x

    @vmap
    def mapped(self: NoDiff[Any], x: Array) -> Array:
        return self.w * x


class Trainer:
    """An object of a class that JAX knows nothing of."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    @jit(static="self")
    def named(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self.rate * x**n

    @jit
    def marked(self: Static[Any], x: Array, *, n: Static[int] = 1) -> Array:
        return self.rate * x**n

    def step(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self.rate * x**n


class Module(eqx.Module):
    w: Array

    @jit
    def scaled(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self.w * x**n


MODEL = Model(jnp.array(2.0))
TRAINER = Trainer(2.0)

FUNCTIONS = {
    "function": (power, 1.0),
    "method": (MODEL.__call__, 2.0),
    "method of Equinox": (Module(jnp.array(2.0)).scaled, 2.0),
    "static self by name": (TRAINER.named, 2.0),
    "static self by marker": (TRAINER.marked, 2.0),
    "bound method, compiled": (jit(TRAINER.step), 2.0),
    "class method": (Model.of_class, 1.0),
    "class method of an object": (MODEL.of_class, 1.0),
    "class method by marker": (MODEL.of_marked_class, 1.0),
    "static method": (Model.of_neither, 1.0),
    "static method of an object": (MODEL.of_neither, 1.0),
}
EACH = pytest.mark.parametrize(("function", "factor"), FUNCTIONS.values(), ids=[*FUNCTIONS])


# --- what it offers --------------------------------------------------------------------------------------------------


@EACH
def test_it_is_called_as_the_function(function, factor):
    stages = jitted(function)
    assert isinstance(stages, annotax.Stages)
    assert stages(X) == stages(x=X) == factor * 3
    assert stages(X, n=2) == factor * 9


@EACH
def test_it_is_lowered_compiled_and_called_without_what_is_bound(function, factor):
    lowered = jitted(function).lower(X, n=2)
    assert isinstance(lowered, annotax.Lowered)
    assert lowered.out_info.shape == ()
    compiled = lowered.compile()
    assert isinstance(compiled, annotax.Compiled)
    assert compiled(X, n=2) == compiled(n=2, x=X) == factor * 9
    assert compiled(jnp.array(1.0), n=2) == factor


@EACH
def test_a_compiled_function_refuses_another_static_value_and_names_it(function, factor):
    compiled = jitted(function).lower(X, n=2).compile()
    with pytest.raises(StaticValueError, match=r"(?s)compiled for another value of n.*got\s+3.*expected\s+2"):
        compiled(X, n=3)
    with pytest.raises(StaticValueError, match=r"(?s)another value of n.*got\s+1"):
        compiled(X)


@EACH
def test_it_is_traced_and_goes_on_to_be_compiled(function, factor):
    traced = jitted(function).trace(X, n=2)
    assert isinstance(traced, annotax.Traced)
    assert traced.out_info.shape == ()
    assert "integer_pow" in str(traced.jaxpr)
    assert traced.lower().compile()(X, n=2) == factor * 9


@EACH
def test_it_takes_abstract_values(function, factor):
    x = jax.ShapeDtypeStruct((2,), jnp.float32)
    assert jitted(function).eval_shape(x, n=2).shape == (2,)
    assert jitted(function).eval_shape(x=x).dtype == jnp.float32
    assert jitted(function).lower(x).compile()(jnp.ones(2)).tolist() == [factor, factor]


@EACH
def test_it_binds_as_the_function_does(function, factor):
    for take in (jitted(function).lower, jitted(function).trace, jitted(function).eval_shape, jitted(function)):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
            take(n=2)
        with pytest.raises(TypeError, match="unexpected keyword argument 'm'"):
            take(X, m=2)


@EACH
def test_its_traces_are_those_of_the_function(function, factor):
    stages = jitted(function)
    assert stages.traces == getattr(function, "__func__", function).traces


def test_the_traces_say_why_a_method_was_traced():
    class Counted:
        @jit
        def f(self: Static[Any], x: Array, *, n: Static[int] = 1) -> Array:
            return x**n

    counted = Counted()
    stages = jitted(counted.f)
    assert len(stages.traces) == 0
    stages(X)
    stages.lower(X, n=1)
    counted.f(X, n=2)
    assert len(stages.traces) == 2
    assert "n" in str(stages.traces[1])


def test_what_was_compiled_is_forgotten():
    runs = []

    class Counted:
        @jit
        def f(self: Static[Any], x: Array) -> Array:
            runs.append(1)
            return x

    counted = Counted()
    for _ in range(2):
        jitted(counted.f)(X)
    assert len(runs) == 1
    jitted(counted.f).clear_cache()
    counted.f(X)
    assert len(runs) == 2


def test_lowering_shares_the_trace_of_the_call():
    runs = []

    class Counted:
        @jit
        def f(self: Static[Any], x: Array, *, n: Static[int] = 1) -> Array:
            runs.append(1)
            return x

    counted = Counted()
    jitted(counted.f).lower(X)
    counted.f(X, n=1)
    jitted(counted.f)(x=X)
    assert len(runs) == 1


def test_the_object_that_was_bound_is_the_one_that_was_lowered():
    one, other = Model(jnp.array(2.0)), Model(jnp.array(5.0))
    compiled = [jitted(model.__call__).lower(X).compile() for model in (one, other)]
    assert [step(X) for step in compiled] == [6.0, 15.0]


def test_a_value_that_does_not_fit_its_hint_raises():
    for take in (jitted(MODEL.__call__).lower, jitted(MODEL.__call__).eval_shape):
        with pytest.raises(annotax.CheckError, match="argument x does not fit its hint"):
            take("three")


# --- pipelines -------------------------------------------------------------------------------------------------------


def test_of_a_pipeline_it_offers_the_same():
    @transform(jit, value_and_grad)
    def loss(w: Array, x: NoDiff[Array], *, n: Static[int] = 1) -> Array:
        return w * x**n

    stages = jitted(loss)
    w = jnp.array(2.0)
    assert stages(w, x=X, n=2) == (18.0, 9.0)
    assert stages.lower(w, X, n=2).compile()(w, x=X, n=2) == (18.0, 9.0)
    assert stages.trace(w, X).lower().compile()(w, X) == (6.0, 3.0)
    value, gradient = stages.eval_shape(w, X)
    assert (value.shape, gradient.shape) == ((), ())
    assert len(stages.traces) == 2


def test_of_a_method_that_is_a_pipeline():
    value, gradient = jitted(MODEL.loss).lower(X).compile()(x=X)
    assert value == 12.0
    assert type(gradient) is Model
    assert gradient.w == 12.0


def test_of_a_stack_whose_outermost_decorator_compiles():
    assert jitted(jit(grad(lambda x: x**2))).lower(3.0).compile()(3.0) == 6.0
    assert jitted(jit(MODEL.mapped)).lower(jnp.ones(2)).compile()(jnp.ones(2)).tolist() == [2.0, 2.0]


def test_of_a_function_that_meets_values_that_cannot_be_traced():
    @jit
    def f(layer):
        return layer["w"] * 2

    compiled = jitted(f).lower({"w": 1.0, "kind": "relu"}).compile()
    assert compiled({"w": 3.0, "kind": "relu"}) == 6.0


# --- what it refuses -------------------------------------------------------------------------------------------------


@functools.wraps(power)
def wrapper(x, *, n=1):
    return power(x, n=n)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x, "<lambda>"),
        (MODEL.plain, r"Model\.plain"),
        (MODEL.mapped, r"Model\.mapped"),
        (grad(lambda x: x), "<lambda>"),
        (vmap(jit(lambda x: x)), "<lambda>"),
        (jax.jit(lambda x: x), "<lambda>"),
        (wrapper, "power"),
        (functools.partial(power, n=2), "partial"),
        (3, "3"),
    ],
    ids=["function", "method", "vmap", "grad", "vmap of jit", "jit of JAX", "wrapper", "partial", "number"],
)
def test_what_annotax_has_not_compiled_is_refused(function, name):
    text = (
        rf"(?s)^jitted\(\): .*{name}.* is not compiled by its outermost transform.*expected  .*annotax\.jit.*\n  fix  "
    )
    with pytest.raises(AnnotaxError, match=text):
        jitted(function)


def test_the_error_says_how_to_compile():
    def f(x):
        return x

    with pytest.raises(AnnotaxError, match=r"fix       pass annotax\.jit\(.*f\)$"):
        jitted(f)


def test_the_error_for_an_object_does_not_print_its_arrays():
    with pytest.raises(AnnotaxError) as caught:
        jitted(Model(jnp.arange(1000.0)))
    assert "Array(" not in str(caught.value)


# --- as an object ----------------------------------------------------------------------------------------------------


def test_its_signature_is_that_of_the_function():
    assert [*inspect.signature(jitted(power)).parameters] == ["x", "n"]
    assert [*inspect.signature(jitted(MODEL.__call__)).parameters] == ["x", "n"]


def test_it_says_of_what_it_is():
    assert "power" in repr(jitted(power))
    assert "of_neither" in repr(jitted(MODEL.of_neither).lower(X))


def test_it_goes_through_the_transforms_of_jax():
    assert jax.grad(jitted(MODEL.__call__))(3.0) == 2.0
    assert jax.vmap(jitted(power))(jnp.ones(2)).tolist() == [1.0, 1.0]


def test_it_cloudpickles():
    assert cloudpickle.loads(cloudpickle.dumps(jitted(jit(lambda x: x + 1))))(1.0) == 2.0


def test_it_keeps_no_object_alive():
    def call() -> list[weakref.ref[Any]]:
        trainer, model = Trainer(2.0), Model(jnp.ones(3))
        jitted(jit(trainer.step)).lower(X).compile()(X)
        jitted(model.__call__).lower(X).compile()(X)
        return [weakref.ref(trainer), weakref.ref(model.w)]

    references = call()
    for _ in range(3):  # what a compiled function holds goes in a later pass than the function
        gc.collect()
    assert [reference() for reference in references] == [None, None]
