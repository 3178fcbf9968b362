"""What one says to JAX itself, and to annotax."""

from tests.coming_from import Library, Pair

IMPORTS = """\
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static

x = jnp.array([1.0, 2.0, 3.0])
w = jnp.array([0.5, -1.0, 2.0])
batch = jnp.arange(12.0).reshape(4, 3)
"""

COMPILING = (
    Pair(
        "Compiling",
        "A static argument, by position",
        "`static_argnums=1`",
        "`Static`",
        theirs="""
            @partial(jax.jit, static_argnums=1)
            def power(x, n):
                return x**n


            power(x, 2)
        """,
        ours="""
            @annotax.jit
            def power(x: Array, n: Static[int]) -> Array:
                return x**n


            power(x, 2)
        """,
    ),
    Pair(
        "Compiling",
        "A static argument, by keyword and with a default",
        '`static_argnames="n"`',
        "`Static`",
        theirs="""
            @partial(jax.jit, static_argnames="n")
            def power(x, *, n=2):
                return x**n


            power(x), power(x, n=3)
        """,
        ours="""
            @annotax.jit
            def power(x: Array, *, n: Static[int] = 2) -> Array:
                return x**n


            power(x), power(x, n=3)
        """,
    ),
    Pair(
        "Compiling",
        "The last argument static",
        "`static_argnums=-1`",
        "`Static`, or `static=-1`",
        given="""
            def repeat(x, times):
                return jnp.tile(x, times)
        """,
        theirs="""
            jax.jit(repeat, static_argnums=-1)(x, 2)
        """,
        ours="""
            annotax.jit(repeat, static=-1)(x, 2)
        """,
        note='`static=` takes names too, `static="times"`. A name or a number holds however the call is spelled.',
    ),
    Pair(
        "Compiling",
        "A string that chooses a branch",
        '`static_argnames="mode"`',
        "nothing: `str` says it",
        theirs="""
            @partial(jax.jit, static_argnames="mode")
            def reduce(x, mode="sum"):
                return x.sum() if mode == "sum" else x.max()


            reduce(x, mode="max")
        """,
        ours="""
            @annotax.jit
            def reduce(x: Array, mode: str = "sum") -> Array:
                return x.sum() if mode == "sum" else x.max()


            reduce(x, mode="max")
        """,
    ),
    Pair(
        "Compiling",
        "A function as an argument",
        "`static_argnums=0`",
        "nothing: `Callable` says it",
        theirs="""
            @partial(jax.jit, static_argnums=0)
            def apply(f, x):
                return f(x)


            apply(jnp.tanh, x)
        """,
        ours="""
            @annotax.jit
            def apply(f: Callable[[Array], Array], x: Array) -> Array:
                return f(x)


            apply(jnp.tanh, x)
        """,
    ),
    Pair(
        "Compiling",
        "Give the memory of an argument away",
        "`donate_argnums=(0, 1)`",
        "`Donate`",
        given="""
            momentum = jnp.zeros(3)
        """,
        theirs="""
            @partial(jax.jit, donate_argnums=(0, 1))
            def step(w, momentum, x):
                momentum = 0.9 * momentum + x
                return w - 0.1 * momentum, momentum


            step(w, momentum, x), w.is_deleted(), x.is_deleted()
        """,
        ours="""
            @annotax.jit
            def step(
                w: Donate[Array], momentum: Donate[Array], x: Array
            ) -> tuple[Array, Array]:
                momentum = 0.9 * momentum + x
                return w - 0.1 * momentum, momentum


            step(w, momentum, x), w.is_deleted(), x.is_deleted()
        """,
    ),
    Pair(
        "Compiling",
        "Give the memory of an argument away, by name",
        '`donate_argnames="state"`',
        "`Donate`, or `donate=`",
        given="""
            def advance(state, x):
                return {"total": state["total"] + x}


            state = {"total": jnp.zeros(3)}
        """,
        theirs="""
            advance = jax.jit(advance, donate_argnames="state")

            advance(x=x, state=state), state["total"].is_deleted()
        """,
        ours="""
            advance = annotax.jit(advance, donate="state")

            advance(x=x, state=state), state["total"].is_deleted()
        """,
    ),
    Pair(
        "Compiling",
        "A method whose object is a constant",
        "`static_argnums=0`",
        "`self: Static[...]`",
        theirs="""
            class Scaler:
                def __init__(self, factor):
                    self.factor = factor

                @partial(jax.jit, static_argnums=0)
                def __call__(self, x):
                    return self.factor * x


            Scaler(2.0)(x)
        """,
        ours="""
            class Scaler:
                def __init__(self, factor: float) -> None:
                    self.factor = factor

                @annotax.jit
                def __call__(self: Static["Scaler"], x: Array) -> Array:
                    return self.factor * x


            Scaler(2.0)(x)
        """,
        note="A constant must not change afterwards: the trace would not see it. Where the object holds arrays, make "
        "its class a pytree, as [below](#a-class-with-a-field-that-is-no-array).",
    ),
    Pair(
        "Compiling",
        "Compile ahead of time",
        "`lower(...).compile()`",
        "the same",
        theirs="""
            @partial(jax.jit, static_argnames="n")
            def power(x, *, n):
                return x**n


            compiled = power.lower(x, n=3).compile()
            compiled(x)
        """,
        ours="""
            @annotax.jit
            def power(x: Array, *, n: Static[int]) -> Array:
                return x**n


            compiled = power.lower(x, n=3).compile()
            compiled(x, n=3)
        """,
        note="What annotax compiles is called as the function is, the static arguments included. It refuses any other "
        "value than the one that it was compiled for.",
    ),
    Pair(
        "Compiling",
        "A partial, some arguments of which are fixed",
        "`jit(partial(...))`",
        "the same",
        given="""
            def affine(x, scale, shift):
                return scale * x + shift
        """,
        theirs="""
            jax.jit(partial(affine, scale=2.0))(x, shift=1.0)
        """,
        ours="""
            annotax.jit(partial(affine, scale=2.0))(x, shift=1.0)
        """,
    ),
    Pair(
        "Compiling",
        "A pipeline: compiled, differentiated, with a constant",
        "one list for each transform",
        "`transform(jit, grad)`",
        theirs="""
            def loss(w, x, n=2):
                return jnp.sum((w * x) ** n)


            slope = jax.jit(
                jax.grad(loss, argnums=0), static_argnums=2
            )
            slope(w, x, 3)
        """,
        ours="""
            @annotax.transform(annotax.jit, annotax.grad)
            def loss(
                w: Array, x: NoDiff[Array], n: Static[int] = 2
            ) -> Array:
                return jnp.sum((w * x) ** n)


            loss(w, x, n=3)
        """,
    ),
)

