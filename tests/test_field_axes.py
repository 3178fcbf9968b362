"""`Axis` on fields: `vmap` over an object of which some fields are mapped and some are shared."""

import dataclasses
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import jax_dataclasses
import numpy as np
import pytest
from jax import Array

import annotax
from annotax import Axis, AxisError, MarkerError, NoDiff, Static, grad, jit, transform, vmap

BOTH = pytest.mark.parametrize("through", [vmap, transform(jit, vmap)], ids=["eager", "compiled"])

A = jnp.arange(6.0).reshape(3, 2)
MASK = jnp.array([1.0, 0.0])


def same(got: Any, expected: Any) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert jnp.shape(one) == jnp.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-6)


@annotax.pytree
class Batch:
    x: Array
    mask: Annotated[Array, Axis(None)]
    y: Annotated[Array, Axis(1)]
    name: Static[str] = "batch"


class EquinoxBatch(eqx.Module):
    x: Array
    mask: Annotated[Array, Axis(None)]
    y: Annotated[Array, Axis(1)]


@flax.struct.dataclass
class FlaxBatch:
    x: Array
    mask: Annotated[Array, Axis(None)]
    y: Annotated[Array, Axis(1)]


class NamedBatch(NamedTuple):
    x: Array
    mask: Annotated[Array, Axis(None)]
    y: Annotated[Array, Axis(1)]


@jax_dataclasses.pytree_dataclass
class JaxBatch:
    x: Array
    mask: Annotated[Array, Axis(None)]
    y: Annotated[Array, Axis(1)]


KINDS = [Batch, EquinoxBatch, FlaxBatch, NamedBatch, JaxBatch]
every_kind = pytest.mark.parametrize("kind", KINDS)


def batch(kind: Any = Batch) -> Any:
    return kind(A, MASK, (A + 10).T)


def total(batch: Any) -> Array:
    assert batch.x.shape == batch.mask.shape == batch.y.shape == (2,)
    return jnp.sum(batch.x * batch.mask + batch.y)


TOTALS = jnp.sum(A * MASK + A + 10, axis=1)


# --- arguments -------------------------------------------------------------------------------------------------------


@every_kind
@BOTH
def test_a_field_says_which_axis_of_it_is_mapped_or_that_it_is_shared(through, kind):
    same(through(total)(batch(kind)), TOTALS)


@BOTH
@pytest.mark.parametrize(
    "wrap", [lambda b: [b], lambda b: {"a": (b, None)}, lambda b: (b,)], ids=["list", "dict and tuple", "tuple"]
)
def test_at_any_depth(through, wrap):
    def f(tree, x):
        (found,) = jax.tree.leaves(tree, is_leaf=lambda part: isinstance(part, Batch))
        return total(found) + jnp.sum(x)

    same(through(f)(wrap(batch()), A), TOTALS + jnp.sum(A, 1))


@BOTH
def test_a_field_of_an_object_in_a_field(through):
    @annotax.pytree
    class Outer:
        shared: Annotated[Batch, Axis(None)]
        weight: Array

    @annotax.pytree
    class Inner:
        inner: Batch
        weight: Annotated[Array, Axis(None)]

    one = Batch(A[0], MASK, A[0] + 10)
    # What is nearest to a leaf decides: the mask and y of the shared batch have axes of their own.
    got = through(lambda outer: (outer.shared.x * outer.shared.mask, outer.weight))(
        Outer(dataclasses.replace(one, y=(A + 10).T), A[:, 0])
    )
    same(got, (jnp.stack([A[0] * MASK] * 3), A[:, 0]))
    same(through(lambda inner: total(inner.inner) * inner.weight)(Inner(batch(), jnp.float32(2.0))), TOTALS * 2)


@BOTH
def test_every_spelling_of_a_call_maps_alike(through):
    @through
    def f(first: Batch, *rest: Batch, last: Batch, **others: Batch) -> Array:
        return total(first) + sum(map(total, (*rest, last, *others.values())))

    for got in (f(batch(), batch(), last=batch(), a=batch()), f(batch(), batch(), a=batch(), last=batch())):
        same(got, 4 * TOTALS)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3, None])
@BOTH
def test_any_axis(through, axis):
    Box = annotax.pytree(
        type("Box", (), {"__annotations__": {"a": Annotated[Array, Axis(axis)], "b": Array}, "__module__": __name__})
    )
    cube = jnp.arange(8.0).reshape(2, 2, 2)
    expected = jax.vmap(lambda a, b: a * jnp.sum(b), in_axes=(axis, 0))(cube, A[:2])
    same(through(lambda box: box.a * jnp.sum(box.b))(Box(cube, A[:2])), expected)


@BOTH
def test_the_axis_of_a_field_holds_for_all_below_it(through):
    @annotax.pytree
    class Data:
        tree: Annotated[dict[str, Any], Axis(1)]
        shared: Annotated[Any, Axis(None)]

    data = Data({"a": A.T, "b": [A.T, (A.T,)]}, {"w": MASK, "n": 3, "f": jnp.sin})
    got = through(lambda data: (data.tree["a"] + data.tree["b"][1][0]) * data.shared["w"] + data.shared["n"])(data)
    same(got, 2 * A * MASK + 3)


