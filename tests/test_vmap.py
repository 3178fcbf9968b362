"""`vmap`: which axis of which value is mapped, what is shared, and what is said when a value cannot be mapped."""

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from annotax import Aux, Axis, AxisError, MarkerError, NoDiff, Static, jit, make_jaxpr, transform, vmap

BOTH = pytest.mark.parametrize("through", [vmap, transform(jit, vmap)], ids=["eager", "compiled"])

A = jnp.arange(6.0).reshape(3, 2)
B = jnp.arange(6.0, 12.0).reshape(3, 2)
W = jnp.array([10.0, 20.0])


def same(got, expected):
    """Whether two trees are the same in structure, dtype and value."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


# --- which axis ------------------------------------------------------------------------------------------------------


@BOTH
def test_every_traced_parameter_is_mapped_along_axis_0(through):
    def f(a, /, b, *rest, c, **others):
        return a @ b + rest[0] @ c - others["d"] @ b

    expected = jax.vmap(lambda a, b, r, c, d: f(a, b, r, c=c, d=d))(A, B, A + 1, B + 1, A * 2)
    same(through(f)(A, B, A + 1, c=B + 1, d=A * 2), expected)


@BOTH
def test_every_spelling_of_a_call_maps_alike(through):
    @through
    def f(a, b: Annotated[Array, Axis(1)], *, c: Annotated[Array, Axis(None)] = W):
        return a * b + c

    expected = jax.vmap(lambda a, b, c: a * b + c, in_axes=(0, 1, None))(A, B.T, W)
    for got in (f(A, B.T), f(A, b=B.T), f(b=B.T, a=A), f(A, B.T, c=W), f(c=W, b=B.T, a=A)):
        same(got, expected)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3, None])
@BOTH
def test_a_marker_names_the_axis(through, axis):
    def f(a, b):
        return a[0] + jnp.sum(b)

    x, a = jnp.arange(8.0).reshape(2, 2, 2), A[:2]
    f.__annotations__["b"] = Annotated[Array, Axis(axis)]
    same(through(f)(a, x), jax.vmap(f, in_axes=(0, axis))(a, x))


def test_a_named_axis_speaks_only_to_the_map_of_that_name():
    def f(
        x: Annotated[Array, Axis(1, "time")], w: Annotated[Array, Axis(None, "time"), Axis(1, "batch")], b: Array
    ) -> Array:
        return x * w + b

    x, w, b = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(8.0).reshape(4, 2), jnp.ones((3, 2, 4))
    # The inner map, "batch", sees what the outer one, "time", leaves of each argument.
    got = transform(vmap(axis_name="time"), vmap(axis_name="batch"))(f)(x, w, b)
    same(got, jax.vmap(jax.vmap(f, in_axes=(0, 1, 0)), in_axes=(1, None, 0))(x, w, b))


def test_a_marker_with_the_name_of_the_map_goes_before_one_without():
    def f(x: Annotated[Array, Axis(0), Axis(1, "time")]) -> Array:
        return jnp.cumsum(x)

    got = transform(vmap(axis_name="time"), vmap)(lambda x, y: x * y)(A[None], B[None])
    same(got, A[None] * B[None])
    same(vmap(f, axis_name="time")(A), jax.vmap(jnp.cumsum, in_axes=1)(A))


@pytest.mark.parametrize("stacked", [False, True])
def test_an_axis_name_that_no_map_has_raises_at_the_first_call_and_names_the_parameter(stacked):
    def f(x: Annotated[Array, Axis(0, "tiem")]) -> Array:
        return x

    face = jit(vmap(f, axis_name="time")) if stacked else vmap(f, axis_name="time")
    with pytest.raises(MarkerError, match=r"parameter x is Axis\(0, 'tiem'\), but no map has that axis name") as caught:
        face(A)
    assert "maps with axis_name 'time'" in str(caught.value)


def test_a_name_is_bound_for_collectives():
    def f(x):
        return x / jax.lax.psum(x, "i")

    same(vmap(f, axis_name="i")(A + 1), jax.vmap(f, axis_name="i")(A + 1))


# --- the axes of the result ------------------------------------------------------------------------------------------


@BOTH
def test_a_marker_on_the_return_is_the_out_axis(through):
    @through
    def f(x) -> Annotated[Array, Axis(1)]:
        return x * 2

    same(f(A), jax.vmap(lambda x: x * 2, out_axes=1)(A))


@BOTH
def test_components_of_a_returned_tuple_have_their_own_axes(through):
    def f(
        x: Array, w: Annotated[Array, Axis(None)]
    ) -> tuple[Annotated[Array, Axis(1)], Array, Annotated[Array, Axis(None)], Annotated[dict[str, Array], Axis(-1)]]:
        return x, x * w, w, {"two": 2 * x}

    same(through(f)(A, W), jax.vmap(f, in_axes=(0, None), out_axes=(1, 0, None, -1))(A, W))


def test_a_marker_deeper_in_the_return_than_a_component_is_refused():
    def f(x: Array) -> tuple[tuple[Annotated[Array, Axis(1)], Array], Array]:
        return (x, x + 1), x + 2

    with pytest.raises(MarkerError, match=r"the result has the marker Axis\(1\) where it cannot be honoured"):
        vmap(f)


@BOTH
def test_a_marker_on_the_whole_return_holds_for_its_components(through):
    def f(x: Array) -> Annotated[tuple[Array, Array], Axis(1)]:
        return x, x + 1

    same(through(f)(A), jax.vmap(f, out_axes=1)(A))


def test_a_marker_on_the_return_can_speak_to_one_map_only():
    def f(x: Array) -> Annotated[Array, Axis(2, "time")]:
        return jnp.sin(x)

    x = jnp.arange(24.0).reshape(2, 3, 4)
    got = transform(vmap(axis_name="time"), vmap(axis_name="batch"))(f)(x)
    same(got, jax.vmap(jax.vmap(f), out_axes=2)(x))


# --- overrides -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["scale", 1, -1])
def test_in_axes_are_given_by_name_or_index(selector):
    def f(x, scale):
        return x * scale

    same(vmap(f, in_axes={selector: None})(A, W), jax.vmap(f, in_axes=(0, None))(A, W))


def test_an_override_wins_over_a_marker():
    def f(x: Annotated[Array, Axis(None)], y: Annotated[Array, Axis(1)]) -> Annotated[Array, Axis(1)]:
        return x * y

    got = vmap(f, in_axes={"x": 1, "y": 0}, out_axes=0)(A.T, B)
    same(got, jax.vmap(f, in_axes=(1, 0), out_axes=0)(A.T, B))


def test_a_prefix_tree_gives_the_axes_of_parts():
    def f(params, x):
        return params["w"] @ x + params["b"]["c"]

    params = {"w": B, "b": {"c": jnp.float32(1.0)}}
    axes: dict[str, Any] = {"w": 0, "b": None}
    same(vmap(f, in_axes={"params": axes})(params, A), jax.vmap(f, in_axes=(axes, 0))(params, A))


def test_out_axes_take_a_prefix_tree():
    def f(x):
        return {"a": x, "b": (x, x)}

    same(vmap(f, out_axes={"a": 1, "b": 0})(A), jax.vmap(f, out_axes={"a": 1, "b": 0})(A))


def test_axis_size_is_passed_on():
    def f(w: Annotated[Array, Axis(None)]) -> Array:
        return w * 2

    same(vmap(f, axis_size=4)(W), jax.vmap(f, in_axes=None, axis_size=4)(W))


def test_spmd_axis_name_is_passed_on():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def f(x):
        return jax.lax.with_sharding_constraint(x * 2, sharding)

    def spec(jaxpr: Any) -> str:
        (constraint,) = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "sharding_constraint"]
        return str(constraint.params["sharding"].spec)

    expected = spec(jax.make_jaxpr(jax.vmap(f, spmd_axis_name="data"))(A))
    assert expected != spec(jax.make_jaxpr(jax.vmap(f))(A))
    assert spec(transform(make_jaxpr, vmap(spmd_axis_name="data"))(f)(A)) == expected


def test_in_axes_that_are_no_mapping_raise():
    with pytest.raises(TypeError, match=r"in_axes=\.\.\.\) takes a mapping"):
        vmap(in_axes=(0, None))


def test_in_axes_of_an_unknown_parameter_raise_at_decoration():
    with pytest.raises(MarkerError, match="nope"):
        vmap(lambda x: x, in_axes={"nope": 0})


def test_in_axes_of_a_static_parameter_raise_at_decoration():
    def f(x, n: Static[int]):
        return x

    with pytest.raises(MarkerError, match="names the static parameter n"):
        vmap(f, in_axes={"n": 0})


def test_axes_that_do_not_fit_the_structure_of_an_argument_name_it():
    def f(params, x):
        return params["w"] * x

    with pytest.raises(AxisError, match="axes of argument params do not fit its structure"):
        vmap(f, in_axes={"params": {"w": 0, "v": 0}})({"w": A}, A)


# --- what is shared --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("scale", [2.0, 3, True, np.float32(2.0), jnp.float32(2.0), np.array(2.0)], ids=repr)
def test_a_leaf_without_axes_is_shared(through, scale):
    def f(x, scale):
        return x * scale

    same(through(f)(A, scale), jax.vmap(f, in_axes=(0, None))(A, scale))
    same(through(f)(scale=scale, x=A), jax.vmap(f, in_axes=(0, None))(A, scale))


@BOTH
def test_a_leaf_without_axes_is_shared_inside_a_tree(through):
    class Params(NamedTuple):
        w: Array
        scale: float
        nothing: None = None

    def f(params, x):
        return params.w @ x * params.scale

    params = Params(B, 3.0)
    same(through(f)(params, A), jax.vmap(f, in_axes=(Params(0, None), 0))(params, A))


def test_one_function_takes_a_scalar_in_one_call_and_a_batch_in_another():
    @vmap
    def f(x, scale):
        return x * scale

    batch = jnp.array([1.0, 2.0, 3.0])
    for _ in range(2):
        same(f(A, 2.0), A * 2)
        same(f(A, batch), A * batch[:, None])
        same(f(2.0, A), A * 2)


@BOTH
def test_static_values_and_values_that_cannot_be_traced_are_shared(through):
    def f(x, name: str, n: Static[int], kind: Literal["a", "b"] = "a", function=jnp.sin, nothing=None):
        assert (name, n, kind) == ("max", 2, "b")
        assert type(n) is int
        assert nothing is None
        return function(x) * n

    expected = jax.vmap(lambda x: jnp.cos(x) * 2)(A)
    same(through(f)(A, "max", 2, "b", jnp.cos), expected)
    same(through(f)(A, n=2, function=jnp.cos, kind="b", name="max"), expected)


def test_a_string_inside_a_tree_is_shared():
    def f(config, x):
        return getattr(jnp, config["function"])(x) * config["w"]

    got = vmap(f)({"function": "sin", "w": B}, A)
    same(got, jax.vmap(lambda w, x: jnp.sin(x) * w)(B, A))


def test_a_string_inside_a_tree_is_shared_where_the_rest_of_it_has_an_explicit_axis():
    def f(config: Annotated[Any, Axis(1)], x):
        return getattr(jnp, config["function"])(x) * config["w"]

    got = vmap(f)({"function": "sin", "w": B.T}, A)
    same(got, jax.vmap(lambda w, x: jnp.sin(x) * w)(B, A))


def test_markers_of_other_transforms_change_nothing():
    def f(x: NoDiff[Array], y: Array) -> tuple[Array, Aux[Array]]:
        return x * y, x

    same(vmap(f)(A, B), (A * B, A))


@BOTH
def test_a_method_is_mapped_over_its_arguments(through):
    class Model(NamedTuple):
        w: Array

        def call(self: Annotated[Any, Axis(None)], x):
            return self.w * x

        mapped = through(call)

    same(Model(W).mapped(A), A * W)


# --- what cannot be mapped -------------------------------------------------------------------------------------------


def test_an_explicit_axis_on_a_scalar_raises():
    def f(x: Array, scale: Annotated[Any, Axis(0)]) -> Array:
        return x * scale

    with pytest.raises(AxisError, match="cannot map axis 0 of argument scale") as caught:
        vmap(f)(A, 2.0)
    assert "Axis(None)" in str(caught.value)


def test_an_explicit_override_on_a_scalar_raises():
    with pytest.raises(AxisError, match="cannot map axis 0 of argument scale"):
        vmap(lambda x, scale: x * scale, in_axes={"scale": 0})(A, 2.0)


@pytest.mark.parametrize("axis", [3, -3, 2])
@BOTH
def test_an_axis_beyond_the_rank_names_the_argument(through, axis):
    def f(x, y):
        return x

    f.__annotations__["y"] = Annotated[Any, Axis(axis)]
    with pytest.raises(AxisError, match=rf"cannot map axis {axis} of argument y\['k'\]") as caught:
        through(f)(A, {"k": A})
    assert "float32[3,2], which has 2 axes" in str(caught.value)


@BOTH
def test_sizes_that_disagree_are_listed_for_all_arguments(through):
    def f(x, y: Annotated[Array, Axis(1)], w: Annotated[Array, Axis(None)], *, z):
        return x

    with pytest.raises(AxisError, match="mapped axes differ in size") as caught:
        through(f)(A, A, W, z={"k": jnp.ones(4)})
    lines = [line.split() for line in str(caught.value).splitlines()[1:4]]
    assert [line[:2] for line in lines] == [["x", "3,"], ["y", "2,"], ["z['k']", "4,"]]


@pytest.mark.parametrize("name", ["where", "problem", "fix"])
def test_sizes_that_disagree_are_listed_whatever_a_parameter_is_called(name):
    face = vmap({"where": lambda x, where: x, "problem": lambda x, problem: x, "fix": lambda x, fix: x}[name])
    with pytest.raises(AxisError, match="mapped axes differ in size") as caught:
        face(A, **{name: W})
    assert any(line.split()[:2] == [name, "2,"] for line in str(caught.value).splitlines())


def test_two_axes_for_one_map_contradict_each_other():
    def f(x: Annotated[Array, Axis(1), Axis(0)]) -> Array:
        return x

    with pytest.raises(MarkerError, match="parameter x"):
        vmap(f)


def test_an_array_default_of_a_mapped_parameter_must_be_marked():
    def f(x, w=W):
        return x * w

    def shared(x, w: Annotated[Array, Axis(None)] = W):
        return x * w

    def mapped(x, w: Annotated[Array, Axis(0)] = W):
        return x * w

    with pytest.raises(MarkerError, match="array that is the default of parameter w"):
        vmap(f)
    same(vmap(f, in_axes={"w": None})(A), A * W)
    same(vmap(shared)(A), A * W)
    same(vmap(mapped)(A[:2]), A[:2] * W[:, None])


def test_an_array_default_inside_a_tree_must_be_marked():
    default = {"w": np.ones(2)}

    def f(x, params=default):
        return x * params["w"]

    with pytest.raises(MarkerError, match="default of parameter params"):
        vmap(f)


def test_a_scalar_default_is_shared_without_a_marker():
    one = jnp.float32(1.0)

    def f(x, scale=2.0, bias=one):
        return x * scale + bias

    same(vmap(f)(A), A * 2 + 1)


def test_an_error_of_the_function_itself_passes_through_untouched():
    @vmap
    def f(x, scale):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        f(A, B)
    with pytest.raises(KeyError, match="mine"):
        f(A, 2.0)


def test_no_batch_at_all_raises_and_lists_the_arguments():
    with pytest.raises(AxisError, match="vmap has nothing to map") as caught:
        vmap(lambda x: x)(2.0)
    assert "x        2.0" in str(caught.value)
    assert vmap(lambda x: x, axis_size=2)(2.0).tolist() == [2.0, 2.0]


def test_an_axis_size_that_disagrees_is_listed():
    with pytest.raises(AxisError, match="differ in size") as caught:
        vmap(lambda x, y: x, axis_size=4)(A, 1.0)
    assert "x          3, axis 0 of float32[3,2]" in str(caught.value)
    assert "axis_size  4" in str(caught.value)


def test_a_function_is_run_once_a_call_also_where_leaves_are_shared():
    runs = []

    @vmap
    def f(x, scale):
        runs.append(1)
        return x * scale

    f(A, 2.0)
    f(A, 3.0)
    assert len(runs) == 2
