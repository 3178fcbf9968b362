"""`pytree`: a frozen dataclass that JAX takes apart by itself, with what is static read from the type hints."""

import copy
import dataclasses
import pickle
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import PartitionSpec as P

import annotax
from annotax import Aux, Axis, Diff, Donate, MarkerError, NoDiff, Static, StaticValueError, jit

T = TypeVar("T")


def relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


@annotax.pytree
class Layer:
    """A class of the module, so that it pickles by name."""

    w: Array
    basis: NoDiff[Array]
    activation: Static[Callable[[Array], Array]]
    table: Annotated[Array, P("model")]
    hidden: Static[int] = 32


def layer(**changes: Any) -> Layer:
    given = {"w": jnp.ones(2), "basis": jnp.zeros(3), "activation": relu, "table": jnp.arange(4.0)}
    return Layer(**(given | changes))


def paths_of(tree: Any) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]


# --- a dataclass and a pytree ----------------------------------------------------------------------------------------


def test_fields_marked_static_are_structure_and_all_others_are_leaves():
    leaves, treedef = jax.tree.flatten(layer())
    assert [leaf.shape for leaf in leaves] == [(2,), (3,), (4,)]
    rebuilt = jax.tree.unflatten(treedef, leaves)
    assert type(rebuilt) is Layer
    assert (rebuilt.activation, rebuilt.hidden) == (relu, 32)


def test_key_paths_have_the_names_of_the_fields():
    assert paths_of({"model": [layer()]}) == ["['model'][0].w", "['model'][0].basis", "['model'][0].table"]


def test_two_objects_have_one_structure_if_their_static_fields_are_equal():
    assert jax.tree.structure(layer()) == jax.tree.structure(layer(w=jnp.zeros(7)))
    assert jax.tree.structure(layer()) != jax.tree.structure(layer(hidden=16))
    assert jax.tree.structure(layer()) != jax.tree.structure(layer(activation=jnp.sin))


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer().w = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del layer().w


def test_it_is_a_dataclass_with_replace_and_a_repr():
    assert dataclasses.is_dataclass(Layer)
    changed = dataclasses.replace(layer(), hidden=8)
    assert changed.hidden == 8
    assert repr(dataclasses.replace(changed, w=1, basis=2, activation=None, table=3)) == (
        "Layer(w=1, basis=2, activation=None, table=3, hidden=8)"
    )
    assert [field.name for field in dataclasses.fields(Layer)] == ["w", "basis", "activation", "table", "hidden"]
    assert Layer.__match_args__ == ("w", "basis", "activation", "table", "hidden")


def test_the_class_is_the_given_one_with_its_documentation():
    class Model:
        """What it is."""

        w: Array

    assert annotax.pytree(Model) is Model
    assert Model.__doc__ == "What it is."


def test_it_is_bare_or_takes_the_options_of_a_dataclass():
    @annotax.pytree()
    class Plain:
        a: int

    @annotax.pytree(order=True, repr=False, match_args=False)
    class Ordered:
        a: int

    @annotax.pytree(eq=False)
    class ByIdentity:
        a: int

    @annotax.pytree(unsafe_hash=True)
    class Hashed:
        a: int

    assert Plain(1) == Plain(1)
    assert Ordered(1) < Ordered(2)
    assert "object at" in repr(Ordered(1))
    assert not hasattr(Ordered, "__match_args__")
    assert ByIdentity(1) != ByIdentity(1)
    assert hash(Hashed(1)) == hash(Hashed(1))
    assert jax.tree.leaves([Plain(1), Ordered(2), ByIdentity(3), Hashed(4)]) == [1, 2, 3, 4]


def test_frozen_is_no_option():
    with pytest.raises(TypeError, match=r"takes no frozen=.*always frozen"):
        annotax.pytree(frozen=False)(type("Model", (), {}))  # type: ignore[call-overload]


def test_a_dataclass_is_refused():
    with pytest.raises(TypeError, match="Model is a dataclass already; drop the other decorator"):

        @annotax.pytree
        @dataclasses.dataclass
        class Model:
            w: int


