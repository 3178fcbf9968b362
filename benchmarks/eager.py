"""The cost of the other transforms without `jit`, where Python runs at every call.

Each is beside JAX's own, given by hand what annotax reads from the hints, and called in the same way, by position. So
are Equinox's and flax.nnx's, where they have the transform and it does the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import equinox
import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.sharding import AxisType, PartitionSpec

import annotax
from annotax import Axis, NoDiff, Static
from benchmarks.measure import interleave, repeated
from benchmarks.rows import EQUINOX, FLAX, OURS, RAW, Row, Table, compare

LIMIT = 1.05
"""For calls that last longer than 200 µs, as all of these do, or nearly."""

STEPS = 20_000
"""The steps of compiled functions, one after the other on one core, so that a call takes longer than 200 µs."""

SPEC: Any = PartitionSpec("data")  # untyped in some versions of JAX


def plain(w: Array, x: Array, y: Array, n: int = 2) -> Array:
    """A loss of a static power."""
    return jnp.sum(jnp.tanh(w * x + y) ** n)


def marked(w: Array, x: NoDiff[Array], y: NoDiff[Array], n: Static[int] = 2) -> Array:
    """`plain` with annotax's markers."""
    return jnp.sum(jnp.tanh(w * x + y) ** n)


def vector(w: Array, x: Array, y: Array) -> Array:
    """A function of which all is differentiated or mapped, so that it needs no markers."""
    return jnp.tanh(w * x + y) * x


def product(w: Array, x: Array, y: Array) -> Array:
    """A function short enough that even its second derivative takes but a few milliseconds."""
    return w * w * x * y


def marked_product(w: Array, x: NoDiff[Array], y: NoDiff[Array]) -> Array:
    """`product` with annotax's markers."""
    return w * w * x * y


def plain_example(x: Array, y: Array, z: Array) -> Array:
    """One example: the first two are mapped, along axes 0 and 1, the last is shared."""
    return jnp.tanh(x * y + z) * x


def marked_example(x: Array, y: Annotated[Array, Axis(1)], z: Annotated[Array, Axis(None)]) -> Array:
    """`plain_example` with annotax's markers."""
    return jnp.tanh(x * y + z) * x


def example_of_tree(weights: dict[str, Array], x: Array) -> Array:
    """One example, with a dict one leaf of which has no axes to map."""
    return jnp.tanh(weights["w"] * x + weights["b"]) * weights["scale"]


def program(x: Array, y: Array) -> Array:
    """The program of one device."""
    return jax.lax.fori_loop(0, STEPS, lambda _, x: jnp.sin(x) * y, x)


def marked_program(x: Annotated[Array, SPEC], y: Array) -> Annotated[Array, SPEC]:
    """`program` with its layouts."""
    return jax.lax.fori_loop(0, STEPS, lambda _, x: jnp.sin(x) * y, x)


def custom_vjps() -> dict[str, Callable[..., Any]]:
    """The gradients of functions with a rule for reverse mode."""
    raw = jax.custom_vjp(plain, nondiff_argnums=(3,))
    raw.defvjp(
        lambda w, x, y, n: (plain(w, x, y, n), (w, x)),
        lambda n, residuals, cotangent: (n * cotangent * residuals[1], None, None),
    )
    ours: Any = annotax.custom_vjp(marked)
    ours.defvjp(
        lambda w, x, y, n: (plain(w, x, y, n), (w, x)),
        lambda residuals, cotangent, *, n: n * cotangent * residuals[1],
    )
    of_equinox: Any = equinox.filter_custom_vjp(plain)
    of_equinox.def_fwd(lambda perturbed, w, x, y, n: (plain(w, x, y, n), (w, x)))
    of_equinox.def_bwd(lambda residuals, cotangent, perturbed, w, x, y, n: n * cotangent * residuals[1])
    return {RAW: jax.grad(raw), OURS: jax.grad(ours), EQUINOX: jax.grad(of_equinox)}


