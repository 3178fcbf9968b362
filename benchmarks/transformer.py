"""A small language model: a transformer of eight blocks in plain JAX, for the benchmarks that want a real one.

Nothing here is decorated but the classes, which are JAX's own kind of pytree to every contestant.
"""

# ruff: noqa: F722 - the strings in hints of jaxtyping name axes

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

import annotax

BLOCKS, HEADS, WIDTH, LENGTH, VOCABULARY, BATCH = 8, 4, 128, 64, 256, 4


@annotax.pytree
class Norm:
    """Layer normalisation."""

    scale: Float[Array, " width"]
    shift: Float[Array, " width"]


@annotax.pytree
class Linear:
    """A dense layer."""

    weights: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]


@annotax.pytree
class Block:
    """Attention and a layer for each position, each behind a normalisation and beside a residual."""

    before_attention: Norm
    projections: Linear
    merge: Linear
    before_widening: Norm
    widen: Linear
    narrow: Linear


@annotax.pytree
class Transformer:
    """A decoder; the embedding of a token also scores it."""

    tokens: Float[Array, "vocabulary width"]
    positions: Float[Array, "length width"]
    blocks: tuple[Block, ...]
    last: Norm


def transformer(seed: int = 0) -> Transformer:
    """A model with random weights, of 1.6 million parameters in 100 arrays."""
    keys = iter(jax.random.split(jax.random.key(seed), 2 + 4 * BLOCKS))

    def random(rows: int, columns: int) -> Array:
        return jax.random.normal(next(keys), (rows, columns)) * rows**-0.5

    def linear(inputs: int, outputs: int) -> Linear:
        return Linear(random(inputs, outputs), jnp.zeros(outputs))

    def norm() -> Norm:
        return Norm(jnp.ones(WIDTH), jnp.zeros(WIDTH))

    def block() -> Block:
        return Block(
            norm(),
            linear(WIDTH, 3 * WIDTH),
            linear(WIDTH, WIDTH),
            norm(),
            linear(WIDTH, 4 * WIDTH),
            linear(4 * WIDTH, WIDTH),
        )

    return Transformer(random(VOCABULARY, WIDTH), random(LENGTH, WIDTH), tuple(block() for _ in range(BLOCKS)), norm())


def normalized(norm: Norm, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
    """Mean 0 and variance 1 along the last axis, scaled and shifted."""
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * norm.scale + norm.shift


def dense(layer: Linear, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
    """`x @ weights + bias`."""
    return x @ layer.weights + layer.bias


def attended(block: Block, x: Float[Array, "batch length width"]) -> Float[Array, "batch length width"]:
    """What each position takes from those up to it."""
    batch, length, width = x.shape
    projected = dense(block.projections, x).reshape(batch, length, 3, HEADS, width // HEADS)
    queries, keys, values = projected[:, :, 0], projected[:, :, 1], projected[:, :, 2]
    scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys) * (width // HEADS) ** -0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), values)
    return dense(block.merge, mixed.reshape(batch, length, width))


def scores(model: Transformer, tokens: Int[Array, "batch length"]) -> Float[Array, "batch length vocabulary"]:
    """How likely each token is to come next, as a logarithm without its constant."""
    x = model.tokens[tokens] + model.positions[: tokens.shape[1]]
    for block in model.blocks:
        x = x + attended(block, normalized(block.before_attention, x))
        x = x + dense(block.narrow, jax.nn.gelu(dense(block.widen, normalized(block.before_widening, x))))
    return normalized(model.last, x) @ model.tokens.T


def surprise(model: Transformer, tokens: Int[Array, "batch length"]) -> Float[Array, ""]:
    """The loss: minus the mean logarithm of the likelihood of each token after those before it."""
    predicted = jax.nn.log_softmax(scores(model, tokens)[:, :-1])
    return -jnp.take_along_axis(predicted, tokens[:, 1:, None], axis=-1).mean()


def text(seed: int = 1) -> Int[Array, "batch length"]:
    """Random tokens to train on."""
    return jax.random.randint(jax.random.key(seed), (BATCH, LENGTH), 0, VOCABULARY)