def test_it_may_have_slots():
    @annotax.pytree(slots=True)
    class Model:
        w: Array
        n: Static[int] = 2

        def doubled(self) -> Self:
            return dataclasses.replace(self, w=self.w * self.n)

    model = Model(1.0)
    assert not hasattr(model, "__dict__")
    assert jax.tree.map(lambda x: x + 1, model.doubled()) == Model(3.0)
    with pytest.raises(StaticValueError, match="static field n is an array"):
        Model(1.0, n=jnp.ones(1))


def test_a_class_with_slots_calls_super_in_its_post_init():
    @annotax.pytree(slots=True)
    class Base:
        w: Any

        def __post_init__(self):
            made.append("base")

    @annotax.pytree(slots=True)
    class Model(Base):
        n: Static[int] = 2

        def __post_init__(self):
            made.append("model")
            super().__post_init__()

    made: list[str] = []
    Model(1.0)
    assert made == ["model", "base"]


def test_keyword_only_fields_and_factories_and_defaults():
    @annotax.pytree(kw_only=True)
    class Model:
        sizes: Static[tuple[int, ...]] = dataclasses.field(default_factory=lambda: (1, 2))
        w: list[float] = dataclasses.field(default_factory=lambda: [1.0, 2.0], repr=False)

    with pytest.raises(TypeError, match="positional"):
        Model((1,))  # type: ignore[misc]
    assert Model().w is not Model().w
    assert jax.tree.leaves(Model(w=[3.0])) == [3.0]
    assert repr(Model()).endswith("Model(sizes=(1, 2))")
    assert jax.tree.map(lambda x: x * 2, Model()) == Model(w=[2.0, 4.0])


def test_a_keyword_only_field_among_others():
    @annotax.pytree
    class Model:
        w: float
        _: dataclasses.KW_ONLY
        n: Static[int] = 1
        b: float = 0.0

    assert jax.tree.leaves(Model(2.0, b=3.0)) == [2.0, 3.0]
    assert jax.tree.map(lambda x: x + 1, Model(2.0, n=5)) == Model(3.0, n=5, b=1.0)


def test_a_class_variable_is_no_field():
    @annotax.pytree
    class Model:
        w: float
        count: ClassVar[int] = 3
        names: ClassVar[Static[tuple[str, ...]]] = ("a",)

    assert jax.tree.leaves(Model(1.0)) == [1.0]
    assert [field.name for field in dataclasses.fields(Model)] == ["w"]


def test_a_field_that_init_does_not_take_is_made_again_by_post_init():
    @annotax.pytree
    class Model:
        w: float
        cache: Any = dataclasses.field(init=False, default="made")

    model = Model(1.0)
    assert jax.tree.leaves(model) == [1.0]
    assert jax.tree.map(lambda x: x + 1, model).cache == "made"


def test_a_static_field_that_init_does_not_take_is_looked_at_too():
    @annotax.pytree
    class Model:
        w: Any
        size: Static[int] = dataclasses.field(init=False)

        def __post_init__(self):
            object.__setattr__(self, "size", np.shape(self.w))

    assert jax.tree.structure(Model(np.ones(2))).num_leaves == 1
    assert Model(np.ones(2)).size == (2,)

    @annotax.pytree
    class Wrong:
        w: Any
        size: Static[Any] = dataclasses.field(init=False)

        def __post_init__(self):
            object.__setattr__(self, "size", np.ones(2))

    with pytest.raises(StaticValueError, match="static field size is an array"):
        Wrong(1.0)


def test_an_init_variable_without_a_default_is_refused_where_jax_would_have_to_give_it():
    with pytest.raises(MarkerError, match="seed is an InitVar without a default") as caught:

        @annotax.pytree
        class Model:
            w: Array
            seed: dataclasses.InitVar[int]
            size: Static[int] = dataclasses.field(init=False)

    assert "classmethod" in str(caught.value)


