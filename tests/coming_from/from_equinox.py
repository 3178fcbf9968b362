"""What one says to Equinox, and to annotax."""

from tests.coming_from import Library, Pair

IMPORTS = """\
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import annotax
from annotax import Aux, Axis, Donate, NoDiff, Static

model = eqx.nn.MLP(2, 1, 8, 2, key=jax.random.key(0))
x = jnp.array([1.0, -2.0])
batch = jnp.arange(8.0).reshape(4, 2)
"""

NETWORK = """
    class Network(eqx.Module):
        body: eqx.nn.MLP
        head: eqx.nn.Linear

        def __call__(self, x):
            return self.head(self.body(x))


    one, two = jax.random.split(jax.random.key(1))
    body = eqx.nn.MLP(2, 3, 8, 2, key=one)
    head = eqx.nn.Linear(3, 1, key=two)
"""

COMPILING = (
    Pair(
        "Compiling",
        "Compile a function of a model",
        "`filter_jit`",
        "`jit`",
        theirs="""
            @eqx.filter_jit
            def predict(model, x):
                return model(x)


            predict(model, x)
        """,
        ours="""
            @annotax.jit
            def predict(model: eqx.nn.MLP, x: Array) -> Array:
                return model(x)


            predict(model, x)
        """,
    ),
    Pair(
        "Compiling",
        "A number as a constant",
        "nothing: numbers are constants",
        "`Static`",
        theirs="""
            @eqx.filter_jit
            def repeat(x, times):
                return jnp.tile(x, times)


            repeat(x, 3)
        """,
        ours="""
            @annotax.jit
            def repeat(x: Array, times: Static[int]) -> Array:
                return jnp.tile(x, times)


            repeat(x, 3)
        """,
    ),
    Pair(
        "Compiling",
        "A number that is traced",
        "`jnp.asarray` at the call",
        "nothing: numbers are traced",
        theirs="""
            @eqx.filter_jit
            def decay(x, step):
                return x * 0.9**step


            [decay(x, jnp.asarray(step)) for step in range(3)]
        """,
        ours="""
            @annotax.jit
            def decay(x: Array, step: int) -> Array:
                return x * 0.9**step


            [decay(x, step) for step in range(3)]
        """,
    ),
    Pair(
        "Compiling",
        "Compile a method",
        "`filter_jit` in the class",
        "`jit` in the class",
        theirs="""
            class Scale(eqx.Module):
                factor: Array
                power: int

                @eqx.filter_jit
                def __call__(self, x):
                    return self.factor * x**self.power


            Scale(jnp.array(2.0), 3)(x)
        """,
        ours="""
            class Scale(eqx.Module):
                factor: Array
                power: int

                @annotax.jit
                def __call__(self, x: Array) -> Array:
                    return self.factor * x**self.power


            Scale(jnp.array(2.0), 3)(x)
        """,
        note="The arrays of the module are traced and its numbers are constants, under both.",
    ),
    Pair(
        "Compiling",
        "Give the memory of all arguments away",
        '`donate="all"`',
        "`Donate`",
        given="""
            state = jnp.zeros(2)
        """,
        theirs="""
            @eqx.filter_jit(donate="all")
            def advance(state):
                return state + 1


            advance(state), state.is_deleted()
        """,
        ours="""
            @annotax.jit
            def advance(state: Donate[Array]) -> Array:
                return state + 1


            advance(state), state.is_deleted()
        """,
    ),
    Pair(
        "Compiling",
        "Give all away but the first",
        '`donate="all-except-first"`',
        "`Donate` on the others",
        given="""
            state = jnp.zeros(2)
        """,
        theirs="""
            @eqx.filter_jit(donate="all-except-first")
            def advance(x, state):
                return state + x


            advance(x, state), x.is_deleted(), state.is_deleted()
        """,
        ours="""
            @annotax.jit
            def advance(x: Array, state: Donate[Array]) -> Array:
                return state + x


            advance(x, state), x.is_deleted(), state.is_deleted()
        """,
    ),
    Pair(
        "Compiling",
        "A limit on traces",
        "`assert_max_traces`",
        "`jit(max_traces=1)`",
        theirs="""
            @eqx.filter_jit
            @eqx.debug.assert_max_traces(max_traces=1)
            def double(x):
                return 2 * x


            double(x), double(x)
            try:
                double(batch)
                refused = False
            except RuntimeError:
                refused = True
            refused
        """,
        ours="""
            @annotax.jit(max_traces=1)
            def double(x: Array) -> Array:
                return 2 * x


            double(x), double(x)
            try:
                double(batch)
                refused = False
            except annotax.TraceError:
                refused = True
            refused
        """,
        note="`TraceError` is a `RuntimeError` too, and says [what changed](../guides/compile-once.md).",
    ),
    Pair(
        "Compiling",
        "Count the traces",
        "`get_num_traces`",
        "`len(f.traces)`",
        theirs="""
            @eqx.debug.assert_max_traces(max_traces=None)
            def double(x):
                return 2 * x


            fast = eqx.filter_jit(double)
            fast(x), fast(x), fast(batch)
            eqx.debug.get_num_traces(double)
        """,
        ours="""
            @annotax.jit
            def double(x: Array) -> Array:
                return 2 * x


            double(x), double(x), double(batch)
            len(double.traces)
        """,
    ),
    Pair(
        "Compiling",
        "Compile ahead of time",
        "`lower(...).compile()`",
        "the same",
        theirs="""
            @eqx.filter_jit
            def predict(model, x):
                return model(x)


            compiled = predict.lower(model, x).compile()
            compiled(model, x)
        """,
        ours="""
            @annotax.jit
            def predict(model: eqx.nn.MLP, x: Array) -> Array:
                return model(x)


            compiled = predict.lower(model, x).compile()
            compiled(model, x)
        """,
    ),
)