DIFFERENTIATING = (
    Pair(
        "Differentiating",
        "With respect to the first argument",
        "`argnums=0`, the default",
        "`NoDiff` on the others",
        theirs="""
            @jax.grad
            def loss(w, x):
                return jnp.sum((w * x) ** 2)


            loss(w, x)
        """,
        ours="""
            @annotax.grad
            def loss(w: Array, x: NoDiff[Array]) -> Array:
                return jnp.sum((w * x) ** 2)


            loss(w, x)
        """,
    ),
    Pair(
        "Differentiating",
        "With respect to several",
        "`argnums=(0, 1)`",
        "nothing: all that are not excluded",
        theirs="""
            @partial(jax.grad, argnums=(0, 1))
            def loss(w, b, x):
                return jnp.sum((w * x + b) ** 2)


            loss(w, 1.0, x)
        """,
        ours="""
            @annotax.grad
            def loss(w: Array, b: float, x: NoDiff[Array]) -> Array:
                return jnp.sum((w * x + b) ** 2)


            loss(w, 1.0, x)
        """,
    ),
    Pair(
        "Differentiating",
        "With respect to one of many",
        "`argnums=1`",
        "`Diff`, or `wrt=`",
        theirs="""
            @partial(jax.grad, argnums=1)
            def energy(x, stiffness, shift):
                return stiffness * jnp.sum((x - shift) ** 2)


            energy(x, 2.0, 1.0)
        """,
        ours="""
            @annotax.grad
            def energy(
                x: Array, stiffness: Diff[float], shift: float
            ) -> Array:
                return stiffness * jnp.sum((x - shift) ** 2)


            energy(x, 2.0, 1.0)
        """,
    ),
    Pair(
        "Differentiating",
        "A function that cannot be annotated",
        "`argnums=(-1,)`",
        '`wrt=[-1]`, `wrt=["shift"]`',
        given="""
            def energy(x, stiffness, shift):
                return stiffness * jnp.sum((x - shift) ** 2)
        """,
        theirs="""
            jax.grad(energy, argnums=(-1,))(x, 2.0, 1.0)
        """,
        ours="""
            annotax.grad(energy, wrt=["shift"])(x, 2.0, 1.0)
        """,
        note='A sequence gives a tuple, of one too; `wrt="shift"` gives the bare gradient, as `argnums=-1` does.',
    ),
    Pair(
        "Differentiating",
        "With respect to what is passed by keyword",
        "a function around it",
        "nothing",
        theirs="""
            def loss(x, *, w):
                return jnp.sum((w * x) ** 2)


            jax.grad(lambda w: loss(x, w=w))(w)
        """,
        ours="""
            @annotax.grad
            def loss(x: NoDiff[Array], *, w: Array) -> Array:
                return jnp.sum((w * x) ** 2)


            loss(x, w=w)
        """,
        note="`jax.grad` differentiates arguments by position alone, and `jax.grad(loss)(x=x, w=w)` raises.",
    ),
    Pair(
        "Differentiating",
        "The value beside the gradient, and what else there is",
        "`has_aux=True`",
        "`Aux`",
        theirs="""
            @partial(jax.value_and_grad, has_aux=True)
            def loss(w, x):
                error = w - x
                return jnp.mean(error**2), {"worst": error.max()}


            (value, metrics), gradient = loss(w, x)
            value, metrics, gradient
        """,
        ours="""
            @annotax.value_and_grad
            def loss(
                w: Array, x: NoDiff[Array]
            ) -> tuple[Array, Aux[dict[str, Array]]]:
                error = w - x
                return jnp.mean(error**2), {"worst": error.max()}


            (value, metrics), gradient = loss(w, x)
            value, metrics, gradient
        """,
    ),
    Pair(
        "Differentiating",
        "A part of the parameters, the rest frozen",
        "split and join by hand",
        "`wrt=\"params['head']\"`",
        given="""
            params = {"body": jnp.ones(3), "head": w}


            def loss(params, x):
                return jnp.sum((params["head"] * params["body"] * x) ** 2)
        """,
        theirs="""
            def of_head(head):
                return loss({**params, "head": head}, x)


            jax.grad(of_head)(params["head"])
        """,
        ours="""
            annotax.grad(loss, wrt="params['head']")(params, x)
        """,
        note='Several paths give a tuple. Paths lead into models too: `wrt="model.layers[-1].bias"`.',
    ),
    Pair(
        "Differentiating",
        "A field that is never trained",
        "`stop_gradient`",
        "`NoDiff` on the field",
        theirs="""
            @jax.tree_util.register_dataclass
            @dataclass(frozen=True)
            class Model:
                weights: Array
                basis: Array


            @jax.grad
            def loss(model, x):
                basis = jax.lax.stop_gradient(model.basis)
                return jnp.sum((x @ basis @ model.weights) ** 2)


            loss(Model(w, jnp.eye(3)), batch).weights
        """,
        ours="""
            @annotax.pytree
            class Model:
                weights: Array
                basis: NoDiff[Array]


            @annotax.grad
            def loss(model: Model, x: NoDiff[Array]) -> Array:
                return jnp.sum((x @ model.basis @ model.weights) ** 2)


            loss(Model(w, jnp.eye(3)), batch).weights
        """,
        note="`stop_gradient` gives a gradient of zeros, and an optimizer with weight decay goes on to shrink what was "
        "to stay. Here the gradient of `basis` is `None`.",
    ),
    Pair(
        "Differentiating",
        "An optimizer that leaves the frozen field alone",
        "`optax.multi_transform` and labels",
        "`partition`, `combine`",
        given="""
            @annotax.pytree
            class Model:
                weights: Array
                basis: NoDiff[Array]


            def loss(model: Model, x: NoDiff[Array]) -> Array:
                return jnp.sum((x @ model.basis @ model.weights) ** 2)


            model = Model(w, jnp.eye(3))
        """,
        theirs="""
            labels = Model("train", "freeze")
            optimizer = optax.multi_transform(
                {
                    "train": optax.adamw(0.1),
                    "freeze": optax.set_to_zero(),
                },
                labels,
            )
            gradient = jax.grad(loss)(model, batch)
            updates, _ = optimizer.update(
                gradient, optimizer.init(model), model
            )
            model = optax.apply_updates(model, updates)
            model.weights, model.basis
        """,
        ours="""
            optimizer = optax.adamw(0.1)
            trained, rest = annotax.partition(model)
            gradient = annotax.grad(loss)(model, batch)
            updates, _ = optimizer.update(
                gradient, optimizer.init(trained), trained
            )
            trained = optax.apply_updates(trained, updates)
            model = annotax.combine(trained, rest)
            model.weights, model.basis
        """,
        note="The state of the optimizer holds the trained part alone.",
    ),
    Pair(
        "Differentiating",
        "Of a complex function",
        "`holomorphic=True`",
        "the same",
        given="""
            z = jnp.array(1.0 + 2.0j)


            def cube(z):
                return z**3
        """,
        theirs="""
            jax.grad(cube, holomorphic=True)(z)
        """,
        ours="""
            annotax.grad(cube, holomorphic=True)(z)
        """,
    ),
    Pair(
        "Differentiating",
        "Jacobians, forward and reverse",
        "`jacfwd(argnums=...)`",
        "`NoDiff`",
        given="""
            shift = 1.0
        """,
        theirs="""
            def field(x, shift):
                return jnp.sin(x) * x.sum() + shift


            (
                jax.jacfwd(field, argnums=0)(x, shift),
                jax.jacrev(field, argnums=0)(x, shift),
            )
        """,
        ours="""
            def field(x: Array, shift: NoDiff[float]) -> Array:
                return jnp.sin(x) * x.sum() + shift


            (
                annotax.jacfwd(field)(x, shift=shift),
                annotax.jacrev(field)(x, shift=shift),
            )
        """,
    ),
    Pair(
        "Differentiating",
        "Second derivatives, of two arguments",
        "`hessian(argnums=(0, 1))`",
        "nothing",
        theirs="""
            def energy(x, y, scale):
                return scale * jnp.sum(x**2 * y)


            hessian = jax.hessian(energy, argnums=(0, 1))
            ((xx, xy), (yx, yy)) = hessian(x, w, 2.0)
            xx, xy, yx, yy
        """,
        ours="""
            @annotax.hessian
            def energy(x: Array, y: Array, scale: NoDiff[float]) -> Array:
                return scale * jnp.sum(x**2 * y)


            ((xx, xy), (yx, yy)) = energy(x, w, scale=2.0)
            xx, xy, yx, yy
        """,
    ),
    Pair(
        "Differentiating",
        "A derivative in one direction",
        "`jvp`, zeros for the rest",
        "`jvp`, tangents of what moves",
        theirs="""
            def scaled(x, factor):
                return factor * x**2


            jax.jvp(scaled, (x, 2.0), (w, 0.0))
        """,
        ours="""
            def scaled(x: Array, factor: NoDiff[float]) -> Array:
                return factor * x**2


            annotax.jvp(scaled, (x, 2.0), (w,))
        """,
    ),
    Pair(
        "Differentiating",
        "A pullback, with a keyword argument",
        "`vjp` of a function around it",
        "`vjp`",
        theirs="""
            def scaled(x, *, factor):
                return factor * x**2


            value, pullback = jax.vjp(
                lambda x: scaled(x, factor=2.0), x
            )
            (cotangent,) = pullback(w)
            value, cotangent
        """,
        ours="""
            def scaled(x: Array, *, factor: NoDiff[float]) -> Array:
                return factor * x**2


            value, pullback = annotax.vjp(scaled, x, factor=2.0)
            cotangent = pullback(w)
            value, cotangent
        """,
        note="One cotangent comes bare, several in a tuple, as the gradients of `grad` do.",
    ),
    Pair(
        "Differentiating",
        "The linear part at a point",
        "`linearize`",
        "the same",
        given="""
            def field(x):
                return jnp.sin(x) * x.sum()
        """,
        theirs="""
            value, linear = jax.linearize(field, x)
            value, linear(w)
        """,
        ours="""
            value, linear = annotax.linearize(field, x)
            value, linear(w)
        """,
    ),
    Pair(
        "Differentiating",
        "Compute again in the backward pass, with a constant",
        "`checkpoint(static_argnums=...)`",
        "`Static`",
        theirs="""
            @partial(jax.checkpoint, static_argnums=2)
            def block(w, x, depth):
                for _ in range(depth):
                    x = jnp.tanh(w * x)
                return x.sum()


            jax.grad(block)(w, x, 3)
        """,
        ours="""
            @annotax.checkpoint
            def block(
                w: Array, x: NoDiff[Array], *, depth: Static[int]
            ) -> Array:
                for _ in range(depth):
                    x = jnp.tanh(w * x)
                return x.sum()


            annotax.grad(block)(w, x, depth=3)
        """,
    ),
    Pair(
        "Differentiating",
        "Say what is kept for the backward pass",
        "`checkpoint(policy=...)`",
        "the same",
        given="""
            policy = jax.checkpoint_policies.dots_saveable


            def block(x):
                return jnp.sum(jnp.tanh(batch @ x))
        """,
        theirs="""
            jax.grad(jax.checkpoint(block, policy=policy))(x)
        """,
        ours="""
            annotax.grad(annotax.checkpoint(block, policy=policy))(x)
        """,
    ),
)

