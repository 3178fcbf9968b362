"""`explain(f, *args, **kwargs)`: the whole story of one call, and the same computation in JAX alone."""

import html
import json
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import annotax
from annotax import (
    Aux,
    Axis,
    Diff,
    Donate,
    NoDiff,
    Static,
    checkpoint,
    custom_jvp,
    custom_vjp,
    explain,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    make_jaxpr,
    pmap,
    shard_map,
    transform,
    value_and_grad,
    vmap,
)


@annotax.pytree
class Layer:
    w: Array
    scale: NoDiff[Array]
    activation: Static[Callable[[Array], Array]] = jnp.tanh

    @jit
    def run(self, x: Array, *, times: Static[int] = 1) -> Array:
        return times * self.activation(self.w * self.scale * x)

    @transform(jit, grad)
    def loss(self, x: NoDiff[Array]) -> Array:
        return jnp.sum(self.activation(self.w * self.scale * x))


@annotax.pytree
class Batch:
    rows: Array
    columns: Annotated[Array, Axis(1)]
    shared: Annotated[Array, Axis(None)]


@dataclass(frozen=True)
class Scaled(annotax.Transform):
    """A transform of the user's own."""

    by: float

    def apply(self, core, contract):
        return lambda *slots: self.by * core(*slots), contract


def layer() -> Layer:
    return Layer(jnp.arange(3.0), jnp.full(3, 2.0))


def mlp() -> eqx.nn.MLP:
    return eqx.nn.MLP(3, 1, width_size=4, depth=1, key=jax.random.key(0))


def mesh(kind: AxisType = AxisType.Auto) -> jax.sharding.Mesh:
    return jax.make_mesh((1,), ("data",), axis_types=(kind,))


def facts(explanation: annotax.Explanation) -> dict[str, tuple[str, str]]:
    """The rows of a call by path: the value, and what becomes of it."""
    return {path: (value, fact) for path, value, fact in explanation.call if path}


def fact(function: Any, path: str, /, *args: Any, **kwargs: Any) -> str:
    """What becomes of one leaf in a call."""
    return facts(explain(function, *args, **kwargs))[path][1]