@pytest.mark.parametrize("default", [{}, {"default": 1.0}], ids=["required", "with a default"])
def test_an_init_variable_counts_once(default):
    @annotax.pytree
    class Model:
        w: Any
        scale: dataclasses.InitVar[float] = dataclasses.field(**default)
        n: Static[int] = 1

        def __post_init__(self, scale):
            object.__setattr__(self, "w", self.w * scale)

    assert jax.tree.map(lambda x: x + 1, Model(2.0, scale=3.0)).w == 7.0


@pytest.mark.parametrize("slots", [False, True])
def test_what_init_and_post_init_check_and_convert_is_what_a_caller_gives(slots):
    @annotax.pytree(slots=slots)
    class Model:
        w: Any
        names: Static[tuple[str, ...]]

        def __post_init__(self):
            object.__setattr__(self, "w", np.asarray(self.w, float))
            object.__setattr__(self, "names", tuple(self.names))
            if not (self.w > 0).all():
                raise ValueError("not positive")

    model = Model([1, 2], ["a"])
    with pytest.raises(ValueError, match="not positive"):
        Model([-1], ["a"])
    assert jax.tree.map(lambda x: None, model).w is None
    doubled = annotax.jit(lambda model: jax.tree.map(lambda x: -2 * x, model))(model)
    assert doubled.w.tolist() == [-2.0, -4.0]
    assert doubled.names == ("a",)
    assert annotax.grad(lambda model: -jnp.sum(model.w))(model).w.tolist() == [-1.0, -1.0]


# --- classes that differ in nothing but what they are ----------------------------------------------------------------


def test_classes_of_the_same_fields_share_no_structure_and_no_trace():
    # JAX 0.10 takes those of `register_dataclass` for equal, and answers for one in six with what another has compiled.
    same = annotax.jit(lambda model: model)
    through = annotax.jit(lambda model: same(model))
    structures = []
    for _ in range(200):

        @annotax.pytree
        class Model:
            w: Any
            n: Static[int] = 1

        structures.append(jax.tree.structure(Model(1.0)))
        assert [type(made) for made in (same(Model(1.0)), through(Model(1.0)))] == [Model, Model]
    assert not any(structures[0] == other for other in structures[1:])
    assert same.traces[-1].number == 200


def test_a_subclass_that_freezes_a_field_is_not_taken_for_its_base():
    of = annotax.transform(annotax.jit, annotax.grad)(lambda model: model.w * model.b)
    for _ in range(50):

        @annotax.pytree
        class Base:
            w: Array
            b: Array

        @annotax.pytree
        class Frozen(Base):
            b: NoDiff[Array]

        assert of(Base(1.0, 2.0)).b == 1.0
        assert of(Frozen(1.0, 2.0)).b is None


def test_dataclasses_of_the_same_fields_that_hold_functions_are_not_mixed_up():
    def registered():
        return jax.tree_util.register_dataclass(
            dataclasses.dataclass(type("Pair", (), {"__annotations__": {"f": Any, "w": Any}})), ["f", "w"], []
        )

    one, other = registered(), registered()

    @annotax.jit
    def same(pair: Any):
        return pair

    for kind in (one, one, other, one, other):
        assert type(same(kind(jnp.sin, 1.0))) is kind


def test_an_init_of_ones_own_is_kept():
    @annotax.pytree(init=False)
    class Model:
        w: Any
        n: Static[int]

        def __init__(self, w, n=1):
            object.__setattr__(self, "w", w)
            object.__setattr__(self, "n", n)

    assert jax.tree.map(lambda x: x + 1, Model(1.0, n=4)).n == 4


# --- inheritance, generics, methods ----------------------------------------------------------------------------------


def test_a_subclass_has_the_fields_of_its_base_with_their_markers():
    @annotax.pytree
    class Base:
        w: Array
        n: Static[int]
        basis: NoDiff[Array]

    @annotax.pytree
    class Model(Base):
        b: Array
        kind: Static[str] = "a"

    model = Model(jnp.ones(()), 3, jnp.ones(()), jnp.ones(()))
    assert paths_of(model) == [".w", ".basis", ".b"]
    assert annotax.mask(model) == Model(True, 3, False, True)
    with pytest.raises(StaticValueError, match=r"Model\(\): static field n is an array"):
        Model(1, jnp.ones(2), 1, 1)


