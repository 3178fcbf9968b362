"""What one says to jax_dataclasses, and to annotax."""

from tests.coming_from import Library, Pair

IMPORTS = """\
import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import jax_dataclasses as jdc
from jax import Array

import annotax
from annotax import Donate, NoDiff, Static

x = jnp.array([1.0, 2.0, 3.0])
w = jnp.array([0.5, -1.0, 2.0])
batch = jnp.arange(12.0).reshape(4, 3)
"""

CLASSES = (
    Pair(
        "Classes",
        "A dataclass that is a pytree",
        "`pytree_dataclass`",
        "`pytree`",
        theirs="""
            @jdc.pytree_dataclass
            class Layer:
                weights: Array
                bias: Array


            layer = Layer(w, jnp.zeros(3))
            jax.tree.leaves(jax.tree.map(jnp.square, layer))
        """,
        ours="""
            @annotax.pytree
            class Layer:
                weights: Array
                bias: Array


            layer = Layer(w, jnp.zeros(3))
            jax.tree.leaves(jax.tree.map(jnp.square, layer))
        """,
        note="Both are frozen dataclasses, and JAX makes both anew without calling `__init__`. Under annotax the paths "
        "of the leaves have names (`.weights`), which messages and `wrt=` use.",
    ),
    Pair(
        "Classes",
        "A field that is part of the structure",
        "`jdc.Static[...]`",
        "`Static[...]`",
        theirs="""
            @jdc.pytree_dataclass
            class Power:
                weights: Array
                exponent: jdc.Static[int] = 2


            jax.tree.leaves(Power(w, 3)), Power(w).exponent
        """,
        ours="""
            @annotax.pytree
            class Power:
                weights: Array
                exponent: Static[int] = 2


            jax.tree.leaves(Power(w, 3)), Power(w).exponent
        """,
        note="A static field that is given an array or a list raises when the object is made.",
    ),
    Pair(
        "Classes",
        "A static field with a default of its own",
        "`static_field`, deprecated",
        "`Static` and `field`",
        theirs="""
            @jdc.pytree_dataclass
            class Named:
                weights: Array
                tags: tuple[str, ...] = jdc.static_field(
                    default_factory=tuple
                )


            Named(w).tags, len(jax.tree.leaves(Named(w)))
        """,
        ours="""
            @annotax.pytree
            class Named:
                weights: Array
                tags: Static[tuple[str, ...]] = dataclasses.field(
                    default_factory=tuple
                )


            Named(w).tags, len(jax.tree.leaves(Named(w)))
        """,
    ),
    Pair(
        "Classes",
        "A changed copy",
        "`copy_and_mutate`",
        "`dataclasses.replace`",
        theirs="""
            @jdc.pytree_dataclass
            class Layer:
                weights: Array
                bias: Array


            layer = Layer(w, jnp.zeros(3))
            with jdc.copy_and_mutate(layer) as changed:
                changed.bias = jnp.ones(3)
            changed.weights, changed.bias, layer.bias
        """,
        ours="""
            @annotax.pytree
            class Layer:
                weights: Array
                bias: Array


            layer = Layer(w, jnp.zeros(3))
            changed = dataclasses.replace(layer, bias=jnp.ones(3))
            changed.weights, changed.bias, layer.bias
        """,
        note="`copy_and_mutate` also compares shapes and dtypes of the new values with the old ones. In a function, "
        "hints say what they should be.",
    ),
    Pair(
        "Classes",
        "A changed copy of what is deep inside",
        "`copy_and_mutate`",
        "`replace` in `replace`",
        theirs="""
            @jdc.pytree_dataclass
            class Layer:
                weights: Array


            @jdc.pytree_dataclass
            class Network:
                first: Layer
                second: Layer


            network = Network(Layer(w), Layer(x))
            with jdc.copy_and_mutate(network) as changed:
                changed.second.weights = jnp.ones(3)
            jax.tree.leaves(changed)
        """,
        ours="""
            @annotax.pytree
            class Layer:
                weights: Array


            @annotax.pytree
            class Network:
                first: Layer
                second: Layer


            network = Network(Layer(w), Layer(x))
            second = dataclasses.replace(
                network.second, weights=jnp.ones(3)
            )
            changed = dataclasses.replace(network, second=second)
            jax.tree.leaves(changed)
        """,
        note="annotax has nothing of its own for this; `equinox.tree_at` works on its classes.",
    ),
    Pair(
        "Classes",
        "A field that is never trained",
        "`stop_gradient`",
        "`NoDiff` on the field",
        theirs="""
            @jdc.pytree_dataclass
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
    ),
)

FUNCTIONS = (
    Pair(
        "Functions",
        "A static argument",
        "`jdc.jit`, `jdc.Static[...]`",
        "`jit`, `Static[...]`",
        theirs="""
            @jdc.jit
            def power(x: Array, n: jdc.Static[int]) -> Array:
                return x**n


            power(x, 2), power(x, n=3)
        """,
        ours="""
            @annotax.jit
            def power(x: Array, n: Static[int]) -> Array:
                return x**n


            power(x, 2), power(x, n=3)
        """,
        note="`jax_dataclasses` traces once more for the call by keyword; annotax has one trace for all spellings.",
    ),
    Pair(
        "Functions",
        "A donated argument",
        "`jdc.jit(donate_argnums=0)`",
        "`Donate[...]`",
        theirs="""
            @jdc.jit(donate_argnums=0)
            def advance(state: Array, x: Array) -> Array:
                return state + x


            state = jnp.zeros(3)
            advance(state, x), state.is_deleted()
        """,
        ours="""
            @annotax.jit
            def advance(state: Donate[Array], x: Array) -> Array:
                return state + x


            state = jnp.zeros(3)
            advance(state, x), state.is_deleted()
        """,
    ),
    Pair(
        "Functions",
        "A compiled method",
        "`jdc.jit` in the class",
        "`jit` in the class",
        theirs="""
            @jdc.pytree_dataclass
            class Power:
                weights: Array
                exponent: jdc.Static[int] = 2

                @jdc.jit
                def __call__(self, x: Array) -> Array:
                    return jnp.dot(self.weights, x) ** self.exponent


            Power(w)(x), Power(w, exponent=3)(x)
        """,
        ours="""
            @annotax.pytree
            class Power:
                weights: Array
                exponent: Static[int] = 2

                @annotax.jit
                def __call__(self, x: Array) -> Array:
                    return jnp.dot(self.weights, x) ** self.exponent


            Power(w)(x), Power(w, exponent=3)(x)
        """,
    ),
    Pair(
        "Functions",
        "A compiled gradient with a static argument",
        "`jdc.jit` of a function that calls `jax.grad`",
        "`transform(jit, grad)`",
        theirs="""
            def loss(w, x, n):
                return jnp.sum((w * x) ** n)


            @jdc.jit
            def slope(w: Array, x: Array, n: jdc.Static[int]) -> Array:
                return jax.grad(loss)(w, x, n)


            slope(w, x, 2)
        """,
        ours="""
            @annotax.transform(annotax.jit, annotax.grad)
            def slope(
                w: Array, x: NoDiff[Array], n: Static[int]
            ) -> Array:
                return jnp.sum((w * x) ** n)


            slope(w, x, 2)
        """,
        note="`jdc.jit(jax.grad(loss))` works where `loss` itself has the hint; JAX's other transforms do not read it.",
    ),
    Pair(
        "Functions",
        "A map with a static argument",
        "`jax.vmap` of a partial",
        "`transform(jit, vmap)`",
        theirs="""
            def power(x, n):
                return jnp.sum(x) ** n


            @jdc.jit
            def powers(x: Array, n: jdc.Static[int]) -> Array:
                return jax.vmap(partial(power, n=n))(x)


            powers(batch, 2)
        """,
        ours="""
            @annotax.transform(annotax.jit, annotax.vmap)
            def powers(x: Array, n: Static[int]) -> Array:
                return jnp.sum(x) ** n


            powers(batch, 2)
        """,
    ),
)

JAX_DATACLASSES = Library(
    name="jax_dataclasses",
    page="jax_dataclasses.md",
    imports=IMPORTS,
    pairs=(*CLASSES, *FUNCTIONS),
)