RULES = (
    Pair(
        "Rules of your own",
        "A reverse-mode rule with a constant",
        "`custom_vjp(nondiff_argnums=...)`",
        "`Static`, by name to `bwd`",
        theirs="""
            @partial(jax.custom_vjp, nondiff_argnums=(1,))
            def clipped(x, limit):
                return x


            def fwd(x, limit):
                return x, None


            def bwd(limit, residuals, cotangent):
                return (jnp.clip(cotangent, -limit, limit),)


            clipped.defvjp(fwd, bwd)
            jax.grad(lambda x: jnp.sum(w * clipped(x, 0.6)))(x)
        """,
        ours="""
            @annotax.custom_vjp
            def clipped(x: Array, limit: Static[float]) -> Array:
                return x


            def fwd(x, limit):
                return x, None


            def bwd(residuals, cotangent, *, limit):
                return jnp.clip(cotangent, -limit, limit)


            clipped.defvjp(fwd, bwd)
            jax.grad(lambda x: jnp.sum(w * clipped(x, 0.6)))(x)
        """,
    ),
    Pair(
        "Rules of your own",
        "A reverse-mode rule with an array that has no gradient",
        "a cotangent of zeros",
        "`NoDiff`",
        given="""
            mask = jnp.array([1.0, 0.0, 1.0])
        """,
        theirs="""
            @jax.custom_vjp
            def masked(x, mask):
                return x


            def fwd(x, mask):
                return x, mask


            def bwd(mask, cotangent):
                return mask * cotangent, jnp.zeros_like(mask)


            masked.defvjp(fwd, bwd)
            jax.grad(lambda x: jnp.sum(w * masked(x, mask)))(x)
        """,
        ours="""
            @annotax.custom_vjp
            def masked(x: Array, mask: NoDiff[Array]) -> Array:
                return x


            def fwd(x, mask):
                return x, mask


            def bwd(mask, cotangent):
                return mask * cotangent


            masked.defvjp(fwd, bwd)
            jax.grad(lambda x: jnp.sum(w * masked(x, mask)))(x)
        """,
    ),
    Pair(
        "Rules of your own",
        "A forward-mode rule with a constant",
        "`custom_jvp(nondiff_argnums=...)`",
        "`Static`, by name to the rule",
        theirs="""
            @partial(jax.custom_jvp, nondiff_argnums=(0,))
            def power(n, x):
                return x**n


            @power.defjvp
            def rule(n, primals, tangents):
                (x,), (dx,) = primals, tangents
                return power(n, x), n * x ** (n - 1) * dx


            jax.jvp(partial(power, 3), (x,), (w,))
        """,
        ours="""
            @annotax.custom_jvp
            def power(n: Static[int], x: Array) -> Array:
                return x**n


            @power.defjvp
            def rule(primals, tangents, *, n):
                (x,), (dx,) = primals, tangents
                return power(n, x), n * x ** (n - 1) * dx


            annotax.jvp(power, {"n": 3, "x": x}, {"x": w})
        """,
    ),
)