def custom_jvps() -> dict[str, Callable[..., Any]]:
    """The gradients of functions with a rule for forward mode."""
    raw = jax.custom_jvp(plain, nondiff_argnums=(3,))

    @raw.defjvp
    def raw_rule(n: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
        (w, x, y), (dw, _, _) = primals, tangents
        return plain(w, x, y, n), jnp.sum(n * x * dw)

    ours: Any = annotax.custom_jvp(marked)

    @ours.defjvp
    def our_rule(primals: tuple[Array, ...], tangents: tuple[Array, ...], *, n: int) -> tuple[Array, Array]:
        (w, x, y), (dw,) = primals, tangents
        return plain(w, x, y, n), jnp.sum(n * x * dw)

    of_equinox: Any = equinox.filter_custom_jvp(plain)

    @of_equinox.def_jvp
    def equinox_rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
        (w, x, y, n), (dw, *_) = primals, tangents
        return plain(w, x, y, n), jnp.sum(n * x * dw)

    return {RAW: jax.grad(raw), OURS: jax.grad(ours), EQUINOX: jax.grad(of_equinox)}


def shard_maps() -> dict[str, Callable[..., Any]]:
    """Programs for a mesh of one device."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    specs = {"in_specs": (SPEC, PartitionSpec()), "out_specs": SPEC}
    return {
        RAW: jax.jit(jax.shard_map(program, mesh=mesh, **specs)),
        OURS: annotax.shard_map(marked_program, mesh=mesh),
        FLAX: nnx.jit(nnx.shard_map(program, mesh=mesh, **specs)),
    }


@dataclass(frozen=True)
class Case:
    """One transform: how it is called, and for each contestant what `t` stands for, and `f` where there is one."""

    name: str
    call: str
    transforms: dict[str, Callable[..., Any]]
    functions: dict[str, Callable[..., Any]]


def case(
    name: str,
    call: str,
    transforms: dict[str, Callable[..., Any]],
    ours: Callable[..., Any] = vector,
    others: Callable[..., Any] = vector,
) -> Case:
    """A case; `f` stands for one function to annotax and for another to everyone else, which may be the same."""
    return Case(name, call, transforms, {name: ours if name == OURS else others for name in transforms})


def cases() -> tuple[Case, ...]:
    """All transforms but `jit` and `grad`, which have tables of their own."""
    axes, tree_axes = (0, 1, None), ({"w": 0, "b": 0, "scale": None}, 0)
    return (
        case(
            "`vmap`, an axis for each argument",
            "t(a, b, w)",
            {
                RAW: jax.vmap(plain_example, in_axes=axes),
                OURS: annotax.vmap(marked_example),
                EQUINOX: equinox.filter_vmap(plain_example, in_axes=axes),
                FLAX: nnx.vmap(plain_example, in_axes=axes),
            },
        ),
        case(
            "`vmap`, a leaf without axes shared",
            "t(tree, a)",
            {
                RAW: jax.vmap(example_of_tree, in_axes=tree_axes),
                OURS: annotax.vmap(example_of_tree),
                EQUINOX: equinox.filter_vmap(example_of_tree, in_axes=tree_axes),
            },
        ),
        case("`pmap`", "t(d, d)", {RAW: jax.pmap(program), OURS: annotax.pmap(program), FLAX: nnx.pmap(program)}),
        case(
            "`value_and_grad`",
            "t(w, x, y, 2)",
            {
                RAW: jax.value_and_grad(plain),
                OURS: annotax.value_and_grad(marked),
                EQUINOX: equinox.filter_value_and_grad(plain),
                FLAX: nnx.value_and_grad(plain),
            },
        ),
        case(
            "`jacfwd`",
            "t(w, x, y)",
            {
                RAW: jax.jacfwd(product),
                OURS: annotax.jacfwd(marked_product),
                EQUINOX: equinox.filter_jacfwd(product),
            },
        ),
        case(
            "`jacrev`",
            "t(w, x, y)",
            {
                RAW: jax.jacrev(product),
                OURS: annotax.jacrev(marked_product),
                EQUINOX: equinox.filter_jacrev(product),
            },
        ),
        case(
            "`hessian`",
            "t(w, x, y)",
            {
                RAW: jax.hessian(product),
                OURS: annotax.hessian(marked_product),
                EQUINOX: equinox.filter_hessian(product),
            },
        ),
        case(
            "gradient of `checkpoint`",
            "t(w, x, y, 2)",
            {
                RAW: jax.grad(jax.checkpoint(plain, static_argnums=(3,))),
                OURS: jax.grad(annotax.checkpoint(marked)),
                EQUINOX: jax.grad(equinox.filter_checkpoint(plain)),
                FLAX: jax.grad(nnx.remat(plain, static_argnums=(3,))),
            },
        ),
        case("gradient of `custom_vjp`", "t(w, x, y, 2)", custom_vjps()),
        case("gradient of `custom_jvp`", "t(w, x, y, 2)", custom_jvps()),
        case(
            "`vjp`",
            "t(f, w, x, y)",
            {RAW: jax.vjp, OURS: annotax.vjp, EQUINOX: equinox.filter_vjp, FLAX: partial(nnx.vjp, graph=False)},
        ),
        case(
            "`jvp`",
            "t(f, (w, x, y), (w, x, y))",
            {RAW: jax.jvp, OURS: annotax.jvp, EQUINOX: equinox.filter_jvp, FLAX: partial(nnx.jvp, graph=False)},
        ),
        case("`linearize`", "t(f, w, x, y)", {RAW: jax.linearize, OURS: annotax.linearize}),
        case(
            "`eval_shape`",
            "t(f, w, x, y)",
            {
                RAW: jax.eval_shape,
                OURS: annotax.eval_shape,
                EQUINOX: equinox.filter_eval_shape,
                FLAX: nnx.eval_shape,
            },
            ours=marked,
            others=plain,
        ),
        case(
            "`make_jaxpr`",
            "t(w, x, y, 2)",
            {
                RAW: jax.make_jaxpr(plain, static_argnums=(3,)),
                OURS: annotax.make_jaxpr(marked),
                EQUINOX: equinox.filter_make_jaxpr(plain),
            },
        ),
        case("`shard_map`", "t(w, x)", shard_maps()),
    )


def eager(rounds: int) -> Table:
    """Measure a call of every transform."""
    w, x, y = (jnp.full(4, value) for value in (0.1, 0.2, 0.3))
    a, b, d = jnp.ones((8, 4)), jnp.ones((4, 8)), jnp.ones((1, 4))
    tree = {"w": a, "b": a, "scale": jnp.array(2.0)}
    names = {"w": w, "x": x, "y": y, "a": a, "b": b, "d": d, "tree": tree}
    rows: list[Row] = []
    for one in cases():
        batches = {
            contestant: repeated(one.call, {"t": transform, "f": one.functions[contestant], **names})
            for contestant, transform in one.transforms.items()
        }
        rows += compare(f"{one.name}: `{one.call}`", interleave(batches, rounds), LIMIT)
    return Table(
        "Eager transforms",
        "median µs (quartiles)",
        "Without `jit`, called by position, as by hand in JAX; `pmap` and `shard_map` compile, for one device. Equinox "
        f"and flax.nnx stand where they have the transform and do the same work. {rounds} rounds.",
        "JAX's own transform with `in_axes`, `argnums`, `static_argnums`, `in_specs` and the rest by hand.",
        tuple(rows),
    )
