"""`mask`, `partition` and `combine`: which leaves are trained, by markers and by path, and what optax makes of it."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

import annotax
from annotax import (
    AnnotaxError,
    DifferentiationError,
    MarkerError,
    NoDiff,
    Static,
    combine,
    grad,
    jit,
    mask,
    partition,
    transform,
    value_and_grad,
)


@annotax.pytree
class Linear:
    weight: Array
    bias: Array


@annotax.pytree
class Model:
    backbone: NoDiff[Linear]
    head: Linear
    steps: Array
    activation: Static[Any] = jnp.tanh


class Module(eqx.Module):
    backbone: NoDiff[Linear]
    head: Linear
    steps: Array
    activation: Any = jnp.tanh


def model() -> Model:
    backbone = Linear(jnp.eye(3), jnp.arange(3.0))
    return Model(backbone, Linear(jnp.ones((3, 2)), jnp.zeros(2)), jnp.array(7))


def loss(model: Any, x: NoDiff[Array]) -> Array:
    hidden = model.activation(x @ model.backbone.weight + model.backbone.bias)
    return jnp.sum((hidden @ model.head.weight + model.head.bias - 1) ** 2) * (model.steps > 0)


X = jnp.linspace(0.0, 1.0, 6).reshape(2, 3)


def is_none(part: Any) -> bool:
    return part is None


def leaves_of(tree: Any) -> list[Any]:
    """The leaves, with `None` as one."""
    return jax.tree.leaves(tree, is_leaf=is_none)


# --- mask ------------------------------------------------------------------------------------------------------------


def test_a_mask_has_the_structure_of_the_tree_and_a_bool_for_each_leaf():
    got = mask(model())
    assert jax.tree.structure(got) == jax.tree.structure(model())
    assert got.backbone == Linear(False, False)
    assert got.head == Linear(True, True)
    assert got.steps is False


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (1.5, True),
        (1j, True),
        (np.ones(2), True),
        (np.float32(1), True),
        (jnp.ones(2, "bfloat16"), True),
        (jnp.ones(2, "complex64"), True),
        (jax.ShapeDtypeStruct((2,), jnp.float32), True),
        (1, False),
        (True, False),
        (jnp.arange(2), False),
        (jax.random.key(0), False),
        (jnp.array(True), False),
        ("text", False),
        (jnp.sin, False),
        (np.array(["a"], object), False),
    ],
    ids=lambda value: type(value).__name__ if " at 0x" in repr(value) else repr(value),
)
def test_a_leaf_is_trained_if_it_has_a_gradient(leaf, expected):
    assert mask({"a": [leaf]}) == {"a": [expected]}
    assert mask(leaf) is expected
    trained, rest = partition((leaf,))
    assert (trained[0] is leaf, rest[0] is leaf) == (expected, not expected)


def test_none_and_empty_containers_stay():
    assert mask({"a": None, "b": [], "c": 1.0}) == {"a": None, "b": [], "c": True}
    assert partition({"a": None, "b": []}) == ({"a": None, "b": []}, {"a": None, "b": []})


def test_a_mask_by_path_is_true_there_alone():
    assert mask(model(), wrt="head.bias") == Model(Linear(False, False), Linear(False, True), False)
    assert mask(model(), wrt=["head.bias"]) == mask(model(), wrt="head.bias")
    assert mask(model(), wrt="head") == mask(model())
    assert mask(model(), wrt=["head.weight", "backbone.bias"]) == Model(Linear(False, True), Linear(True, False), False)


def test_a_path_that_ends_at_a_frozen_field_wins_over_its_marker():
    assert mask(model(), wrt="backbone") == Model(Linear(True, True), Linear(False, False), False)

    @annotax.pytree
    class Outer:
        inner: NoDiff[Model]

    whole = Outer(model())
    assert mask(whole, wrt="inner") == Outer(mask(model()))
    assert mask(whole, wrt="inner.backbone") == Outer(mask(model(), wrt="backbone"))


def test_paths_of_a_tree_that_is_a_container():
    tree = [model(), {"a b": 1.0, "n": 2}]
    assert mask(tree, wrt="[0].head") == [mask(model()), {"a b": False, "n": False}]
    assert mask(tree, wrt="[1]['a b']")[1] == {"a b": True, "n": False}
    assert mask(tree, wrt="[-1]")[1] == {"a b": True, "n": False}
    assert mask({"a": {"b": 1.0}, "c": 2.0}, wrt="['a']") == {"a": {"b": True}, "c": False}


def test_an_empty_sequence_of_paths_picks_nothing():
    assert mask(model(), wrt=[]) == Model(Linear(False, False), Linear(False, False), False)


@pytest.mark.parametrize("of", [mask, partition])
def test_a_path_that_does_not_exist_raises_with_the_nearest_names(of):
    with pytest.raises(DifferentiationError) as caught:
        of(model(), wrt="head.wieght")
    text = str(caught.value)
    assert f"annotax.{of.__name__}(): {of.__name__}(wrt=...) names head.wieght, which does not exist" in text
    assert "'head.weight'" in text


@pytest.mark.parametrize("of", [mask, partition])
@pytest.mark.parametrize("path", ["steps", "['a'", "head[0]", "head.weight.T", ""])
def test_a_path_to_nothing_that_is_trained_raises(of, path):
    with pytest.raises(DifferentiationError, match=of.__name__):
        of(model(), wrt=path)


def test_a_class_whose_markers_cannot_be_honoured_raises():
    class Wrong(NamedTuple):
        n: Static[int]

    for of in (mask, partition):
        with pytest.raises(MarkerError, match="field n is marked Static"):
            of([Wrong(3)])


# --- partition and combine -------------------------------------------------------------------------------------------


def test_the_first_part_has_the_structure_of_the_gradient():
    trained, rest = partition(model())
    gradient = grad(loss)(model(), X)
    assert jax.tree.structure(trained) == jax.tree.structure(gradient)
    assert jax.tree.map(jnp.shape, trained) == jax.tree.map(jnp.shape, gradient)
    assert leaves_of(rest.head) == [None, None]
    assert rest.backbone.weight is not None


def test_combine_joins_what_partition_split():
    m = model()
    for wrt in (None, "head.bias", ["backbone", "head.weight"], []):
        joined = combine(*partition(m, wrt=wrt))
        assert type(joined) is Model
        assert all(one is other for one, other in zip(jax.tree.leaves(joined), jax.tree.leaves(m), strict=True))


def test_combine_takes_the_first_leaf_that_is_there():
    assert combine({"a": 1, "b": None}, {"a": 2, "b": 3}, {"a": 4, "b": 5}) == {"a": 1, "b": 3}
    assert combine([None, 1], [2, None]) == [2, 1]
    assert combine([None], [None]) == [None]
    assert combine({"a": 1}) == {"a": 1}
    assert combine((1, None), (None, "text")) == (1, "text")


def test_combine_joins_three_parts():
    m = model()
    head, rest = partition(m, wrt="head")
    backbone, rest = partition(rest, wrt="backbone")
    joined = combine(backbone, rest, head)
    assert all(one is other for one, other in zip(jax.tree.leaves(joined), jax.tree.leaves(m), strict=True))


@pytest.mark.parametrize(
    "trees",
    [
        ({"a": 1}, {"b": 1}),
        ([1, None], [1]),
        ([1], (1,)),
        (Linear(1, None), [None, 1]),
        ({"a": [1]}, {"a": {"b": 1}}),
        (model(), dataclasses.replace(model(), activation=jnp.sin)),
    ],
    ids=["keys", "lengths", "containers", "classes", "deeper", "static field"],
)
def test_combine_of_trees_that_are_not_of_one_structure_raises(trees):
    for order in (trees, trees[::-1]):
        with pytest.raises(AnnotaxError, match=r"annotax\.combine\(\): the trees are not of one structure") as caught:
            combine(*order)
        assert "fix" in str(caught.value)


def test_combine_of_nothing_raises():
    with pytest.raises((TypeError, AnnotaxError)):
        combine()


def test_a_subtree_may_stand_where_another_tree_has_none():
    assert combine({"a": None}, {"a": {"b": 1}}) == {"a": {"b": 1}}


def test_partition_and_combine_work_inside_a_compiled_function():
    @jit
    def step(model: Model) -> Model:
        trained, rest = partition(model)
        return combine(jax.tree.map(lambda x: x * 2, trained), rest)

    got = step(model())
    assert np.array_equal(got.head.weight, model().head.weight * 2)
    assert np.array_equal(got.backbone.weight, model().backbone.weight)


def test_a_part_is_differentiated_by_jax_itself():
    trained, rest = partition(model())
    theirs = jax.grad(lambda trained: loss(combine(trained, rest), X))(trained)
    ours = grad(loss)(model(), X)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert all(np.array_equal(*pair) for pair in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))


def test_an_equinox_model_is_split_as_equinox_does():
    mlp = eqx.nn.MLP(2, 2, 4, 2, key=jax.random.key(0))
    ours, theirs = partition(mlp), eqx.partition(mlp, eqx.is_inexact_array)
    for one, other in zip(ours, theirs, strict=True):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        assert all(a is b for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
    assert eqx.tree_equal(combine(*ours), mlp)


def test_the_parts_of_a_tree_hold_the_very_leaves():
    array, text = np.ones(3), "a long text that is made " + str(1)
    trained, rest = partition({"a": array, "b": text})
    assert trained["a"] is array
    assert rest["b"] is text


# --- for any tree ----------------------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.floats(allow_nan=False),
    st.integers(),
    st.booleans(),
    st.text(max_size=3),
    st.none(),
    st.sampled_from([jnp.ones(2), np.arange(3), np.ones((1, 2), np.float32), jnp.sin, jax.random.key(0), int]),
)


@annotax.pytree
class Node:
    left: Any
    right: NoDiff[Any]
    name: Static[str] = "a"


class Pair(NamedTuple):
    first: NoDiff[Any]
    second: Any


def _containers(children: Any) -> Any:
    return st.one_of(
        st.lists(children, max_size=3),
        st.lists(children, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), children, max_size=3),
        st.builds(Node, children, children, st.sampled_from(["a", "b"])),
        st.builds(Pair, children, children),
    )


TREES = st.recursive(LEAVES, _containers, max_leaves=12)

a_few = settings(max_examples=150, deadline=None)


@a_few
@given(TREES)
def test_of_any_tree_the_parts_join_to_the_same_leaves(tree):
    joined = combine(*partition(tree))
    assert jax.tree.structure(joined) == jax.tree.structure(tree)
    assert all(one is other for one, other in zip(jax.tree.leaves(joined), jax.tree.leaves(tree), strict=True))


@a_few
@given(TREES)
def test_of_any_tree_each_leaf_is_in_the_part_that_the_mask_says(tree):
    trained, rest = (jax.tree.leaves(part) for part in partition(tree))
    chosen = jax.tree.leaves(mask(tree))
    leaves = jax.tree.leaves(tree)
    assert [id(leaf) for leaf, is_in in zip(leaves, chosen, strict=True) if is_in] == list(map(id, trained))
    assert [id(leaf) for leaf, is_in in zip(leaves, chosen, strict=True) if not is_in] == list(map(id, rest))
    assert jax.tree.structure(mask(tree)) == jax.tree.structure(tree)


@a_few
@given(TREES)
def test_of_any_tree_the_first_part_has_the_structure_of_the_gradient(tree):
    trained, _ = partition(tree)

    def total(tree: Any, w: Any) -> Any:
        numbers = [jnp.sum(jnp.real(leaf)) for leaf in jax.tree.leaves(partition(tree)[0])]
        return sum(numbers) * w

    gradient, _ = grad(total)(tree, 1.0)
    assert jax.tree.structure(gradient) == jax.tree.structure(trained)
    assert all(np.array_equal(leaf, np.ones_like(leaf)) for leaf in jax.tree.leaves(gradient))


# --- optax -----------------------------------------------------------------------------------------------------------

OPTIMISERS = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.5),
    "lion": optax.lion(0.05, weight_decay=0.5),
    "lamb": optax.lamb(0.1, weight_decay=0.5),
}
every_optimiser = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)


def is_same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@every_optimiser
@pytest.mark.parametrize("kind", [Model, Module])
def test_an_optimiser_trains_the_part_that_is_trained(optimiser, kind):
    whole = kind(model().backbone, model().head, model().steps)

    @jit
    def step(model, state):
        gradient = grad(loss)(model, X)
        trained, rest = partition(model)
        updates, state = optimiser.update(gradient, state, trained)
        return combine(optax.apply_updates(trained, updates), rest), state

    state = optimiser.init(partition(whole)[0])
    assert sum(np.size(leaf) > 3 for leaf in jax.tree.leaves(state)) <= 2  # nothing of the backbone is in it
    trained = whole
    for _ in range(20):
        trained, state = step(trained, state)
    assert type(trained) is type(whole)
    assert trained.activation is jnp.tanh
    assert is_same((trained.backbone, trained.steps), (whole.backbone, whole.steps))
    assert loss(trained, X) < loss(whole, X)


@every_optimiser
def test_an_optimiser_under_masked_takes_our_mask(optimiser):
    params = {"model": Linear(jnp.eye(2), jnp.ones(2)), "more": jnp.ones(3)}
    chosen = mask(params, wrt="['model'].bias")
    for given_mask in (chosen, lambda tree: mask(tree, wrt="['model'].bias")):
        masked = optax.chain(
            optax.masked(optimiser, given_mask),
            optax.masked(optax.set_to_zero(), jax.tree.map(lambda is_in: not is_in, chosen)),
        )
        gradient = grad(lambda params: sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)))(params)
        updates, _ = masked.update(gradient, masked.init(params), params)
        trained = optax.apply_updates(params, updates)
        assert is_same((trained["model"].weight, trained["more"]), (params["model"].weight, params["more"]))
        assert not is_same(trained["model"].bias, params["model"].bias)


def test_masked_freezes_with_the_mask_of_the_markers():
    optimiser = optax.chain(
        optax.masked(optax.adamw(0.1, weight_decay=0.5), mask),
        optax.masked(optax.set_to_zero(), lambda tree: jax.tree.map(lambda is_in: not is_in, mask(tree))),
    )
    params = dataclasses.replace(model(), steps=jnp.array(7.0))
    gradient = jax.grad(loss)(params, X)
    updates, _ = optimiser.update(gradient, optimiser.init(params), params)
    trained = optax.apply_updates(params, updates)
    assert is_same(trained.backbone, params.backbone)
    assert not is_same(trained.head, params.head)


def test_multi_transform_takes_labels_made_of_a_mask():
    trained = partition(model())[0]
    labels = jax.tree.map(lambda is_in: "fast" if is_in else "slow", mask(trained, wrt="head.bias"))
    optimiser = optax.multi_transform({"fast": optax.sgd(1.0), "slow": optax.sgd(0.0)}, labels)

    @jit
    def step(model, state):
        updates, state = optimiser.update(grad(loss)(model, X), state)
        trained, rest = partition(model)
        return combine(optax.apply_updates(trained, updates), rest), state

    got, _ = step(model(), optimiser.init(trained))
    assert is_same((got.backbone, got.head.weight), (model().backbone, model().head.weight))
    assert not is_same(got.head.bias, model().head.bias)


def test_a_gradient_by_path_trains_that_path_alone():
    optimiser = optax.adamw(0.1, weight_decay=0.5)
    head, rest = partition(model(), wrt="head.bias")

    @transform(jit, grad(wrt="model.head.bias"))
    def gradient_of(model: Model) -> Array:
        return loss(model, X)

    state = optimiser.init(head.head.bias)
    updates, state = optimiser.update(gradient_of(model()), state, head.head.bias)
    bias = optax.apply_updates(head.head.bias, updates)
    trained = combine(dataclasses.replace(head, head=Linear(None, bias)), rest)
    assert is_same((trained.backbone, trained.head.weight), (model().backbone, model().head.weight))
    assert loss(trained, X) < loss(model(), X)


def test_buffers_such_as_batch_statistics_are_updated_beside_the_gradient():
    @annotax.pytree
    class Normed:
        scale: Array
        mean: NoDiff[Array]

    def loss(model: Normed, x: NoDiff[Array]) -> tuple[Array, annotax.Aux[Array]]:
        mean = 0.9 * model.mean + 0.1 * jnp.mean(x, 0)
        return jnp.sum(((x - mean) * model.scale - 1) ** 2), mean

    optimiser = optax.adamw(0.1)

    @jit
    def step(model, state):
        (_, mean), gradient = value_and_grad(loss)(model, X)
        trained, rest = partition(model)
        updates, state = optimiser.update(gradient, state, trained)
        model = combine(optax.apply_updates(trained, updates), rest)
        return dataclasses.replace(model, mean=mean), state

    model = Normed(jnp.ones(3), jnp.zeros(3))
    got, _ = step(model, optimiser.init(partition(model)[0]))
    np.testing.assert_allclose(got.mean, 0.1 * jnp.mean(X, 0), rtol=1e-6)
    assert not is_same(got.scale, model.scale)