def test_a_subclass_may_change_the_marker_of_a_field():
    @annotax.pytree
    class Base:
        w: NoDiff[Array]
        n: Static[int]

    @annotax.pytree
    class Model(Base):
        w: Array
        n: int

    assert paths_of(Model(1.0, 2)) == [".w", ".n"]
    assert annotax.mask(Model(1.0, 2)) == Model(True, False)
    assert annotax.mask(Base(1.0, 2)) == Base(False, 2)
    Model(1.0, jnp.ones(3))


def test_a_subclass_that_is_not_decorated_is_no_pytree_of_its_own():
    class Model(Layer):
        pass

    model = Model(1.0, 2.0, jnp.sin, 3.0)
    assert jax.tree.leaves(model) == [model]


def test_several_bases():
    @annotax.pytree
    class Weights:
        w: Any

    @annotax.pytree
    class Options:
        n: Static[int] = 1

    @annotax.pytree
    class Model(Options, Weights):
        pass

    assert jax.tree.map(lambda x: x + 1, Model(1.0, 2)) == Model(2.0, 2)


def test_a_generic_class():
    @annotax.pytree
    class Box(Generic[T]):
        value: T
        frozen: NoDiff[T]
        name: Static[T]

    box = Box[Any](1.0, 2.0, "a")
    assert paths_of(box) == [".value", ".frozen"]
    assert annotax.mask(box) == Box(True, False, "a")

    @annotax.pytree
    class Numbers(Box[float]):
        more: float

    assert annotax.mask(Numbers(1.0, 2.0, 3.0, 4.0)) == Numbers(True, False, 3.0, True)


def test_methods_properties_and_class_methods_are_kept():
    @annotax.pytree
    class Linear:
        w: Array
        b: Array

        @classmethod
        def zeros(cls, size: int) -> Self:
            return cls(jnp.zeros(size), jnp.zeros(()))

        @property
        def size(self) -> int:
            return self.w.size

        def __call__(self, x: Array) -> Array:
            return self.w @ x + self.b

    linear = Linear.zeros(3)
    assert linear.size == 3
    assert jit(lambda model, x: model(x))(linear, jnp.ones(3)) == 0.0


def test_nested_pytrees():
    @annotax.pytree
    class Model:
        layers: list[Layer]
        head: Layer | None = None

    assert paths_of(Model([layer()])) == [".layers[0].w", ".layers[0].basis", ".layers[0].table"]


def test_a_class_is_defined_again_as_in_a_notebook():
    for times in (1, 2, 3):

        @annotax.pytree
        class Model:
            w: float
            n: Static[int] = times

        assert jax.tree.map(lambda x: x + 1, Model(1.0)) == Model(2.0, n=times)
        assert jit(lambda model: model.w * model.n)(Model(1.0)) == times


def test_a_function_of_a_class_that_was_defined_again_is_traced_again():
    seen = []

    @jit
    def f(model):
        seen.append(type(model))
        return model.w

    for n in (1, 2):

        @annotax.pytree
        class Model:
            w: float
            n: Static[int] = 1

        assert f(Model(float(n))) == n
        assert seen[-1] is Model


# --- copies and pickles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "through",
    [
        lambda x: pickle.loads(pickle.dumps(x)),
        copy.copy,
        copy.deepcopy,
        lambda x: cloudpickle.loads(cloudpickle.dumps(x)),
    ],
    ids=["pickle", "copy", "deepcopy", "cloudpickle"],
)
def test_an_object_is_pickled_and_copied(through):
    got = through(layer())
    assert type(got) is Layer
    assert jax.tree.structure(got) == jax.tree.structure(layer())
    assert np.array_equal(got.table, layer().table)


@pytest.mark.parametrize("slots", [False, True])
def test_a_local_class_is_cloudpickled(slots):
    @annotax.pytree(slots=slots)
    class Model:
        w: float
        n: Static[int] = 1

    assert cloudpickle.loads(cloudpickle.dumps(Model))(1.0).n == 1
    assert cloudpickle.loads(cloudpickle.dumps(Model(2.0))).w == 2.0


