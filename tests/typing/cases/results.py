"""What derivatives return: exact where the signature alone tells, `Any` where only the markers do, never another type.

The plugin reads the markers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, reveal_type

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

import annotax
from annotax import Aux, Diff, NoDiff, Static, grad, jit, transform, value_and_grad

T = TypeVar("T")

x: Array = jnp.array(1.0)


class Params(NamedTuple):
    """The parameters of a linear model."""

    weights: Array
    bias: Array


@annotax.pytree
class Model:
    """A model with a part that is not trained."""

    weights: Array
    basis: NoDiff[Array]
    power: Static[int] = 2


params = Params(x, x)
model = Model(x, x)

# --- one parameter ---------------------------------------------------------------------------------------------------


def of_one(w: Array) -> Array:
    return w**2


def with_default(w: Array = x) -> Array:
    return w**2


def with_static(w: Array, *, n: Static[int] = 2) -> Array:
    return w**n


def keyword_only(*, w: Array) -> Array:
    return w**2


def positional_only(w: Array, /) -> Array:
    return w**2


def of_params(params: Params) -> Array:
    return params.weights * params.bias


def of_model(model: Model) -> Array:
    return model.weights * model.basis


def of_dict(params: dict[str, Array]) -> Array:
    return params["w"]


def of_arrays(*ws: Array) -> Array:
    return ws[0]


def of_named(**ws: Array) -> Array:
    return ws["w"]


def of_list(ws: list[Array]) -> Array:
    return ws[0]


def of_generic(w: T) -> tuple[Array, Aux[T]]:
    return x, w


def of_array_like(w: ArrayLike) -> Array:
    return jnp.sum(w)


def of_optional(w: Array | None) -> Array:
    return x if w is None else w


# row: `grad` of one parameter
reveal_type(grad(of_one)(x))  # type: Array
reveal_type(value_and_grad(of_one)(x))  # type: tuple[Array, Array]
reveal_type(grad(with_default)())  # type: Array; mypy: Any
reveal_type(value_and_grad(with_default)(w=x))  # type: tuple[Array, Array]; mypy: tuple[Array, Any]
# row: `grad` of one parameter and a `Static` one, keyword-only with a default
reveal_type(grad(with_static)(x, n=3))  # type: Any; plugin: Array
reveal_type(value_and_grad(with_static)(x, n=3))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
reveal_type(grad(keyword_only)(w=x))  # type: Any; plugin: Array
reveal_type(value_and_grad(keyword_only)(w=x))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
reveal_type(grad(positional_only)(x))  # type: Array
# row: `grad` of a model or another pytree
reveal_type(grad(of_model)(model))  # type: Model
reveal_type(value_and_grad(of_model)(model=model))  # type: tuple[Array, Model]
reveal_type(grad(of_params)(params))  # type: Params
reveal_type(grad(of_dict)({"w": x}))  # type: dict[str, Array]
reveal_type(grad(of_list)([x]))  # type: list[Array]
reveal_type(grad(of_arrays)(x, x))  # type: Any; plugin: tuple[Array, ...]
reveal_type(grad(of_named)(w=x))  # type: Any; plugin: dict[str, Array]
reveal_type(
    grad(of_generic)({"w": x}),
)  # type: Any; mypy, plugin: tuple[dict[str, Array], dict[str, Array]]; pyright: tuple[Any, Any]
reveal_type(grad(of_array_like)(x))  # type: Any; plugin: Array
reveal_type(grad(of_optional)(x))  # type: Array | None
reveal_type(value_and_grad(of_optional)(x))  # type: tuple[Array, Array | None]
reveal_type(transform(jit, grad)(of_one)(x))  # type: Array
reveal_type(transform(jit, value_and_grad)(of_model)(model))  # type: tuple[Array, Model]
reveal_type(jit(grad(of_params))(params))  # type: Params


@grad
def decorated(params: Params) -> Array:
    return params.weights


@jit
@value_and_grad
def stacked(params: Params) -> Array:
    return params.weights


reveal_type(decorated(params))  # type: Params
reveal_type(stacked(params))  # type: tuple[Array, Params]

# --- numbers and NumPy arrays, whose gradient is an array ------------------------------------------------------------


def of_float(x: float) -> float:
    return x * x


def of_float_with_static(x: float, *, n: Static[int] = 2) -> float:
    return x * n


def of_complex(x: complex) -> float:
    return abs(x)


def of_numpy(x: np.ndarray[Any, Any]) -> Array:
    return jnp.sum(x)


def of_numpy_floats(x: NDArray[np.float32]) -> Array:
    return jnp.sum(x)


def of_floats(x: dict[str, float]) -> float:
    return x["a"]


def of_nested_floats(x: tuple[float, list[float]]) -> float:
    return x[0]


def of_maybe_float(x: float | None = None) -> float:
    return 1.0 if x is None else x


def of_array_or_float(x: Array | float) -> Array:
    return jnp.sin(x)


# row: `grad` of one `float`
reveal_type(grad(of_float)(1.0))  # type: Array; ty, pyrefly: Any
reveal_type(value_and_grad(of_float)(1.0))  # type: tuple[float, Array]; ty, pyrefly: tuple[float, Any]
reveal_type(grad(of_float_with_static)(1.0, n=3))  # type: Any; plugin: Array
reveal_type(value_and_grad(of_float_with_static)(1.0, n=3))  # type: tuple[float, Any]; plugin: tuple[float, Array]
reveal_type(grad(of_complex)(1.0))  # type: Array; ty, pyrefly: Any
reveal_type(grad(of_numpy)(np.ones(2)))  # type: Array; ty, pyrefly: Any
reveal_type(value_and_grad(of_numpy)(np.ones(2)))  # type: tuple[Array, Array]; ty, pyrefly: tuple[Array, Any]
reveal_type(grad(of_numpy_floats)(np.ones(2, np.float32)))  # type: Array; ty, pyrefly: Any
# row: `grad` of a `dict[str, float]`
reveal_type(grad(of_floats)({"a": 1.0}))  # type: Any; plugin: dict[str, Array]
reveal_type(value_and_grad(of_floats)({"a": 1.0}))  # type: tuple[float, Any]; plugin: tuple[float, dict[str, Array]]
reveal_type(
    grad(of_nested_floats)((1.0, [1.0])),
)  # type: tuple[float, list[float]]; plugin: tuple[Array, list[Array]]
reveal_type(grad(of_maybe_float)(1.0))  # type: Any; plugin: Array | None
reveal_type(grad(of_array_or_float)(1.0))  # type: Any; plugin: Array

# --- several parameters ----------------------------------------------------------------------------------------------


def of_two(w: Array, b: Array) -> Array:
    return w * b


def of_mixed(params: Params, rate: float, model: Model) -> Array:
    return params.weights * rate


def with_data(w: Array, x: NoDiff[Array]) -> Array:
    return w * x


def with_data_first(x: Annotated[Array, NoDiff], w: Params) -> Array:
    return w.weights * x


def with_diff(x: Array, w: Diff[Array], b: Array) -> Array:
    return w * x * b


def with_two_diff(x: Array, w: Diff[Params], b: Diff[float]) -> Array:
    return x * b


def with_excluded(
    w: Array, n: int, flag: bool, name: str, mode: Literal["a", "b"], sine: Callable[[Array], Array]
) -> Array:
    return sine(w) * n


def with_keyword(w: Array, *, b: Array) -> Array:
    return w * b


def with_keyword_default(w: Array, *, b: Array = x) -> Array:
    return w * b


def with_other_default(w: Array, *, rate: float = 1.0) -> Array:
    return w * rate


def with_no_diff_default(w: Array, *, x: NoDiff[Array] = x) -> Array:
    return w * x


def with_named(w: Array, **named: Array) -> Array:
    return w


def with_any_named(w: Array, **named: Any) -> Array:
    return w


def with_number(w: Array, n: int) -> Array:
    return w**n


def with_rest(w: Array, *rest: Array, **named: Array) -> Array:
    return w


# row: `grad` of one parameter beside a `NoDiff` one
reveal_type(grad(with_data)(x, x))  # type: Any; plugin: Array
# row: `value_and_grad` of one parameter beside a `NoDiff` one
reveal_type(value_and_grad(with_data)(x, x=x))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
# row: `grad` of several parameters
reveal_type(grad(of_two)(x, x))  # type: Any; plugin: tuple[Array, Array]
reveal_type(value_and_grad(of_two)(x, x))  # type: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, Array]]
reveal_type(grad(of_mixed)(params, 1.0, model=model))  # type: Any; plugin: tuple[Params, Array, Model]
reveal_type(grad(with_data_first)(x, params))  # type: Any; plugin: Params
reveal_type(grad(with_two_diff)(x, params, 1.0))  # type: Any; plugin: tuple[Params, Array]
reveal_type(grad(with_diff)(x, x, x))  # type: Any; plugin: Array
reveal_type(value_and_grad(with_diff)(x, x, x))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
reveal_type(grad(with_excluded)(x, 1, True, "a", "b", jnp.sin))  # type: Any; plugin: Array
reveal_type(grad(with_keyword)(x, b=x))  # type: Any; plugin: tuple[Array, Array]
reveal_type(grad(with_keyword_default)(x))  # type: Array; mypy: Any; plugin: tuple[Array, Array]
reveal_type(
    value_and_grad(with_keyword_default)(x),
)  # type: tuple[Array, Array]; mypy: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, Array]]
reveal_type(grad(with_other_default)(x))  # type: Any; plugin: tuple[Array, Array]
reveal_type(grad(with_no_diff_default)(x))  # type: Array; mypy: Any
reveal_type(grad(with_named)(x, a=x))  # type: Any; plugin: tuple[Array, dict[str, Array]]
reveal_type(
    value_and_grad(with_named)(x, a=x),
)  # type: tuple[Any, Any]; mypy: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, dict[str, Array]]]
reveal_type(grad(with_any_named)(x, a=x))  # type: Any; plugin: tuple[Array, dict[str, Any]]
reveal_type(annotax.jacfwd(with_named)(x, a=x))  # type: Any; plugin: tuple[Array, dict[str, Array]]
reveal_type(annotax.jacfwd(with_keyword_default)(x, b=x))  # type: Array; mypy: Any; plugin: tuple[Array, Array]
reveal_type(grad(with_rest)(x, x, a=x))  # type: Any; plugin: tuple[Array, tuple[Array, ...], dict[str, Array]]
reveal_type(
    value_and_grad(with_rest)(x),
)  # type: tuple[Any, Any]; mypy: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, tuple[Array, ...], dict[str, Array]]]
reveal_type(transform(jit, value_and_grad)(with_data)(x, x))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
reveal_type(jit(value_and_grad(with_data))(x, x))  # type: tuple[Array, Any]; plugin: tuple[Array, Array]

# --- auxiliary results -----------------------------------------------------------------------------------------------


def aux_of_one(params: Params) -> tuple[Array, Aux[dict[str, Array]]]:
    return params.weights, {"w": params.weights}


def aux_of_two(w: Array, x: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
    return w * x, {"w": w}


def two_aux(w: Array) -> tuple[Array, Aux[Array], Aux[dict[str, Array]]]:
    return w, w, {"w": w}


def two_aux_of_two(w: Array, x: NoDiff[Array]) -> tuple[Array, Aux[Array], Aux[dict[str, Array]]]:
    return w * x, w, {"w": w}


def aux_first(w: Array) -> tuple[Aux[dict[str, Array]], Array]:
    return {"w": w}, w


def aux_of_float(x: float) -> tuple[float, Aux[Array]]:
    return x * x, jnp.array(x)


def tuple_of_one(w: Array) -> tuple[Array, Annotated[str, Aux]]:
    return w, "a"


# row: `grad` of one parameter, with `Aux`
reveal_type(grad(aux_of_one)(params))  # type: tuple[Params, dict[str, Array]]
reveal_type(value_and_grad(aux_of_one)(params))  # type: tuple[tuple[Array, dict[str, Array]], Params]
reveal_type(grad(aux_of_two)(x, x))  # type: tuple[Any, dict[str, Array]]; plugin: tuple[Array, dict[str, Array]]
# row: `value_and_grad` beside a `NoDiff` parameter, with `Aux`
reveal_type(
    value_and_grad(aux_of_two)(x, x),
)  # type: tuple[tuple[Array, dict[str, Array]], Any]; plugin: tuple[tuple[Array, dict[str, Array]], Array]
reveal_type(grad(two_aux)(x))  # type: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, dict[str, Array]]]
reveal_type(value_and_grad(two_aux)(x))  # type: tuple[tuple[Array, Array, dict[str, Array]], Array]
reveal_type(grad(two_aux_of_two)(x, x))  # type: Any; plugin: tuple[Array, tuple[Array, dict[str, Array]]]
reveal_type(grad(aux_first)(x))  # type: tuple[Array, Any]; plugin: tuple[Array, dict[str, Array]]
reveal_type(value_and_grad(aux_first)(x))  # type: tuple[tuple[dict[str, Array], Array], Array]
reveal_type(grad(aux_of_float)(1.0))  # type: Any; plugin: tuple[Array, Array]
reveal_type(
    value_and_grad(aux_of_float)(1.0),
)  # type: tuple[tuple[float, Array], Array]; ty, pyrefly: tuple[tuple[float, Array], Any]
reveal_type(grad(tuple_of_one)(x))  # type: tuple[Array, str]
reveal_type(transform(jit, grad)(aux_of_one)(params))  # type: tuple[Params, dict[str, Array]]


reveal_type(grad[Array](aux_first)(x))  # type: tuple[Array, Any]; plugin: tuple[Array, dict[str, Array]]


def has_aux(w: Array) -> tuple[Array, str]:
    return w, "a"


reveal_type(grad(has_aux, has_aux=True)(x))  # type: tuple[Array, str]
reveal_type(value_and_grad(has_aux=True)(has_aux)(x))  # type: tuple[tuple[Array, str], Array]

# --- hints that say nothing ------------------------------------------------------------------------------------------


def of_any(w: Any) -> Array:
    return jnp.sum(w)


def of_object(w: object) -> Array:
    return x


def to_any(w: Array) -> Any:
    return w


def any_beside(w: Any, x: NoDiff[Array]) -> Any:
    return w * x


def unhinted(w):  # error: mypy, plugin, pyright
    return w * w


def unhinted_of_two(w, b):  # error: mypy, plugin, pyright
    return w * b


# row: `grad` of one parameter hinted `Any`
reveal_type(grad(of_any)(x))  # type: Any
reveal_type(value_and_grad(of_any)(x))  # type: tuple[Array, Any]
reveal_type(grad(of_object)(x))  # type: Any; plugin: object
reveal_type(grad(to_any)(x))  # type: Any; plugin: Array
reveal_type(value_and_grad(to_any)(x))  # type: tuple[Any, Array]
reveal_type(grad(any_beside)(x, x))  # type: Any
reveal_type(value_and_grad(any_beside)(x, x))  # type: tuple[Any, Any]
reveal_type(grad(unhinted)(x))  # type: Any
reveal_type(value_and_grad(unhinted)(x))  # type: tuple[Any, Any]; mypy, plugin: Any
reveal_type(grad(unhinted_of_two)(x, x))  # type: Any
reveal_type(value_and_grad(unhinted_of_two)(x, x))  # type: tuple[Any, Any]; mypy, plugin: Any
reveal_type(grad(lambda w: w)(x))  # type: Any
reveal_type(value_and_grad(lambda w, b: w * b)(x, x))  # type: tuple[Any, Any]; mypy, plugin: Any

# --- wrt -------------------------------------------------------------------------------------------------------------

# row: `grad(wrt="w")`
reveal_type(grad(of_mixed, wrt="params")(params, 1.0, model))  # type: Any; plugin: Params
reveal_type(grad(wrt="rate")(of_mixed)(params, 1.0, model))  # type: Any; plugin: Array
reveal_type(grad(of_mixed, wrt=["model", "params"])(params, 1.0, model))  # type: Any; plugin: tuple[Model, Params]
reveal_type(grad(of_mixed, wrt=("rate",))(params, 1.0, model))  # type: Any; plugin: tuple[Array]
reveal_type(grad(of_mixed, wrt=0)(params, 1.0, model))  # type: Any; plugin: Params
reveal_type(grad(of_mixed, wrt=-1)(params, 1.0, model))  # type: Any; plugin: Model
reveal_type(grad(of_one, wrt="w")(x))  # type: Any; plugin: Array
reveal_type(grad(of_mixed, wrt="model.weights")(params, 1.0, model))  # type: Any
reveal_type(grad(aux_of_two, wrt="x")(x, x))  # type: Any; plugin: tuple[Array, dict[str, Array]]
reveal_type(
    value_and_grad(of_mixed, wrt="params")(params, 1.0, model),
)  # type: tuple[Array, Any]; plugin: tuple[Array, Params]
reveal_type(
    value_and_grad(wrt=["rate", "model"])(of_mixed)(params, 1.0, model),
)  # type: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, Model]]
reveal_type(transform(jit, grad(wrt="params"))(of_mixed)(params, 1.0, model))  # type: Any; plugin: Params
reveal_type(
    transform(jit, value_and_grad(wrt="params"))(of_mixed)(params, 1.0, model),
)  # type: tuple[Array, Any]; plugin: tuple[Array, Params]
which: str = "params"
reveal_type(grad(of_mixed, wrt=which)(params, 1.0, model))  # type: Any


# `static=` of a `jit` outside takes a parameter from what is differentiated inside.
def of_hinted(w: Array, scale: Array | float) -> Array:
    return w * scale


reveal_type(jit(grad(of_hinted), static="scale")(x, 2.0))  # type: Any
reveal_type(
    transform(jit(static="scale"), value_and_grad)(of_hinted)(x, 2.0),
)  # type: tuple[Array, Any]; plugin: tuple[Array, Array]
reveal_type(grad(of_hinted)(x, 2.0))  # type: Any; plugin: tuple[Array, Array]
reveal_type(grad(with_number)(x, 2))  # type: Any; plugin: Array

# --- the gradient stated ---------------------------------------------------------------------------------------------


@grad[tuple[Params, Array]]
def stated(params: Params, rate: Array, x: NoDiff[Array]) -> Array:
    return params.weights * rate * x


@transform(jit, value_and_grad[Params])
def stated_with_aux(params: Params, x: NoDiff[Array]) -> tuple[Array, Aux[dict[str, Array]]]:
    return params.weights * x, {"x": x}


@transform(jit, grad[Params](wrt="params"))
def stated_with_options(params: Params, rate: Array) -> Array:
    return params.weights * rate


@annotax.pytree
class Layer:
    """A model with losses that state their gradient."""

    weights: Array

    @grad[tuple["Layer", Array]]
    def slope(self, bias: Array, x: NoDiff[Array]) -> Array:
        return self.weights * bias * x

    @transform(jit, value_and_grad[Array](wrt="bias"))
    def loss(self, bias: Array, x: NoDiff[Array]) -> Array:
        return self.weights * bias * x


layer = Layer(x)

# row: `@grad[tuple[Params, Array]]`
reveal_type(stated(params, x, x))  # type: tuple[Params, Array]
stated(params, x, "a")  # error
reveal_type(grad[Array](with_data)(x, x))  # type: Array
reveal_type(grad[Params](aux_of_one)(params))  # type: tuple[Params, dict[str, Array]]
reveal_type(grad[Array](aux_of_two)(x, x))  # type: tuple[Array, dict[str, Array]]
reveal_type(grad[Array](two_aux)(x))  # type: tuple[Array, Any]; plugin: tuple[Array, tuple[Array, dict[str, Array]]]
reveal_type(grad[Array](wrt="x")(with_data)(x, x))  # type: Array
reveal_type(value_and_grad[Array](with_data)(x, x))  # type: tuple[Array, Array]
reveal_type(stated_with_aux(params, x=x))  # type: tuple[tuple[Array, dict[str, Array]], Params]
stated_with_aux(params, y=x)  # error
reveal_type(stated_with_options(params, x))  # type: Params
reveal_type(transform(jit, grad[Array])(with_data)(x, x))  # type: Array
# row: a method under `@grad[tuple[Layer, Array]]`
reveal_type(layer.slope(x, x=x))  # type: tuple[Layer, Array]
layer.slope(x)  # error
reveal_type(layer.loss(x, x))  # type: tuple[Array, Array]
layer.loss("a", x)  # error
reveal_type(jit(grad[Array](with_data))(x, x))  # type: Array

# --- Jacobians -------------------------------------------------------------------------------------------------------


def to_params(w: Array) -> Params:
    return Params(w, w)


def jacobian_aux(w: Array) -> tuple[Array, Aux[dict[str, Array]]]:
    return w, {"w": w}


# row: `jacfwd` from one array to one array
reveal_type(annotax.jacfwd(of_one)(x))  # type: Array
reveal_type(annotax.jacrev(of_one)(x))  # type: Array
reveal_type(annotax.jacobian(of_one)(x))  # type: Array
reveal_type(annotax.hessian(of_one)(x))  # type: Array
reveal_type(annotax.hessian(with_static)(x, n=3))  # type: Any; plugin: Array
reveal_type(annotax.jacrev(of_two)(x, x))  # type: Any; plugin: tuple[Array, Array]
# row: `hessian` from two arrays to one array
reveal_type(annotax.hessian(of_two)(x, x))  # type: Any; plugin: tuple[tuple[Array, Array], tuple[Array, Array]]
reveal_type(annotax.jacfwd(with_data)(x, x))  # type: Any; plugin: Array
reveal_type(annotax.hessian(with_data)(x, x))  # type: Any; plugin: Array
reveal_type(annotax.jacfwd(of_two, wrt="b")(x, x))  # type: Any; plugin: Array
reveal_type(annotax.jacrev(of_two, wrt=["b"])(x, x))  # type: Any; plugin: tuple[Array]
reveal_type(annotax.jacfwd(of_params)(params))  # type: Any
reveal_type(annotax.jacfwd(to_params)(x))  # type: Any
reveal_type(annotax.jacrev(of_mixed)(params, 1.0, model))  # type: Any
reveal_type(annotax.jacfwd(jacobian_aux)(x))  # type: Any; plugin: tuple[Array, dict[str, Array]]
reveal_type(annotax.jacfwd(of_any)(x))  # type: Any
reveal_type(annotax.jacfwd(to_any)(x))  # type: Any
reveal_type(annotax.jacfwd(of_float)(1.0))  # type: Any; plugin: Array
reveal_type(transform(jit, annotax.hessian)(of_one)(x))  # type: Array
reveal_type(jit(annotax.jacfwd(of_one))(x))  # type: Array
reveal_type(annotax.jacfwd(grad(of_one))(x))  # type: Any; plugin: Array
reveal_type(grad(grad(of_one))(x))  # type: Any; plugin, ty: Array
