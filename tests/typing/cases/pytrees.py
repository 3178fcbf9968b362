"""`@annotax.pytree` makes a frozen dataclass: type checkers know its `__init__`, its fields and that it is frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import InitVar, field
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, reveal_type

import jax
import jax.numpy as jnp
from jax import Array

import annotax
from annotax import Axis, NoDiff, Static, grad, jit, value_and_grad, vmap

T = TypeVar("T")

x: Array = jnp.ones((1, 1))


@annotax.pytree
class Model:
    """A model with fields of every kind."""

    weights: Array
    basis: NoDiff[Array]
    activation: Static[Callable[[Array], Array]] = jnp.tanh
    power: Static[int] = 2
    scales: dict[str, Array] = field(default_factory=dict[str, Array])
    limit: ClassVar[int] = 3

    def __call__(self, x: Array) -> Array:
        return self.activation(x @ self.basis @ self.weights) ** self.power

    def trained(self, weights: Array) -> Self:
        return dataclasses.replace(self, weights=weights)


model = Model(x, basis=x)

# row: a pytree class: what it makes
reveal_type(Model(x, x, jnp.sin, 3, {"a": x}))  # type: Model
reveal_type(Model(weights=x, basis=x, power=3))  # type: Model
Model(x)  # error
# row: a pytree class: a field of the wrong type
Model(x, x, power="a")  # error
Model(x, "a")  # error
Model(x, x, bias=x)  # error
Model(x, x, activation=1)  # error
Model(x, x, scales=[x])  # error
Model(x, x, limit=3)  # error

# --- the fields ------------------------------------------------------------------------------------------------------

reveal_type(model.weights)  # type: Array
# row: a field marked `NoDiff`
reveal_type(model.basis)  # type: Array
reveal_type(model.power)  # type: int
reveal_type(model.activation)  # type: (Array) -> Array
reveal_type(model.scales)  # type: dict[str, Array]
reveal_type(Model.limit)  # type: int
reveal_type(model(x))  # type: Array
print(model.bias)  # error
# row: a field assigned to, which is frozen
model.weights = x  # error
model.power += 1  # error
reveal_type(dataclasses.replace(model, weights=x))  # type: Model
reveal_type(model.trained(x))  # type: Model
reveal_type([f.name for f in dataclasses.fields(model)])  # type: list[str]
reveal_type(
    dataclasses.asdict(model),
)  # type: dict[str, Any]; pyrefly: dict[str, ((Array) -> Array) | Array | dict[str, Array] | int]
dataclasses.replace(model, bias=x)  # error: mypy, plugin, pyrefly
reveal_type(jax.tree.map(lambda leaf: leaf, model))  # type: Any

# --- options ---------------------------------------------------------------------------------------------------------


@annotax.pytree(kw_only=True)
class Named:
    """Fields that are passed by keyword."""

    weights: Array
    name: Static[str] = "a"
    bias: Array


@annotax.pytree(order=True, slots=True)
class Ordered:
    """Compared by its fields."""

    step: int
    rate: float = 0.1


@annotax.pytree
class Mixed:
    """One field by keyword alone, one that no argument sets."""

    weights: Array
    name: Static[str] = field(default="a", kw_only=True)
    cache: Array | None = field(default=None, init=False)
    _: dataclasses.KW_ONLY
    rate: float = 0.1


@annotax.pytree
class Scaled:
    """Made with a variable that is no field."""

    weights: Array
    scale: InitVar[float] = 1.0

    def __post_init__(self, scale: float) -> None:
        object.__setattr__(self, "weights", self.weights * scale)


reveal_type(Named(weights=x, bias=x))  # type: Named
Named(x, bias=x)  # error
Named(weights=x, name="a")  # error
reveal_type(Ordered(1) < Ordered(2, 0.5))  # type: bool
print(model < model)  # error
Ordered(1).step = 2  # error
reveal_type(Mixed(x, name="b", rate=1.0))  # type: Mixed
Mixed(x, "b")  # error
Mixed(x, cache=x)  # error
Scaled(x, 2.0)
Scaled(x, scale="a")  # error
print(Scaled(x).scale)  # error: mypy, plugin, pyright, pyrefly
annotax.pytree(frozen=False)  # error

# --- inheritance and generics ----------------------------------------------------------------------------------------


@annotax.pytree
class Frozen(Model):
    """A model of which the other part is trained, with one field more."""

    weights: NoDiff[Array]
    basis: Array
    name: Static[str] = "a"

    @jit
    def step(self, x: Array, *, n: Static[int] = 1) -> Self:
        return dataclasses.replace(self, weights=self.weights + n * x)


@annotax.pytree
class Pair(Generic[T]):
    """Two of a kind."""

    first: T
    second: T

    def swapped(self) -> Pair[T]:
        return Pair(self.second, self.first)


@annotax.pytree
class Models(Pair[Model]):
    """Two models."""

    weights: Annotated[Array, Axis(None)]


frozen = Frozen(x, x, name="b")
reveal_type(frozen)  # type: Frozen
reveal_type(frozen.step(x, n=2))  # type: Frozen
frozen.step(x, 2)  # error
Frozen(x, x, name=1)  # error
Frozen(x, x, jnp.sin, 2, {}, "b", 3)  # error
frozen.name = "c"  # error
reveal_type(Pair(x, x))  # type: Pair[Array]
reveal_type(Pair(x, x).swapped().first)  # type: Array
Pair[int](1, "a")  # error
reveal_type(Models(model, frozen, weights=x).first.power)  # type: int
Models(x, x, weights=x)  # error
both: Pair[Model] = Models(model, model, x)

# --- as an argument --------------------------------------------------------------------------------------------------


@grad
def loss(model: Model) -> Array:
    return jnp.sum(model.weights)


@value_and_grad
def loss_of_pair(pair: Pair[Model]) -> Array:
    return jnp.sum(pair.first.weights)


@vmap
def mapped(models: Models) -> Models:
    return models


reveal_type(loss(frozen))  # type: Model
loss(x)  # error
reveal_type(loss_of_pair(Pair(model, model)))  # type: tuple[Array, Pair[Model]]
loss_of_pair(Pair(x, x))  # error
reveal_type(mapped(Models(model, model, x)).weights)  # type: Array

# --- match -----------------------------------------------------------------------------------------------------------


def described(tree: Model | Pair[Array] | Ordered) -> str:
    match tree:
        case Frozen(name=name):
            reveal_type(name)  # type: str
            return name
        case Model(weights, _, _, power):
            reveal_type(weights)  # type: Array
            reveal_type(power)  # type: int
            return "model"
        case Pair(first, second):
            reveal_type(first)  # type: Array; ty: Any | Array
            return f"pair of {first} and {second}"
        case Ordered(step, rate=rate):
            reveal_type(step)  # type: int
            reveal_type(rate)  # type: float
            return "ordered"


def kinds(tree: Any) -> str:
    if isinstance(tree, Model):
        reveal_type(tree)  # type: Model; ty: Any & Model
        return "model"
    return "other"
