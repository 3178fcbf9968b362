"""Pipelines: their order, what they share, transforms of one's own, and that nothing outlives its use."""

# ruff: noqa: F722 - the strings in hints of jaxtyping name axes

import copy
import functools
import gc
import inspect
import pickle
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import Array
from jaxtyping import Float

import annotax
from annotax import Aux, NoDiff, Static, grad, jit, transform, value_and_grad


@dataclass(frozen=True)
class Scaled(annotax.Transform):
    """A transform of a user's own: scales what the function returns."""

    factor: float = 10.0

    def apply(self, core, contract):
        return lambda *slots: self.factor * core(*slots), contract


@dataclass(frozen=True)
class Plus(annotax.Transform):
    """Another: adds to what the function returns."""

    term: float = 1.0

    def apply(self, core, contract):
        return lambda *slots: core(*slots) + self.term, contract


def counting(traces: list[int]) -> Callable[..., Any]:
    """A new function that says when it is run."""

    def square(x: Array, *, n: Static[int] = 2) -> Array:
        traces.append(1)
        return x**n

    return square


# --- order and options -----------------------------------------------------------------------------------------------


def test_transforms_are_applied_from_the_inside_out():
    assert transform(Scaled(), Plus())(lambda x: x)(1.0) == 20.0
    assert transform(Plus(), Scaled())(lambda x: x)(1.0) == 11.0


def test_a_pipeline_of_jit_and_value_and_grad_is_jit_of_value_and_grad():
    def f(w, x: NoDiff[Array], *, n: Static[int] = 2) -> tuple[Array, Aux[Array]]:
        return jnp.sum(w * x) ** n, w + x

    w, x = jnp.ones(2), jnp.arange(2.0)
    ours = transform(jit, value_and_grad)(f)(w, x=x, n=3)
    theirs = jax.jit(jax.value_and_grad(lambda w, x: f(w, x, n=3), has_aux=True))(w, x)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))


def test_transforms_take_options_in_place():
    @transform(jit(inline=True), grad(wrt="w"))
    def f(x, w):
        return x * w

    assert f(3.0, 2.0) == 3.0


def test_no_transforms_leave_the_function_with_its_checks():
    @transform()
    def f(x: int) -> int:
        return x + 1

    assert f(2) == 3
    with pytest.raises(annotax.CheckError):
        f("two")


def test_a_decorator_can_be_kept_and_used_again():
    compiled_gradient = transform(jit, grad)
    assert compiled_gradient(lambda x: x**2)(3.0) == 6.0
    assert compiled_gradient(lambda x: x**3)(1.0) == 3.0


def test_a_transform_with_options_is_a_decorator():
    @jit(static="n")
    @grad(wrt="x")
    def f(n, x):
        return x**n

    assert f(3, 2.0) == 12.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jit(static="n"), jit(static=["n"])),
        (jit(donate=["a", 1]), jit(donate=("a", 1))),
        (jit(compiler_options={"a": 1, "b": 2}), jit(compiler_options={"b": 2, "a": 1})),
        (grad(wrt=["w"]), grad(wrt=("w",))),
    ],
    ids=["static", "donate", "compiler_options", "wrt"],
)
def test_equal_options_make_equal_transforms(one, other):
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(grad(wrt="w"), grad(wrt=["w"])), (jit(), jit(inline=True)), (grad(), value_and_grad()), (jit(donate=[]), jit())],
    ids=["wrt", "inline", "kind", "donate"],
)
def test_other_options_make_other_transforms(one, other):
    assert one != other