@BOTH
def test_a_leaf_without_axes_in_a_field_that_no_marker_speaks_of_is_shared(through):
    @annotax.pytree
    class Data:
        x: Array
        scale: Any
        y: Annotated[Array, Axis(1)]

    for scale in (2.0, jnp.float32(2.0)):
        same(through(lambda data: data.x * data.scale + data.y)(Data(A, scale, A.T)), A * 3)


@BOTH
def test_a_method_of_a_batch_is_mapped_over_self(through):
    @annotax.pytree
    class Points:
        xs: Array
        origin: Annotated[Array, Axis(None)]

        @through
        def distances(self, by: Annotated[Array, Axis(None)]) -> Array:
            return jnp.sum((self.xs - self.origin) * by)

    same(Points(A, MASK).distances(2.0), jnp.sum(A - MASK, 1) * 2)


@BOTH
def test_one_function_takes_objects_and_arrays_in_turn(through):
    f = through(lambda tree: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(tree)))
    for _ in range(2):
        same(f(A), jnp.sum(A, 1))
        same(f(batch()), jnp.sum(A, 1) + jnp.sum(A + 10, 1) + 1)
        same(f({"a": A, "b": batch()}), 2 * jnp.sum(A, 1) + jnp.sum(A + 10, 1) + 1)


def test_a_compiled_map_is_traced_once():
    f = transform(jit, vmap)(lambda batch: total(batch))
    for _ in range(3):
        same(f(batch()), TOTALS)
    same(f(batch=dataclasses.replace(batch(), mask=MASK * 2)), jnp.sum(A * MASK * 2 + A + 10, axis=1))
    assert len(f.traces) == 1


# --- maps with names -------------------------------------------------------------------------------------------------


@annotax.pytree
class Series:
    x: Annotated[Array, Axis(1, "time"), Axis(0, "batch")]
    per_batch: Annotated[Array, Axis(None, "time")]
    per_time: Annotated[Array, Axis(None, "batch")]
    shared: Annotated[Array, Axis(None)]


@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_a_named_axis_speaks_only_to_the_map_of_that_name(around):
    def f(series):
        assert (series.x.shape, series.per_batch.shape, series.per_time.shape) == ((4,), (), ())
        return jnp.sum(series.x) * series.per_batch + series.per_time * series.shared

    x = jnp.arange(24.0).reshape(2, 3, 4)  # batch, time, feature
    series = Series(x, jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0, 5.0]), jnp.float32(6.0))
    got = around(transform(vmap(axis_name="time"), vmap(axis_name="batch"))(f))(series)
    expected = jnp.sum(x, 2).T * jnp.array([1.0, 2.0]) + (jnp.array([3.0, 4.0, 5.0]) * 6)[:, None]
    same(got, expected)


def test_a_marker_with_the_name_of_the_map_goes_before_one_without():
    @annotax.pytree
    class Data:
        x: Annotated[Array, Axis(0), Axis(1, "time")]

    same(vmap(lambda data: jnp.cumsum(data.x))(Data(A)), jnp.cumsum(A, 1))
    same(vmap(lambda data: jnp.cumsum(data.x), axis_name="time")(Data(A)), jnp.cumsum(A, 0).T)


def test_a_name_of_a_map_that_is_not_there_leaves_the_field_to_the_rule():
    @annotax.pytree
    class Data:
        x: Annotated[Array, Axis(1, "time")]

    same(vmap(lambda data: jnp.sum(data.x))(Data(A)), jnp.sum(A, 1))


# --- results ---------------------------------------------------------------------------------------------------------


@annotax.pytree
class Stats:
    mean: Array
    columns: Annotated[Array, Axis(1)]
    last: Annotated[Array, Axis(-1)]
    shared: Annotated[Array, Axis(None)]


def stats(x: Array, w: Any) -> Stats:
    return Stats(jnp.mean(x), x * 2, jnp.outer(x, x), w)


EXPECTED = Stats(jnp.mean(A, 1), (A * 2).T, jnp.stack([jnp.outer(a, a) for a in A], -1), jnp.float32(7.0))


@BOTH
def test_the_fields_of_a_result_have_their_axes_if_its_hint_names_the_class(through):
    def f(x: Array, w: Annotated[Array, Axis(None)]) -> Stats:
        return stats(x, w)

    mapped = through(f)
    for _ in range(2):
        same(mapped(A, jnp.float32(7.0)), EXPECTED)


@BOTH
def test_also_at_depth_and_beside_other_components(through):
    def f(
        x: Array, w: Annotated[Array, Axis(None)]
    ) -> tuple[Annotated[Array, Axis(1)], dict[str, list[Stats]], Stats | None, Array]:
        return x, {"a": [stats(x, w)]}, None, x + 1

    got = through(f)(A, jnp.float32(7.0))
    same(got, (A.T, {"a": [EXPECTED]}, None, A + 1))