BATCHES = (
    Pair(
        "Batches",
        "An argument that the batch shares",
        "`in_axes=(None, 0)`",
        "`Axis(None)`",
        theirs="""
            @partial(jax.vmap, in_axes=(None, 0))
            def predict(w, x):
                return jnp.dot(w, x)


            predict(w, batch)
        """,
        ours="""
            @annotax.vmap
            def predict(
                w: Annotated[Array, Axis(None)], x: Array
            ) -> Array:
                return jnp.dot(w, x)


            predict(w, batch)
        """,
    ),
    Pair(
        "Batches",
        "A shared argument, by keyword",
        "a function around it",
        "nothing",
        theirs="""
            def predict(x, *, w):
                return jnp.dot(w, x)


            jax.vmap(lambda x: predict(x, w=w))(batch)
        """,
        ours="""
            @annotax.vmap
            def predict(
                x: Array, *, w: Annotated[Array, Axis(None)]
            ) -> Array:
                return jnp.dot(w, x)


            predict(batch, w=w)
        """,
        note="`jax.vmap` maps every keyword argument along axis 0; `in_axes` does not reach it.",
    ),
    Pair(
        "Batches",
        "Another axis than the first, in and out",
        "`in_axes=1, out_axes=1`",
        "`Axis(1)`",
        theirs="""
            @partial(jax.vmap, in_axes=1, out_axes=1)
            def centred(x):
                return x - x.mean()


            centred(batch)
        """,
        ours="""
            @annotax.vmap
            def centred(
                x: Annotated[Array, Axis(1)],
            ) -> Annotated[Array, Axis(1)]:
                return x - x.mean()


            centred(batch)
        """,
    ),
    Pair(
        "Batches",
        "Axes inside a container",
        '`in_axes=({"x": 1, "y": None},)`',
        "`in_axes=` by parameter",
        given="""
            pair = {"x": batch, "y": 2.0}


            def product(pair):
                return pair["x"].sum() * pair["y"]
        """,
        theirs="""
            in_axes = ({"x": 1, "y": None},)
            jax.vmap(product, in_axes=in_axes)(pair)
        """,
        ours="""
            in_axes = {"pair": {"x": 1, "y": None}}
            annotax.vmap(product, in_axes=in_axes)(pair)
        """,
    ),
    Pair(
        "Batches",
        "Axes of the fields of a model",
        "`in_axes` with a model of axes",
        "`Axis` on the field",
        theirs="""
            @jax.tree_util.register_dataclass
            @dataclass(frozen=True)
            class Model:
                weights: Array
                scale: Array


            @partial(jax.vmap, in_axes=(Model(0, None), None))
            def predict(model, x):
                return model.scale * jnp.dot(model.weights, x)


            predict(Model(batch, jnp.array(2.0)), x)
        """,
        ours="""
            @annotax.pytree
            class Model:
                weights: Array
                scale: Annotated[Array, Axis(None)]


            @annotax.vmap
            def predict(
                model: Model, x: Annotated[Array, Axis(None)]
            ) -> Array:
                return model.scale * jnp.dot(model.weights, x)


            predict(Model(batch, jnp.array(2.0)), x)
        """,
    ),
    Pair(
        "Batches",
        "A constant beside the batch",
        "a partial",
        "`Static`",
        theirs="""
            def power(x, n):
                return jnp.sum(x**n)


            jax.vmap(partial(power, n=3))(batch)
        """,
        ours="""
            @annotax.vmap
            def power(x: Array, n: Static[int]) -> Array:
                return jnp.sum(x**n)


            power(batch, n=3)
        """,
    ),
    Pair(
        "Batches",
        "A batch of which nothing is mapped",
        "`axis_size=4`",
        "the same",
        given="""
            def noise():
                return jnp.ones(2)
        """,
        theirs="""
            jax.vmap(noise, axis_size=4)()
        """,
        ours="""
            annotax.vmap(noise, axis_size=4)()
        """,
    ),
    Pair(
        "Batches",
        "Sums over the batch",
        '`axis_name="batch"`',
        "the same",
        theirs="""
            @partial(jax.vmap, axis_name="batch")
            def normalised(x):
                return x / jax.lax.psum(x, "batch")


            normalised(batch + 1)
        """,
        ours="""
            @annotax.vmap(axis_name="batch")
            def normalised(x: Array) -> Array:
                return x / jax.lax.psum(x, "batch")


            normalised(batch + 1)
        """,
    ),
    Pair(
        "Batches",
        "Two maps, one inside the other",
        "two `vmap`s, two `in_axes`",
        '`Axis(0, "i")`, `Axis(None, "i")`',
        theirs="""
            def kernel(x, y):
                return jnp.exp(-jnp.sum((x - y) ** 2))


            rows = jax.vmap(kernel, in_axes=(None, 0))
            jax.vmap(rows, in_axes=(0, None))(batch, batch)
        """,
        ours="""
            Row = Annotated[Array, Axis(0, "i"), Axis(None, "j")]
            Column = Annotated[Array, Axis(None, "i"), Axis(0, "j")]


            @annotax.transform(
                annotax.vmap(axis_name="i"),
                annotax.vmap(axis_name="j"),
            )
            def kernel(x: Row, y: Column) -> Array:
                return jnp.exp(-jnp.sum((x - y) ** 2))


            kernel(batch, batch)
        """,
    ),
    Pair(
        "Batches",
        "A gradient for each example",
        "`jit(vmap(grad(f), in_axes=...))`",
        "`transform(jit, vmap, grad)`",
        given="""
            targets = jnp.ones(4)
        """,
        theirs="""
            def loss(w, x, y):
                return (jnp.dot(w, x) - y) ** 2


            each = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))
            jax.jit(each)(w, batch, targets)
        """,
        ours="""
            @annotax.transform(annotax.jit, annotax.vmap, annotax.grad)
            def loss(
                w: Annotated[Array, Axis(None)],
                x: NoDiff[Array],
                y: NoDiff[Array],
            ) -> Array:
                return (jnp.dot(w, x) - y) ** 2


            loss(w, batch, targets)
        """,
    ),
)