def leaf_of(x: Any) -> Any:
    return jax.random.key_data(x) if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def assert_same(one: Any, other: Any) -> None:
    """That two results have one structure, and the same leaves."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if isinstance(a, jax.Array) or isinstance(b, jax.Array):
            assert (jnp.shape(a), jnp.result_type(a)) == (jnp.shape(b), jnp.result_type(b))
            np.testing.assert_allclose(leaf_of(a), leaf_of(b), rtol=1e-6)
        else:
            assert a == b
            assert type(a) is type(b)


# --- the rows --------------------------------------------------------------------------------------------------------


def test_each_leaf_is_shown_with_its_dtype_and_shape():
    found = facts(explain(jit(lambda tree, n: tree), {"a": jnp.ones(3), "b": [jnp.ones((2, 1))]}, 2))
    assert found["tree['a']"] == ("float32[3]", "traced")
    assert found["tree['b'][0]"][0] == "float32[2,1]"
    assert found["n"] == ("2", "traced")


def test_a_numpy_array_is_shown_as_jax_traces_it():
    assert facts(explain(jit(lambda x: x), np.ones(2)))["x"][0] == "float32[2]"


def test_the_result_is_shown_leaf_by_leaf():
    found = facts(explain(jit(lambda x: {"y": x > 0, "z": (x, "done")}), jnp.ones(3)))
    assert found["result['y']"] == ("bool[3]", "")
    assert found["result['z'][0]"] == ("float32[3]", "")
    assert found["result['z'][1]"] == ("'done'", "")


def test_a_static_argument_is_shown_as_a_whole_with_the_reason():
    @jit
    def f(x, n: Static[int], mode: str, sizes: Static[tuple[int, ...]], named, *, flag=2):
        return x

    found = facts(explain(jit(f, static="named"), 1.0, 3, "sum", (1, 2), 4))
    assert found["n"] == ("3", "Static")
    assert found["mode"] == ("'sum'", "Static, inferred: str can never be traced")
    assert found["sizes"] == ("(1, 2)", "Static")
    assert found["named"] == ("4", "Static, named by jit(static=...)")
    assert found["flag"] == ("2", "traced")


def test_constants_inside_of_a_model_are_shown_with_the_reason():
    found = facts(explain(jit(lambda model, x: model(x)), mlp(), jnp.ones(3)))
    assert found["model.activation"][1] == "constant: the function relu can never be traced"
    assert found["model.layers[0].weight"] == ("float32[4,3]", "traced")


def test_a_number_of_an_equinox_module_is_shown_as_a_constant():
    assert fact(jit(lambda m, x, key: m(x, key=key)), "m.p", eqx.nn.Dropout(0.5), jnp.ones(2), jax.random.key(0)) != (
        "traced"
    )


def test_what_is_differentiated_is_shown_and_what_is_not_with_the_reason():
    @grad
    def f(w: dict[str, Any], x: NoDiff[Array], n: int, mode: str):
        return jnp.sum(w["a"] * x)

    found = facts(explain(f, {"a": jnp.ones(2), "steps": 3, "g": jnp.sin}, jnp.ones(2), 2, "sum"))
    assert "differentiated" in found["w['a']"][1]
    assert "None" in found["w['steps']"][1]
    assert "None" in found["w['g']"][1]
    assert found["x"][1].startswith("NoDiff")
    assert "int can never be differentiated" in found["n"][1]
    assert "differentiated" not in found["mode"][1]


def test_a_field_that_is_frozen_is_shown_to_get_none():
    found = facts(explain(transform(jit, grad)(lambda layer: jnp.sum(layer.w * layer.scale)), layer()))
    assert "differentiated" in found["layer.w"][1]
    assert "None" in found["layer.scale"][1]
    assert "NoDiff" in found["layer.scale"][1]


def test_what_a_path_picks_is_shown_to_be_differentiated():
    f = grad(lambda layers: jnp.sum(layers[0].w * layers[1].w), wrt="layers[1].w")
    found = facts(explain(f, [layer(), layer()]))
    assert "differentiated" in found["layers[1].w"][1]
    assert "differentiated" not in found["layers[0].w"][1]


def test_with_diff_only_that_is_shown_to_be_differentiated():
    @grad
    def f(a: Diff[Array], b: Array):
        return jnp.sum(a * b)

    found = facts(explain(f, jnp.ones(2), jnp.ones(2)))
    assert "differentiated" in found["a"][1]
    assert "differentiated" not in found["b"][1]


def test_batch_axes_are_shown():
    @vmap
    def f(x: Array, y: Annotated[Array, Axis(1)], z: Annotated[Array, Axis(None)], n):
        return x * y * z * n

    found = facts(explain(f, jnp.ones((4, 2)), jnp.ones((2, 4)), jnp.ones(2), 2.0))
    assert "axis 0" in found["x"][1]
    assert "axis 1" in found["y"][1]
    assert "shared" in found["z"][1]
    assert "shared" in found["n"][1]


def test_batch_axes_of_fields_are_shown():
    found = facts(
        explain(vmap(lambda batch: jnp.sum(batch.rows)), Batch(jnp.ones((4, 2)), jnp.ones((3, 4)), jnp.ones(5)))
    )
    assert "axis 0" in found["batch.rows"][1]
    assert "axis 1" in found["batch.columns"][1]
    assert "shared" in found["batch.shared"][1]


def test_the_axes_of_nested_maps_are_shown_each():
    both = (Axis(1, "time"), Axis(0, "batch"))

    @transform(vmap(axis_name="batch"), vmap(axis_name="time"))
    def f(x: Annotated[Array, *both], y: Annotated[Array, Axis(None, "time")]):
        return jnp.sum(x) * jnp.sum(y)

    found = facts(explain(f, jnp.ones((4, 2, 3)), jnp.ones((4, 2))))
    assert "axis 0" in found["x"][1]
    assert "axis 1" in found["x"][1]
    assert "axis 0" in found["y"][1]
    assert "shared" in found["y"][1]


def test_layouts_are_shown():
    @jit
    def f(x: Annotated[Array, P("data")], tree: Annotated[Any, P(None, "data")]):
        return x

    found = facts(explain(f, jnp.ones(2), {"a": jnp.ones((1, 2))}))
    assert repr(P("data")) in found["x"][1]
    assert repr(P(None, "data")) in found["tree['a']"][1]


def test_the_result_that_takes_a_donated_buffer_is_shown():
    @jit
    def f(state: Donate[dict[str, Array]], x: Array):
        return {"loss": jnp.sum(x), "state": {"b": state["b"], "a": state["a"] + 1}}

    found = facts(explain(f, {"a": jnp.ones(3), "b": jnp.ones(2)}, jnp.ones(3)))
    assert "donated: result['state']['a'] takes its buffer" in found["state['a']"][1]
    assert "donated: result['state']['b'] takes its buffer" in found["state['b']"][1]
    assert "donated" not in found["x"][1]


def test_a_donated_leaf_that_no_result_can_take_is_shown():
    @jit
    def f(state: Donate[dict[str, Array]]):
        return state["a"] + 1

    found = facts(explain(f, {"a": jnp.ones(3), "b": jnp.ones(2)}))
    assert "donated: result takes its buffer" in found["state['a']"][1]
    assert "donated: no result can take its buffer" in found["state['b']"][1]


def test_a_result_of_as_many_elements_takes_a_donated_buffer():
    found = fact(jit(lambda x: x.reshape(3, 1) + 1, donate="x"), "x", jnp.ones(3))
    with warnings.catch_warnings(record=True) as of_jax:
        warnings.simplefilter("always")
        jax.jit(lambda x: x.reshape(3, 1) + 1, donate_argnums=0)(jnp.ones(3))
    can = "no result can take" if of_jax else "result takes"  # older versions of JAX look at the shape as well
    assert f"donated: {can} its buffer" in found


def test_a_result_takes_one_buffer_alone():
    @jit
    def f(a: Donate[Array], b: Donate[Array]):
        return a + b

    found = facts(explain(f, jnp.ones(3), jnp.ones(3)))
    assert "result takes its buffer" in found["a"][1]
    assert "no result can take its buffer" in found["b"][1]


def test_explaining_a_donation_donates_nothing():
    f = jit(lambda state: state + 1, donate="state")
    state = jnp.ones(3)
    explain(f, state)
    assert state.tolist() == [1.0, 1.0, 1.0]


def test_the_call_is_part_of_the_text_in_aligned_columns():
    lines = str(explain(jit(lambda x, long_name: x), jnp.ones(2), 1.0)).splitlines()
    x, long_name = (next(line for line in lines if (line.startswith(name) and "float" in line) or ("1.0" in line and
                         line.startswith(name))) for name in ("x ", "long_name "))  # fmt: skip
    assert x.index("traced") == long_name.index("traced")
    assert "this call" in lines
    assert "\x1b" not in "\n".join(lines)


def test_a_call_that_would_raise_raises_as_the_call_does():
    f = jit(lambda x, *, n: x, static="n")
    with pytest.raises(annotax.StaticValueError, match="static argument n"):
        explain(f, 1.0, n=jnp.ones(2))
    with pytest.raises(TypeError, match="nothing"):
        explain(f, 1.0, n=1, nothing=2)


def test_shapes_alone_can_be_explained():
    found = facts(explain(jit(lambda x: x @ x), jax.ShapeDtypeStruct((3, 3), "float32")))
    assert found["x"] == ("float32[3,3]", "traced")
    assert found["result"][0] == "float32[3,3]"


# --- explaining leaves no mark ---------------------------------------------------------------------------------------


def test_explaining_records_no_trace_and_the_next_call_records_its_own():
    f = jit(lambda x: x + 1)
    explain(f, jnp.ones(2))
    assert len(f.traces) == 0
    f(jnp.ones(2))
    explain(f, jnp.ones(3))
    assert [trace.because for trace in f.traces] == [("the first call",)]
    f(jnp.ones(3))
    assert f.traces[1].because == ("x: float32[2] -> float32[3]",)


def test_explaining_does_not_count_against_a_limit():
    f = jit(lambda x: x + 1, max_traces=1)
    for size in (1, 2, 3):
        explain(f, jnp.ones(size))
    assert f(jnp.ones(4)).shape == (4,)


def test_explaining_a_call_leaves_what_is_known_of_the_function_as_it_was():
    f = jit(lambda model, x: model(x))
    explain(f, mlp(), jnp.ones(3))
    assert "model.activation" not in {row[0] for row in explain(f).rows}


# --- the source ------------------------------------------------------------------------------------------------------


def _loss(w, x, *, power=2):
    return jnp.sum((w * x) ** power)


def _with_aux(w: Array, x: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
    return jnp.sum(w * x), {"worst": w.max()}


def _aux_first(w: Array, x: NoDiff[Array]) -> tuple[Aux[str], Array]:
    return "done", jnp.sum(w * x)


def _array_aux(w: Array, x: Array) -> tuple[Aux[Array], Array, Aux[Array]]:
    return w.max(), jnp.sum(w * w * x), x


def _several_aux(w: Array, x: Array) -> tuple[Aux[Array], Array, Aux[str]]:
    return w.max(), jnp.sum(w * x), "done"


def _powers(x: Array, n: Static[int] = 3) -> Array:
    return jnp.stack([jnp.sum(x**i) for i in range(1, n)])


def _every_kind(a, /, b, *args: Array, c: Static[int], d: float = 2.0, **kwargs: Array) -> Array:
    return a + b + sum(args) + c * d + sum(kwargs.values())


def _clashing(jax, list, next, zip, iter, result, returned, leaves, structure, of_arrays):
    return {"sum": jax["w"] * list + next, "kind": jax["kind"], "rest": (zip, iter, result, returned, leaves,
                                                                           structure, of_arrays)}  # fmt: skip


def _clashing_loss(moving, found, of_moving, core, jax_, by_position, jit_f, grad_f, constants, pairs, whole):
    return jnp.sum(moving["w"] * found * of_moving * core * jax_ * by_position * jit_f * grad_f * constants * pairs)


def _custom_vjp():
    @custom_vjp
    def clipped(x: Array, mask: NoDiff[Array], *, limit: Static[float] = 1.0) -> Array:
        return x * mask

    def fwd(x, mask, *, limit):
        return x * mask, mask

    def bwd(mask, cotangent, *, limit):
        return jnp.clip(cotangent * mask, -limit, limit)

    clipped.defvjp(fwd, bwd)
    return clipped


def _custom_jvp():
    @custom_jvp
    def power(x: Array, *, n: Static[int] = 2) -> Array:
        return x**n

    @power.defjvp
    def rule(primals, tangents, *, n):
        return primals[0] ** n, 10 * tangents[0]

    return power


def _over_custom_vjp():
    clipped = _custom_vjp()
    return transform(jit, grad)(lambda x, limit: jnp.sum(100 * clipped(x, jnp.ones(3), limit=2.0)))


def _vmap_by_slot(x: Array, y: Annotated[Array, Axis(None)], z: Annotated[Array, Axis(1)]) -> Annotated[Array, Axis(1)]:
    return x * y + z


def _vmap_nested(
    x: Annotated[Array, Axis(0, "time"), Axis(1, "batch")], offset: float
) -> Annotated[Array, Axis(1, "batch")]:
    return x - offset


def _per_example(w: Annotated[Array, Axis(None)], x: NoDiff[Array], *, power: Static[int] = 2) -> Array:
    return jnp.dot(w, x) ** power


def _shards(x: Annotated[Array, P("data")], *, n: Static[int] = 2) -> Annotated[Array, P("data")]:
    return n * x


def _dropout(model: eqx.nn.Dropout, x: Array, key: Array) -> Array:
    return model(x, key=key)


def _halved(model: eqx.nn.MLP) -> eqx.nn.MLP:
    return jax.tree.map(lambda leaf: leaf / 2 if eqx.is_array(leaf) else leaf, model)


def _mlp_loss(model: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
    return jnp.sum(jax.vmap(model)(x) ** 2)


def _mlp_loss_and_aux(model: eqx.nn.MLP, x: NoDiff[Array]) -> tuple[Array, Aux[eqx.nn.MLP]]:
    return jnp.sum(jax.vmap(model)(x) ** 2), model


def _layer_loss(layer: Layer, x: NoDiff[Array]) -> Array:
    return jnp.sum(layer.activation(layer.w * layer.scale * x))


def _of_batch(batch: Batch) -> Array:
    return jnp.sum(batch.rows) + jnp.sum(batch.columns) * batch.shared


class _Model:
    def __init__(self, by: float) -> None:
        self.by = by

    def step(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self.by * n * x

    @jit
    def marked(self: Static[Any], x: Array) -> Array:
        return self.by * x


x3, x43, one = jnp.arange(3.0), jnp.ones((4, 3)), jnp.float32(1.5)
CALLS: dict[str, Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    "jit": lambda: (jit(_loss), (x3, x3), {}),
    "jit, static by keyword": lambda: (jit(_loss, static="power"), (x3,), {"x": x3, "power": 3}),
    "jit, options": lambda: (jit(_loss, static="power", inline=True, keep_unused=True), (x3, x3), {}),
    "jit, donating": lambda: (jit(lambda s, x: s + x, donate="s"), (jnp.copy(x3), x3), {}),
    "jit, static string": lambda: (jit(lambda x, mode: x if mode == "a" else -x), (x3, "b"), {}),
    "jit, function": lambda: (jit(lambda f, x: f(x)), (jnp.sin, x3), {}),
    "jit, dict with a string": lambda: (jit(lambda d: d["w"] if d["k"] == "a" else 0.0), ({"w": x3, "k": "a"},), {}),
    "jit, static path": lambda: (jit(lambda d: d["w"] * d["n"], static="d['n']"), ({"w": x3, "n": 2},), {}),
    "jit, mixed result": lambda: (jit(lambda x: (x, "done", {"f": jnp.sin})), (x3,), {}),
    "jit, mesh": lambda: (jit(_shards, mesh=mesh()), (x3,), {}),
    "grad": lambda: (grad(_loss), (x3, x3), {}),
    "grad, several": lambda: (grad(lambda a, b: jnp.sum(a * b)), (x3, x3), {}),
    "grad, wrt name": lambda: (grad(_loss, wrt="x"), (x3,), {"x": x3}),
    "grad, wrt names": lambda: (grad(_loss, wrt=["x", "w"]), (x3, x3), {}),
    "grad, wrt one in a list": lambda: (grad(_loss, wrt=["x"]), (x3, x3), {}),
    "grad, wrt path": lambda: (grad(lambda d: jnp.sum(d["a"][0] * d["b"]), wrt="d['a'][0]"),
                               ({"a": [x3, x3], "b": x3},), {}),
    "grad, wrt paths": lambda: (grad(lambda d: jnp.sum(d["a"] * d["b"]["c"]), wrt=["d['b']", "d['a']"]),
                                ({"a": x3, "b": {"c": x3, "n": 1}},), {}),
    "grad, integers inside": lambda: (grad(lambda d: jnp.sum(d["w"]) * d["n"]), ({"w": x3, "n": 2},), {}),
    "grad, aux": lambda: (grad(_with_aux), (x3, x3), {}),
    "grad, aux first": lambda: (grad(_aux_first), (x3, x3), {}),
    "grad, several aux": lambda: (grad(_several_aux), (x3, x3), {}),
    "grad, has_aux": lambda: (grad(lambda w: (jnp.sum(w), w), has_aux=True), (x3,), {}),
    "grad, holomorphic": lambda: (grad(lambda z: z**2, holomorphic=True), (1 + 2j,), {}),
    "grad, NoDiff field": lambda: (grad(_layer_loss), (layer(), x3), {}),
    "value_and_grad": lambda: (value_and_grad(_loss), (x3, x3), {}),
    "value_and_grad, aux": lambda: (value_and_grad(_with_aux), (x3, x3), {}),
    "value_and_grad, aux first": lambda: (value_and_grad(_aux_first), (x3, x3), {}),
    "value_and_grad, several aux": lambda: (value_and_grad(_several_aux), (x3, x3), {}),
    "value_and_grad, has_aux": lambda: (value_and_grad(lambda w: (jnp.sum(w), w), has_aux=True), (x3,), {}),
    "value_and_grad, wrt": lambda: (value_and_grad(_several_aux, wrt=["x"]), (x3, x3), {}),
    "jacfwd": lambda: (jacfwd(_powers), (x3,), {"n": 4}),
    "jacrev": lambda: (jacrev(_powers), (x3,), {}),
    "hessian": lambda: (hessian(_loss), (x3, x3), {}),
    "hessian, wrt": lambda: (hessian(_loss, wrt="w"), (x3, x3), {}),
    "jacfwd, aux": lambda: (jacfwd(_with_aux), (x3, x3), {}),
    "jacrev, several aux": lambda: (jacrev(_several_aux), (x3, x3), {}),
    "hessian, several aux": lambda: (hessian(_array_aux), (x3, x3), {}),
    "jacrev, tree": lambda: (jacrev(lambda d: {"y": d["w"] ** 2}), ({"w": x3, "n": 2},), {}),
    "vmap": lambda: (vmap(_vmap_by_slot), (x43, x3, jnp.ones((3, 4))), {}),
    "vmap, number": lambda: (vmap(lambda x, n: x * n), (x43, 2.0), {}),
    "vmap, by leaf": lambda: (vmap(lambda d: d["x"] * d["n"]), ({"x": x43, "n": 2.0},), {}),
    "vmap, by field": lambda: (vmap(_of_batch), (Batch(x43, jnp.ones((2, 4)), one),), {}),
    "vmap, in_axes": lambda: (vmap(lambda d, f: d["v"] * f, in_axes={"d": {"v": 1}, "f": None}, out_axes=1),
                              ({"v": jnp.ones((3, 4))}, x3), {}),
    "vmap, static": lambda: (vmap(lambda x, mode: x if mode == "a" else -x), (x43, "b"), {}),
    "vmap, axis_size": lambda: (vmap(lambda x: x, axis_size=3, in_axes={"x": None}), (one,), {}),
    "vmap, axis_name": lambda: (vmap(lambda x: jax.lax.psum(x, "i"), axis_name="i"), (x43,), {}),
    "vmap, nested": lambda: (transform(vmap(axis_name="batch"), vmap(axis_name="time"))(_vmap_nested),
                             (jnp.ones((5, 4)), 1.0), {}),
    "vmap, model": lambda: (vmap(lambda m, x: m(x), in_axes={"m": None}), (mlp(), x43), {}),
    "pmap": lambda: (pmap(lambda x: 2 * x, devices=jax.devices()[:1]), (jnp.ones((1, 3)),), {}),
    "pmap, static": lambda: (pmap(lambda x, n: n * x, devices=jax.devices()[:1]), (jnp.ones((1, 3)), 2), {}),
    "checkpoint": lambda: (checkpoint(_loss), (x3, x3), {"power": 3}),
    "checkpoint, static": lambda: (transform(jit, grad, checkpoint)(_per_example), (x3, x3), {"power": 3}),
    "checkpoint, model": lambda: (checkpoint(_mlp_loss), (mlp(), x43), {}),
    "custom_vjp": lambda: (_custom_vjp(), (x3, x3), {"limit": 2.0}),
    "custom_jvp": lambda: (_custom_jvp(), (x3,), {"n": 3}),
    "grad(custom_jvp)": lambda: (grad(_custom_jvp()), (one,), {"n": 3}),
    "jit(grad(uses custom_vjp))": lambda: (_over_custom_vjp(), (x3, 1.0), {}),
    "shard_map": lambda: (shard_map(_shards), (x3,), {}),
    "shard_map, mesh": lambda: (shard_map(_shards, mesh=mesh()), (x3,), {"n": 3}),
    "jit(shard_map, mesh)": lambda: (transform(jit, shard_map(mesh=mesh()))(_shards), (x3,), {"n": 3}),
    "make_jaxpr": lambda: (make_jaxpr(_powers), (x3,), {"n": 4}),
    "own transform": lambda: (Scaled(2.0)(lambda x, *, y: x + y), (x3,), {"y": x3}),
    "jit(own transform(grad))": lambda: (transform(jit, Scaled(2.0), grad(wrt="w"))(_loss), (x3, x3), {}),
    "jit(grad)": lambda: (transform(jit, grad)(_per_example), (x3, x3), {"power": 3}),
    "grad(jit)": lambda: (transform(grad, jit)(_per_example), (x3, x3), {"power": 3}),
    "jit(value_and_grad), aux": lambda: (transform(jit, value_and_grad)(_several_aux), (x3, x3), {}),
    "jit(vmap(grad))": lambda: (transform(jit, vmap, grad)(_per_example), (x3, x43), {"power": 3}),
    "jit(vmap(value_and_grad)), aux": lambda: (transform(jit, vmap, value_and_grad)(_with_aux), (x43, x43), {}),
    "grad(grad)": lambda: (transform(grad, grad)(lambda x: x**3), (one,), {}),
    "vmap(jit)": lambda: (transform(vmap, jit)(lambda x, mode: x if mode == "a" else -x), (x43, "b"), {}),
    "jit(jacfwd)": lambda: (transform(jit, jacfwd)(_powers), (x3,), {"n": 4}),
    "every kind of parameter": lambda: (jit(_every_kind), (1.0, 2.0, one, one), {"c": 3, "e": one, "f": one}),
    "every kind, defaults": lambda: (transform(jit, grad(wrt="a"))(_every_kind), (1.0, 2.0), {"c": 3}),
    "no arguments but defaults": lambda: (jit(lambda x, n=2, mode="a": (x, n, mode)), (x3,), {}),
    "positional-only": lambda: (jit(eval("lambda x, n, /: x * n"), static=1), (x3, 2), {}),
    "model, jit": lambda: (jit(lambda model, x: model(x)), (mlp(), x3), {}),
    "model, result": lambda: (jit(_halved), (mlp(),), {}),
    "model, jit(grad)": lambda: (transform(jit, grad)(_mlp_loss), (mlp(), x43), {}),
    "model, jit(value_and_grad) and aux": lambda: (transform(jit, value_and_grad)(_mlp_loss_and_aux), (mlp(), x43), {}),
    "model, wrt path": lambda: (transform(jit, grad(wrt="model.layers[0].bias"))(_mlp_loss), (mlp(), x43), {}),
    "dropout": lambda: (jit(_dropout), (eqx.nn.Dropout(0.5), x3, jax.random.key(0)), {}),
    "dropout, not in use": lambda: (jit(_dropout), (eqx.nn.Dropout(0.5, inference=True), x3, jax.random.key(0)), {}),
    "NoDiff field, jit(grad)": lambda: (transform(jit, grad)(_layer_loss), (layer(), x3), {}),
    "NoDiff field, jit(value_and_grad)": lambda: (transform(jit, value_and_grad)(_layer_loss), (layer(), x3), {}),
    "method of a pytree": lambda: (layer().run, (x3,), {"times": 2}),
    "method of a pytree, through the class": lambda: (Layer.run, (layer(), x3), {"times": 2}),
    "method, jit(grad)": lambda: (Layer.loss, (layer(), x3), {}),
    "bound method": lambda: (jit(_Model(2.0).step), (x3,), {"n": 3}),
    "method with a static self": lambda: (_Model(2.0).marked, (x3,), {}),
    "partial": lambda: (jit(partial(_loss, x3)), (x3,), {}),
    "names that clash": lambda: (jit(_clashing), ({"w": x3, "kind": "a"}, *[one] * 9), {}),
    "names that clash, grad": lambda: (transform(jit, grad(wrt="moving"))(_clashing_loss),
                                       ({"w": x3, "n": 1}, *[one] * 10), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_the_source_computes_what_the_call_computes(case):
    function, args, kwargs = CALLS[case]()
    explanation = explain(function, *args, **kwargs)
    source, namespace = explanation.source, dict(explanation.namespace)
    assert source is not None
    exec(compile(source, "<in JAX alone>", "exec"), namespace)
    expected = function(*CALLS[case]()[1], **kwargs)
    if case == "make_jaxpr":
        assert str(namespace["result"]) == str(expected)
    else:
        assert_same(namespace["result"], expected)


@pytest.mark.parametrize("case", [case for case in CALLS if "own" not in case and "custom" not in case])
def test_the_source_does_without_annotax(case):
    function, args, kwargs = CALLS[case]()
    explanation = explain(function, *args, **kwargs)
    assert "annotax" not in explanation.source
    given = [leaf for leaf in explanation.namespace.values() if isinstance(leaf, annotax.Transform | annotax.Contract)]
    assert given == []


def test_the_source_can_be_run_with_other_arguments():
    explanation = explain(transform(jit, grad)(_per_example), x3, x3, power=2)
    namespace = {**explanation.namespace, "w": jnp.ones(3)}
    exec(explanation.source, namespace)
    assert namespace["result"].tolist() == transform(jit, grad)(_per_example)(jnp.ones(3), x3, power=2).tolist()


def test_the_source_reads_as_a_person_would_write_it():
    def loss(w, x, n):
        return jnp.sum(w * x) ** n

    explanation = explain(transform(jit(static="n"), grad(wrt="w"))(loss), x3, x3, 2)
    assert explanation.source == textwrap.dedent("""\
        grad_loss = jax.grad(loss, argnums=0)
        jit_grad_loss = jax.jit(grad_loss, static_argnums=(2,))
        result = jit_grad_loss(w, x, n)
    """)
    assert explanation.namespace["loss"] is loss


def test_there_is_no_source_without_a_call():
    explanation = explain(jit(_loss))
    assert explanation.source is None
    assert explanation.call == ()
    assert explanation.namespace == {}


# --- a notebook, and tools -------------------------------------------------------------------------------------------


class _Cells(HTMLParser):
    """The text of a page, tag by tag, and whether each tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open[-1] == "td":
            self.cells[-1] += data