DIFFERENTIATING = (
    Pair(
        "Differentiating",
        "The gradient of a model",
        "`filter_grad`",
        "`grad`, `NoDiff` on the data",
        theirs="""
            @eqx.filter_grad
            def loss(model, x):
                return jnp.sum(model(x) ** 2)


            loss(model, x)
        """,
        ours="""
            @annotax.grad
            def loss(model: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
                return jnp.sum(model(x) ** 2)


            loss(model, x)
        """,
        note="The same structure, with `None` at what has no gradient. Both go through optax and `eqx.apply_updates`.",
    ),
    Pair(
        "Differentiating",
        "The value beside the gradient, and what else there is",
        "`filter_value_and_grad(has_aux=True)`",
        "`value_and_grad`, `Aux`",
        theirs="""
            @eqx.filter_value_and_grad(has_aux=True)
            def loss(model, x, y):
                error = model(x) - y
                return jnp.mean(error**2), {"worst": error.max()}


            loss(model, x, 0.5)
        """,
        ours="""
            @annotax.value_and_grad
            def loss(
                model: eqx.nn.MLP, x: NoDiff[Array], y: NoDiff[float]
            ) -> tuple[Array, Aux[dict[str, Array]]]:
                error = model(x) - y
                return jnp.mean(error**2), {"worst": error.max()}


            loss(model, x, 0.5)
        """,
    ),
    Pair(
        "Differentiating",
        "Of several arguments",
        "a tuple as the first argument",
        "nothing",
        theirs="""
            @eqx.filter_grad
            def loss(both, x):
                model, scale = both
                return jnp.sum((scale * model(x)) ** 2)


            loss((model, jnp.array(2.0)), x)
        """,
        ours="""
            @annotax.grad
            def loss(
                model: eqx.nn.MLP, scale: Array, x: NoDiff[Array]
            ) -> Array:
                return jnp.sum((scale * model(x)) ** 2)


            loss(model, jnp.array(2.0), x)
        """,
    ),
    Pair(
        "Differentiating",
        "A frozen part of a model of your own",
        "a tree of booleans by `tree_at`",
        "`NoDiff` on the field",
        given=NETWORK,
        theirs="""
            network = Network(body, head)
            spec = jax.tree.map(lambda _: False, network)
            spec = eqx.tree_at(lambda n: n.head, spec, True)


            @eqx.filter_grad
            def loss(trained, frozen, x):
                return jnp.sum(eqx.combine(trained, frozen)(x))


            loss(*eqx.partition(network, spec), x).head
        """,
        ours="""
            class FrozenBody(Network):
                body: NoDiff[eqx.nn.MLP]


            network = FrozenBody(body, head)


            @annotax.grad
            def loss(network: FrozenBody, x: NoDiff[Array]) -> Array:
                return jnp.sum(network(x))


            loss(network, x).head
        """,
        note="A marker stands where the field is, and does not have to be made again when the model changes.",
    ),
    Pair(
        "Differentiating",
        "A frozen part of a model that is not yours",
        "a tree of booleans by `tree_at`",
        "`wrt=` with a path",
        theirs="""
            spec = jax.tree.map(lambda _: False, model)
            spec = eqx.tree_at(lambda m: m.layers[-1].bias, spec, True)


            @eqx.filter_grad
            def loss(trained, frozen, x):
                return jnp.sum(eqx.combine(trained, frozen)(x) ** 2)


            gradient = loss(*eqx.partition(model, spec), x)
            gradient.layers[-1].bias
        """,
        ours="""
            def loss(model: eqx.nn.MLP, x: Array) -> Array:
                return jnp.sum(model(x) ** 2)


            last = annotax.grad(loss, wrt="model.layers[-1].bias")
            last(model, x)
        """,
    ),
    Pair(
        "Differentiating",
        "Jacobians and second derivatives",
        "`filter_jacfwd`, `filter_jacrev`, `filter_hessian`",
        "`jacfwd`, `jacrev`, `hessian`",
        given="""
            def field(x: Array) -> Array:
                return jnp.sin(x) * x.sum()
        """,
        theirs="""
            (
                eqx.filter_jacfwd(field)(x),
                eqx.filter_jacrev(field)(x),
                eqx.filter_hessian(field)(x),
            )
        """,
        ours="""
            (
                annotax.jacfwd(field)(x),
                annotax.jacrev(field)(x),
                annotax.hessian(field)(x),
            )
        """,
    ),
    Pair(
        "Differentiating",
        "A derivative in one direction",
        "`filter_jvp`, `None` for what stays",
        "`jvp`, tangents of what moves",
        theirs="""
            def call(model, x):
                return model(x)


            still = jax.tree.map(lambda _: None, model)
            eqx.filter_jvp(call, (model, x), (still, 0.1 * x))
        """,
        ours="""
            def call(model: NoDiff[eqx.nn.MLP], x: Array) -> Array:
                return model(x)


            annotax.jvp(call, (model, x), (0.1 * x,))
        """,
    ),
    Pair(
        "Differentiating",
        "A pullback of a model",
        "`filter_vjp`",
        "`vjp`",
        theirs="""
            value, pullback = eqx.filter_vjp(lambda m: m(x), model)
            (cotangent,) = pullback(jnp.ones(1))
            value, cotangent.layers[0].weight
        """,
        ours="""
            def call(model: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
                return model(x)


            value, pullback = annotax.vjp(call, model, x)
            cotangent = pullback(jnp.ones(1))
            value, cotangent.layers[0].weight
        """,
    ),
    Pair(
        "Differentiating",
        "Compute again in the backward pass",
        "`filter_checkpoint`",
        "`checkpoint`",
        theirs="""
            @eqx.filter_checkpoint
            def block(model, x):
                return jnp.sum(model(x) ** 2)


            eqx.filter_grad(block)(model, x)
        """,
        ours="""
            @annotax.checkpoint
            def block(model: eqx.nn.MLP, x: NoDiff[Array]) -> Array:
                return jnp.sum(model(x) ** 2)


            annotax.grad(block)(model, x)
        """,
    ),
    Pair(
        "Differentiating",
        "A reverse-mode rule of your own",
        "`filter_custom_vjp`",
        "`custom_vjp`",
        theirs="""
            @eqx.filter_custom_vjp
            def clipped(x, limit):
                return x


            @clipped.def_fwd
            def forward(perturbed, x, limit):
                return x, None


            @clipped.def_bwd
            def backward(residuals, grad, perturbed, x, limit):
                return jnp.clip(grad, -limit, limit)


            jax.grad(lambda x: 3 * jnp.sum(clipped(x, 0.5)))(x)
        """,
        ours="""
            @annotax.custom_vjp
            def clipped(x: Array, limit: Static[float]) -> Array:
                return x


            def forward(x, limit):
                return x, None


            def backward(residuals, cotangent, *, limit):
                return jnp.clip(cotangent, -limit, limit)


            clipped.defvjp(forward, backward)
            jax.grad(lambda x: 3 * jnp.sum(clipped(x, 0.5)))(x)
        """,
    ),
    Pair(
        "Differentiating",
        "A forward-mode rule of your own",
        "`filter_custom_jvp`",
        "`custom_jvp`",
        theirs="""
            @eqx.filter_custom_jvp
            def power(x, n):
                return x**n


            @power.def_jvp
            def rule(primals, tangents):
                (x, n), (dx, _) = primals, tangents
                return power(x, n), n * x ** (n - 1) * dx


            jax.jvp(lambda x: power(x, 3), (x,), (x,))
        """,
        ours="""
            @annotax.custom_jvp
            def power(x: Array, n: Static[int]) -> Array:
                return x**n


            @power.defjvp
            def rule(primals, tangents, *, n):
                (x,), (dx,) = primals, tangents
                return power(x, n), n * x ** (n - 1) * dx


            jax.jvp(lambda x: power(x, 3), (x,), (x,))
        """,
    ),
)