LOOKING = (
    Pair(
        "Looking at a function",
        "Shapes without numbers, with a constant",
        "`eval_shape` of a partial",
        "`eval_shape`",
        theirs="""
            def repeat(x, times):
                return jnp.tile(x, times)


            jax.eval_shape(partial(repeat, times=2), x)
        """,
        ours="""
            def repeat(x: Array, times: Static[int]) -> Array:
                return jnp.tile(x, times)


            annotax.eval_shape(repeat, x, times=2)
        """,
    ),
    Pair(
        "Looking at a function",
        "The jaxpr, with a constant",
        "`make_jaxpr(static_argnums=1)`",
        "`make_jaxpr`",
        theirs="""
            def power(x, n):
                return x**n


            str(jax.make_jaxpr(power, static_argnums=1)(x, 3))
        """,
        ours="""
            def power(x: Array, n: Static[int]) -> Array:
                return x**n


            str(annotax.make_jaxpr(power)(x, n=3))
        """,
    ),
)

PYTREES = (
    Pair(
        "Pytrees",
        "A class with a field that is no array",
        "`register_dataclass(meta_fields=...)`",
        "`pytree`, `Static`",
        theirs="""
            @partial(
                jax.tree_util.register_dataclass,
                data_fields=["weights"],
                meta_fields=["power"],
            )
            @dataclass(frozen=True)
            class Model:
                weights: Array
                power: int = 2

                @jax.jit
                def __call__(self, x):
                    return jnp.dot(x, self.weights) ** self.power


            Model(w)(x), Model(w, power=3)(x)
        """,
        ours="""
            @annotax.pytree
            class Model:
                weights: Array
                power: Static[int] = 2

                @annotax.jit
                def __call__(self, x: Array) -> Array:
                    return jnp.dot(x, self.weights) ** self.power


            Model(w)(x), Model(w, power=3)(x)
        """,
    ),
    Pair(
        "Pytrees",
        "A model that holds a function",
        "a field registered as metadata",
        "`Static`, or nothing",
        theirs="""
            @partial(
                jax.tree_util.register_dataclass,
                data_fields=["weights"],
                meta_fields=["activation"],
            )
            @dataclass(frozen=True)
            class Layer:
                weights: Array
                activation: Callable[[Array], Array]


            @jax.jit
            @jax.grad
            def loss(layer, x):
                return jnp.sum(layer.activation(layer.weights * x))


            loss(Layer(w, jnp.tanh), x).weights
        """,
        ours="""
            @annotax.pytree
            class Layer:
                weights: Array
                activation: Callable[[Array], Array]


            @annotax.jit
            @annotax.grad
            def loss(layer: Layer, x: NoDiff[Array]) -> Array:
                return jnp.sum(layer.activation(layer.weights * x))


            loss(Layer(w, jnp.tanh), x).weights
        """,
        note="A leaf that JAX cannot trace is a constant of the compilation. `Static[...]` on the field keeps such "
        "calls on the fast road, see [models that hold functions](../guides/models.md).",
    ),
)

