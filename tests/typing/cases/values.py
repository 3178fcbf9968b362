"""Functions that take a tree or a function at once: `mask`, `partition`, `combine`, `shard`, `vjp`, `explain`."""

from __future__ import annotations

from typing import reveal_type

import jax
import jax.numpy as jnp
from jax import Array

import annotax
from annotax import Aux, NoDiff, Static, jit, transform, value_and_grad

x: Array = jnp.ones(1)
mesh = jax.make_mesh((1,), ("data",))


@annotax.pytree
class Model:
    """A model with a part that is not trained."""

    weights: Array
    basis: NoDiff[Array]

    @jit
    def __call__(self, x: Array) -> Array:
        return self.weights * x


model = Model(x, x)


def energy(w: Array, *, n: Static[int] = 2) -> Array:
    return w**n


def with_aux(w: Array) -> tuple[Array, Aux[dict[str, Array]]]:
    return w, {"w": w}


@transform(jit, value_and_grad)
def loss(model: Model, x: NoDiff[Array]) -> Array:
    return jnp.sum(model(x))


# --- trees -----------------------------------------------------------------------------------------------------------

reveal_type(annotax.mask(model))  # type: Model
reveal_type(annotax.mask({"w": x}, wrt="['w']"))  # type: dict[str, Array]
reveal_type(annotax.partition(model))  # type: tuple[Model, Model]
reveal_type(annotax.partition(model, wrt=["weights"]))  # type: tuple[Model, Model]
reveal_type(annotax.combine(*annotax.partition(model)))  # type: Model
trained, rest = annotax.partition(model)
reveal_type(annotax.combine(trained, rest))  # type: Model
reveal_type(annotax.shard(model, mesh))  # type: Model
annotax.mask()  # error
annotax.mask(model, "weights")  # error
annotax.mask(model, wrt=1)  # error
annotax.partition(model, wrt=[1])  # error
annotax.partition()  # error
annotax.shard(model)  # error
annotax.shard(model, "data")  # error

# --- functions -------------------------------------------------------------------------------------------------------

reveal_type(annotax.vjp(energy, x, n=3))  # type: tuple[Array, (...) -> Any]
result, pullback = annotax.vjp(energy, x)
reveal_type(annotax.linearize(energy, x, n=3))  # type: tuple[Array, (...) -> Any]
reveal_type(annotax.jvp(energy, (x,), (x,)))  # type: tuple[Any, ...]
reveal_type(annotax.jvp(energy, {"w": x, "n": 3}, {"w": x}))  # type: tuple[Any, ...]
reveal_type(annotax.eval_shape(energy, x, n=3))  # type: Any
reveal_type(annotax.eval_shape(loss, model, x=x))  # type: Any
reveal_type(annotax.vjp(jit(energy), x))  # type: tuple[Array, (...) -> Any]
reveal_type(annotax.vjp(loss, model, x))  # type: tuple[Any, ...]
reveal_type(annotax.vjp(model.__call__, x))  # type: tuple[Array, (...) -> Any]
reveal_type(annotax.vjp(with_aux, x))  # type: tuple[Any, ...]
reveal_type(annotax.linearize(with_aux, x))  # type: tuple[Any, ...]
annotax.vjp(energy, x, 3)  # error
annotax.vjp(energy, "a")  # error
annotax.vjp(jit(energy), x, 3)  # error
annotax.linearize(energy, x, m=3)  # error
annotax.eval_shape(energy, jax.eval_shape(energy, x))
annotax.vjp(1, x)  # error
annotax.vjp()  # error
annotax.linearize("energy", x)  # error
annotax.jvp(energy, (x,))  # error
annotax.jvp(energy, 1, (x,))  # error
annotax.eval_shape(x)  # error
reveal_type(annotax.explain(loss))  # type: Explanation
reveal_type(annotax.explain(loss, model, x=x))  # type: Explanation
reveal_type(annotax.explain(model.__call__, x).rows)  # type: tuple[tuple[str, str, str], ...]
annotax.explain()  # error
annotax.explain(1)  # error
print(annotax.explain(loss).row)  # error
annotax.set_typechecker(None)
annotax.set_typechecker(1)  # error
annotax.vectorize(energy)  # error
reveal_type(annotax.__version__)  # type: str; ty: Literal["0.1.0"]