# --- what a static field refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "problem", "got"),
    [
        (jnp.ones(2), "is an array", "float32[2]"),
        (np.ones(2), "is an array", "numpy float64[2]"),
        ((1, np.ones(2)), "is not hashable", "tuple of 2"),
        ([1, 2], "is not hashable", "list of 2"),
        ({"a": 1}, "is not hashable", "dict of 1"),
        ({1}, "is not hashable", "set"),
    ],
    ids=["jax array", "numpy array", "tuple with an array", "list", "dict", "set"],
)
def test_a_static_field_refuses_arrays_and_unhashable_values_when_the_object_is_made(value, problem, got):
    with pytest.raises(StaticValueError) as caught:
        layer(hidden=value)
    text = str(caught.value)
    assert text.startswith(f"{__name__}.Layer(): static field hidden {problem}")
    assert got in text
    assert "fix" in text
    with pytest.raises(StaticValueError, match=re.escape(problem)):
        dataclasses.replace(layer(), hidden=value)


@pytest.mark.parametrize("through", [jit, jax.jit, jax.grad], ids=["jit", "jax.jit", "jax.grad"])
def test_a_static_field_refuses_a_tracer(through):
    with pytest.raises(StaticValueError, match=r"Layer\(\): static field hidden is a traced value"):
        through(lambda x: layer(hidden=x).w.sum())(1.0)


@pytest.mark.parametrize(
    "value", [3, 2.5, True, None, "a", (1, "b"), int, frozenset({1}), np.float32(1), jnp.dtype("int8")]
)
def test_a_static_field_takes_what_is_hashable(value):
    assert layer(hidden=value).hidden is value


def test_a_static_field_given_by_default_or_by_a_factory_is_looked_at():
    with pytest.raises(MarkerError, match=r"Model\(\): field n is Static, but its default is an array"):

        @annotax.pytree
        class Model:
            n: Static[Any] = jnp.float32(2)

    @annotax.pytree
    class Made:
        n: Static[Any] = dataclasses.field(default_factory=lambda: jnp.ones(2))

    with pytest.raises(StaticValueError, match=r"Made\(\): static field n is an array"):
        Made()


def test_a_field_marked_static_in_metadata_is_static_too():
    @annotax.pytree
    class Model:
        w: Any
        n: Any = dataclasses.field(default=2, metadata={"static": True})

    assert paths_of(Model(1.0)) == [".w"]
    with pytest.raises(StaticValueError, match="static field n is an array"):
        Model(1.0, n=jnp.ones(2))


def test_the_error_names_the_class_though_a_base_declares_the_field():
    @annotax.pytree
    class Base:
        n: Static[int]

    @annotax.pytree
    class Model(Base):
        w: Any = None

    with pytest.raises(StaticValueError, match=r"<locals>\.Model\(\): static field n"):
        Model(np.ones(2))


def test_placeholders_are_accepted_in_all_traced_fields():
    leaves, treedef = jax.tree.flatten(layer())
    for placeholder in (object(), None, "text", jax.ShapeDtypeStruct((), "float32"), True, jax.tree_util.Partial(int)):
        assert jax.tree.unflatten(treedef, [placeholder] * len(leaves)).w is placeholder
    jax.tree.map(lambda x: [x], layer())
    jax.vmap(lambda model: model.w, in_axes=(layer(w=0, basis=None, table=None),))(layer())
    assert jax.tree.map(lambda x: x.shape, layer()).w == (2,)
    jax.tree.transpose(jax.tree.structure(layer()), None, jax.tree.map(lambda x: (x, x), layer()))


def test_a_post_init_of_the_users_own_runs_before_the_look_at_static_fields():
    @annotax.pytree
    class Model:
        w: Any
        sizes: Static[tuple[int, ...]]

        def __post_init__(self):
            object.__setattr__(self, "sizes", tuple(self.sizes))

    assert Model(1.0, [1, 2]).sizes == (1, 2)