BATCHES = (
    Pair(
        "Batches",
        "A model that the batch shares",
        "`in_axes=(None, 0)`",
        "`Axis(None)`",
        theirs="""
            @eqx.filter_vmap(in_axes=(None, 0))
            def predict(model, x):
                return model(x)


            predict(model, batch)
        """,
        ours="""
            @annotax.vmap
            def predict(
                model: Annotated[eqx.nn.MLP, Axis(None)], x: Array
            ) -> Array:
                return model(x)


            predict(model, batch)
        """,
    ),
    Pair(
        "Batches",
        "An ensemble of models",
        "`in_axes=(eqx.if_array(0), None)`",
        "`Axis(None)` on the data",
        given="""
            keys = jax.random.split(jax.random.key(2), 5)


            def make(key):
                return eqx.nn.Linear(2, 3, key=key)
        """,
        theirs="""
            @eqx.filter_vmap(in_axes=(eqx.if_array(0), None))
            def predict(model, x):
                return model(x)


            predict(eqx.filter_vmap(make)(keys), x)
        """,
        ours="""
            @annotax.vmap
            def predict(
                model: eqx.nn.Linear, x: Annotated[Array, Axis(None)]
            ) -> Array:
                return model(x)


            predict(annotax.vmap(make)(keys), x)
        """,
        note="What has no axis is shared without being told, so there is no need for `if_array`.",
    ),
    Pair(
        "Batches",
        "An axis for one argument, by name",
        "`in_axes=dict(y=1)`",
        "`Axis(1)`, or `in_axes=` by name",
        given="""
            def product(x, y):
                return jnp.dot(x, y)
        """,
        theirs="""
            eqx.filter_vmap(product, in_axes=dict(y=1))(batch, batch.T)
        """,
        ours="""
            annotax.vmap(product, in_axes={"y": 1})(batch, batch.T)
        """,
    ),
    Pair(
        "Batches",
        "Another axis of the result",
        "`out_axes=1`",
        "`Axis(1)` on the result",
        theirs="""
            @eqx.filter_vmap(out_axes=1)
            def centred(x):
                return x - x.mean()


            centred(batch)
        """,
        ours="""
            @annotax.vmap
            def centred(x: Array) -> Annotated[Array, Axis(1)]:
                return x - x.mean()


            centred(batch)
        """,
    ),
)