@BOTH
def test_the_axis_of_the_whole_result_holds_where_no_field_says_more(through):
    def f(x: Array, w: Annotated[Array, Axis(None)]) -> Annotated[Stats, Axis(None)]:
        return Stats(w, x * 2, jnp.outer(x, x), w)

    same(through(f)(A, jnp.float32(7.0)), dataclasses.replace(EXPECTED, mean=jnp.float32(7.0)))


@BOTH
def test_a_batch_comes_back_as_it_went_in(through):
    def f(batch: Batch) -> Batch:
        return dataclasses.replace(batch, x=batch.x * 2)

    step = through(f)
    same(step(step(batch())), dataclasses.replace(batch(), x=A * 4))


@BOTH
def test_a_batch_comes_back_as_it_went_in_without_a_hint_too(through):
    step = through(lambda batch: batch)
    for _ in range(2):
        same(step(batch()), batch())


@BOTH
def test_a_result_by_fields_may_hold_functions_and_strings(through):
    @annotax.pytree
    class Out:
        x: Annotated[Array, Axis(1)]
        tag: Any

    def f(x: Array) -> Out:
        return Out(x, {"f": jnp.sin, "s": "a", "y": x})

    got = through(f)(A)
    same(got.x, A.T)
    assert got.tag["f"] is jnp.sin
    assert got.tag["s"] == "a"
    same(got.tag["y"], A)


def test_out_axes_win_over_fields():
    def f(x: Array, w: Annotated[Array, Axis(None)]) -> Stats:
        return stats(x, w)

    got = vmap(f, out_axes=0)(A, jnp.float32(7.0))
    same((got.columns, got.shared), (A * 2, jnp.full(3, 7.0)))


def test_an_out_axis_none_of_a_mapped_field_raises_as_in_jax():
    def f(x: Array) -> Stats:
        return Stats(x, x, x, x)

    with pytest.raises(ValueError, match="out_axes"):
        vmap(f)(A)


def test_named_axes_of_a_result():
    @annotax.pytree
    class Out:
        x: Annotated[Array, Axis(2, "time")]

    def f(x: Array) -> Out:
        return Out(jnp.sin(x))

    x = jnp.arange(24.0).reshape(2, 3, 4)
    got = transform(vmap(axis_name="time"), vmap(axis_name="batch"))(f)(x)
    same(got.x, jax.vmap(jax.vmap(jnp.sin), out_axes=2)(x))


# --- overrides and errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["batch", 0, -1])
@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
def test_in_axes_win_over_fields(around, selector):
    def override(axes):
        return around(vmap(total, in_axes={selector: axes}))

    same(override(0)(Batch(A, A, A)), jnp.sum(A * A + A, 1))
    same(override(1)(Batch(A.T, A.T, A.T)), jnp.sum(A * A + A, 1))
    same(override(Batch(0, None, 0))(Batch(A, MASK, A)), jnp.sum(A * MASK + A, 1))
    with pytest.raises(AxisError):
        override(2)(batch())


def test_a_marker_on_the_parameter_holds_for_fields_that_say_nothing():
    def f(batch: Annotated[Batch, Axis(1)], x):
        return batch.x * batch.mask + batch.y * x

    same(vmap(f)(Batch(A.T, MASK, A.T), A), A * MASK + A * A)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Batch(A, MASK, A[0]), "vmap cannot map axis 1 of argument batch.y"),
        (Batch(A, MASK, A), "vmap was given arguments whose mapped axes differ in size"),
    ],
    ids=["rank", "size"],
)
@BOTH
def test_an_axis_that_is_not_there_names_the_leaf(through, wrong, said):
    def f(batch: Batch) -> Array:
        return jnp.sum(batch.x) + jnp.sum(batch.y)

    with pytest.raises(AxisError) as caught:
        through(f)(wrong)
    text = str(caught.value)
    assert "f(): " + said in text
    assert "batch.y" in text
    assert "fix" in text


def test_an_axis_on_a_field_that_is_metadata_raises():
    class Wrong(eqx.Module):
        x: Array
        n: Annotated[int, Axis(0)] = eqx.field(static=True)

    with pytest.raises(MarkerError, match=r"field n is marked Axis\(0\), but it is no part of what JAX traces"):
        vmap(lambda wrong: wrong.x)(Wrong(A, 3))


def test_axes_on_fields_mean_nothing_to_other_transforms():
    gradient = jit(grad(lambda batch: jnp.sum(batch.x * batch.mask)))(batch())
    same(gradient.x, jnp.stack([MASK] * 3))


def test_the_gradient_of_a_mapped_model_leaves_out_what_is_frozen():
    @annotax.pytree
    class Model:
        w: Annotated[Array, Axis(None)]
        basis: Annotated[Array, Axis(None), NoDiff]

    predict = vmap(lambda model, x: jnp.sum(model.w * model.basis * x))
    gradient = grad(lambda model: jnp.sum(predict(model, A)))(Model(MASK + 1, MASK))
    assert gradient.basis is None
    same(gradient.w, jnp.sum(A, 0) * MASK)
    per_example = transform(vmap, grad)(lambda model, x: jnp.sum(model.w * model.basis * x))
    same(per_example(Model(MASK + 1, MASK), A)[0].w, A * MASK)