def test_a_post_init_that_calls_that_of_its_base():
    made = []

    @annotax.pytree
    class Base:
        n: Static[int]

        def __post_init__(self):
            made.append(f"base {self.n}")

    @annotax.pytree
    class Model(Base):
        w: Any = None
        m: Static[int] = 1

        def __post_init__(self):
            made.append("model")
            super().__post_init__()

    @annotax.pytree
    class Silent(Model):
        k: Static[int] = 2

    Model(1)
    assert made == ["model", "base 1"]
    Silent(2)
    assert made == ["model", "base 1", "model", "base 2"]
    with pytest.raises(StaticValueError, match="static field k"):
        Silent(2, k=np.ones(1))
    with pytest.raises(StaticValueError, match="static field n"):
        Silent(np.ones(1))


def test_a_class_method_that_validates_is_the_way_that_works():
    @annotax.pytree
    class Unit:
        w: Array

        @classmethod
        def of(cls, w: Array) -> Self:
            if w.ndim != 1:
                raise ValueError("not a vector")
            return cls(w / jnp.linalg.norm(w))

    with pytest.raises(ValueError, match="not a vector"):
        Unit.of(jnp.ones(()))
    assert jit(lambda unit: unit)(Unit.of(jnp.ones(4))).w.tolist() == [0.5] * 4


# --- markers that cannot be honoured ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        (Diff[Array], "Diff"),
        (Donate[Array], "Donate"),
        (Aux[Array], "Aux"),
        (list[NoDiff[Array]], "NoDiff"),
        (dict[str, Static[int]], "Static"),
        (Static[Any] | None, "Static"),
        (Annotated[Array, Axis], "Axis"),
        (Annotated[Array, P], "P"),
    ],
    ids=str,
)
def test_a_marker_that_has_no_meaning_on_a_field_raises_and_names_the_field(hint, shown):
    with pytest.raises(MarkerError, match=rf"Model\(\): field w has the marker {shown}") as caught:
        annotax.pytree(type("Model", (), {"__annotations__": {"w": hint}, "__module__": __name__}))
    assert "fix" in str(caught.value)


@pytest.mark.parametrize(
    ("hint", "first", "second"),
    [
        (Annotated[Array, Static, Axis(0)], "Static", "Axis"),
        (Annotated[Array, Static, P("data")], "Static", "P"),
        (Annotated[Array, P("data"), P("model")], "P", "P"),
        (Annotated[Array, Axis(0), Axis(1)], "Axis", "Axis"),
    ],
    ids=str,
)
def test_markers_on_one_field_that_contradict_each_other_raise(hint, first, second):
    with pytest.raises(MarkerError, match=rf"(?s)Model\(\): field w.*{first}.*{second}"):
        annotax.pytree(type("Model", (), {"__annotations__": {"w": hint}, "__module__": __name__}))


def test_several_markers_on_one_field_go_together():
    @annotax.pytree
    class Model:
        w: Annotated[Array, NoDiff, Axis(1), Axis(None, "time"), P("data"), "a comment"]

    assert annotax.mask(Model(1.0)) == Model(False)


# --- through the transforms ------------------------------------------------------------------------------------------


def test_it_goes_through_jit_as_argument_and_as_result():
    traces = []

    @jit
    def step(model: Layer) -> Layer:
        traces.append(model.hidden)
        return dataclasses.replace(model, w=model.activation(model.w) + model.hidden)

    got = step(step(layer()))
    np.testing.assert_allclose(got.w, np.full(2, 65.0))
    assert (got.activation, got.hidden) == (relu, 32)
    step(layer(hidden=8))
    assert traces == [32, 8]


def test_it_goes_through_scan_and_cond():
    def body(model, x):
        return dataclasses.replace(model, w=model.w + x), model.w

    got, history = jax.lax.scan(body, layer(), jnp.ones((3, 2)))
    assert got.w.tolist() == [4.0, 4.0]
    assert history.shape == (3, 2)
    same = jax.lax.cond(True, lambda model: model, lambda model: jax.tree.map(lambda x: x * 2, model), layer())
    assert same.hidden == 32
