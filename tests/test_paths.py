"""`wrt=` by path: the gradient of a part of an argument, in the structure of that part."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import (
    Aux,
    DifferentiationError,
    MarkerError,
    NoDiff,
    Static,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    transform,
    value_and_grad,
)


class Pair(NamedTuple):
    first: Array
    second: Array


@annotax.pytree
class Layer:
    weight: Array
    bias: Array
    scale: NoDiff[Array]


@annotax.pytree
class Model:
    layers: list[Layer]
    table: dict[str, Array]
    pair: Pair
    by_number: dict[int, Array]
    basis: NoDiff[Array]
    frozen: NoDiff[Layer]
    steps: Array
    width: Static[int] = 3


def layer(by: float) -> Layer:
    return Layer(jnp.float32(by), jnp.float32(by + 0.1), jnp.float32(by + 0.2))


def model() -> Model:
    scalars = [jnp.float32(0.1 * i) for i in range(1, 7)]
    table = {"key": scalars[0], "a b": scalars[1]}
    frozen = layer(4.0)
    return Model(
        [layer(1.0), layer(2.0)], table, Pair(*scalars[2:4]), {7: scalars[4]}, scalars[5], frozen, jnp.array(3)
    )


def loss(model: Model, x: NoDiff[Array]) -> Array:
    """Every float leaf of the model has a slope of its own."""
    leaves = [leaf for leaf in jax.tree.leaves(model) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return x * sum((i + 1) * jnp.sin(leaf) for i, leaf in enumerate(leaves))


X = jnp.float32(2.0)


def slopes() -> Model:
    """The gradient by all leaves, frozen or not."""
    return jax.grad(loss, allow_int=True)(model(), X)


def same(got: Any, expected: Any) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


EVERY = {
    "grad": grad,
    "jit(grad)": lambda **given: transform(jit, grad(**given)),
    "value_and_grad": lambda **given: lambda f: lambda *args: value_and_grad(f, **given)(*args)[1],
    "jacfwd": jacfwd,
    "jacrev": jacrev,
    "jit(jacrev)": lambda **given: transform(jit, jacrev(**given)),
}
every = pytest.mark.parametrize("through", EVERY.values(), ids=EVERY)

LEAVES = {
    "model.layers[0].bias": lambda m: m.layers[0].bias,
    "model.layers[-1].weight": lambda m: m.layers[1].weight,
    "model.layers[-2].weight": lambda m: m.layers[0].weight,
    "model.table['key']": lambda m: m.table["key"],
    'model.table["a b"]': lambda m: m.table["a b"],
    "model.pair.second": lambda m: m.pair.second,
    "model.pair[0]": lambda m: m.pair.first,
    "model.pair[-1]": lambda m: m.pair.second,
    "model.by_number[7]": lambda m: m.by_number[7],
    "model.basis": lambda m: m.basis,
    "model.layers[1].scale": lambda m: m.layers[1].scale,
    "model.frozen.weight": lambda m: m.frozen.weight,
    " model . layers [ 0 ] . bias ": lambda m: m.layers[0].bias,
}


# --- what is picked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "pick"), LEAVES.items(), ids=LEAVES)
@every
def test_a_leaf_gives_its_bare_gradient(through, path, pick):
    same(through(wrt=path)(loss)(model(), X), pick(slopes()))


@every
def test_a_subtree_gives_a_gradient_of_its_own_structure(through):
    s = slopes()
    same(through(wrt="model.layers[0]")(loss)(model(), X), Layer(s.layers[0].weight, s.layers[0].bias, None))
    same(through(wrt="model.table")(loss)(model(), X), s.table)
    same(through(wrt="model.pair")(loss)(model(), X), s.pair)
    expected = [Layer(layer.weight, layer.bias, None) for layer in s.layers]
    same(through(wrt="model.layers")(loss)(model(), X), expected)


@every
def test_a_path_to_a_frozen_field_wins_over_its_marker_for_all_below_but_not_for_a_marker_further_in(through):
    s = slopes().frozen
    same(through(wrt="model.frozen")(loss)(model(), X), Layer(s.weight, s.bias, None))
    same(through(wrt="model.frozen.scale")(loss)(model(), X), s.scale)


@every
def test_a_sequence_gives_a_tuple_in_its_own_order_of_one_too(through):
    s = slopes()
    for wrt in (["model.layers[1].bias", "model.table"], ("model.layers[1].bias", "model.table")):
        got = through(wrt=wrt)(loss)(model(), X)
        assert type(got) is tuple
        same(got, (s.layers[1].bias, s.table))
    same(through(wrt=["model.table", "model.layers[1].bias"])(loss)(model(), X), (s.table, s.layers[1].bias))
    same(through(wrt=["model.basis"])(loss)(model(), X), (s.basis,))


@every
def test_paths_go_with_names_and_indices_of_parameters(through):
    s, of_x = slopes(), jax.grad(loss, argnums=1, allow_int=True)(model(), X)
    same(through(wrt=["x", "model.basis"])(loss)(model(), X), (of_x, s.basis))
    same(through(wrt=["model.basis", -1])(loss)(model(), X), (s.basis, of_x))


def test_a_hessian_by_path_has_the_parts_on_both_levels():
    m = model()
    by_layer = hessian(loss, wrt="model.layers[0]")(m, X)
    assert by_layer.scale is None
    assert by_layer.weight.bias == 0.0
    one = hessian(loss, wrt="model.layers[0].weight")(m, X)
    np.testing.assert_allclose(one, by_layer.weight.weight, rtol=1e-6)
    two = hessian(loss, wrt=["model.layers[0].weight", "model.basis"])(m, X)
    np.testing.assert_allclose(two[0][0], one, rtol=1e-6)
    assert two[0][1] == 0.0
    np.testing.assert_allclose(jit(hessian(loss, wrt="model.layers[0].weight"))(m, X), one, rtol=1e-6)


def test_a_jacobian_of_arrays_by_path_has_the_shapes_of_both():
    def f(tree, x):
        return jnp.outer(tree["a"][0], x)

    tree = {"a": [jnp.arange(2.0), jnp.ones(3)]}
    for of in (jacfwd, jacrev):
        assert of(f, wrt="tree['a'][0]")(tree, jnp.ones(4)).shape == (2, 4, 2)
        assert of(f, wrt="tree['a']")(tree, jnp.ones(4))[1].shape == (2, 4, 3)


def test_the_value_comes_with_the_gradient_of_a_path():
    value, gradient = value_and_grad(loss, wrt="model.layers[0].bias")(model(), X)
    np.testing.assert_allclose(value, loss(model(), X), rtol=1e-6)
    np.testing.assert_allclose(gradient, slopes().layers[0].bias, rtol=1e-6)


def test_aux_comes_with_the_gradient_of_a_path():
    def f(model: Model) -> tuple[Array, Aux[str]]:
        return loss(model, X), "aux"

    gradient, aux = grad(f, wrt="model.basis")(model())
    assert aux == "aux"
    np.testing.assert_allclose(gradient, slopes().basis, rtol=1e-6)


# --- into every kind of parameter and value --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrt", "expected"),
    [
        ("args[0]", 1.0),
        ("args[-1]", 2.0),
        ("kwargs['b']", 4.0),
        ("option.w", 5.0),
        (["kwargs['a']", "args"], (3.0, (1.0, 2.0))),
    ],
    ids=str,
)
def test_paths_into_args_kwargs_and_keyword_only_parameters(wrt, expected):
    @annotax.pytree
    class Option:
        w: Array

    @grad(wrt=wrt)
    def f(*args: Any, option: Option, **kwargs: Any):
        return args[0] + 2 * args[1] + 3 * kwargs["a"] + 4 * kwargs["b"] + 5 * option.w

    assert f(0.0, 0.0, option=Option(0.0), a=0.0, b=0.0) == expected


def test_a_path_into_self():
    @annotax.pytree
    class Net:
        w: list[Array]

        @grad(wrt="self.w[1]")
        def loss(self, x):
            return self.w[0] * self.w[1] * x

    assert Net([2.0, 3.0]).loss(5.0) == 10.0


def test_a_path_into_an_equinox_model_that_holds_functions():
    def f(mlp: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
        return jnp.sum(mlp(x) ** 2)

    mlp, x = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0)), jnp.ones(2)
    expected = eqx.filter_grad(f)(mlp, x)
    for around in (lambda f: f, jit):
        got = around(grad(f, wrt="mlp.layers[0].bias"))(mlp, x)
        np.testing.assert_allclose(got, expected.layers[0].bias, rtol=1e-5)
    linear = grad(f, wrt="mlp.layers[-1]")(mlp, x)
    assert type(linear) is eqx.nn.Linear
    np.testing.assert_allclose(linear.weight, expected.layers[-1].weight, rtol=1e-5)


def test_a_path_into_a_class_whose_key_paths_are_indices_goes_by_attribute():
    @jax.tree_util.register_pytree_node_class
    class Net:
        def __init__(self, w, b):
            self.w, self.b = w, b

        def tree_flatten(self):
            return (self.w, self.b), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    assert grad(lambda net: net.w * net.b, wrt="net.b")(Net(2.0, 3.0)) == 2.0


def test_a_parameter_without_a_hint_and_a_container_with_one():
    def f(tree):
        return tree["a"][0] * tree["a"][1]

    assert grad(f, wrt="tree['a'][1]")({"a": (2.0, 3.0)}) == 2.0
    f.__annotations__["tree"] = dict[str, tuple[float, float]]
    assert grad(f, wrt="tree['a'][0]")({"a": (2.0, 3.0)}) == 3.0


def test_a_leaf_without_a_gradient_beside_one_in_a_subtree_gets_none():
    def f(tree):
        return tree["part"]["w"] ** 2

    gradient = grad(f, wrt="tree['part']")({"part": {"w": 3.0, "n": 2, "name": "a"}, "other": 1.0})
    assert gradient == {"w": 6.0, "n": None, "name": None}


def test_other_structures_in_later_calls():
    f = grad(lambda tree: sum(jax.tree.leaves(tree)) ** 2, wrt="tree['a']")
    assert f({"a": 1.0}) == 2.0
    assert f({"a": [1.0, 2.0]}) == [6.0, 6.0]
    assert f({"a": 1.0, "b": 2.0}) == 6.0


def test_a_compiled_gradient_of_a_path_is_traced_once():
    traces = []

    @transform(jit, grad(wrt="model.basis"))
    def f(model: Model) -> Array:
        traces.append(1)
        return loss(model, X)

    for _ in range(3):
        f(model())
    f(model=model())
    assert len(traces) == 1


def test_explain_shows_the_path():
    assert "model.layers[0]" in str(annotax.explain(grad(loss, wrt="model.layers[0]")))
    assert "model.table['key']" in str(annotax.explain(jit(jacrev(loss, wrt=["x", "model.table['key']"]))))


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "got", "nearest"),
    [
        ("model.layer", "there is no .layer in it", "'model.layers'"),
        ("model.layers[0].bais", "there is no .bais in layers[0]", "'model.layers[0].bias'"),
        ("model.layers[2]", "there is no [2] in layers", "'model.layers[1]', 'model.layers[0]'"),
        ("model.layers[-3]", "there is no [-3] in layers", "'model.layers[0]'"),
        ("model.layers.bias", "there is no .bias in layers", "'model.layers[0]'"),
        ("model.table['kye']", "there is no ['kye'] in table", "\"model.table['key']\""),
        ("model.table[0]", "there is no [0] in table", "\"model.table['a b']\""),
        ("model.by_number[8]", "there is no [8] in by_number", "'model.by_number[7]'"),
        ("model.pair.third", "there is no .third in pair", "'model.pair.first'"),
        ("model.pair[2]", "there is no [2] in pair", "'model.pair.first'"),
        ("model.basis.real", "there is no .real in basis", ""),
        ("model.width", "there is no .width in it", ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_a_path_that_does_not_exist_raises_with_the_nearest_names(around, path, got, nearest):
    with pytest.raises(DifferentiationError) as caught:
        around(grad(loss, wrt=path))(model(), X)
    text = str(caught.value)
    assert text.startswith(f"{__name__}.loss(): grad(wrt=...) names {path}, which does not exist")
    assert got in text
    assert nearest in text
    assert "fix" in text


@pytest.mark.parametrize(
    ("of", "name"),
    [(jacfwd, "jacfwd"), (jacrev, "jacrev"), (hessian, "hessian"), (value_and_grad, "value_and_grad")],
)
def test_the_error_names_the_transform(of, name):
    with pytest.raises(DifferentiationError, match=rf"{name}\(wrt=\.\.\.\) names model\.nothing, which does not exist"):
        of(loss, wrt="model.nothing")(model(), X)


@pytest.mark.parametrize("path", ["model.layers[", "model..layers", "model.layers[0:1]", "model.layers()", "model.x+1"])
def test_what_is_no_path_raises_at_decoration(path):
    with pytest.raises(MarkerError, match=r"grad\(wrt=\.\.\.\) names no parameter") as caught:
        grad(loss, wrt=path)
    assert repr(path) in str(caught.value)


def test_a_path_that_starts_at_no_parameter_raises_at_decoration():
    with pytest.raises(MarkerError, match=r"grad\(wrt=\.\.\.\) names no parameter") as caught:
        grad(loss, wrt="modle.basis")
    assert "modle" in str(caught.value)
    assert "model" in str(caught.value)


@pytest.mark.parametrize(
    "wrt",
    [
        ["model", "model.basis"],
        ["model.basis", "model.basis"],
        ["model.layers[0].bias", "model.layers"],
        ["model.layers[0]", "model.layers[0].bias"],
        ["model.table['key']", 'model.table["key"]'],
        ["model.basis", 0],
    ],
    ids=str,
)
def test_paths_that_overlap_raise_at_decoration(wrt):
    with pytest.raises(MarkerError, match=r"grad\(wrt=\.\.\.\) names .* twice"):
        grad(loss, wrt=wrt)


@pytest.mark.parametrize(
    "wrt", [["model.layers[0]", "model.layers[-2]"], ["model.pair[0]", "model.pair.first"]], ids=str
)
def test_two_spellings_of_one_place_raise_at_the_call(wrt):
    with pytest.raises((DifferentiationError, MarkerError), match=r"names .* twice"):
        grad(loss, wrt=wrt)(model(), X)


@pytest.mark.parametrize("path", ["model.steps", "model.layers[0].scale.nothing", "model.frozen.nothing"])
def test_a_path_to_nothing_that_has_a_gradient_raises(path):
    with pytest.raises(DifferentiationError, match=rf"{path.replace('[', '.').replace(']', '.')}"):
        grad(loss, wrt=path)(model(), X)


def test_a_path_to_an_integer_says_what_it_is():
    with pytest.raises(
        DifferentiationError, match=r"grad finds nothing to differentiate in argument model\.steps"
    ) as caught:
        grad(loss, wrt="model.steps")(model(), X)
    assert "int32[]" in str(caught.value)
    assert "wrt=" in str(caught.value)


def test_a_path_into_a_static_parameter_raises_at_decoration():
    def f(w, config: Static[Any]):
        return w

    with pytest.raises(MarkerError, match=r"grad\(wrt=\.\.\.\) names the static parameter config"):
        grad(f, wrt="config.rate")
