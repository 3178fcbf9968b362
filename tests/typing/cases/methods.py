"""Transforms on methods: bound and called as the method is, overridden, inherited, and members of protocols."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, Self, TypeVar, reveal_type

import jax.numpy as jnp
from jax import Array

import annotax
from annotax import NoDiff, Static, checkpoint, grad, jit, transform, value_and_grad, vmap

T = TypeVar("T")
R = TypeVar("R")

x: Array = jnp.ones(3)


@annotax.pytree
class Model:
    """A model with every kind of method."""

    weights: Array
    power: Static[int] = 2

    @jit
    def __call__(self, x: Array, *, scale: float = 1.0) -> Array:
        reveal_type(self)  # type: Self; mypy, plugin: Model
        return scale * (x @ self.weights) ** self.power

    @jit
    def step(self, x: Array, *, n: Static[int] = 1) -> tuple[Self, Array]:
        return self, x * n

    @jit
    def __matmul__(self, x: Array) -> Array:
        return self.weights @ x

    @jit
    def __getitem__(self, i: int) -> Array:
        return self.weights[i]

    @jit
    def __add__(self, other: Self) -> Self:
        return other

    @jit(static="n")
    def with_options(self, x: Array, n: int = 1) -> Array:
        return x * n

    @grad
    def slope(self, x: NoDiff[Array]) -> Array:
        return jnp.sum(self(x))

    @grad(wrt="x")
    def slope_in_x(self, x: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @value_and_grad
    def loss(self, x: NoDiff[Array], *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @transform(jit, value_and_grad)
    def jitted_loss(self, x: NoDiff[Array], *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @jit
    @grad
    def stacked(self, x: NoDiff[Array], *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @vmap
    @grad
    def slopes(self, x: NoDiff[Array], *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @jit
    @grad[Array](wrt="x")
    def stated(self, x: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @annotax.jacfwd
    @grad(wrt="x")
    def second(self, x: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(self(x)) * n

    @vmap(in_axes={"self": None})
    def of_batch(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self(x) * n

    @vmap
    def mapped(self, x: Array) -> Array:
        return self(x)

    @checkpoint
    def block(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self(x) * n

    @annotax.custom_vjp
    def clipped(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self(x) * n

    @annotax.custom_jvp
    def smooth(self, x: Array, *, n: Static[int] = 1) -> Array:
        return self(x) * n

    @annotax.hessian
    def curvature(self, x: NoDiff[Array]) -> Array:
        return jnp.sum(self(x))

    @staticmethod
    @jit
    def jitted_inside(x: Array, *, n: Static[int] = 1) -> Array:
        return x * n

    @jit
    @staticmethod
    def jitted_outside(x: Array, *, n: Static[int] = 1) -> Array:
        return x * n

    @classmethod
    @jit
    def of(cls, weights: Array, *, power: Static[int] = 2) -> Model:
        return cls(weights, power)

    @classmethod
    @jit
    def made(cls, weights: Array) -> Self:
        return cls(weights)

    @jit
    @classmethod
    def of_jitted(cls, weights: Array, *, power: Static[int] = 2) -> Model:
        return cls(weights, power)

    @staticmethod
    @grad
    def slope_inside(w: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(w) * n

    @grad
    @staticmethod
    def slope_outside(w: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(w) * n

    @classmethod
    @value_and_grad(wrt="w")
    def loss_of_class(cls, w: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(w) * n

    def closures(self, x: Array) -> Array:
        @jit
        def inside(y: Array, *, n: Static[int] = 1) -> Array:
            return self.weights * y * n

        inside(x, 3)  # error
        reveal_type(value_and_grad(self.block)(x, n=2))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
        reveal_type(jit(self.block)(x, n=2))  # type: Array
        jit(self.block)("a")  # error
        return inside(x, n=3)

    @property
    @jit
    def norm(self) -> Array:
        return jnp.sum(self.weights**2)


model = Model(x)

# --- jit -------------------------------------------------------------------------------------------------------------

# row: `jit` on a method: a call
reveal_type(model.step(x, n=3))  # type: tuple[Model, Array]
# row: `jit` on a method: a wrong argument
model.step("a")  # error
model.step(x, 3)  # error
model.step()  # error
reveal_type(model(x, scale=2.0))  # type: Array
model(x, 2.0)  # error
reveal_type(Model.step(model, x, n=3))  # type: tuple[Model, Array]
Model.step(x, x)  # error
Model.step(model)  # error
reveal_type(Model.__call__(model, x))  # type: Array
reveal_type(model.with_options(x, 3))  # type: Array
model.with_options(x, "a")  # error
reveal_type(model.step)  # type: (x: Array, *, n: int = ...) -> tuple[Model, Array]
reveal_type(model @ x)  # type: Array; mypy: Any # error: mypy
print(model @ "a")  # error
reveal_type(model[0])  # type: Array # error: mypy
print(model["a"])  # error
reveal_type(model + model)  # type: Model # error: mypy
print(model + "a")  # error
reveal_type(model.norm)  # type: Array
reveal_type(jit(model.block)(x, n=3))  # type: Array
jit(model.block)(x, 3)  # error

# --- grad and value_and_grad -----------------------------------------------------------------------------------------

# row: `grad` on a method: a call
reveal_type(model.slope(x))  # type: Any; plugin: Model
reveal_type(model.slope(x=x))  # type: Any; plugin: Model
# row: `grad` on a method: a wrong argument
model.slope("a")  # error
model.slope()  # error
model.slope(x, x)  # error
reveal_type(Model.slope(model, x))  # type: Any; plugin: Model
Model.slope(x, x)  # error
Model.slope(model)  # error
reveal_type(model.slope_in_x(x, n=3))  # type: Any; plugin: Array
model.slope_in_x(x, 3)  # error
reveal_type(model.loss(x, n=3))  # type: tuple[Array, Any]; plugin: tuple[Array, Model]
model.loss(x, 3)  # error
model.loss(y=x)  # error
reveal_type(Model.loss(model, x, n=3))  # type: tuple[Array, Any]; plugin: tuple[Array, Model]
Model.loss(model, x, 3)  # error
# row: `transform(jit, value_and_grad)` on a method: a call
reveal_type(model.jitted_loss(x, n=3))  # type: tuple[Array, Any]; plugin: tuple[Array, Model]
model.jitted_loss(x, 3)  # error
model.jitted_loss("a")  # error
reveal_type(Model.jitted_loss(model, x))  # type: tuple[Array, Any]; plugin: tuple[Array, Model]
reveal_type(model.stacked(x, n=3))  # type: Any; plugin: Model # error: pyrefly
model.stacked(x, 3)  # error
reveal_type(model.slopes(x, n=3))  # type: Any; plugin: Model
model.slopes(x, 3)  # error
reveal_type(model.stated(x, n=3))  # type: Array
model.stated(x, 3)  # error
reveal_type(model.second(x, n=3))  # type: Any
model.second(x, 3)  # error
reveal_type(model.curvature(x))  # type: Any
model.curvature()  # error
reveal_type(grad(model.block)(x))  # type: Any; plugin: Array
grad(model.block)(x, 3)  # error

# --- other transforms ------------------------------------------------------------------------------------------------

reveal_type(model.of_batch(x, n=3))  # type: Array
model.of_batch(x, 3)  # error
reveal_type(model.mapped(x))  # type: Array
model.mapped("a")  # error
reveal_type(model.block(x, n=3))  # type: Array
model.block(x, 3)  # error
reveal_type(model.clipped(x, n=3))  # type: Array
model.clipped(x, 3)  # error
reveal_type(Model.clipped(model, x, n=3))  # type: Array
reveal_type(model.smooth(x, n=3))  # type: Array
model.smooth("a")  # error

# --- static and class methods ----------------------------------------------------------------------------------------

reveal_type(model.jitted_inside(x, n=3))  # type: Array
model.jitted_inside(x, 3)  # error
reveal_type(Model.jitted_inside(x))  # type: Array
# row: `@jit` above `@staticmethod`: called on an instance
reveal_type(model.jitted_outside(x, n=3))  # type: Array
model.jitted_outside(x, 3)  # error
reveal_type(Model.jitted_outside(x))  # type: Array
# row: `@classmethod` above `@jit`: a call
reveal_type(Model.of(x, power=3))  # type: Model
Model.of(x, 3)  # error
reveal_type(model.of(x))  # type: Model
reveal_type(Model.made(x))  # type: Model
reveal_type(Model.of_jitted(x, power=3))  # type: Model
Model.of_jitted(x, 3)  # error
reveal_type(model.of_jitted(x))  # type: Model
reveal_type(model.slope_inside(x, n=3))  # type: Any; plugin: Array
reveal_type(Model.slope_inside(x, n=3))  # type: Any; plugin: Array
model.slope_inside(x, 3)  # error
reveal_type(Model.slope_outside(x, n=3))  # type: Any; plugin: Array
reveal_type(model.slope_outside(x, n=3))  # type: Any; plugin: Array # error: ty
model.slope_outside(x, 3)  # error
reveal_type(Model.loss_of_class(x, n=3))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
Model.loss_of_class(x, 3)  # error

# --- on ordinary classes ---------------------------------------------------------------------------------------------


class Trainer:
    """A class that is no pytree, and keeps compiled functions."""

    double = staticmethod(jit(lambda x: 2 * x))

    def __init__(self) -> None:
        self.compiled = jit(self.plain)
        self.gradient = grad(self.plain)

    def plain(self, x: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(x) * n

    @jit
    def step(self: Static[Trainer], x: Array) -> Array:
        return x

    @transform(jit, value_and_grad)
    def loss(self: Static[Any], x: Array) -> Array:
        return jnp.sum(x)


trainer = Trainer()
reveal_type(trainer.double(x))  # type: Any; ty: object
reveal_type(trainer.step(x))  # type: Array
trainer.step("a")  # error
reveal_type(trainer.loss(x))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
trainer.loss("a")  # error
reveal_type(trainer.compiled(x, n=3))  # type: Array
trainer.compiled(x, 3)  # error
reveal_type(trainer.gradient(x))  # type: Any; plugin: Array
trainer.gradient("a")  # error

# --- inheritance -----------------------------------------------------------------------------------------------------


class Base(ABC):
    """A base class with abstract methods."""

    @abstractmethod
    def predict(self, x: Array) -> Array: ...

    @abstractmethod
    def fit(self, x: Array, *, n: Static[int] = 1) -> Any: ...

    @abstractmethod
    @jit
    def abstract(self, x: Array) -> Array: ...

    @jit
    def double(self, x: Array, *, n: Static[int] = 1) -> Array:
        return 2 * x


@annotax.pytree
class Derived(Base):
    """Implements and overrides them."""

    weights: Array

    @jit
    def predict(self, x: Array) -> Array:
        return x

    @transform(jit, value_and_grad)
    def fit(self, x: Array, *, n: Static[int] = 1) -> Array:
        return jnp.sum(x)

    @jit
    def abstract(self, x: Array) -> Array:
        return super().double(x, n=3)

    @jit
    def double(self, x: Array, *, n: Static[int] = 1) -> Array:
        super().double(x, 3)  # error
        return super().double(x, n=n)


@annotax.pytree
class Overriding(Derived):
    """Overrides what is compiled by what is not, and the other way around."""

    def predict(self, x: Array) -> Array:
        return x

    @vmap
    def double(self, x: Array, *, n: Static[int] = 1) -> Array:
        return x


class WrongOverride(Derived):
    """Overrides by something else."""

    @jit  # error
    def predict(self, x: str) -> Array:
        return jnp.zeros(len(x))

    @jit
    def double(self, x: Array) -> Array:  # error
        return x


class WrongOverrideTransformed(Derived):
    """The same."""

    @transform(jit, vmap)  # error
    def predict(self, x: str) -> Array:
        return jnp.zeros(len(x))


derived = Derived(x)
reveal_type(derived.predict(x))  # type: Array
reveal_type(Overriding(x).double(x, n=3))  # type: Array
Overriding(x).double(x, 3)  # error
reveal_type(derived.fit(x))  # type: tuple[Array, Any]; plugin: tuple[Array, tuple[Derived, Array]]
Base()  # error


class Predicts(Protocol):
    """What a predictor can do."""

    def predict(self, x: Array) -> Array: ...


class Calls(Protocol):
    """What a layer can do."""

    def __call__(self, x: Array) -> Array: ...


class FitsText(Protocol):
    """What no class here can do."""

    def predict(self, x: str) -> Array: ...


# row: a class with a compiled method, as a protocol
predicts: Predicts = derived
calls: Calls = model
fits_text: FitsText = derived  # error
also_predicts: list[Predicts] = [Overriding(x), derived]

# --- generic classes -------------------------------------------------------------------------------------------------


@annotax.pytree
class Box(Generic[T]):
    """A value in a box."""

    value: T

    @jit
    def get(self, x: Array) -> T:
        return self.value

    @jit
    def put(self, value: T) -> Box[T]:
        return Box(value)

    @value_and_grad
    def loss(self, x: Array) -> Array:
        return jnp.sum(x)

    @jit
    def itself(self) -> Self:
        return self

    @staticmethod
    @jit
    def same(value: R) -> R:
        return value


@annotax.pytree
class ArrayBox(Box[Array]):
    """A box of an array."""


# row: `jit` on a method of a generic class
reveal_type(Box(x).get(x))  # type: Array
reveal_type(Box([x]).put([x]))  # type: Box[list[Array]]
Box([x]).put(1)  # error
reveal_type(Box(x).loss(x))  # type: tuple[Array, Any]; plugin: tuple[Array, tuple[Box[Array], Array]]
reveal_type(ArrayBox(x).get(x))  # type: Array
reveal_type(ArrayBox(x).itself())  # type: ArrayBox
reveal_type(Box.same([x]))  # type: list[Array]; pyrefly: Any