MODELS = (
    Pair(
        "Models",
        "A field that is part of the structure",
        "`eqx.field(static=True)`",
        "`Static`",
        theirs="""
            class Power(eqx.Module):
                weights: Array
                name: str = eqx.field(static=True)

                def __call__(self, x):
                    return self.weights * x


            power = Power(x, "a")
            fast = eqx.filter_jit(Power.__call__)
            jax.tree.leaves(power), fast(power, x)
        """,
        ours="""
            @annotax.pytree
            class Power:
                weights: Array
                name: Static[str]

                def __call__(self, x: Array) -> Array:
                    return self.weights * x


            power = Power(x, "a")
            fast = annotax.jit(Power.__call__)
            jax.tree.leaves(power), fast(power, x)
        """,
        note="An `eqx.Module` works with annotax as it is, `field(static=True)` included. `annotax.pytree` is a frozen "
        "dataclass, and nothing else: no `__init__` with assignments, no wrapped methods.",
    ),
    Pair(
        "Models",
        "Another value in a field",
        "`tree_at`",
        "`dataclasses.replace`",
        given="""
            from dataclasses import replace
        """,
        theirs="""
            class Layer(eqx.Module):
                weight: Array
                bias: Array


            layer = Layer(x, jnp.zeros(2))
            layer = eqx.tree_at(lambda m: m.bias, layer, jnp.ones(2))
            layer.weight, layer.bias
        """,
        ours="""
            @annotax.pytree
            class Layer:
                weight: Array
                bias: Array


            layer = Layer(x, jnp.zeros(2))
            layer = replace(layer, bias=jnp.ones(2))
            layer.weight, layer.bias
        """,
        note="Deep inside a model `eqx.tree_at` is shorter, and takes an `annotax.pytree` too.",
    ),
    Pair(
        "Models",
        "What an optimizer takes",
        "`filter(model, is_inexact_array)`",
        "`partition(model)`",
        theirs="""
            optimizer = optax.adamw(0.1)
            trained, rest = eqx.partition(model, eqx.is_inexact_array)
            state = optimizer.init(trained)
            state, eqx.combine(trained, rest)(x)
        """,
        ours="""
            optimizer = optax.adamw(0.1)
            trained, rest = annotax.partition(model)
            state = optimizer.init(trained)
            state, annotax.combine(trained, rest)(x)
        """,
    ),
    Pair(
        "Models",
        "A tree of booleans",
        "`tree.map`, `tree_at`",
        "`mask(model, wrt=...)`",
        theirs="""
            spec = jax.tree.map(lambda _: False, model)
            leaves = lambda m: (m.layers[-1].weight, m.layers[-1].bias)
            eqx.tree_at(leaves, spec, (True, True))
        """,
        ours="""
            annotax.mask(model, wrt="layers[-1]")
        """,
        note="It is what `optax.masked` takes, and a filter spec for `eqx.partition`.",
    ),
)