COPIES = pytest.mark.parametrize(
    "copied", [lambda step: pickle.loads(pickle.dumps(step)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deep"]
)


@pytest.mark.parametrize(
    "step",
    [
        jit(static="n", inline=True),
        grad(wrt=["w", -1]),
        grad[float](wrt="w"),
        value_and_grad(),
        annotax.vmap(in_axes={"x": 1}),
        annotax.pmap(axis_name="i"),
        annotax.hessian(wrt="w"),
        annotax.checkpoint(prevent_cse=False),
        Scaled(2.0),
    ],
    ids=lambda step: type(step).__name__,
)
@COPIES
def test_a_transform_is_copied_and_pickled(copied, step):
    assert copied(step) == step
    assert hash(copied(step)) == hash(step)


@COPIES
def test_a_copied_transform_shares_what_was_compiled(copied):
    for step in (jit, grad, value_and_grad, annotax.vmap, grad(wrt="x")):
        assert transform(copied(jit), copied(step))(_square) is transform(jit, step)(_square)
        assert copied(step)(_square) is step(_square)


@COPIES
def test_a_copied_transform_does_the_same(copied):
    def f(x):
        return x**2

    assert copied(jit)(f)(3.0) == 9.0
    assert copied(grad)(f)(3.0) == 6.0
    assert copied(annotax.vmap)(f)(jnp.arange(3.0)).tolist() == [0.0, 1.0, 4.0]
    assert copied(annotax.vmap(axis_name="i"))(f)(jnp.arange(3.0)).tolist() == [0.0, 1.0, 4.0]


# --- the decorators --------------------------------------------------------------------------------------------------

DECORATORS = [
    "jit", "grad", "value_and_grad", "vmap", "pmap", "jacfwd", "jacrev", "hessian", "checkpoint", "custom_vjp",
    "custom_jvp", "shard_map", "make_jaxpr",
]  # fmt: skip
EACH = pytest.mark.parametrize("decorator", [getattr(annotax, name) for name in DECORATORS], ids=DECORATORS)


def test_every_decorator_is_a_transform():
    exported = {name: getattr(annotax, name) for name in annotax.__all__}
    transforms = {name: value for name, value in exported.items() if isinstance(value, annotax.Transform)}
    assert {*transforms} == {*DECORATORS, "jacobian", "remat"}
    assert all(transforms[name].name == name for name in DECORATORS)


@EACH
def test_the_signature_of_a_decorator_shows_its_options(decorator):
    first, *options = inspect.signature(decorator).parameters.values()
    assert (first.name, first.kind) == ("function", inspect.Parameter.POSITIONAL_ONLY)
    assert {option.kind for option in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert "typechecker" in {option.name for option in options}
    documented = decorator.__doc__.split("Arguments:")[1]
    assert [option.name for option in options if f"{option.name}:" not in documented] == []


def test_the_options_of_jit_are_in_its_signature():
    _, *options = inspect.signature(jit).parameters
    assert options == [
        "static", "donate", "mesh", "max_traces", "inline", "keep_unused", "compiler_options", "typechecker",
    ]  # fmt: skip


@EACH
def test_the_documentation_of_a_decorator_is_for_its_user(decorator):
    text = inspect.getdoc(decorator)
    assert all(section in text for section in ("Arguments:\n", "function: ", "Returns:\n", "Examples:\n"))


@EACH
def test_a_decorator_without_options_is_itself(decorator):
    assert decorator() is decorator


@EACH
def test_a_decorator_is_a_value(decorator):
    assert decorator == decorator()
    assert hash(decorator) == hash(decorator())
    assert {decorator: 1}[decorator()] == 1


@EACH
def test_a_decorator_has_a_name(decorator):
    assert decorator.__name__ == decorator.name


def test_options_in_place_are_the_options_of_a_decorator():
    assert jit(_square, inline=True) is jit(inline=True)(_square)
    assert grad(_square, wrt="x") is grad(wrt="x")(_square)


def test_a_decorator_with_options_decorates_many_functions():
    compiled = jit(static="n")

    def tiled(x, n):
        return jnp.tile(x, n)

    def full(n, *, x):
        return jnp.full((n,), x)

    assert compiled(tiled)(jnp.ones(1), 3).shape == (3,)
    assert compiled(full)(2, x=1.0).shape == (2,)
    assert compiled(tiled)(jnp.ones(1), n=4).shape == (4,)
    assert compiled(tiled) is jit(static="n")(tiled)


def test_options_of_one_decorator_are_not_those_of_the_public_one():
    jit(static="n", inline=True)
    assert jit == type(jit)()
    traces = []
    f = counting(traces)
    jit(inline=True)(f)(3.0)
    jit(f)(3.0)
    assert len(traces) == 2


def test_a_decorator_is_kept_in_a_class_without_being_bound():
    class Training:
        compiled = jit
        derived = grad(wrt="x")

    assert Training().compiled(_square)(3.0) == 9.0
    assert Training().derived(_square)(3.0) == 6.0


@pytest.mark.parametrize("given", [3, "w", [0, None], {"n": 1}, jnp.ones(2)], ids=lambda given: type(given).__name__)
@EACH
def test_a_decorator_of_no_function_says_what_it_takes(decorator, given):
    with pytest.raises(
        annotax.AnnotaxError, match=rf"(?s)^{decorator.name}\(\) was given .*, not a function.*fix .*by name: "
    ):
        decorator(given)


@pytest.mark.parametrize("given", [jit, grad(wrt="w"), Scaled(2.0)], ids=["decorator", "with options", "one's own"])
@EACH
def test_a_decorator_of_a_transform_says_how_to_write_a_pipeline(decorator, given):
    inner = getattr(given, "name", "Scaled")
    text = (
        rf"^{decorator.name}\(\) was given the transform {inner}, .*\n  fix  write transform\({decorator.name}, {inner}"
    )
    with pytest.raises(annotax.AnnotaxError, match=text):
        decorator(given)


@EACH
def test_an_option_that_is_none_is_named_in_the_error(decorator):
    with pytest.raises(TypeError, match=rf"^{decorator.name}\(\) got an unexpected keyword argument 'foo'"):
        decorator(foo=1)
    with pytest.raises(TypeError, match=rf"^{decorator.name}\(\) got an unexpected keyword argument 'foo'"):
        decorator(_square, foo=1)


def test_options_are_passed_by_name():
    with pytest.raises(TypeError, match=r"^jit\(\) takes .* positional argument"):
        jit(_square, "n")


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (jit(static="n")(inline=True), jit(static="n", inline=True)),
        (jit(inline=True)(static="n")(donate="x"), jit(static="n", inline=True, donate="x")),
        (jit(static="n")(static="m"), jit(static="m")),
        (grad(wrt="w")(has_aux=True), grad(wrt="w", has_aux=True)),
        (grad(allow_int=True)(holomorphic=True), grad(allow_int=True, holomorphic=True)),
        (annotax.vmap(in_axes={"x": 1})(axis_name="i"), annotax.vmap(in_axes={"x": 1}, axis_name="i")),
    ],
    ids=["jit", "three times", "in its place", "grad", "options of jax", "vmap"],
)
def test_more_options_join_those_that_were_given(made, wanted):
    assert made == wanted
    assert hash(made) == hash(wanted)


def test_more_options_beside_a_function_join_those_that_were_given():
    def tiled(x, n):
        return jnp.tile(x, n)

    assert jit(static="n")(tiled, inline=True)(jnp.ones(1), 3).shape == (3,)
    assert jit(static="n")(tiled, inline=True) is jit(tiled, static="n", inline=True)


# --- one pipeline, one compiled object -------------------------------------------------------------------------------


def _square(x: Array, *, n: Static[int] = 2) -> Array:
    return x**n


BUILDS: dict[str, Callable[[Any], Any]] = {
    "transform": lambda f: transform(jit, grad)(f),
    "calls": lambda f: jit(grad(f)),
    "calls with brackets": lambda f: jit()(grad()(f)),
    "nested transforms": lambda f: transform(jit)(transform(grad)(f)),
    "halves": lambda f: jit(transform(grad)(f)),
}


@pytest.mark.parametrize("one", BUILDS)
@pytest.mark.parametrize("other", BUILDS)
def test_the_same_pipeline_is_the_same_object_however_it_is_built(one, other):
    assert BUILDS[one](_square) is BUILDS[other](_square)


@pytest.mark.parametrize(
    "build", [jit, lambda f: jit(grad(f)), lambda f: transform(jit, value_and_grad)(f), lambda f: jit(static=-1)(f)]
)
def test_building_a_pipeline_three_times_traces_once(build):
    traces = []
    f = counting(traces)
    for _ in range(3):
        assert build(f)(3.0) is not None
    assert len(traces) == 1


def test_building_a_pipeline_again_after_its_face_is_gone_does_not_trace_again():
    traces = []
    f = counting(traces)
    for _ in range(3):
        face = jit(f)
        face(3.0)
        del face
        gc.collect()
    assert len(traces) == 1


def test_stacked_decorators_are_one_pipeline():
    @jit
    @grad
    def f(x, *, n: Static[int] = 2):
        return x**n

    assert f is transform(jit, grad)(f.__wrapped__)


def test_a_pipeline_with_other_options_is_another():
    assert jit(_square) is not jit(inline=True)(_square)
    assert jit(_square) is not jit(typechecker=None)(_square)
    assert grad(_square) is not grad(_square, wrt=["x"])


def test_the_inner_half_of_a_pipeline_is_usable_by_itself():
    inner = grad(_square)
    outer = jit(inner)
    assert inner(3.0) == outer(3.0) == 6.0
    assert inner is not outer


def test_a_callable_object_decorated_three_times_traces_once():
    traces = []

    class Power:
        def __call__(self, x):
            traces.append(1)
            return x**2

    power = Power()
    for _ in range(3):
        jit(power)(3.0)
    assert len(traces) == 1


def test_a_callable_object_is_left_as_it_was():
    class Power:
        def __init__(self):
            self.exponent = 2

        def __call__(self, x):
            return x**self.exponent

    power = Power()
    assert jit(power)(3.0) == 9.0
    assert vars(power) == {"exponent": 2}


def test_a_callable_object_without_attributes_decorated_three_times_traces_once():
    traces = []

    class Traced:
        __slots__ = ("__weakref__",)

        def __call__(self, x):
            traces.append(x)
            return x

    traced = Traced()
    for _ in range(3):
        jit(traced)(1.0)
    assert len(traces) == 1


def test_a_partial_decorated_three_times_traces_once():
    traces = []
    partial = functools.partial(counting(traces), n=3)
    for _ in range(3):
        jit(partial)(3.0)
    assert len(traces) == 1


# --- bound methods ---------------------------------------------------------------------------------------------------


class Trainer:
    """An object of a class that JAX knows nothing of."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.traces = 0

    def step(self, x: Array, *, n: Static[int] = 1) -> Array:
        self.traces += 1
        return self.rate * x**n

    def loss(self, x: Array) -> Array:
        self.traces += 1
        return self.rate * x**2


@pytest.mark.parametrize(
    "build", [lambda t: jit(t.step), lambda t: transform(jit, grad)(t.loss)], ids=["jit", "pipeline"]
)
def test_a_bound_method_decorated_in_a_loop_is_traced_once(build):
    trainer = Trainer(2.0)
    for _ in range(3):
        build(trainer)(1.0)
        gc.collect()
    assert trainer.traces == 1


def test_a_bound_method_of_a_module_of_equinox_decorated_in_a_loop_is_traced_once():
    traces = []

    class Model(eqx.Module):
        w: Array

        def scaled(self, x):
            traces.append(1)
            return self.w * x

    model = Model(jnp.ones(3))
    for _ in range(3):
        jit(model.scaled)(1.0)
    assert len(traces) == 1


def test_the_same_method_of_another_object_is_another_pipeline():
    assert [jit(Trainer(rate).step)(1.0) for rate in (2.0, 3.0, 4.0)] == [2.0, 3.0, 4.0]


def test_the_methods_of_two_living_objects_do_not_mix():
    trainers = [Trainer(float(i)) for i in range(5)]
    for _ in range(2):
        assert [jit(trainer.step)(1.0) for trainer in trainers] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [trainer.traces for trainer in trainers] == [1] * 5


def test_equal_objects_do_not_share_a_pipeline():
    @dataclass
    class Loose:
        name: str
        rate: float = field(compare=False)

        def step(self, x):
            return self.rate * x

        def __hash__(self):
            return hash(self.name)

    one, other = Loose("a", 2.0), Loose("a", 3.0)
    assert one == other
    assert [jit(one.step)(1.0), jit(other.step)(1.0)] == [2.0, 3.0]


def test_an_object_without_a_hash_has_methods_that_can_be_decorated():
    @dataclass
    class Unhashable:
        rate: float

        def step(self, x):
            return self.rate * x

    assert jit(Unhashable(2.0).step)(3.0) == 6.0


def test_an_object_that_cannot_be_referred_to_weakly_has_methods_that_can_be_decorated():
    class Slotted:
        __slots__ = ("rate",)

        def step(self, x):
            return self.rate * x

    slotted = Slotted()
    slotted.rate = 2.0
    assert [jit(slotted.step)(3.0) for _ in range(2)] == [6.0, 6.0]


def test_a_decorated_bound_method_works_while_only_it_is_kept():
    step = jit(Trainer(2.0).step)
    gc.collect()
    assert step(1.0) == 2.0
    assert step(3.0, n=2) == 18.0


def test_the_method_of_an_object_at_the_address_of_a_dead_one_is_its_own():
    for i in range(50):  # CPython gives the address of the last object to the next
        assert jit(Trainer(float(i)).step)(1.0) == float(i)


# --- what is copied along --------------------------------------------------------------------------------------------


def test_a_wrapper_that_copies_attributes_does_not_share_the_pipeline():
    def f(x):
        return x

    jit(f)(1.0)

    @functools.wraps(f)
    def doubled(*args, **kwargs):
        return 2 * f(*args, **kwargs)

    assert jit(doubled)(1.0) == 2.0
    assert jit(f)(1.0) == 1.0


def test_a_wrapper_of_a_decorated_function_does_not_lose_what_it_adds():
    f = jit(lambda x: x)

    @functools.wraps(f)
    def doubled(*args, **kwargs):
        return 2 * f(*args, **kwargs)

    assert doubled(1.0) == 2.0
    assert jit(doubled)(1.0) == 2.0
    assert grad(doubled)(1.0) == 2.0


def test_a_copy_of_a_function_does_not_share_its_pipeline():
    def f(x, n=[2]):  # noqa: B006
        return x * n[0]

    jit(f)(1.0)
    copied = types.FunctionType(f.__code__, f.__globals__, "copied", ([3],), f.__closure__)
    copied.__dict__.update(f.__dict__)
    assert jit(copied)(1.0) == 3.0


def test_a_decorated_function_is_its_own_copy():
    f = jit(_square)
    assert copy.copy(f) is f
    assert copy.deepcopy(f) is f


# --- a transform of one's own ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ((jit, Scaled()), 90.0),
        ((Scaled(), jit), 90.0),
        ((grad, Scaled()), 60.0),
        ((Scaled(), grad), 60.0),
        ((jit, grad, Scaled()), 60.0),
    ],
    ids=["inside jit", "outside jit", "inside grad", "outside grad", "innermost"],
)
def test_a_transform_of_ones_own_stands_anywhere(steps, result):
    assert transform(*steps)(_square)(3.0, n=2) == result


def test_a_transform_of_ones_own_is_taken_bare():
    assert transform(jit, Scaled)(_square)(3.0) == 90.0


def test_a_transform_of_ones_own_is_a_decorator():
    assert Scaled(2.0)(_square)(3.0) == 18.0
    assert jit(Scaled(2.0)(_square))(3.0) == 18.0


def test_equal_transforms_of_ones_own_share_what_they_build():
    traces = []
    f = counting(traces)
    for _ in range(3):
        transform(jit, Scaled(2.0))(f)(3.0)
    assert len(traces) == 1


def test_a_transform_that_cannot_be_hashed_works():
    @dataclass
    class Listed(annotax.Transform):
        factors: list[float]

        def apply(self, core, contract):
            return lambda *slots: sum(self.factors) * core(*slots), contract

    assert [transform(jit, Listed([1.0, 2.0]))(_square)(3.0) for _ in range(2)] == [27.0, 27.0]


def test_a_transform_is_given_slots_by_position_and_the_contract_that_says_what_they_are():
    seen = []

    class Looking(annotax.Transform):
        def apply(self, core, contract):
            def looking(*slots):
                seen.append(dict(zip(contract.names, slots, strict=True)))
                return core(*slots)

            return looking, contract

    @Looking()
    def f(a, /, b, *args, c=3.0, n: Static[int] = 4, **kwargs):
        return a

    f(1.0, 2.0, 5.0, d=6.0)
    assert seen == [{"a": 1.0, "b": 2.0, "args": (5.0,), "c": 3.0, "n": 4, "kwargs": {"d": 6.0}}]


@pytest.mark.parametrize(
    "inside",
    [(), (jit,), (grad,), (value_and_grad,), (annotax.vmap,), (annotax.checkpoint,), (annotax.jacfwd,), (jit, grad)],
    ids=lambda steps: "-".join(map(repr, steps)) or "nothing",
)
def test_a_transform_is_given_a_core_that_is_named_as_the_function(inside):
    seen = []

    class Looking(annotax.Transform):
        def apply(self, core, contract):
            seen.append(core)
            return core, contract

    class Model:
        @staticmethod
        def step(x):
            return x

    value = jnp.ones(2) if annotax.vmap in inside else 1.0
    transform(Looking(), *inside)(Model.step)(value)
    (core,) = seen
    for attribute in ("__name__", "__qualname__", "__module__"):
        assert getattr(core, attribute) == getattr(Model.step, attribute)
    assert inspect.unwrap(core) is Model.step
    assert list(inspect.signature(core).parameters) == ["x"]


def test_a_transform_finds_parameters_by_their_markers():
    found = []

    class Looking(annotax.Transform):
        def apply(self, core, contract):
            found.append((contract.indices(Static), contract.indices(NoDiff)))
            return core, contract

    @transform(jit, Looking())
    def f(a, b: Static[int], *, c: NoDiff[Array], d: Static[str]):
        return a

    f(1.0, 2, c=3.0, d="4")
    assert found == [((1, 3), (2,))]


def test_a_transform_that_declares_a_role_is_heard_by_those_inside_it():
    class Frozen(annotax.Transform):
        def declare(self, contract):
            return contract.change([contract.index("x", "Frozen")], annotax.Role(NoDiff, "frozen"))

        def apply(self, core, contract):
            return core, contract

    assert transform(Frozen(), grad)(lambda w, x: w * x)(2.0, 3.0) == 3.0


def test_outside_grad_the_contract_no_longer_says_what_the_function_returned():
    results = []

    class Looking(annotax.Transform):
        def apply(self, core, contract):
            results.append(contract.result)
            return core, contract

    def f(x: float) -> float:
        return x**2

    transform(Looking(), grad, Looking())(f)(3.0)
    inside, outside = results
    assert inside.hint is float
    assert outside.hint is not float


def test_a_transform_may_give_its_core_options_of_jax():
    class Remat(annotax.Transform):
        def apply(self, core, contract):
            return jax.checkpoint(core, static_argnums=contract.indices(Static)), contract

    assert transform(jit, grad, Remat())(_square)(3.0, n=3) == 27.0


def test_an_override_that_a_transform_makes_names_parameters_as_ours_do():
    class Picky(annotax.Transform):
        def check(self, contract):
            contract.index("missing", "Picky(...)")
            return contract

        def apply(self, core, contract):
            return core, contract

    with pytest.raises(annotax.MarkerError, match=r"_square\(\): Picky\(\.\.\.\) names no parameter"):
        Picky()(_square)


def test_a_transform_that_is_abstract_says_so():
    with pytest.raises(NotImplementedError):
        annotax.Transform()(lambda x: x)(1.0)


# --- the checker of a pipeline ---------------------------------------------------------------------------------------


def _refusing(name: str) -> Callable[[Any, Any], str]:
    return lambda value, hint: f"refused by {name}"


inner_checker, outer_checker = _refusing("inner"), _refusing("outer")


@pytest.mark.parametrize(
    ("decorator", "who"),
    [
        (jit(typechecker=outer_checker), "outer"),
        (grad(typechecker=outer_checker), "outer"),
        (value_and_grad(typechecker=outer_checker), "outer"),
        (transform(jit, grad, typechecker=outer_checker), "outer"),
        (transform(jit, grad(typechecker=inner_checker)), "inner"),
        (transform(jit(typechecker=outer_checker), grad(typechecker=inner_checker)), "outer"),
        (lambda f: jit(typechecker=outer_checker)(grad(typechecker=inner_checker)(f)), "outer"),
        (lambda f: jit(grad(typechecker=inner_checker)(f)), "inner"),
        (lambda f: jit(transform(grad, typechecker=inner_checker)(f)), "inner"),
    ],
)
def test_the_outermost_checker_that_is_named_checks_the_whole_pipeline(decorator, who):
    def f(x: Float[Array, ""]):
        return x

    with pytest.raises(annotax.CheckError, match=f"refused by {who}"):
        decorator(f)(jnp.array(2.0))


def test_none_is_a_checker_that_is_named():
    @transform(jit(typechecker=None), grad(typechecker=outer_checker))
    def f(x: Float[Array, ""]):
        return x**2

    assert f(2.0) == 4.0


# --- nothing outlives its use ----------------------------------------------------------------------------------------


def _alive(references: list[weakref.ref[Any]]) -> list[Any]:
    for _ in range(3):  # what a compiled function holds goes in a later pass than the function
        gc.collect()
    return [reference() for reference in references if reference() is not None]


class Loss:
    """An object with an array."""

    def __init__(self) -> None:
        self.w = jnp.arange(3.0)

    def __call__(self, x: Array) -> Array:
        return jnp.sum(self.w * x)

    def loss(self, x: Array) -> Array:
        return jnp.sum(self.w * x)


@pytest.mark.parametrize(
    "steps",
    [(jit,), (grad,), (jit, grad), (grad, jit), (jit, Scaled(), grad), (value_and_grad(wrt=0),)],
    ids=["jit", "grad", "jit of grad", "grad of jit", "with one's own", "value_and_grad"],
)
@pytest.mark.parametrize("of", [lambda loss: loss.loss, lambda loss: loss], ids=["bound method", "callable object"])
def test_an_object_goes_after_it_went_through_a_pipeline(steps, of):
    def call() -> list[weakref.ref[Any]]:
        loss = Loss()
        transform(*steps)(of(loss))(jnp.ones(3))
        return [weakref.ref(loss), weakref.ref(loss.w)]

    references = call()
    assert _alive(references) == []


def test_an_object_goes_though_its_class_and_the_same_method_of_another_object_stay():
    other = Loss()
    kept = jit(other.loss)
    kept(jnp.ones(3))

    def call() -> list[weakref.ref[Any]]:
        loss = Loss()
        jit(loss.loss)(jnp.ones(3))
        return [weakref.ref(loss), weakref.ref(loss.w)]

    assert _alive(call()) == []
    assert kept(jnp.ones(3)) == 3.0


def test_a_transform_of_ones_own_goes_with_the_function_that_it_transformed():
    class Held(annotax.Transform):
        def apply(self, core, contract):
            return lambda *slots: core(*slots), contract

    def call() -> list[weakref.ref[Any]]:
        held = Held()

        def f(x):
            return x

        transform(jit, held)(f)(1.0)
        return [weakref.ref(held), weakref.ref(f)]

    assert _alive(call()) == []


def test_the_signature_of_a_pipeline_is_the_functions_own():
    assert inspect.signature(transform(jit, grad, Scaled())(_square)) == inspect.signature(_square)


def test_a_pipeline_with_a_transform_of_ones_own_cloudpickles():
    f = transform(jit, Scaled(2.0))(lambda x: x + 1)
    assert f(1.0) == 4.0
    assert cloudpickle.loads(cloudpickle.dumps(f))(1.0) == 4.0


class Indexed:
    by = 10.0

    @grad(wrt=2)
    def slope(self: Static[Any], x: Array, w: Array) -> Array:
        return self.by * x**2 * w**3

    @jit(static=[2])
    def repeated(self: Static[Any], x: Array, n) -> Array:
        assert type(n) is int
        return self.by * x * n

    @annotax.vmap(in_axes={1: 1, "w": None, -1: 1})
    def mapped(self: Static[Any], x: Array, w: Array, y: Array) -> Array:
        return self.by * x * w + y


def test_an_index_counts_from_self_also_where_the_bound_method_is_transformed_further():
    x, w = jnp.array(2.0), jnp.array(3.0)
    assert Indexed().slope(x, w) == 1080.0
    assert jit(Indexed().slope)(x, w) == 1080.0
    assert annotax.eval_shape(Indexed().slope, x, w).shape == ()
    assert annotax.vjp(Indexed().slope, x, w)[1](1.0) == (1080.0, 720.0)
    assert grad(Indexed().repeated)(x, 3) == 30.0
    batch = jnp.ones((1, 2))
    assert jit(Indexed().mapped)(batch, w, batch).shape == (2, 1)


def test_a_method_whose_option_names_self_can_be_bound_and_transformed_further():
    class Model(dict):
        pass

    jax.tree_util.register_pytree_node(Model, lambda m: ((m["w"],), None), lambda _, leaves: Model(w=leaves[0]))

    @grad(wrt="self")
    def slope(self: Any, x: Array) -> Array:
        return self["w"] ** 2 * x

    Model.slope = slope
    got = jit(Model(w=jnp.array(3.0)).slope)(jnp.array(2.0))
    assert got["w"] == 12.0
