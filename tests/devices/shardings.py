"""Layouts on 8 devices; run by `tests/test_sharding.py`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import annotax
from annotax import (
    Aux,
    Donate,
    MarkerError,
    NoDiff,
    ShardingError,
    Static,
    StaticValueError,
    grad,
    jit,
    shard_map,
    transform,
    value_and_grad,
    vmap,
)

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit

Rows = Annotated[Array, P("data", None)]
Columns = Annotated[Array, P(None, "data")]
Entries = Annotated[Array, P("data")]
Everywhere = Annotated[Array, P()]


def mesh_of(sizes: tuple[int, ...] = (8,), names: tuple[str, ...] = ("data",), kind: Any = AUTO) -> Mesh:
    return jax.make_mesh(sizes, names, axis_types=(kind,) * len(sizes), devices=jax.devices()[: int(np.prod(sizes))])


def is_laid_out(array: Array, mesh: Mesh, spec: Any) -> bool:
    return array.sharding.is_equivalent_to(NamedSharding(mesh, spec), array.ndim)


def text_of(function: Any, *args: Any, **kwargs: Any) -> str:
    return function.lower(*args, **kwargs).compile().as_text()


def whole(array: Array) -> Array:
    """An array on every device; axes of type Explicit want that asked for."""
    has_explicit = AxisType.Explicit in jax.sharding.get_abstract_mesh().axis_types
    return jax.sharding.reshard(array, P()) if has_explicit else array


@pytest.fixture(params=[AUTO, EXPLICIT], ids=["auto", "explicit"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def mesh(kind: Any) -> Mesh:
    return mesh_of(kind=kind)


@pytest.fixture(params=["ambient", "option"])
def given(request: pytest.FixtureRequest, mesh: Mesh) -> Iterator[dict[str, Any]]:
    """The options of a transform that has the mesh: `mesh=`, or none where the mesh is ambient."""
    if request.param == "option":
        yield {"mesh": mesh}
    else:
        with jax.set_mesh(mesh):
            yield {}


@pytest.fixture
def ambient(mesh: Mesh) -> Iterator[None]:
    with jax.set_mesh(mesh):
        yield


@pytest.fixture
def rows() -> Array:
    return jnp.arange(16.0 * 8).reshape(16, 8)


def test_there_are_eight_devices() -> None:
    assert jax.device_count() == 8


# --- jit: what goes in and what comes out ----------------------------------------------------------------------------


def test_jit_lays_out_what_goes_in(given, mesh, rows):
    compiled = jit(**given)(lambda x: x)
    assert not is_laid_out(compiled(rows), mesh, P("data", None))

    @jit(**given)
    def f(x: Rows) -> Array:
        return x * 2

    result = f(rows)
    assert is_laid_out(result, mesh, P("data", None))
    assert np.array_equal(result, rows * 2)


def test_jit_lays_out_what_comes_out(given, mesh, rows):
    @jit(**given)
    def f(x: Array) -> Columns:
        return x * 2

    result = f(rows)
    assert is_laid_out(result, mesh, P(None, "data"))
    assert np.array_equal(result, rows * 2)


def test_jit_changes_the_layout_from_what_goes_in_to_what_comes_out(given, mesh, rows):
    @jit(**given)
    def f(x: Rows) -> Columns:
        return x + 1

    assert is_laid_out(f(rows), mesh, P(None, "data"))
    assert "all-to-all" in text_of(f, rows)


@pytest.mark.parametrize("call", [lambda f, x, y: f(x, y=y), lambda f, x, y: f(y=y, x=x)], ids=["mixed", "keywords"])
def test_jit_takes_keywords(given, mesh, rows, call):
    @jit(**given)
    def f(x: Rows, *, y: Rows) -> tuple[Array, Array]:
        return x + 1, y + 2

    first, second = call(f, rows, rows)
    assert is_laid_out(first, mesh, P("data", None))
    assert is_laid_out(second, mesh, P("data", None))
    assert np.array_equal(second, rows + 2)


def test_jit_lays_out_what_is_positional_only_or_left_out(given, mesh, rows):
    @jit(**given)
    def f(x: Rows, /, y: Rows = np.ones((8, 2), np.float32)) -> tuple[Array, Array]:  # noqa: B008
        return x + 1, y + 2

    first, second = f(rows)
    assert is_laid_out(first, mesh, P("data", None))
    assert is_laid_out(second, mesh, P("data", None))


def test_jit_takes_host_arrays(given, mesh):
    @jit(**given)
    def f(x: Rows, *, y: Entries) -> tuple[Array, Array]:
        return x * 2, y * 3

    first, second = f(np.ones((16, 8), np.float32), y=np.arange(8.0, dtype=np.float32))
    assert is_laid_out(first, mesh, P("data", None))
    assert is_laid_out(second, mesh, P("data"))
    assert second.tolist() == (np.arange(8) * 3).tolist()


def test_jit_takes_arrays_that_are_committed_to_another_layout(given, mesh, rows):
    @jit(**given)
    def f(x: Rows) -> Array:
        return x * 2

    elsewhere = jax.device_put(rows, NamedSharding(mesh, P(None, "data")))
    result = f(elsewhere)
    assert is_laid_out(result, mesh, P("data", None))
    assert np.array_equal(result, rows * 2)


def test_the_layout_of_a_pytree_is_that_of_each_array_in_it(given, mesh, rows):
    @jit(**given)
    def f(state: Annotated[dict[str, Any], P("data")]) -> dict[str, Any]:
        return {"w": state["w"] + 1, "b": state["b"] + 1}

    result = f({"w": rows, "b": jnp.zeros(8), "name": "not an array"})
    assert is_laid_out(result["w"], mesh, P("data", None))
    assert is_laid_out(result["b"], mesh, P("data"))


def test_statics_go_with_layouts(given, mesh, rows):
    @jit(**given)
    def f(x: Rows, *, times: Static[int], kind: str = "sin") -> Array:
        return getattr(jnp, kind)(x) * times

    result = f(x=rows, times=3, kind="cos")
    assert is_laid_out(result, mesh, P("data", None))
    assert np.allclose(result, np.cos(rows) * 3, atol=1e-5)


def test_donated_arrays_may_have_a_layout(given, mesh, rows):
    @jit(**given)
    def f(x: Annotated[Donate[Array], P("data", None)]) -> Rows:
        return x + 1

    x = jax.device_put(rows, NamedSharding(mesh, P("data", None)))
    result = f(x)
    assert is_laid_out(result, mesh, P("data", None))
    assert x.is_deleted()


def test_a_method_may_have_layouts(given, mesh, rows):
    class Model:
        scale = 3.0

        @jit(**given, static="self")
        def apply(self, x: Rows) -> Array:
            return x * self.scale

    assert is_laid_out(Model().apply(x=rows), mesh, P("data", None))


def test_two_axes_of_a_mesh(kind):
    mesh = mesh_of((4, 2), ("data", "model"), kind)

    @jit(mesh=mesh)
    def f(x: Rows, w: Annotated[Array, P(None, "model")]) -> Annotated[Array, P("data", "model")]:
        return x @ w

    result = f(jnp.ones((8, 4)), w=jnp.ones((4, 6)))
    assert is_laid_out(result, mesh, P("data", "model"))
    assert np.array_equal(result, np.full((8, 6), 4.0))


def test_one_dimension_over_two_axes_of_a_mesh(kind):
    mesh = mesh_of((4, 2), ("data", "model"), kind)

    @jit(mesh=mesh)
    def f(x: Annotated[Array, P(("data", "model"), None)]) -> Array:
        return x * 2

    assert is_laid_out(f(jnp.ones((8, 4))), mesh, P(("data", "model"), None))


def test_axes_of_two_types_in_one_mesh():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(EXPLICIT, AUTO))

    @jit(mesh=mesh)
    def f(x: Annotated[Array, P("data", "model")]) -> Array:
        return x * 2

    assert is_laid_out(f(jnp.ones((8, 4))), mesh, P("data", "model"))


def test_an_explicit_axis_is_seen_by_the_body():
    seen = []

    @jit(mesh=mesh_of(kind=EXPLICIT))
    def f(x: Rows) -> Array:
        seen.append(jax.typeof(x).sharding.spec)
        return x

    f(np.ones((8, 2), np.float32))
    assert seen == [P("data", None)]


def test_jit_maps_a_layout_under_vmap_to_the_dimensions_of_one_example(given, mesh):
    @transform(jit(**given), vmap)
    def f(x: Entries) -> Array:
        return x * 2

    assert is_laid_out(f(jnp.ones((3, 8))), mesh, P(None, "data"))


# --- jit: the components of a result ---------------------------------------------------------------------------------


def test_each_component_of_a_result_has_its_layout(given, mesh, rows):
    @jit(**given)
    def f(x: Array) -> tuple[Rows, Columns, Everywhere]:
        return x + 1, x + 2, x + 3

    results = f(rows)
    assert type(results) is tuple
    for result, spec in zip(results, (P("data", None), P(None, "data"), P()), strict=True):
        assert is_laid_out(result, mesh, spec)


def test_the_layout_of_a_whole_tuple_is_that_of_each_component(given, mesh, rows):
    @jit(**given)
    def f(x: Array) -> Annotated[tuple[Array, Array], P("data")]:
        return x + 1, x + 2

    assert all(is_laid_out(result, mesh, P("data", None)) for result in f(rows))


def test_a_component_that_is_a_pytree_has_its_layout_on_each_array(given, mesh, rows):
    @jit(**given)
    def f(x: Array) -> tuple[Array, Annotated[dict[str, Array], P("data")]]:
        return x, {"a": x + 1, "b": x[:, 0] + 1}

    _, state = f(rows)
    assert is_laid_out(state["a"], mesh, P("data", None))
    assert is_laid_out(state["b"], mesh, P("data"))


def test_an_auxiliary_component_has_its_layout_under_value_and_grad(given, mesh, rows):
    @transform(jit(**given), value_and_grad)
    def f(w: Array, x: NoDiff[Array]) -> tuple[Array, Aux[Rows]]:
        return jnp.sum(w * x), w * x

    (_, predictions), _ = f(jnp.ones(8), rows)
    assert is_laid_out(predictions, mesh, P("data", None))


# --- the collectives in the compiled text ----------------------------------------------------------------------------


def test_a_sum_over_shards_reduces_over_the_devices(given, rows):
    @jit(**given)
    def total(x: Rows) -> Array:
        return jnp.sum(x)

    assert "all-reduce" in text_of(total, rows)
    assert "all-reduce" in text_of(total, x=rows)
    assert float(total(rows)) == float(jnp.sum(rows))


def test_shards_that_come_out_whole_are_gathered(given, mesh, rows):
    @jit(**given)
    def gathered(x: Rows) -> Everywhere:
        return x * 2

    assert "all-gather" in text_of(gathered, rows)
    assert is_laid_out(gathered(rows), mesh, P())


def test_what_stays_where_it_is_needs_no_collective(given, rows):
    @jit(**given)
    def doubled(x: Rows) -> Rows:
        return x * 2

    text = text_of(doubled, rows)
    assert "f32[2,8]" in text  # the shard of one device
    assert not any(name in text for name in ("all-reduce", "all-gather", "all-to-all", "collective-permute"))


def test_a_function_compiled_ahead_of_time_runs_on_the_mesh(given, mesh, rows):
    @jit(**given)
    def f(x: Rows) -> Array:
        return x * 2

    compiled = f.lower(x=rows).compile()
    laid_out = jax.device_put(rows, compiled.input_shardings[0][0])
    assert is_laid_out(compiled(x=laid_out), mesh, P("data", None))


# --- without a mesh --------------------------------------------------------------------------------------------------


def normalise(x: Rows, *, power: Static[int] = 1) -> tuple[Rows, Entries]:
    return x**power / jnp.sum(x), jnp.sum(x, axis=1)


@pytest.mark.parametrize("through", [jit, shard_map, transform(jit, shard_map)], ids=["jit", "shard_map", "both"])
def test_without_a_mesh_the_markers_are_inert(through, rows):
    function = through(normalise)
    results, expected = function(x=rows, power=2), normalise(rows, power=2)
    for result, other in zip(results, expected, strict=True):
        assert np.allclose(result, other)
        assert len(result.devices()) == 1


def test_without_a_mesh_nothing_is_said_of_shapes_or_axes():
    @jit
    def f(x: Annotated[Array, P("no", "such", "axis")]) -> Entries:
        return x * 2

    assert f(jnp.ones(3)).tolist() == [2.0] * 3
    text = text_of(f, jnp.ones(3))
    assert "sharding={" not in text


def test_with_and_without_a_mesh_the_result_is_the_same(given, rows):
    expected = jit(normalise)(rows, power=2) if given else None
    results = jit(**given)(normalise)(rows, power=2)
    expected = expected or normalise(rows, power=2)
    for result, other in zip(results, expected, strict=True):
        assert np.allclose(result, other)


# --- one function, several meshes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", [jit, shard_map, transform(jit, shard_map)], ids=["jit", "shard_map", "both"])
def test_one_function_first_without_a_mesh_then_with_one_then_with_another(through, kind, rows):
    @through
    def f(x: Rows) -> Rows:
        return x * 2

    small, large, other = mesh_of((2,), kind=kind), mesh_of(kind=kind), mesh_of((4, 2), ("other", "data"), kind)
    for _ in range(2):
        assert len(f(rows).devices()) == 1
        for mesh in (small, large, other):
            with jax.set_mesh(mesh):
                result = f(rows)
                assert is_laid_out(result, mesh, P("data", None))
                assert np.array_equal(result, rows * 2)


def test_each_mesh_is_traced_once(rows):
    traces = []

    @jit
    def f(x: Rows) -> Array:
        traces.append(jax.sharding.get_abstract_mesh())
        return x * 2

    small, large = mesh_of((2,)), mesh_of()
    for _ in range(3):
        f(rows)
        for mesh in (small, large):
            with jax.set_mesh(mesh):
                f(rows)
                f(x=rows)
    assert len(traces) == 3


@pytest.mark.parametrize("through", [jit, shard_map])
def test_the_mesh_of_the_option_goes_before_the_ambient_one(through, kind, rows):
    small, large = mesh_of((2,), kind=kind), mesh_of(kind=kind)

    @through(mesh=small)
    def f(x: Rows) -> Rows:
        return x * 2

    with jax.set_mesh(large):
        assert is_laid_out(f(rows), small, P("data", None))
        assert jax.sharding.get_abstract_mesh() == large.abstract_mesh
    assert jax.sharding.get_abstract_mesh().empty
    assert is_laid_out(f(rows), small, P("data", None))


def test_the_mesh_of_the_option_is_left_after_an_error():
    @jit(mesh=mesh_of())
    def f(x: Entries) -> Array:
        raise RuntimeError("from the body")

    with pytest.raises(RuntimeError, match="from the body"):
        f(jnp.ones(8))
    assert jax.sharding.get_abstract_mesh().empty


def test_a_jitted_function_with_a_mesh_runs_inside_a_jitted_function(kind, rows):
    mesh = mesh_of(kind=kind)

    @jit(mesh=mesh)
    def inner(x: Rows) -> Rows:
        return x * 2

    with jax.set_mesh(mesh):
        assert is_laid_out(jit(lambda x: inner(x) + 1)(rows), mesh, P("data", None))


# --- gradients -------------------------------------------------------------------------------------------------------


def fsdp_loss(w: Rows, b: Array, x: NoDiff[Rows]) -> Array:
    """Parameters live in shards and are gathered where they are used."""
    return jnp.mean((x @ whole(w) + b) ** 2)


@pytest.mark.parametrize("derivative", [value_and_grad, grad])
def test_a_gradient_has_the_layout_of_its_parameter(given, mesh, rows, derivative):
    step = transform(jit(**given), derivative)(fsdp_loss)
    w, b = jnp.ones((8, 8)), jnp.ones(8)
    result = step(w, b, x=rows)
    of_w, of_b = result if derivative is grad else result[1]
    assert is_laid_out(of_w, mesh, P("data", None))
    assert is_laid_out(of_b, mesh, P())
    expected = jax.grad(lambda w, b: jnp.mean((rows @ w + b) ** 2), argnums=(0, 1))(w, b)
    assert np.allclose(of_w, expected[0], rtol=1e-4)
    assert np.allclose(of_b, expected[1], rtol=1e-4)


def test_sharded_parameters_are_gathered_and_their_gradients_reduced(given, rows):
    step = transform(jit(**given), value_and_grad)(fsdp_loss)
    text = text_of(step, jnp.ones((8, 8)), jnp.ones(8), rows)
    assert "all-gather" in text
    assert "all-reduce" in text or "reduce-scatter" in text


def test_raw_jax_gives_a_replicated_gradient_here():
    """The case that imposing a layout at the entry of the function is for."""
    mesh = mesh_of()
    shardings = NamedSharding(mesh, P("data", None))
    raw = jax.jit(jax.grad(lambda w, x: jnp.mean((x @ w) ** 2)))
    with jax.set_mesh(mesh):
        gradient = raw(jax.device_put(jnp.ones((8, 8)), shardings), jax.device_put(jnp.ones((16, 8)), shardings))
    assert not is_laid_out(gradient, mesh, P("data", None))


def test_gradients_in_the_order_of_wrt_have_their_own_layouts(given, mesh, rows):
    @transform(jit(**given), grad(wrt=["b", "w"]))
    def f(w: Rows, b: Annotated[Array, P(None)], x: Rows) -> Array:
        return jnp.sum(x * whole(w)[0] + b)

    of_b, of_w = f(jnp.ones((8, 8)), jnp.ones(8), rows)
    assert is_laid_out(of_b, mesh, P())
    assert is_laid_out(of_w, mesh, P("data", None))


def test_a_gradient_with_leaves_that_have_none_has_its_layout(given, mesh):
    @transform(jit(**given), grad)
    def f(state: Annotated[dict[str, Any], P("data")]) -> Array:
        return jnp.sum(whole(state["w"]) ** 2) + jnp.sum(state["steps"])

    gradient = f({"w": jnp.ones(8), "steps": jnp.arange(8), "name": "ours"})
    assert is_laid_out(gradient["w"], mesh, P("data"))
    assert gradient["steps"] is None
    assert gradient["name"] is None


@pytest.mark.parametrize("outer", [value_and_grad, jax.value_and_grad], ids=["annotax", "jax"])
def test_jit_inside_grad_gives_a_gradient_the_layout_of_its_parameter(given, mesh, kind, rows, outer):
    compiled = outer(jit(**given)(fsdp_loss))
    # Axes of type Explicit are part of the types of a trace, so JAX wants their mesh around all of it.
    with jax.set_mesh(mesh) if kind is EXPLICIT else contextlib.nullcontext():
        _, gradient = compiled(jnp.ones((8, 8)), jnp.ones(8), rows)
    of_w = gradient[0] if outer is value_and_grad else gradient
    # By its type a gradient has the layout that its argument came with, unless annotax lays it out again.
    as_it_came = kind is EXPLICIT and outer is jax.value_and_grad
    assert is_laid_out(of_w, mesh, P() if as_it_came else P("data", None))


@pytest.mark.parametrize("outer", [vmap, jax.vmap, jit, jax.jit], ids=["vmap", "jax.vmap", "jit", "jax.jit"])
def test_the_mesh_of_the_option_holds_inside_another_transform(outer):
    mesh = mesh_of()

    @jit(mesh=mesh)
    def f(x: Entries) -> Entries:
        return x * 2

    result = outer(f)(jnp.ones((8, 8)) if outer in (vmap, jax.vmap) else jnp.ones(8))
    assert is_laid_out(result, mesh, P(None, "data") if result.ndim == 2 else P("data"))


def test_a_whole_training_step_keeps_its_layouts(given, mesh, rows):
    @jit(**given)
    def step(
        w: Annotated[Donate[Array], P("data", None)], b: Array, x: Rows, *, rate: Static[float] = 0.1
    ) -> tuple[Rows, Array, Array]:
        loss, (of_w, of_b) = value_and_grad(fsdp_loss)(w, b, x)
        return w - rate * of_w, b - rate * of_b, loss

    # A buffer is used again only if it is laid out as the result will be.
    w, b = jax.device_put(jnp.ones((8, 8)) / 8, NamedSharding(mesh, P("data", None))), jnp.zeros(8)
    losses = []
    for _ in range(3):
        w, b, loss = step(w, b, x=rows / 128, rate=0.5)
        losses.append(float(loss))
        assert is_laid_out(w, mesh, P("data", None))
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("derivative", [annotax.jacrev, annotax.jacfwd, annotax.hessian])
def test_a_derivative_of_more_dimensions_is_what_it_is_without_a_mesh(given, derivative):
    def f(w: Entries) -> Array:
        return jnp.sum(w**3) * whole(w) if derivative is not annotax.hessian else jnp.sum(w**3)

    w = jnp.arange(8.0)
    assert np.allclose(transform(jit(**given), derivative)(f)(w), derivative(f)(w), rtol=1e-5)


def test_a_gradient_through_checkpoint_keeps_its_layout(given, mesh, rows):
    _, (of_w, _) = transform(jit(**given), value_and_grad, annotax.checkpoint)(fsdp_loss)(
        jnp.ones((8, 8)), jnp.ones(8), rows
    )
    assert is_laid_out(of_w, mesh, P("data", None))


def test_shapes_are_told_without_running(rows):
    with jax.set_mesh(mesh_of()):
        assert jit(fsdp_loss).eval_shape(jnp.ones((8, 8)), jnp.ones(8), x=rows).shape == ()
        assert annotax.eval_shape(jit(normalise), rows)[0].shape == rows.shape


# --- shard_map -------------------------------------------------------------------------------------------------------


def test_shard_map_runs_on_the_shards(given, mesh, rows):
    seen = []

    @shard_map(**given)
    def f(x: Rows, y: Array) -> Rows:
        seen.append((x.shape, y.shape))
        return x * y

    result = f(rows, y=jnp.arange(8.0))
    assert seen[0] == ((2, 8), (8,))  # what has no layout is whole on each device
    assert is_laid_out(result, mesh, P("data", None))
    assert np.array_equal(result, rows * np.arange(8))


def test_shard_map_has_the_collective_that_it_is_told(given, mesh, rows):
    @shard_map(**given)
    def total(x: Rows) -> Array:
        return jax.lax.psum(jnp.sum(x), "data")

    assert float(total(x=rows)) == float(jnp.sum(rows))
    assert is_laid_out(total(rows), mesh, P())
    assert "all-reduce" in text_of(jit(total), rows)


def test_shard_map_gathers_when_told(given, rows):
    @shard_map(**given, check_vma=False)
    def gathered(x: Rows) -> Array:
        return jax.lax.all_gather(x, "data", tiled=True)

    assert np.array_equal(gathered(rows), rows)
    assert "all-gather" in text_of(jit(gathered), rows)


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(x, power=2, reduction="psum"),
        lambda f, x: f(reduction="psum", x=x, power=2),
        lambda f, x: f(x, 2, reduction="psum"),
    ],
    ids=["statics by keyword", "all by keyword", "static by position"],
)
def test_shard_map_takes_statics_in_every_spelling(given, rows, call):
    @shard_map(**given)
    def total(x: Rows, power: Static[int] = 1, *, reduction: str = "pmean") -> Array:
        assert type(power) is int
        return getattr(jax.lax, reduction)(jnp.sum(x**power), "data")

    assert float(call(total, rows)) == float(jnp.sum(rows**2))
    assert float(total(rows)) == float(jnp.sum(rows) / 8)


def test_shard_map_keeps_apart_statics_that_are_equal(given, rows):
    seen = []

    @shard_map(**given)
    def f(x: Rows, *, scale: Static[Any]) -> Rows:
        seen.append(scale)
        return x * scale

    for scale in (1, True, 1.0):
        f(rows, scale=scale)
    assert [type(scale) for scale in seen] == [int, bool, float]


def test_shard_map_refuses_an_array_in_a_static_parameter(given, rows):
    @shard_map(**given)
    def f(x: Rows, *, scale: Static[Any]) -> Rows:
        return x * scale

    with pytest.raises(StaticValueError, match="scale"):
        f(rows, scale=jnp.ones(()))


def test_shard_map_takes_pytrees_with_values_that_cannot_be_traced(given, mesh, rows):
    @shard_map(**given)
    def f(state: Annotated[dict[str, Any], P("data")]) -> Rows:
        return getattr(jnp, state["kind"])(state["x"])

    result = f({"x": rows, "kind": "sin"})
    assert is_laid_out(result, mesh, P("data", None))
    assert np.allclose(result, np.sin(rows), atol=1e-5)
    assert np.allclose(f({"x": rows, "kind": "cos"}), np.cos(rows), atol=1e-5)


def test_shard_map_takes_host_arrays(given, mesh):
    @shard_map(**given)
    def f(x: Rows, *, y: Entries) -> tuple[Rows, Entries]:
        return x * 2, y * 3

    first, second = f(np.ones((16, 8), np.float32), y=np.arange(8.0, dtype=np.float32))
    assert is_laid_out(first, mesh, P("data", None))
    assert second.tolist() == (np.arange(8) * 3).tolist()


def test_shard_map_lays_out_each_component_of_a_result(given, mesh, rows):
    @shard_map(**given)
    def f(x: Rows) -> tuple[Rows, Columns, Array]:
        return x, x.T, jax.lax.psum(jnp.sum(x), "data")

    first, second, third = f(rows)
    assert is_laid_out(first, mesh, P("data", None))
    assert is_laid_out(second, mesh, P(None, "data"))
    assert is_laid_out(third, mesh, P())
    assert np.array_equal(second, rows.T)


@pytest.mark.parametrize("selector", ["y", 1, -1])
def test_shard_map_takes_layouts_that_override_those_of_the_hints(given, mesh, rows, selector):
    @shard_map(**given, in_specs={selector: P(None, "data")}, out_specs=P("data", None))
    def f(x: Rows, y: Array) -> Array:
        return x + y.T

    result = f(rows, jnp.ones((8, 16)))
    assert is_laid_out(result, mesh, P("data", None))


@pytest.mark.parametrize("outer", [[], [jit]], ids=["alone", "under jit"])
@pytest.mark.parametrize("spec", [P(None, None, "data"), P("model"), P(None, ("data", "data"))], ids=str)
def test_a_layout_that_shard_map_overrides_is_imposed_nowhere(given, mesh, rows, outer, spec):
    @transform(*outer, shard_map(**given, in_specs={"x": P("data")}, out_specs=P("data")))
    def f(x: Annotated[Array, spec]) -> Array:
        return 2 * x

    assert np.array_equal(f(rows), 2 * rows)


def test_shard_map_over_some_axes_of_the_mesh():
    mesh = mesh_of((4, 2), ("data", "model"))

    @jit(mesh=mesh)
    def f(x: Array) -> Array:
        return over_data(x)

    @shard_map(mesh=mesh, axis_names=["data"])
    def over_data(x: Rows) -> Rows:
        return x - jax.lax.pmean(jnp.mean(x), "data")

    x = jnp.arange(16.0).reshape(8, 2)
    assert np.allclose(f(x), x - x.mean())


def test_shard_map_on_a_method(given, mesh, rows):
    class Model:
        scale = 3.0

        @shard_map(**given, in_specs={})
        def apply(self: Static[Any], x: Rows) -> Rows:
            return x * self.scale

    assert is_laid_out(Model().apply(x=rows), mesh, P("data", None))


def test_shard_map_takes_any_number_of_arguments_under_one_layout(given, mesh, rows):
    @shard_map(**given)
    def f(*arrays: Rows, **others: Rows) -> Rows:
        return sum(arrays) + sum(others.values())

    result = f(rows, rows, a=rows, b=rows)
    assert is_laid_out(result, mesh, P("data", None))
    assert np.array_equal(result, rows * 4)


def test_shard_map_takes_a_pytree_of_layouts_as_an_override(given, mesh, rows):
    specs = {"x": P("data", None), "y": P()}

    @shard_map(**given, in_specs={"state": specs}, out_specs=specs)
    def f(state: dict[str, Array]) -> dict[str, Array]:
        assert state["x"].shape == (2, 8)
        return state

    result = f(state={"x": rows, "y": rows})
    assert is_laid_out(result["x"], mesh, P("data", None))
    assert is_laid_out(result["y"], mesh, P())


def test_shard_map_compiles_once(given, rows):
    traces = []

    @shard_map(**given)
    def f(x: Rows) -> Rows:
        traces.append(x.shape)
        return x

    f(rows)
    count = len(traces)
    f(x=rows)
    f(rows + 1)
    assert len(traces) == count


def test_a_function_with_layouts_runs_inside_shard_map_on_its_shard(given, mesh, rows):
    @jit
    def doubled(x: Rows) -> Rows:
        return x * 2

    @shard_map(**given)
    def f(x: Rows) -> Rows:
        return doubled(x)

    assert np.array_equal(f(rows), rows * 2)


@pytest.mark.parametrize("steps", [(jit, shard_map), (shard_map, jit)], ids=["jit outside", "jit inside"])
@pytest.mark.parametrize("count", [8, 16, 64])
def test_shard_map_and_jit_in_one_pipeline(mesh, steps, count):
    @transform(*steps)
    def f(x: Entries) -> Entries:
        return x - jax.lax.pmean(jnp.mean(x), "data")

    x = jnp.arange(float(count))
    with jax.set_mesh(mesh):
        result = f(x=x)
        assert is_laid_out(result, mesh, P("data"))
    assert np.allclose(result, x - x.mean())


def sharded_loss(w: Array, x: NoDiff[Rows]) -> Array:
    return jax.lax.pmean(jnp.mean((x @ w) ** 2), "data")


def test_shard_map_inside_jit_inside_value_and_grad(given, mesh, kind, rows):
    @jit(**given)
    def loss(w: Array, x: NoDiff[Rows]) -> Array:
        return shard_map(sharded_loss)(w, x=x)

    w = jnp.ones((8, 3))
    with jax.set_mesh(mesh) if kind is EXPLICIT else contextlib.nullcontext():
        value, gradient = value_and_grad(loss)(w, x=rows)
    expected = jax.value_and_grad(lambda w: jnp.mean((rows @ w) ** 2))(w)
    assert np.allclose(value, expected[0], rtol=1e-5)
    assert np.allclose(gradient, expected[1], rtol=1e-5)
    assert is_laid_out(gradient, mesh, P())


@pytest.mark.parametrize(
    "steps",
    [(value_and_grad, jit, shard_map), (jit, value_and_grad, shard_map), (value_and_grad, shard_map)],
    ids=["value_and_grad jit shard_map", "jit value_and_grad shard_map", "value_and_grad shard_map"],
)
@pytest.mark.parametrize("count", [16, 64])
def test_shard_map_in_a_pipeline_that_differentiates(mesh, steps, count):
    w, x = jnp.ones((8, 3)), jnp.arange(count * 8.0).reshape(count, 8) / 128
    step = transform(*steps)(sharded_loss)
    with jax.set_mesh(mesh):
        value, gradient = step(w, x=x)
    expected = jax.value_and_grad(lambda w: jnp.mean((x @ w) ** 2))(w)
    assert np.allclose(value, expected[0], rtol=1e-5)
    assert np.allclose(gradient, expected[1], rtol=1e-5)


@pytest.mark.parametrize("steps", [(jit, value_and_grad, shard_map), (value_and_grad, shard_map)], ids=["jit", "eager"])
def test_the_gradient_of_a_sharded_weight_through_shard_map_stays_in_shards(mesh, steps):
    @transform(*steps)
    def loss(w: Rows, x: NoDiff[Array]) -> Array:
        return jax.lax.psum(jnp.sum(x @ w.T), "data")

    # Where nothing is compiled, axes of type Explicit give a gradient the layout that the argument came with.
    w = jax.device_put(jnp.ones((64, 4)), NamedSharding(mesh, P("data", None)))
    with jax.set_mesh(mesh):
        _, gradient = loss(w, x=jnp.ones((3, 4)))
    assert is_laid_out(gradient, mesh, P("data", None))
    assert np.array_equal(gradient, np.full((64, 4), 3.0))


# --- errors ----------------------------------------------------------------------------------------------------------

every_layout = pytest.mark.parametrize("through", [jit, shard_map], ids=["jit", "shard_map"])


def _raises(through: Callable[..., Any], hint: Any, value: Any) -> str:
    """The message of what a call raises whose second argument has a hint."""

    def f(x: Rows, weights: Array) -> Rows:
        return x

    f.__annotations__["weights"] = hint
    function = through(f)
    with pytest.raises(ShardingError) as raised:
        function(jnp.ones((8, 8)), weights=value)
    assert ".f():" in str(raised.value)
    return str(raised.value)


@pytest.mark.usefixtures("ambient")
@every_layout
def test_an_axis_that_the_mesh_lacks_names_the_parameter(through):
    said = _raises(through, Annotated[Array, P("model")], jnp.ones(8))
    assert "the layout of weights names the axis 'model', which the mesh lacks" in said
    assert "axes of the mesh: 'data'" in said


@pytest.mark.usefixtures("ambient")
@every_layout
def test_a_layout_longer_than_the_rank_names_the_parameter(through):
    said = _raises(through, Rows, jnp.ones(8))
    assert "the layout of weights has more entries than the array has dimensions" in said
    assert "float32[8]" in said


@pytest.mark.usefixtures("ambient")
@every_layout
def test_a_dimension_that_cannot_be_split_names_the_parameter(through):
    said = _raises(through, Rows, jnp.ones((6, 2)))
    assert "dimension 0 of weights cannot be split into 8 equal parts" in said
    assert "float32[6,2]" in said


@pytest.mark.usefixtures("ambient")
@every_layout
def test_an_axis_twice_names_the_parameter(through):
    said = _raises(through, Annotated[Array, P("data", "data")], jnp.ones((8, 8)))
    assert "the layout of weights names a mesh axis twice" in said


@pytest.mark.usefixtures("ambient")
@every_layout
def test_an_array_inside_a_pytree_is_named_by_its_path(through):
    hint = Annotated[dict[str, Any], P("data")]
    said = _raises(through, hint, {"a": jnp.ones(8), "b": [jnp.ones(6)]})
    assert "dimension 0 of weights['b'][0] cannot be split" in said


@pytest.mark.usefixtures("ambient")
@every_layout
@pytest.mark.parametrize(
    ("hint", "shape", "problem"),
    [
        (Annotated[Array, P("model")], (8,), "'model'"),
        (Annotated[Array, P(None, None, "data")], (8, 8), "more entries"),
    ],
    ids=["axis", "rank"],
)
def test_an_error_in_the_layout_of_a_result_names_the_component(through, hint, shape, problem):
    def f(x: Rows) -> tuple[Array, Array]:
        return jax.lax.psum(jnp.sum(x), "data") if through is shard_map else jnp.sum(x), jnp.ones(shape)

    f.__annotations__["return"] = tuple[Array, hint]
    with pytest.raises(ShardingError, match=r"result\[1\]") as raised:
        through(f)(jnp.ones((8, 8)))
    assert problem in str(raised.value)


@pytest.mark.usefixtures("ambient")
def test_a_gradient_that_cannot_be_laid_out_is_refused_by_the_name_of_its_parameter():
    @transform(jit, grad)
    def f(w: Entries) -> Array:
        return jnp.sum(w**2)

    with pytest.raises(ShardingError, match="dimension 0 of w cannot be split"):
        f(jnp.ones(6))


def test_errors_come_also_where_a_mesh_has_come_only_now():
    @jit
    def f(x: Entries) -> Array:
        return x * 2

    assert f(jnp.ones(6)).shape == (6,)
    with jax.set_mesh(mesh_of()), pytest.raises(ShardingError, match="dimension 0 of x"):
        f(jnp.ones(6))
    assert f(jnp.ones(6)).shape == (6,)


@every_layout
def test_two_layouts_on_one_parameter_are_refused(through):
    def f(x: Annotated[Array, P("data"), P(None, "data")]) -> Array:
        return x

    with pytest.raises(MarkerError, match="parameter x has two layouts"):
        through(f)


@every_layout
def test_a_static_parameter_has_no_layout(through):
    def f(x: Array, n: Annotated[Static[int], P("data")]) -> Array:
        return x

    with pytest.raises(MarkerError, match=r"parameter n is both Static and P(artitionSpec)?\('data'"):
        through(f)


@every_layout
def test_a_partition_spec_without_arguments_is_refused(through):
    def f(x: Annotated[Array, P]) -> Array:
        return x

    with pytest.raises(MarkerError, match=r"parameter x has the marker P(artitionSpec)? without its arguments"):
        through(f)


def test_an_override_of_a_parameter_that_is_not_there_is_refused():
    def f(x: Array) -> Array:
        return x

    with pytest.raises(MarkerError, match=r"shard_map\(in_specs=\.\.\.\) names no parameter"):
        shard_map(in_specs={"y": P("data")})(f)


# --- layouts on the fields of a model --------------------------------------------------------------------------------


@annotax.pytree
class Net:
    table: Annotated[Array, P("data", None)]
    head: Annotated[Array, P(None, "data")]
    bias: Array
    basis: Annotated[Array, P("data"), NoDiff]
    name: Static[str] = "net"


class EquinoxNet(eqx.Module):
    table: Annotated[Array, P("data", None)]
    head: Annotated[Array, P(None, "data")]
    bias: Array
    basis: Annotated[Array, P("data"), NoDiff]
    activation: Any = jnp.tanh


@flax.struct.dataclass
class FlaxNet:
    table: Annotated[Array, P("data", None)]
    head: Annotated[Array, P(None, "data")]
    bias: Array
    basis: Annotated[Array, P("data"), NoDiff]


class NamedNet(NamedTuple):
    table: Annotated[Array, P("data", None)]
    head: Annotated[Array, P(None, "data")]
    bias: Array
    basis: Annotated[Array, P("data"), NoDiff]


every_net = pytest.mark.parametrize("of", [Net, EquinoxNet, FlaxNet, NamedNet])

OF_NET = {"table": P("data", None), "head": P(None, "data"), "bias": P(), "basis": P("data")}


def net(of: Any = Net) -> Any:
    table = jnp.arange(128.0).reshape(16, 8) / 128
    return of(table, jnp.ones((4, 8)), jnp.zeros(4), jnp.arange(16.0))


def is_net_laid_out(net: Any, mesh: Mesh, *names: str) -> bool:
    """Whether the named fields, or else all that have a layout, are laid out as they say."""
    names = names or ("table", "head", "basis")
    return all(is_laid_out(getattr(net, name), mesh, OF_NET[name]) for name in names)


def net_loss(net: Any, x: NoDiff[Array]) -> Array:
    hidden = jnp.tanh(whole(x) @ whole(net.table).T + whole(net.basis))
    return jnp.mean((hidden[:, :8] @ whole(net.head).T + whole(net.bias) - 1) ** 2)


@every_net
def test_jit_lays_out_the_fields_of_a_model(given, mesh, of):
    step = jit(**given)(lambda net: jax.tree.map(lambda leaf: leaf * 2 if eqx.is_array(leaf) else leaf, net))
    got = step(net(of))
    assert type(got) is of
    assert is_net_laid_out(got, mesh)
    assert np.array_equal(got.table, net().table * 2)
    assert is_net_laid_out(step(got), mesh)


def test_a_model_anywhere_in_an_argument_has_its_layout(given, mesh, rows):
    @jit(**given)
    def f(state: dict[str, Any], *nets: Any, x: Rows, **more: Any) -> Any:
        return jax.tree.map(jnp.sin, (state["nets"][0], nets[0], more["one"])), x + 1

    (nets, x) = f({"nets": [net()]}, net(), x=rows, one=net())
    assert all(is_net_laid_out(one, mesh) for one in nets)
    assert is_laid_out(x, mesh, P("data", None))


def test_the_nearest_field_decides_and_the_parameter_where_no_field_speaks(given, mesh):
    @annotax.pytree
    class Outer:
        inner: Annotated[Net, P(None)]
        more: Array

    @jit(**given)
    def f(outer: Annotated[Outer, P("data")]) -> Any:
        return jax.tree.map(lambda leaf: leaf + 1, outer)

    got = f(Outer(net(), jnp.ones(8)))
    assert is_net_laid_out(got.inner, mesh)
    assert is_laid_out(got.inner.bias, mesh, P())
    assert is_laid_out(got.more, mesh, P("data"))


@pytest.mark.parametrize("hint", [Net, dict[str, list[Net]], Any, None], ids=str)
def test_a_model_that_is_made_inside_comes_out_laid_out(given, mesh, hint):
    def f(x: Array) -> Any:
        made = Net(jnp.outer(jnp.arange(16.0), x), jnp.outer(jnp.arange(4.0), x), x * 2, jnp.arange(16.0))
        return {"a": [made]} if hint == dict[str, list[Net]] else made

    f.__annotations__["return"] = hint
    if hint is None:
        del f.__annotations__["return"]
    got = jit(**given)(f)(jnp.ones(8))
    assert is_net_laid_out(got["a"][0] if isinstance(got, dict) else got, mesh)


@every_net
@pytest.mark.parametrize("derivative", [grad, value_and_grad])
def test_the_gradient_of_a_model_keeps_its_layout(given, mesh, rows, of, derivative):
    got = transform(jit(**given), derivative)(net_loss)(net(of), x=rows / 128)
    gradient = got if derivative is grad else got[1]
    assert type(gradient) is of
    assert gradient.basis is None
    assert is_net_laid_out(gradient, mesh, "table", "head")
    expected = jax.grad(net_loss)(net(), rows / 128)
    for name in ("table", "head", "bias"):
        assert np.allclose(getattr(gradient, name), getattr(expected, name), atol=1e-5)


def test_the_gradient_of_a_part_keeps_its_layout(given, mesh, rows):
    table, head = transform(jit(**given), grad(wrt=["net.table", "net.head"]))(net_loss)(net(), rows / 128)
    assert is_laid_out(table, mesh, P("data", None))
    assert is_laid_out(head, mesh, P(None, "data"))


def test_a_frozen_field_that_is_asked_for_keeps_its_layout(given, mesh, rows):
    basis = transform(jit(**given), grad(wrt="net.basis"))(net_loss)(net(), rows / 128)
    assert is_laid_out(basis, mesh, P("data"))


@every_net
def test_the_state_of_an_optimiser_is_laid_out_as_the_model_that_it_copies(given, mesh, rows, of):
    adam = optax.adamw(0.01, weight_decay=0.1)

    @jit(**given)
    def start(net: Any) -> Any:
        return adam.init(annotax.partition(net)[0])

    @jit(**given)
    def step(net: Any, state: Any, x: Rows) -> Any:
        loss, gradient = value_and_grad(net_loss)(net, x)
        trained, rest = annotax.partition(net)
        updates, state = adam.update(gradient, state, trained)
        return annotax.combine(optax.apply_updates(trained, updates), rest), state, loss

    model, losses = net(of), []
    state = start(model)
    assert is_net_laid_out(state[0].mu, mesh, "table", "head")
    for _ in range(3):
        model, state, loss = step(model, state, rows / 128)
        losses.append(float(loss))
        assert is_net_laid_out(model, mesh)
        for copy in (state[0].mu, state[0].nu):
            assert type(copy) is of
            assert is_net_laid_out(copy, mesh, "table", "head")
    assert losses == sorted(losses, reverse=True)
    assert np.array_equal(model.basis, net().basis)


def test_a_donated_model_may_have_layouts(given, mesh):
    @jit(**given)
    def step(net: Donate[Net]) -> Net:
        return jax.tree.map(lambda leaf: leaf * 2, net)

    model = annotax.shard(net(), mesh)
    assert is_net_laid_out(step(model), mesh)
    assert model.table.is_deleted()


def test_without_a_mesh_the_layouts_of_fields_are_inert(rows):
    expected = value_and_grad(net_loss)(net(), rows / 128)
    got = transform(jit, value_and_grad)(net_loss)(net(), rows / 128)
    assert np.allclose(got[0], expected[0], rtol=1e-5)
    assert len(got[1].table.devices()) == 1


def test_an_ensemble_of_models_has_the_layouts_of_one(given, mesh):
    @transform(jit(**given), vmap)
    def f(net: Net) -> Array:
        return net.table * 2

    ensemble = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), net())
    assert is_laid_out(f(ensemble), mesh, P(None, "data", None))


def test_a_method_of_a_model_with_layouts(given, mesh):
    @annotax.pytree
    class Layer:
        w: Annotated[Array, P("data", None)]

        @jit(**given)
        def doubled(self) -> Array:
            return self.w * 2

    assert is_laid_out(Layer(jnp.ones((8, 2))).doubled(), mesh, P("data", None))


# --- shard -----------------------------------------------------------------------------------------------------------


@every_net
def test_shard_places_a_tree_by_its_markers(mesh, of):
    model = annotax.shard(net(of), mesh)
    assert type(model) is of
    assert is_net_laid_out(model, mesh)
    assert is_laid_out(model.bias, mesh, P())
    assert model.table.addressable_shards[0].data.shape == (2, 8)
    assert np.array_equal(model.head, net().head)


def test_shard_places_the_state_of_an_optimiser_and_leaves_alone_what_is_no_array(mesh):
    state = annotax.shard(optax.adam(0.1).init(annotax.partition(net())[0]), mesh)
    assert is_net_laid_out(state[0].mu, mesh, "table", "head")
    tree = annotax.shard({"a": [net()], "b": "text", "c": 3, "d": None, "e": np.ones(8), "f": jnp.sin}, mesh)
    assert is_net_laid_out(tree["a"][0], mesh)
    assert (tree["b"], tree["c"], tree["d"], tree["f"]) == ("text", 3, None, jnp.sin)
    assert is_laid_out(tree["e"], mesh, P())


def test_shard_takes_a_mesh_of_two_axes(kind):
    @annotax.pytree
    class Layer:
        w: Annotated[Array, P("data", "model")]
        b: Annotated[Array, P(("data", "model"))]

    mesh = mesh_of((4, 2), ("data", "model"), kind)
    layer = annotax.shard(Layer(jnp.ones((4, 2)), jnp.ones(8)), mesh)
    assert layer.w.addressable_shards[0].data.shape == (1, 1)
    assert layer.b.addressable_shards[0].data.shape == (1,)


def test_what_is_sharded_stays_where_it_is_in_a_step(given, mesh):
    @jit(**given)
    def step(net: Net) -> Net:
        return jax.tree.map(lambda leaf: leaf + 1, net)

    model = annotax.shard(net(), mesh)
    text = text_of(step, model)
    assert not any(name in text for name in ("all-gather", "all-to-all", "collective-permute"))
    assert is_net_laid_out(step(model), mesh)


# --- shard_map by fields ---------------------------------------------------------------------------------------------


@every_net
def test_shard_map_splits_a_model_by_its_fields(given, mesh, rows, of):
    @shard_map(**given)
    def f(net: Any, x: Rows) -> Rows:
        assert (net.table.shape, net.head.shape, net.bias.shape, net.basis.shape) == ((2, 8), (4, 1), (4,), (2,))
        return x * net.table

    got = f(net(of), x=rows)
    assert is_laid_out(got, mesh, P("data", None))
    assert np.allclose(got, rows * net().table)


@pytest.mark.parametrize("through", [shard_map, transform(jit, shard_map)], ids=["shard_map", "jit of it"])
def test_shard_map_returns_a_model_by_its_fields_where_the_hint_names_its_class(mesh, rows, through):
    @through
    def f(net: Net, x: Rows) -> tuple[Net, dict[str, Net], Rows]:
        return jax.tree.map(lambda leaf: leaf * 2, net), {"a": net}, x

    with jax.set_mesh(mesh):
        doubled, others, x = f(net(), rows)
    assert is_net_laid_out(doubled, mesh)
    assert is_net_laid_out(others["a"], mesh)
    assert doubled.table.shape == (16, 8)
    assert np.array_equal(doubled.head, net().head * 2)
    assert is_laid_out(x, mesh, P("data", None))


def test_shard_map_options_win_over_fields(given, mesh):
    @shard_map(**given, in_specs={"net": P()}, out_specs=P())
    def f(net: Net) -> Net:
        assert net.table.shape == (16, 8)
        return net

    assert is_laid_out(f(net()).table, mesh, P())


def test_the_gradient_of_a_model_through_shard_map(mesh, rows):
    @transform(jit, grad, shard_map)
    def loss(net: Net, x: NoDiff[Rows]) -> Array:
        return jax.lax.psum(jnp.sum(x * net.table), "data")

    with jax.set_mesh(mesh):
        gradient = loss(net(), x=rows)
    assert gradient.basis is None
    assert np.allclose(gradient.table, rows)
    assert is_net_laid_out(gradient, mesh, "table")


# --- errors of fields ------------------------------------------------------------------------------------------------


def _raises_by_field(run: Callable[..., Any], spec: Any, value: Any) -> str:
    """The message of what a run raises for a model whose field `w` has a layout."""
    fields = {"__annotations__": {"w": Annotated[Array, spec]}, "__module__": __name__}
    model = annotax.pytree(type("Model", (), fields))(value)
    with pytest.raises(ShardingError) as raised:
        run({"models": [model]})
    assert "fix" in str(raised.value)
    return str(raised.value)


RUNS: dict[str, tuple[Callable[..., Any], str]] = {
    "jit": (lambda tree: jit(lambda tree: jnp.ones(8))(tree), "tree['models'][0].w"),
    "shard_map": (lambda tree: shard_map(lambda tree: jnp.ones(8))(tree), "tree['models'][0].w"),
    "result": (lambda tree: jit(lambda x: {"m": tree})(jnp.ones(8)), "result['m']['models'][0].w"),
    "shard": (lambda tree: annotax.shard(tree, mesh_of()), "tree['models'][0].w"),
}


@pytest.mark.usefixtures("ambient")
@pytest.mark.parametrize(("run", "path"), RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(
    ("spec", "shape", "problem"),
    [
        (P("data"), (6,), "dimension 0 of {path} cannot be split into 8 equal parts"),
        (P("model"), (8,), "the layout of {path} names the axis 'model', which the mesh lacks"),
        (P(None, "data"), (8,), "the layout of {path} has more entries than the array has dimensions"),
        (P("data", "data"), (8, 8), "the layout of {path} names a mesh axis twice"),
    ],
    ids=["indivisible", "axis", "rank", "twice"],
)
def test_a_field_that_cannot_be_laid_out_is_named_by_its_path(run, path, spec, shape, problem):
    assert problem.format(path=path) in _raises_by_field(run, spec, jnp.ones(shape))


def test_a_layout_on_a_field_that_is_metadata_is_refused(mesh):
    class Wrong(eqx.Module):
        w: Array
        n: Annotated[int, P("data")] = eqx.field(static=True)

    for run in (jit(lambda model: model.w), lambda model: annotax.shard(model, mesh)):
        with jax.set_mesh(mesh), pytest.raises(MarkerError, match=r"field n is marked P.*no part of what JAX traces"):
            run(Wrong(jnp.ones(8), 3))
