"""Markers on fields where all hints are strings: `from __future__ import annotations`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, ClassVar, Generic, NamedTuple, TypeVar

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import jax_dataclasses
import pytest
from jax import Array

import annotax
from annotax import NoDiff, Static, StaticValueError, grad, jit, transform

T = TypeVar("T")


@annotax.pytree
class Ours(Generic[T]):
    w: T
    basis: NoDiff[T]
    function: Static[Callable[[Array], Array]] = abs
    count: ClassVar[int] = 0
    inner: Ours[T] | None = None


class Equinox(eqx.Module):
    w: Array
    basis: annotax.NoDiff[Array]


@flax.struct.dataclass
class Flax:
    w: Array
    basis: Annotated[Array, NoDiff]


class Named(NamedTuple):
    w: Array
    basis: NoDiff[Array]


@jax_dataclasses.pytree_dataclass
class JaxDataclass:
    w: Array
    basis: NoDiff[Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Registered:
    w: Array
    basis: NoDiff[Array]


@pytest.mark.parametrize("kind", [Ours, Equinox, Flax, Named, JaxDataclass, Registered])
@pytest.mark.parametrize("through", [grad, transform(jit, grad)], ids=["eager", "compiled"])
def test_a_frozen_field_is_left_out_of_the_gradient(through, kind):
    gradient = through(lambda model: model.w * model.basis)(kind(jnp.array(2.0), jnp.array(3.0)))
    assert type(gradient) is kind
    assert (gradient.w, gradient.basis) == (3.0, None)


@pytest.mark.parametrize("make", [annotax.pytree, flax.struct.dataclass, jax_dataclasses.pytree_dataclass])
def test_a_class_that_is_local_to_a_function(make):
    @make
    class Model:
        w: Array
        basis: NoDiff[Array]
        inner: Model | None = None

    gradient = grad(lambda model: model.w * model.basis * model.inner.w)(Model(2.0, 3.0, Model(4.0, 5.0)))
    assert gradient == Model(12.0, None, Model(6.0, None))


def test_a_static_field_is_part_of_the_structure():
    assert jax.tree.leaves(Ours(1.0, 2.0, function=max)) == [1.0, 2.0]
    with pytest.raises(StaticValueError, match=r"Ours\(\): static field function is an array"):
        Ours(1.0, 2.0, function=jnp.ones(2))  # type: ignore[arg-type]


def test_a_subclass_in_another_function_keeps_the_markers():
    @annotax.pytree
    class Model(Ours[Array]):
        extra: NoDiff[Array] = 1.0  # type: ignore[assignment]

    assert annotax.mask(Model(1.0, 2.0)) == Model(True, False, extra=False)