MESH = """
    mesh = jax.make_mesh(
        (1,), ("data",), axis_types=(AxisType.Auto,)
    )
"""

DEVICES = (
    Pair(
        "Devices",
        "Arrays spread over a mesh",
        "`in_shardings`, `out_shardings`",
        "`PartitionSpec` in the hint",
        given=MESH,
        theirs="""
            split = NamedSharding(mesh, P("data"))


            @partial(
                jax.jit,
                in_shardings=(split, None),
                out_shardings=split,
            )
            def scale(x, factor):
                return factor * x


            scale(batch, 2.0)
        """,
        ours="""
            Split = Annotated[Array, P("data")]


            @annotax.jit(mesh=mesh)
            def scale(x: Split, factor: float) -> Split:
                return factor * x


            scale(batch, factor=2.0)
        """,
        note="`jax.jit` with `in_shardings` refuses keyword arguments, and arrays that are laid out otherwise.",
    ),
    Pair(
        "Devices",
        "A layout in the middle of a function",
        "`with_sharding_constraint`",
        "the same",
        given=MESH,
        theirs="""
            split = NamedSharding(mesh, P("data"))


            @jax.jit
            def scale(x):
                x = jax.lax.with_sharding_constraint(x, split)
                return 2 * x


            scale(batch)
        """,
        ours="""
            split = NamedSharding(mesh, P("data"))


            @annotax.jit
            def scale(x: Array) -> Array:
                x = jax.lax.with_sharding_constraint(x, split)
                return 2 * x


            scale(batch)
        """,
    ),
    Pair(
        "Devices",
        "One program on every device",
        "`shard_map(in_specs=..., out_specs=...)`",
        "`PartitionSpec` in the hint",
        given=MESH,
        theirs="""
            @jax.jit
            @partial(
                jax.shard_map,
                mesh=mesh,
                in_specs=(P("data"), P()),
                out_specs=P(),
            )
            def total(x, factor):
                return jax.lax.psum(factor * x.sum(), "data")


            total(batch, jnp.array(2.0))
        """,
        ours="""
            @annotax.shard_map(mesh=mesh)
            def total(
                x: Annotated[Array, P("data")], factor: Array
            ) -> Array:
                return jax.lax.psum(factor * x.sum(), "data")


            total(batch, factor=jnp.array(2.0))
        """,
    ),
    Pair(
        "Devices",
        "One slice for each device",
        "`pmap(static_broadcasted_argnums=1)`",
        "`Static`",
        given="""
            slices = batch[None]
            devices = jax.devices()[:1]
        """,
        theirs="""
            @partial(
                jax.pmap,
                axis_name="devices",
                static_broadcasted_argnums=1,
                devices=devices,
            )
            def total(x, power):
                return jax.lax.psum(jnp.sum(x**power), "devices")


            total(slices, 2)
        """,
        ours="""
            @annotax.pmap(axis_name="devices", devices=devices)
            def total(x: Array, *, power: Static[int]) -> Array:
                return jax.lax.psum(jnp.sum(x**power), "devices")


            total(slices, power=2)
        """,
    ),
)

JAX = Library(
    name="JAX",
    page="jax.md",
    imports=IMPORTS,
    pairs=(*COMPILING, *DIFFERENTIATING, *RULES, *BATCHES, *LOOKING, *PYTREES, *DEVICES),
)