REST = (
    Pair(
        "Looking at a function",
        "Shapes without numbers",
        "`filter_eval_shape`",
        "`eval_shape`",
        theirs="""
            def repeat(x, times):
                return jnp.tile(x, times)


            eqx.filter_eval_shape(repeat, x, 3)
        """,
        ours="""
            def repeat(x: Array, times: Static[int]) -> Array:
                return jnp.tile(x, times)


            annotax.eval_shape(repeat, x, 3)
        """,
    ),
    Pair(
        "Looking at a function",
        "The jaxpr of a function of a model",
        "`filter_make_jaxpr`, the first of three",
        "`make_jaxpr`",
        given="""
            def call(model, x):
                return model(x)
        """,
        theirs="""
            jaxpr, _, _ = eqx.filter_make_jaxpr(call)(model, x)
            str(jaxpr)
        """,
        ours="""
            jaxpr = annotax.make_jaxpr(call)(model, x)
            str(jaxpr)
        """,
    ),
    Pair(
        "Devices",
        "A layout for an argument",
        "`filter_shard` in the function",
        "`PartitionSpec` in the hint",
        given="""
            mesh = jax.make_mesh(
                (1,), ("data",), axis_types=(AxisType.Auto,)
            )
            split = NamedSharding(mesh, P("data"))
        """,
        theirs="""
            @eqx.filter_jit
            def double(x):
                x = eqx.filter_shard(x, split)
                return eqx.filter_shard(2 * x, split)


            double(batch)
        """,
        ours="""
            Split = Annotated[Array, P("data")]


            @annotax.jit(mesh=mesh)
            def double(x: Split) -> Split:
                return 2 * x


            double(batch)
        """,
    ),
    Pair(
        "Devices",
        "A whole model on every device",
        "`filter_shard`",
        "`shard`",
        given="""
            mesh = jax.make_mesh(
                (1,), ("data",), axis_types=(AxisType.Auto,)
            )
        """,
        theirs="""
            eqx.filter_shard(model, NamedSharding(mesh, P()))
        """,
        ours="""
            annotax.shard(model, mesh)
        """,
        note="Fields with a `PartitionSpec` are laid out by it.",
    ),
    Pair(
        "Devices",
        "One slice for each device",
        "`filter_pmap`",
        "`pmap`",
        given="""
            slices = batch[None]
            devices = jax.devices()[:1]
        """,
        theirs="""
            @eqx.filter_pmap(
                in_axes=(None, 0), axis_name="i", devices=devices
            )
            def total(model, x):
                return jax.lax.psum(jax.vmap(model)(x), "i")


            total(model, slices)
        """,
        ours="""
            @annotax.pmap(axis_name="i", devices=devices)
            def total(
                model: Annotated[eqx.nn.MLP, Axis(None)], x: Array
            ) -> Array:
                return jax.lax.psum(jax.vmap(model)(x), "i")


            total(model, slices)
        """,
    ),
)

EQUINOX = Library(
    name="Equinox",
    page="equinox.md",
    imports=IMPORTS,
    pairs=(*COMPILING, *DIFFERENTIATING, *BATCHES, *MODELS, *REST),
)
