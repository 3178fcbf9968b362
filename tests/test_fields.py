"""Markers on the fields of anyone's pytree classes: what is differentiated in an argument that is so only in part."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import jax_dataclasses
import numpy as np
import optax
import pytest
from jax import Array
from jax.sharding import PartitionSpec as P

import annotax
from annotax import (
    Axis,
    Diff,
    DifferentiationError,
    MarkerError,
    NoDiff,
    Static,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    linearize,
    transform,
    value_and_grad,
    vjp,
)

T = TypeVar("T")

BOTH = pytest.mark.parametrize("through", [grad, transform(jit, grad)], ids=["eager", "compiled"])


# --- one class of each kind, with the same fields --------------------------------------------------------------------


@annotax.pytree
class Ours:
    w: Array
    basis: NoDiff[Array]
    steps: Array
    name: Static[str] = "model"


class Equinox(eqx.Module):
    w: Array
    basis: NoDiff[Array]
    steps: Array
    name: str = eqx.field(static=True, default="model")


@flax.struct.dataclass
class Flax:
    w: Array
    basis: Annotated[Array, NoDiff]
    steps: Array
    name: str = flax.struct.field(pytree_node=False, default="model")


class Named(NamedTuple):
    w: Array
    basis: NoDiff[Array]
    steps: Array


@jax_dataclasses.pytree_dataclass
class JaxDataclass:
    w: Array
    basis: NoDiff[Array]
    steps: Array
    name: jax_dataclasses.Static[str] = "model"


@functools.partial(jax.tree_util.register_dataclass, data_fields=["steps", "w", "basis"], meta_fields=["name"])
@dataclasses.dataclass
class Registered:
    w: Array
    basis: NoDiff[Array]
    steps: Array
    name: str = "model"


@jax.tree_util.register_pytree_node_class
class NodeClass:
    w: Array
    basis: NoDiff[Array]
    steps: Array

    def __init__(self, w, basis, steps):
        self.w, self.basis, self.steps = w, basis, steps

    def tree_flatten(self):
        return (self.steps, self.w, self.basis), None

    @classmethod
    def tree_unflatten(cls, _, children):
        steps, w, basis = children
        return cls(w, basis, steps)


@jax.tree_util.register_pytree_with_keys_class
class WithKeys:
    w: Array
    basis: NoDiff[Array]
    steps: Array

    def __init__(self, w, basis, steps):
        self.w, self.basis, self.steps = w, basis, steps

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        return ((key("basis"), self.basis), (key("steps"), self.steps), (key("w"), self.w)), None

    @classmethod
    def tree_unflatten(cls, _, children):
        basis, steps, w = children
        return cls(w, basis, steps)


KINDS = [Ours, Equinox, Flax, Named, JaxDataclass, Registered, NodeClass, WithKeys]
every_kind = pytest.mark.parametrize("kind", KINDS)

W, BASIS = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 0.7, -1.1])


def made(kind: Any) -> Any:
    return kind(W, BASIS, jnp.array(2))


@annotax.pytree
class Outer:
    inner: Any
    scale: float = 1.0


DEPTHS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "itself": (lambda model: model, lambda tree: tree),
    "list": (lambda model: [model], lambda tree: tree[0]),
    "dict": (lambda model: {"a": model}, lambda tree: tree["a"]),
    "tuple": (lambda model: (model,), lambda tree: tree[0]),
    "deep": (lambda model: {"a": [(model, {})]}, lambda tree: tree["a"][0][0]),
    "another model": (lambda model: Outer(model), lambda tree: tree.inner),
}
every_depth = pytest.mark.parametrize(("wrap", "unwrap"), DEPTHS.values(), ids=DEPTHS)


def value(w: Any, basis: Any, steps: Any) -> Any:
    return jnp.sum(jnp.sin(w * basis) ** steps)


def values(w: Any, basis: Any, steps: Any) -> Any:
    return jnp.sin(w * basis) ** steps


def of_model(function: Callable[..., Any], unwrap: Any = lambda tree: tree) -> Callable[..., Any]:
    """The function of a tree that holds a model somewhere."""

    def f(tree: Any) -> Any:
        model = unwrap(tree)
        return function(model.w, model.basis, model.steps)

    return f


def check_frozen(part: Any, kind: Any) -> None:
    """Whether a part of a result is an object of the class with `None` where nothing is differentiated."""
    assert type(part) is kind
    assert part.basis is None
    assert part.steps is None


# --- every transform that differentiates -----------------------------------------------------------------------------


@every_kind
@every_depth
@BOTH
def test_a_gradient_leaves_out_what_a_field_freezes_and_what_has_no_gradient(through, kind, wrap, unwrap):
    gradient = through(of_model(value, unwrap))(wrap(made(kind)))
    assert type(gradient) is type(wrap(made(kind)))
    check_frozen(unwrap(gradient), kind)
    np.testing.assert_allclose(unwrap(gradient).w, jax.grad(value)(W, BASIS, 2), rtol=1e-6)


@every_kind
def test_the_value_comes_with_the_gradient(kind):
    got, gradient = value_and_grad(of_model(value))(made(kind))
    np.testing.assert_allclose(got, value(W, BASIS, 2), rtol=1e-6)
    check_frozen(gradient, kind)


@every_kind
@every_depth
@pytest.mark.parametrize("through", [jacfwd, transform(jit, jacrev)], ids=["forward", "compiled reverse"])
def test_a_jacobian_leaves_it_out_too(through, kind, wrap, unwrap):
    jacobian = unwrap(through(of_model(values, unwrap))(wrap(made(kind))))
    check_frozen(jacobian, kind)
    np.testing.assert_allclose(jacobian.w, jax.jacfwd(values)(W, BASIS, 2), rtol=1e-5)


@every_kind
@pytest.mark.parametrize("through", [hessian, transform(jit, hessian)], ids=["eager", "compiled"])
def test_a_hessian_leaves_it_out_on_both_levels(through, kind):
    rows = through(of_model(value))(made(kind))
    check_frozen(rows, kind)
    check_frozen(rows.w, kind)
    np.testing.assert_allclose(rows.w.w, jax.hessian(value)(W, BASIS, 2), rtol=1e-5)


@every_kind
@every_depth
def test_a_pullback_leaves_it_out(kind, wrap, unwrap):
    result, pullback = vjp(of_model(values, unwrap), wrap(made(kind)))
    expected, pull = jax.vjp(lambda w: values(w, BASIS, 2), W)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    pulled = unwrap(pullback(jnp.ones(3)))
    check_frozen(pulled, kind)
    np.testing.assert_allclose(pulled.w, pull(jnp.ones(3))[0], rtol=1e-6)


@every_kind
@pytest.mark.parametrize("filler", [None, "like the argument"])
def test_a_tangent_may_have_anything_there(kind, filler):
    model = made(kind)
    tangent = kind(jnp.ones(3), None, None) if filler is None else kind(jnp.ones(3), BASIS, jnp.array(2))
    expected = jax.jvp(lambda w: values(w, BASIS, 2), (W,), (jnp.ones(3),))
    for got in (jvp(of_model(values), (model,), (tangent,)), jvp(of_model(values), {"tree": model}, {"tree": tangent})):
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-6)
    result, linear = linearize(of_model(values), model)
    np.testing.assert_allclose(result, expected[0], rtol=1e-6)
    np.testing.assert_allclose(linear(tangent), expected[1], rtol=1e-6)


@every_kind
def test_nothing_of_the_class_is_changed_and_nothing_wraps_the_values(kind):
    seen = []

    @jit
    @grad
    def f(model: kind):  # type: ignore[valid-type]
        seen.append((type(model), type(model.basis).__name__))
        return jnp.sum(model.w * model.basis)

    before = dict(vars(kind))
    f(made(kind))
    assert seen[0][0] is kind
    assert "Tracer" in seen[0][1]
    assert {name for name in vars(kind) if name not in before} <= {"__weakref__"}


@every_kind
def test_the_hint_of_the_parameter_changes_nothing(kind):
    def f(model):
        return value(model.w, model.basis, model.steps)

    for hint in (kind, Any, kind | None):
        f.__annotations__["model"] = hint
        check_frozen(grad(f)(made(kind)), kind)


def test_a_gradient_of_a_model_with_nothing_frozen_is_that_of_jax():
    @annotax.pytree
    class Model:
        w: Array
        b: Array

    def loss(model):
        return jnp.sum(jnp.tanh(model.w) * model.b)

    model = Model(W, BASIS)
    ours, theirs = grad(loss)(model), jax.grad(loss)(model)
    assert all(np.array_equal(*pair) for pair in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))


# --- what a NoDiff field freezes -------------------------------------------------------------------------------------


def test_a_nodiff_field_freezes_all_that_is_below_it():
    @annotax.pytree
    class Model:
        backbone: NoDiff[dict[str, list[Array]]]
        head: dict[str, Array]

    def loss(model):
        return sum(map(jnp.sum, jax.tree.leaves(jax.tree.map(lambda x: x**2, model))))

    model = Model({"a": [W, W]}, {"b": W})
    gradient = grad(loss)(model)
    assert gradient.backbone == {"a": [None, None]}
    np.testing.assert_allclose(gradient.head["b"], 2 * W)


def test_a_field_inside_a_frozen_one_stays_frozen():
    @annotax.pytree
    class Inner:
        a: Array
        b: NoDiff[Array]

    @annotax.pytree
    class Model:
        inner: NoDiff[Inner]
        w: Array

    gradient = grad(lambda model: model.inner.a * model.inner.b * model.w)(Model(Inner(1.0, 2.0), 3.0))
    assert gradient == Model(Inner(None, None), 2.0)


def test_several_models_in_one_argument_and_several_arguments():
    def loss(models: list[Any], more: Any, x: NoDiff[Array]):
        return sum(jnp.sum(model.w * model.basis) for model in (*models, more)) * jnp.sum(x)

    gradient, more = grad(loss)([made(Ours), made(Equinox)], made(Flax), jnp.ones(2))
    for part, kind in zip((*gradient, more), (Ours, Equinox, Flax), strict=True):
        check_frozen(part, kind)
        np.testing.assert_allclose(part.w, 2 * BASIS, rtol=1e-6)


def test_a_model_in_args_and_kwargs():
    def loss(*models: Any, **more: Any):
        return sum(jnp.sum(model.w * model.basis) for model in (*models, *more.values()))

    models, more = grad(loss)(made(Ours), made(Named), one=made(Flax))
    check_frozen(models[0], Ours)
    check_frozen(models[1], Named)
    check_frozen(more["one"], Flax)


def test_a_method_that_is_differentiated_freezes_fields_of_self():
    @annotax.pytree
    class Model:
        w: Array
        basis: NoDiff[Array]

        @grad
        def loss(self, x: NoDiff[Array]) -> Array:
            return jnp.sum(self.w * self.basis * x)

    gradient = Model(W, BASIS).loss(2.0)
    assert gradient.basis is None
    np.testing.assert_allclose(gradient.w, 2 * BASIS)


@pytest.mark.parametrize(
    "leaf",
    [jnp.array(3), jnp.array(True), jax.random.key(0), jnp.sin, "text", b"bytes", int, 3, True, np.arange(2), None],
    ids=lambda leaf: type(leaf).__name__ if " at 0x" in repr(leaf) else repr(leaf),
)
@BOTH
def test_a_leaf_that_has_no_gradient_gets_none_without_a_marker(through, leaf):
    @annotax.pytree
    class Model:
        w: Array
        other: Any

    assert through(lambda model: model.w * 3.0)(Model(2.0, leaf)) == Model(3.0, None)


@BOTH
def test_floats_of_python_and_numpy_and_complex_numbers_have_a_gradient(through):
    @annotax.pytree
    class Model:
        a: float
        b: Any
        c: complex

    gradient = through(lambda model: model.a * jnp.sum(model.b) + jnp.real(model.c))(Model(2.0, np.ones(2), 1 + 1j))
    assert gradient.a == 2.0
    assert gradient.b.tolist() == [2.0, 2.0]
    assert gradient.c == 1.0


def test_a_field_that_is_none_stays_none():
    @annotax.pytree
    class Model:
        w: Array
        bias: NoDiff[Array | None] = None
        more: Array | None = None

    assert grad(lambda model: model.w * 2)(Model(1.0)) == Model(2.0)


@BOTH
def test_a_model_of_which_all_is_frozen_raises(through):
    @annotax.pytree
    class Model:
        basis: NoDiff[Array]

    with pytest.raises(DifferentiationError, match="grad finds nothing to differentiate in argument model") as caught:
        through(lambda model: jnp.sum(model.basis))(Model(W))
    assert "Model" in str(caught.value)


def test_a_frozen_model_beside_one_that_trains_gets_none_unless_it_was_asked_for():
    @annotax.pytree
    class Model:
        basis: NoDiff[Array]

    def loss(w, model):
        return w * model.basis

    assert grad(loss)(2.0, Model(3.0)) == (3.0, Model(None))
    with pytest.raises(DifferentiationError, match="argument model"):
        grad(loss, wrt=["w", "model"])(2.0, Model(3.0))

    @grad
    def asked(w: Diff[Any], model: Diff[Any]):
        return w * model.basis

    with pytest.raises(DifferentiationError, match="argument model"):
        asked(2.0, Model(3.0))


def test_a_frozen_field_is_still_traced():
    seen = []

    @jit
    def f(model: Ours) -> Array:
        seen.append(model.basis)
        return model.basis * 2

    for factor in (1.0, 2.0, 3.0):
        assert np.array_equal(f(dataclasses.replace(made(Ours), basis=BASIS * factor)), BASIS * factor * 2)
    assert len(seen) == 1


def test_second_derivatives_through_grad_of_grad():
    def first(model: Ours) -> Array:
        return jnp.sum(grad(of_model(value))(model).w)

    gradient = grad(first)(made(Ours))
    check_frozen(gradient, Ours)
    np.testing.assert_allclose(gradient.w, jnp.sum(jax.hessian(value)(W, BASIS, 2), 0), rtol=1e-5)


def test_allow_int_gives_integers_a_gradient_but_not_a_frozen_field():
    gradient = grad(of_model(value), allow_int=True)(made(Ours))
    assert gradient.basis is None
    assert gradient.steps.dtype == jax.dtypes.float0


def test_aux_goes_with_a_model_that_is_frozen_in_part():
    def loss(model: Ours) -> tuple[Array, annotax.Aux[Array]]:
        return jnp.sum(model.w * model.basis), model.w

    gradient, aux = grad(loss)(made(Ours))
    check_frozen(gradient, Ours)
    assert np.array_equal(aux, W)


def test_the_other_markers_on_a_field_do_not_freeze_it():
    @annotax.pytree
    class Model:
        a: Annotated[Array, Axis(0)]
        b: Annotated[Array, P("data")]

    assert grad(lambda model: model.a * model.b)(Model(2.0, 3.0)) == Model(3.0, 2.0)


# --- training --------------------------------------------------------------------------------------------------------


@every_kind
def test_adamw_with_weight_decay_leaves_a_frozen_field_bit_identical(kind):
    optimiser = optax.adamw(0.1, weight_decay=0.5)

    @jit
    def step(model, state):
        gradient = grad(of_model(value))(model)
        trained, frozen = annotax.partition(model)
        updates, state = optimiser.update(gradient, state, trained)
        return annotax.combine(optax.apply_updates(trained, updates), frozen), state

    model = made(kind)
    trained, state = model, optimiser.init(annotax.partition(model)[0])
    for _ in range(3):
        trained, state = step(trained, state)
    assert type(trained) is kind
    assert np.asarray(trained.basis).tobytes() == np.asarray(BASIS).tobytes()
    assert trained.steps == 2
    assert not np.allclose(trained.w, W)


# --- classes that cannot be honoured ---------------------------------------------------------------------------------


def _refused(model: Any, *parts: str) -> None:
    for call in (lambda: grad(lambda model: jnp.sum(model.w))(model), lambda: annotax.mask([model])):
        with pytest.raises(MarkerError) as caught:
            call()
        for part in (type(model).__qualname__, *parts, "fix"):
            assert part in str(caught.value)


def test_a_class_whose_parts_cannot_be_told_from_one_another_raises():
    @jax.tree_util.register_pytree_node_class
    class Model:
        w: Array
        basis: NoDiff[Array]

        def __init__(self, w, basis):
            self.both = (w * 1, basis * 1)

        @property
        def w(self):
            return self.both[0] + 0

        @property
        def basis(self):
            return self.both[1] + 0

        def tree_flatten(self):
            return self.both, None

        @classmethod
        def tree_unflatten(cls, _, children):
            model = object.__new__(cls)
            model.both = tuple(children)
            return model

    _refused(Model(W, BASIS), "the markers on basis cannot be honoured", "does not tell which part is which field")


def test_a_class_that_changes_its_fields_when_it_is_taken_apart_raises():
    @jax.tree_util.register_pytree_node_class
    class Model:
        w: float
        basis: NoDiff[float]

        def __init__(self, w, basis):
            self.w, self.basis = w, basis

        def tree_flatten(self):
            return ({"w": self.w, "basis": self.basis},), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(**children[0])

    _refused(Model(W, BASIS), "the markers on basis cannot be honoured")


def test_a_class_without_markers_may_be_taken_apart_in_any_way():
    @jax.tree_util.register_pytree_node_class
    class Model:
        w: Array
        b: Array

        def __init__(self, *both):
            self.both = both

        def tree_flatten(self):
            return self.both, None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    assert grad(lambda model: model.both[0] * model.both[1])(Model(2.0, 3.0)).both == (3.0, 2.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda fields: type("Model", (eqx.Module,), fields),
        lambda fields: flax.struct.dataclass(type("Model", (), fields)),
        lambda fields: jax_dataclasses.pytree_dataclass(type("Model", (), fields)),
        lambda fields: jax.tree_util.register_dataclass(dataclasses.dataclass(type("Model", (), fields))),
    ],
    ids=["equinox", "flax", "jax_dataclasses", "register_dataclass"],
)
def test_static_on_a_field_that_a_foreign_class_traces_raises(make):
    model = make({"__annotations__": {"w": Array, "n": Static[int]}, "__module__": __name__})
    _refused(model(W, 3), "field n is marked Static, but the class is registered with it as data", "metadata")


def test_static_on_a_field_of_a_named_tuple_raises():
    class Model(NamedTuple):
        w: Array
        n: Static[int]

    _refused(Model(W, 3), "field n is marked Static")


@pytest.mark.parametrize(
    "make",
    [
        lambda: type(
            "Model",
            (eqx.Module,),
            {
                "__annotations__": {"w": Array, "n": Static[int]},
                "n": eqx.field(static=True),
                "__module__": __name__,
            },
        ),
        lambda: flax.struct.dataclass(
            type(
                "Model",
                (),
                {
                    "__annotations__": {"w": Array, "n": Static[int]},
                    "n": flax.struct.field(pytree_node=False),
                    "__module__": __name__,
                },
            )
        ),
    ],
    ids=["equinox", "flax"],
)
def test_static_on_a_field_that_a_foreign_class_holds_as_metadata_is_fine(make):
    model = make()(jnp.array(2.0), 3)
    gradient = grad(lambda model: model.w * model.n)(model)
    assert (gradient.w, gradient.n) == (3.0, 3)


@pytest.mark.parametrize("marker", [Axis(0), P("data"), NoDiff], ids=str)
def test_a_marker_on_a_field_that_is_metadata_raises_unless_it_says_the_same(marker):
    class Model(eqx.Module):
        w: Array
        n: Annotated[int, marker] = eqx.field(static=True)

    model = Model(W, 3)
    if marker is NoDiff:  # metadata has no gradient anyway
        assert grad(lambda model: jnp.sum(model.w))(model).n == 3
    else:
        _refused(model, f"field n is marked {marker!r}, but it is no part of what JAX traces")


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        (Diff[Array], "Diff"),
        (annotax.Donate[Array], "Donate"),
        (annotax.Aux[Array], "Aux"),
        (list[NoDiff[Array]], "NoDiff"),
    ],
    ids=str,
)
def test_a_marker_that_has_no_meaning_on_a_field_of_a_foreign_class_raises(hint, shown):
    model = type("Model", (eqx.Module,), {"__annotations__": {"w": hint}, "__module__": __name__})
    _refused(model(W), f"field w has the marker {shown} where it cannot be honoured")


# --- how a class may be written --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [annotax.pytree, flax.struct.dataclass, jax_dataclasses.pytree_dataclass])
def test_hints_that_are_strings(make):
    @make
    class Model:
        w: "Array"
        basis: "NoDiff[Array]"
        other: "Annotated[Array, NoDiff]"
        count: "ClassVar[int]" = 3

    assert grad(lambda model: model.w * model.basis * model.other)(Model(2.0, 3.0, 4.0)) == Model(12.0, None, None)


def test_a_string_hint_of_names_that_are_local_to_the_function_that_makes_the_class():
    Frozen = NoDiff

    @annotax.pytree
    class Model:
        w: Array
        basis: "Frozen[Array]"

    assert grad(lambda model: model.w * model.basis)(Model(2.0, 3.0)) == Model(3.0, None)


@pytest.mark.parametrize("hint", ["NoDiff[jnp.no_such_name]", "NoSuchName.NoDiff[Array]", "Annotated[Array, Axis(N)]"])
def test_a_hint_that_may_hold_a_marker_and_cannot_be_read_raises(hint):
    model = type("Model", (eqx.Module,), {"__annotations__": {"w": Array, "basis": hint}, "__module__": __name__})
    _refused(model(W, W), f"cannot read the hint {hint!r} of field basis")


def test_a_marker_holds_though_the_type_that_it_marks_cannot_be_read():
    class Model(eqx.Module):
        w: Array
        basis: "NoDiff[NoSuchName]"  # noqa: F821

    assert grad(lambda model: model.w * model.basis)(Model(W[0], W[1])).basis is None


def test_a_hint_without_a_marker_that_cannot_be_read_is_no_matter():
    class Model(eqx.Module):
        w: "NoSuchName"  # noqa: F821
        basis: NoDiff[Array]

    gradient = grad(lambda model: model.w * model.basis)(Model(W[0], W[1]))
    assert (gradient.w, gradient.basis) == (W[1], None)


def test_a_class_that_names_itself_in_its_hints():
    @annotax.pytree
    class Node:
        w: Array
        basis: NoDiff[Array]
        next: "Node | None" = None

    gradient = grad(lambda node: node.w * node.next.w * node.basis)(Node(2.0, 3.0, Node(4.0, 5.0)))
    assert gradient == Node(12.0, None, Node(6.0, None))


def test_generic_classes_of_equinox():
    class Model(eqx.Module, Generic[T]):
        w: T
        basis: NoDiff[T]

    class Special(Model[Array]):
        b: Array

    gradient = grad(lambda model: model.w * model.basis * model.b)(Special(W[0], W[1], W[2]))
    assert (gradient.w, gradient.basis, gradient.b) == (W[1] * W[2], None, W[0] * W[1])
    gradient = grad(lambda model: model.w * model.basis)(Model[Any](W[0], W[1]))
    assert (gradient.w, gradient.basis) == (W[1], None)


def test_generic_classes_of_ones_own():
    @annotax.pytree
    class Model(Generic[T]):
        w: T
        basis: NoDiff[T]

    @annotax.pytree
    class Special(Model[Array]):
        b: NoDiff[Array]

    gradient = grad(lambda model: model.w * model.basis * model.b)(Special(2.0, 3.0, 4.0))
    assert gradient == Special(12.0, None, None)
    assert grad(lambda model: model.w * model.basis)(Model[Any](2.0, 3.0)) == Model(3.0, None)


def test_a_subclass_of_a_foreign_class_inherits_its_markers():
    class Model(Equinox):
        b: Array = eqx.field(kw_only=True)

    gradient = grad(lambda model: jnp.sum(model.w * model.basis) * model.b)(Model(W, BASIS, 1, b=W[0]))
    check_frozen(gradient, Model)
    assert gradient.b is not None


def test_a_subclass_may_change_a_marker():
    class Model(Equinox):
        w: NoDiff[Array]
        basis: Array

    gradient = grad(lambda model: jnp.sum(model.w * model.basis))(Model(W, BASIS, 1))
    assert gradient.w is None
    assert np.array_equal(gradient.basis, W)


def test_a_class_that_is_defined_again_has_its_new_markers():
    def loss(model: Any) -> Array:
        return model.a * model.b

    compiled = transform(jit, grad)(loss)
    for first, second in ((Array, NoDiff[Array]), (NoDiff[Array], Array), (Array, NoDiff[Array])):
        for base in (annotax.pytree, jax_dataclasses.pytree_dataclass):
            Model = base(type("Model", (), {"__annotations__": {"a": first, "b": second}, "__module__": __name__}))
            expected = Model(3.0, None) if first is Array else Model(None, 2.0)
            assert grad(loss)(Model(2.0, 3.0)) == expected
            assert compiled(Model(2.0, 3.0)) == expected


def test_a_local_class_of_each_call_of_a_function():
    def run(frozen: bool) -> Any:
        class Model(eqx.Module):
            w: Array
            b: NoDiff[Array] if frozen else Array  # type: ignore[valid-type]

        return grad(lambda model: model.w * model.b)(Model(W[0], W[1])).b

    assert [run(True), run(False), run(True)] == [None, W[0], None]


def test_a_class_that_checks_what_it_is_made_of():
    @jax.tree_util.register_pytree_node_class
    @dataclasses.dataclass
    class Model:
        w: Array
        basis: NoDiff[Array]

        def __post_init__(self):
            if not hasattr(self.w, "shape"):
                raise TypeError("w is no array")

        def tree_flatten(self):
            return (self.w, self.basis), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    _, gradient = value_and_grad(lambda model: jnp.sum(model.w * model.basis))(Model(W, BASIS))
    assert gradient.basis is None
    assert np.array_equal(gradient.w, BASIS)


def test_two_fields_that_hold_the_same_array():
    for kind in (Ours, NodeClass, WithKeys, Named):
        gradient = grad(lambda model: jnp.sum(model.w * model.basis))(kind(W, W, jnp.array(1)))
        check_frozen(gradient, kind)
        assert np.array_equal(gradient.w, W)


def test_a_model_with_an_unhashable_static_field():
    @functools.partial(jax.tree_util.register_dataclass, data_fields=["w", "basis"], meta_fields=["sizes"])
    @dataclasses.dataclass
    class Model:
        w: Array
        basis: NoDiff[Array]
        sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])

    gradient = grad(lambda model: jnp.sum(model.w * model.basis))(Model(W, BASIS))
    assert gradient.basis is None
    assert np.array_equal(gradient.w, BASIS)


def test_a_named_tuple_of_the_functional_form_and_a_plain_one():
    Pair = NamedTuple("Pair", [("w", Array), ("basis", NoDiff[Array])])  # noqa: UP014
    assert grad(lambda pair: pair.w * pair.basis)(Pair(2.0, 3.0)) == Pair(3.0, None)


def test_a_model_of_flax_nnx_kind_state_dicts_is_a_plain_tree():
    params = {"params": {"dense": {"kernel": W, "count": 3}}}
    gradient = grad(lambda params: jnp.sum(params["params"]["dense"]["kernel"] ** 2))(params)
    assert gradient["params"]["dense"]["count"] is None
