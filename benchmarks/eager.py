"""The cost of the other transforms without `jit`, where Python runs at every call.

Each is beside JAX's own, given by hand what annotax reads from the hints, and called in the same way, by position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import AxisType, PartitionSpec

import annotax
from annotax import Axis, NoDiff, Static
from benchmarks.measure import interleave, repeated
from benchmarks.rows import OURS, RAW, Row, Table, compare

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
    return {RAW: jax.grad(raw), OURS: jax.grad(ours)}


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

    return {RAW: jax.grad(raw), OURS: jax.grad(ours)}


def shard_maps() -> dict[str, Callable[..., Any]]:
    """Programs for a mesh of one device."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    by_hand = jax.shard_map(program, mesh=mesh, in_specs=(SPEC, PartitionSpec()), out_specs=SPEC)
    return {RAW: jax.jit(by_hand), OURS: annotax.shard_map(marked_program, mesh=mesh)}


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
    functions: tuple[Callable[..., Any], Callable[..., Any]] = (vector, vector),
) -> Case:
    """A case; the functions are those of JAX and of annotax."""
    return Case(name, call, transforms, dict(zip((RAW, OURS), functions, strict=True)))


def cases() -> tuple[Case, ...]:
    """All transforms but `jit` and `grad`, which have tables of their own."""
    tree_axes = ({"w": 0, "b": 0, "scale": None}, 0)
    return (
        case(
            "`vmap`, an axis for each argument",
            "t(a, b, w)",
            {RAW: jax.vmap(plain_example, in_axes=(0, 1, None)), OURS: annotax.vmap(marked_example)},
        ),
        case(
            "`vmap`, a leaf without axes shared",
            "t(tree, a)",
            {RAW: jax.vmap(example_of_tree, in_axes=tree_axes), OURS: annotax.vmap(example_of_tree)},
        ),
        case("`pmap`", "t(d, d)", {RAW: jax.pmap(program), OURS: annotax.pmap(program)}),
        case("`jacfwd`", "t(w, x, y)", {RAW: jax.jacfwd(product), OURS: annotax.jacfwd(marked_product)}),
        case("`jacrev`", "t(w, x, y)", {RAW: jax.jacrev(product), OURS: annotax.jacrev(marked_product)}),
        case("`hessian`", "t(w, x, y)", {RAW: jax.hessian(product), OURS: annotax.hessian(marked_product)}),
        case(
            "gradient of `checkpoint`",
            "t(w, x, y, 2)",
            {
                RAW: jax.grad(jax.checkpoint(plain, static_argnums=(3,))),
                OURS: jax.grad(annotax.checkpoint(marked)),
            },
        ),
        case("gradient of `custom_vjp`", "t(w, x, y, 2)", custom_vjps()),
        case("gradient of `custom_jvp`", "t(w, x, y, 2)", custom_jvps()),
        case("`vjp`", "t(f, w, x, y)", {RAW: jax.vjp, OURS: annotax.vjp}),
        case("`jvp`", "t(f, (w, x, y), (w, x, y))", {RAW: jax.jvp, OURS: annotax.jvp}),
        case("`linearize`", "t(f, w, x, y)", {RAW: jax.linearize, OURS: annotax.linearize}),
        case("`eval_shape`", "t(f, w, x, y)", {RAW: jax.eval_shape, OURS: annotax.eval_shape}, (plain, marked)),
        case(
            "`make_jaxpr`",
            "t(w, x, y, 2)",
            {RAW: jax.make_jaxpr(plain, static_argnums=(3,)), OURS: annotax.make_jaxpr(marked)},
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
        f"Called by position, as by hand in JAX; `pmap` and `shard_map` compile, for one device; {rounds} rounds.",
        tuple(rows),
    )