def _read(explanation: annotax.Explanation) -> _Cells:
    page = _Cells()
    page.feed(explanation._repr_html_())
    page.close()
    assert page.open == []
    return page


def test_all_rows_are_in_the_html():
    f = transform(jit, value_and_grad)(_several_aux)
    f(x3, x3)
    explanation = explain(f, x3, x3)
    page = _read(explanation)
    assert page.cells == [cell for row in (*explanation.rows, *explanation.call) for cell in row]
    assert explanation.source in page.text
    assert explanation.title in page.text
    assert "\n".join(explanation.traces) in page.text


def test_the_html_is_escaped():
    explanation = explain(jit(lambda x, mode: x), x3, "<script>alert('&')</script>")
    assert "<script>" not in explanation._repr_html_()
    assert html.escape("'<script>alert") in explanation._repr_html_() or "&lt;script&gt;" in explanation._repr_html_()
    assert any("<script>alert" in cell for cell in _read(explanation).cells)


def test_the_html_of_a_function_alone_has_one_table():
    assert explain(jit(_loss))._repr_html_().count("<table>") == 1


@pytest.mark.parametrize(
    "case", ["jit", "model, jit(grad)", "names that clash", "shard_map, mesh", "method, jit(grad)"]
)
def test_an_explanation_as_a_dict_is_json(case):
    function, args, kwargs = CALLS[case]()
    explanation = explain(function, *args, **kwargs)
    found = json.loads(json.dumps(explanation.as_dict()))
    assert found == explanation.as_dict()
    assert found["source"] == explanation.source
    assert found["call"] == [list(row) for row in explanation.call]
    assert set(found) == {"title", "rows", "call", "traces", "source"}


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(
        textwrap.dedent("""
            import annotax

            print("on import")

            @annotax.jit
            def scaled(x, *, by: annotax.Static[int] = 2):
                return by * x
        """)
    )
    return path


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "annotax", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_command_prints_json_for_tools(script):
    done = command("explain", f"{script}:scaled", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["title"].startswith("scaled(x, *, by=2)")
    assert ["jit", "static_argnums=(1,)", "by"] in found["rows"]


@pytest.mark.parametrize("target", ["{}:nothing", "{}", "{}.missing:scaled", "{}:"])
def test_a_wrong_target_exits_with_2_and_one_line(script, target):
    done = command("explain", target.format(script), "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("annotax: ")
    assert done.stderr.count("\n") == 1
