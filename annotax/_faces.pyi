"""What type checkers see of a decorated function; at run time it is a plain function.

A class here has the parameters of the function, `P`, and says what a call returns as exactly as the signature alone
can: markers cannot be seen by a type checker, so where they decide it is `Any`. `annotax.mypy_plugin` sees them.

Functions, methods, class methods and functions that JAX calls with more than one parameter have to be told apart:

* A method is a callable whose first parameter is *named* `self` or `cls`. An instance of a class would not bind, and no
  descriptor is right in all type checkers (overrides, protocols), so methods stay what they are, or a `Callable`.
* ty does not compare that name, but binds descriptors well: it is told apart by `NamesUnread`.
* `Derivative` holds the function three times, since type checkers compare it in three ways: mypy and pyright look at an
  invariant one exactly, ty and pyrefly need a covariant one and tell keyword-only parameters by a contravariant one.
"""
# The overloads overlap by design: the first that fits is the one that is meant.
# mypy: disable-error-code="overload-overlap, overload-cannot-match"
# pyright: reportOverlappingOverload=false, reportSelfClsParameterName=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import (
    Annotated,
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

import numpy as np
from jax import Array, ShapeDtypeStruct
from jax.sharding import AbstractMesh, Mesh

from annotax._checks import TypeCheckerOption
from annotax._contract import Selector
from annotax._traces import Traces
from annotax._transform import Transform
from annotax._transforms.jit import Lowered, Traced

P = ParamSpec("P")
Q = ParamSpec("Q")
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
F = TypeVar("F", bound=Callable[..., Any])
F_co = TypeVar("F_co", bound=Callable[..., Any], covariant=True)
F_contra = TypeVar("F_contra", bound=Callable[..., Any], contravariant=True)
G = TypeVar("G")
G_co = TypeVar("G_co", covariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
X = TypeVar("X")
Y = TypeVar("Y")

# --- telling functions apart -----------------------------------------------------------------------------------------

class TakesSelf(Protocol[S_contra, P, R_co]):
    """A method: what is bound is named `self`."""

    def __call__(_, /, self: S_contra, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

class TakesCls(Protocol[S_contra, P, R_co]):
    """A class method: what is bound is named `cls`."""

    def __call__(_, /, cls: S_contra, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

Method = TypeVar("Method", bound=TakesSelf[Any, ..., Any])
ClassMethod = TypeVar("ClassMethod", bound=TakesCls[Any, ..., Any])

class NamesUnread(Protocol[P]):
    """Every transform, to a type checker that does not compare the name before `*args: P.args`: ty 0.0.105."""

    def _are_names_read(_, /, self: str, *args: P.args, **kwargs: P.kwargs) -> None: ...

class KeywordsUnread(Protocol):
    """Every transform, to a type checker that asks for no keyword between `*args` and `**kwargs`: pyrefly 1.4."""

    def _are_names_read(_, /, *args: Any, self: Any, **kwargs: Any) -> None: ...

class Nothing:
    """A class of no values, so that only a parameter hinted `Any` (or `object`) takes one."""

class WillBeBound:
    """Beside the type of `self`: the first parameter of a derivative of a method, whose name a `Callable` forgets."""

AnyFirst = TypeVar("AnyFirst", bound=Callable[Concatenate[Nothing, ...], Any])
BoundLater = TypeVar("BoundLater", bound=Callable[Concatenate[WillBeBound, ...], Any])

class Only(Protocol[A_contra]):
    """What a function of one parameter can be replaced by, but none with keyword-only parameters of another type."""

    def __call__(self, *args: Any, **kwargs: A_contra) -> Never: ...

class TakesKeywords(Protocol[A_contra]):
    """A function that takes any keyword, beside one parameter."""

    def __call__(self, first: A_contra, /, **kwargs: A_contra) -> Any: ...

# --- what the mypy plugin keeps in types -----------------------------------------------------------------------------

HasAxis = Annotated[X, "annotax.Axis"]
HasLayout = Annotated[X, "jax.sharding.PartitionSpec"]
Integers = Annotated[X, "jaxtyping.Integer"]
Derived = Annotated[X, "the result of a derivative"]

# --- compiled functions ----------------------------------------------------------------------------------------------

Shapes: TypeAlias = ShapeDtypeStruct | Sequence[ShapeDtypeStruct] | Mapping[str, ShapeDtypeStruct]
"""The first argument of a call that is lowered from shapes alone."""

class Jitted(Generic[X]):
    """A function under `annotax.jit`: called as itself, with what `jit` offers besides.

    It holds the function whole, so that type variables and overloads live on.
    """

    __call__: X  # a bound here would hide type variables from pyrefly
    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str
    traces: Traces

    @overload
    def lower(self: Jitted[Callable[P, R]], *args: P.args, **kwargs: P.kwargs) -> Lowered[P, R]: ...
    @overload
    def lower(self: Jitted[Callable[P, R]], shape: Shapes, /, *args: Any, **kwargs: Any) -> Lowered[P, R]: ...
    @overload
    def trace(self: Jitted[Callable[P, R]], *args: P.args, **kwargs: P.kwargs) -> Traced[P, R]: ...
    @overload
    def trace(self: Jitted[Callable[P, R]], shape: Shapes, /, *args: Any, **kwargs: Any) -> Traced[P, R]: ...
    @overload
    def eval_shape(self: Jitted[Callable[P, Any]], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def eval_shape(self: Jitted[Callable[P, Any]], shape: Shapes, /, *args: Any, **kwargs: Any) -> Any: ...
    def clear_cache(self) -> None: ...

class CompiledDerivative(Generic[P]):
    """What `jit` adds to a derivative."""

    traces: Traces

    @overload
    def lower(self, *args: P.args, **kwargs: P.kwargs) -> Lowered[P, Any]: ...
    @overload
    def lower(self, shape: Shapes, /, *args: Any, **kwargs: Any) -> Lowered[P, Any]: ...
    @overload
    def trace(self, *args: P.args, **kwargs: P.kwargs) -> Traced[P, Any]: ...
    @overload
    def trace(self, shape: Shapes, /, *args: Any, **kwargs: Any) -> Traced[P, Any]: ...
    @overload
    def eval_shape(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def eval_shape(self, shape: Shapes, /, *args: Any, **kwargs: Any) -> Any: ...
    def clear_cache(self) -> None: ...

# --- derivatives -----------------------------------------------------------------------------------------------------

class Derivative(Generic[F, F_co, F_contra, P]):
    """The base of what a differentiating transform makes of a function."""

    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

TakesNumbers: TypeAlias = (
    Callable[[float], X]
    | Callable[[np.ndarray[Any, Any]], X]
    | Callable[[dict[str, float]], X]
    | Callable[[list[float]], X]
    | Callable[[tuple[float, ...]], X]
    | Callable[[tuple[float, float]], X]
    | Callable[[tuple[float, float, float]], X]
)
"""A function of one parameter that may be or hold numbers, whose gradients are arrays."""

class Gradient(Derivative[F, F_co, F_contra, P]):
    """A function under `annotax.grad`.

    Of a tuple whose first component is a number, the second must be auxiliary; other tuples do not tell.
    """

    # A hint that says nothing. First, since pyrefly takes the first overload for what is passed on as a `Callable`.
    @overload
    def __call__(self: Gradient[Any, Callable[[Nothing], Any], Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def __call__(self: Gradient[Any, Callable[..., Nothing], Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # Several parameters: markers decide which of them are differentiated.
    @overload
    def __call__(self: Gradient[Any, TakesKeywords[A], Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def __call__(
        self: Gradient[Any, Callable[[Any, Any], tuple[Array | float, Y]], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[Any, Y]: ...
    @overload
    def __call__(self: Gradient[Any, Callable[[Any, Any], Any], Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # One number, whose gradient is an array; of what may hold numbers, mypy's plugin alone can tell.
    @overload
    def __call__(
        self: Gradient[Callable[[float], X], Callable[..., tuple[Any, ...]], Only[float], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any: ...
    @overload
    def __call__(
        self: Gradient[Callable[[float], X], Any, Only[float], ...], *args: P.args, **kwargs: P.kwargs
    ) -> Array: ...
    @overload
    def __call__(
        self: Gradient[Callable[[complex], X], Callable[..., tuple[Any, ...]], Only[complex], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any: ...
    @overload
    def __call__(
        self: Gradient[Callable[[complex], X], Any, Only[complex], ...], *args: P.args, **kwargs: P.kwargs
    ) -> Array: ...
    @overload
    def __call__(
        self: Gradient[
            Callable[[np.ndarray[Any, Any]], X], Callable[..., tuple[Any, ...]], Only[np.ndarray[Any, Any]], ...
        ],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any: ...
    @overload
    def __call__(
        self: Gradient[Callable[[np.ndarray[Any, Any]], X], Any, Only[np.ndarray[Any, Any]], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Array: ...
    @overload
    def __call__(self: Gradient[Any, TakesNumbers[Any], Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # One parameter, to mypy and pyright. With `...` mypy compares the function both ways.
    @overload
    def __call__(
        self: Gradient[Callable[[A], X], Callable[..., tuple[Array | float, Y]], Only[A], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[A, Y]: ...
    @overload
    def __call__(
        self: Gradient[Callable[[A], X], Callable[..., tuple[Any, ...]], Only[A], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[A, Any]: ...
    @overload
    def __call__(self: Gradient[Callable[[A], X], Any, Only[A], ...], *args: P.args, **kwargs: P.kwargs) -> A: ...
    # What is left to them has keyword-only parameters with defaults; with `P` mypy does not look at those.
    @overload
    def __call__(self: Gradient[Callable[[A], X], Any, Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def __call__(
        self: Gradient[Callable[Concatenate[A, ...], Any], Any, Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    # One parameter, to ty and pyrefly.
    @overload
    def __call__(
        self: Gradient[Any, Callable[[A], tuple[Array | float, Y]], Only[A], P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[A, Y]: ...
    @overload
    def __call__(
        self: Gradient[Any, Callable[[A], tuple[Any, ...]], Only[A], P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[A, Any]: ...
    @overload
    def __call__(self: Gradient[Any, Callable[[A], Any], Only[A], P], *args: P.args, **kwargs: P.kwargs) -> A: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...

class ValueAndGradient(Derivative[F, F_co, F_contra, P]):
    """A function under `annotax.value_and_grad`; in the order of `Gradient`."""

    @overload
    def __call__(
        self: ValueAndGradient[Any, Callable[[Nothing], X], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, Any]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Any, TakesKeywords[A], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[Any, Any]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Any, Callable[[Any, Any], X], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, Any]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Callable[[float], X], Callable[..., X], Only[float], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[X, Array]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Callable[[complex], X], Callable[..., X], Only[complex], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[X, Array]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Callable[[np.ndarray[Any, Any]], X], Callable[..., X], Only[np.ndarray[Any, Any]], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[X, Array]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Any, TakesNumbers[X], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, Any]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Callable[[A], X], Callable[..., X], Only[A], ...], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, A]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Callable[[A], X], Callable[..., X], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, Any]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Callable[Concatenate[A, ...], Any], Callable[..., X], Any, P],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[X, Any]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Any, Callable[[A], X], Only[A], P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, A]: ...
    @overload
    def __call__(
        self: ValueAndGradient[Any, Callable[..., X], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[X, Any]: ...

class JacobianFunction(Derivative[F, F_co, F_contra, P]):
    """A function under `annotax.jacfwd`, `jacrev` or `hessian`: exact from one array to one array."""

    @overload
    def __call__(
        self: JacobianFunction[Any, Callable[[Nothing], Any], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    @overload
    def __call__(
        self: JacobianFunction[Any, Callable[..., Nothing], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    @overload
    def __call__(
        self: JacobianFunction[Any, TakesKeywords[Array], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    @overload
    def __call__(
        self: JacobianFunction[Any, Callable[[Any, Any], Any], Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    @overload
    def __call__(
        self: JacobianFunction[Callable[[Array], X], Callable[..., Array], Only[Array], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Array: ...
    @overload
    def __call__(
        self: JacobianFunction[Callable[[float], X], Callable[..., Array], Only[float], ...],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Array: ...
    @overload
    def __call__(self: JacobianFunction[Callable[[A], X], Any, Any, P], *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def __call__(
        self: JacobianFunction[Callable[Concatenate[A, ...], Any], Any, Any, P], *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    @overload
    def __call__(
        self: JacobianFunction[Any, Callable[[Array], Array], Only[Array], P], *args: P.args, **kwargs: P.kwargs
    ) -> Array: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...

class CompiledGradient(Gradient[F, F_co, F_contra, P], CompiledDerivative[P]):
    """A function under `jit` and `grad`."""

class CompiledValueAndGradient(ValueAndGradient[F, F_co, F_contra, P], CompiledDerivative[P]):
    """A function under `jit` and `value_and_grad`."""

class CompiledJacobianFunction(JacobianFunction[F, F_co, F_contra, P], CompiledDerivative[P]):
    """A function under `jit` and a Jacobian."""

class BoundGradient(Gradient[F, F_co, F_contra, P]):
    """The same to ty, which has to bind methods by it."""

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(
        self: BoundGradient[Any, Callable[Concatenate[S, Q], tuple[Any, Y]], Any, ...], instance: S, owner: Any, /
    ) -> Callable[Q, tuple[Any, Y]]: ...
    @overload
    def __get__(
        self: BoundGradient[Any, Callable[Concatenate[S, Q], Any], Any, ...], instance: S, owner: Any, /
    ) -> Callable[Q, Any]: ...

class BoundValueAndGradient(ValueAndGradient[F, F_co, F_contra, P]):
    """The same to ty, which has to bind methods by it."""

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(
        self: BoundValueAndGradient[Any, Callable[Concatenate[S, Q], X], Any, ...], instance: S, owner: Any, /
    ) -> Callable[Q, tuple[X, Any]]: ...

class BoundJacobianFunction(JacobianFunction[F, F_co, F_contra, P]):
    """The same to ty, which has to bind methods by it."""

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(
        self: BoundJacobianFunction[Any, Callable[Concatenate[S, Q], Any], Any, ...], instance: S, owner: Any, /
    ) -> Callable[Q, Any]: ...

# --- functions with a rule of their own ------------------------------------------------------------------------------

class WithVjp(Generic[X]):
    """A function under `annotax.custom_vjp`."""

    __call__: X
    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None: ...

class WithJvp(Generic[X]):
    """A function under `annotax.custom_jvp`."""

    __call__: X
    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def defjvp(self, rule: G) -> G: ...

class BoundWithVjp(Generic[F_co, P, R_co]):
    """The same to ty, which has to bind methods by it."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(
        self: BoundWithVjp[Callable[Concatenate[S, Q], R], ..., R], instance: S, owner: Any, /
    ) -> Callable[Q, R]: ...
    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None: ...

class BoundWithJvp(Generic[F_co, P, R_co]):
    """The same to ty, which has to bind methods by it."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(
        self: BoundWithJvp[Callable[Concatenate[S, Q], R], ..., R], instance: S, owner: Any, /
    ) -> Callable[Q, R]: ...
    def defjvp(self, rule: G) -> G: ...

# --- what `transform(...)` returns -----------------------------------------------------------------------------------

class Changing(Protocol[G_co]):
    """A transform, with the decorator that it makes inside of `transform(...)`."""

    @property
    def _decorator(self) -> G_co: ...

class ChangingCompiled(Protocol[G_co]):
    """The same inside of `transform(jit, ...)`."""

    @property
    def _compiled_decorator(self) -> G_co: ...

class KeepingDecorator:
    """Of transforms that keep the type of the function."""

    @overload
    def __call__(self, function: Jitted[F], /) -> F: ...
    @overload
    def __call__(self, function: F, /) -> F: ...

class CompilingDecorator:
    """The same, compiled."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(self, function: Method, /) -> Method: ...
    @overload
    def __call__(self, function: ClassMethod, /) -> ClassMethod: ...
    @overload
    def __call__(self, function: Gradient[F, F_co, F_contra, P], /) -> CompiledGradient[F, F_co, F_contra, P]: ...
    @overload
    def __call__(
        self, function: ValueAndGradient[F, F_co, F_contra, P], /
    ) -> CompiledValueAndGradient[F, F_co, F_contra, P]: ...
    @overload
    def __call__(
        self, function: JacobianFunction[F, F_co, F_contra, P], /
    ) -> CompiledJacobianFunction[F, F_co, F_contra, P]: ...
    @overload
    def __call__(self, function: Jitted[F], /) -> Jitted[F]: ...
    @overload
    def __call__(self: KeywordsUnread, function: F, /) -> Jitted[F]: ...
    @overload
    def __call__(self, function: AnyFirst, /) -> Jitted[AnyFirst]: ...
    @overload
    def __call__(self, function: BoundLater, /) -> BoundLater: ...
    @overload
    def __call__(self, function: F, /) -> Jitted[F]: ...

Keeping: TypeAlias = Changing[KeepingDecorator | CompilingDecorator]

class AnyDecorator:
    """Of transforms that say nothing of the result."""

    def __call__(self, function: Callable[P, Any], /) -> Callable[P, Any]: ...

class GradDecorator:
    """Of `grad`, with what keeps types around and inside."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /
    ) -> BoundGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self: KeywordsUnread, function: partial[R], /) -> Callable[..., Any]: ...
    @overload
    def __call__(self, function: TakesSelf[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: TakesCls[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: Derivative[Any, Any, Any, P], /) -> Callable[P, Any]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Gradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...

class CompiledGradDecorator:
    """The same, compiled."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /
    ) -> BoundGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self: KeywordsUnread, function: partial[R], /) -> Callable[..., Any]: ...
    @overload
    def __call__(self, function: TakesSelf[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: TakesCls[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: Derivative[Any, Any, Any, P], /) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> CompiledGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...

class ValueAndGradDecorator:
    """Of `value_and_grad`, with what keeps types around and inside."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /
    ) -> BoundValueAndGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self: KeywordsUnread, function: partial[R], /) -> Callable[..., tuple[R, Any]]: ...
    @overload
    def __call__(self, function: TakesSelf[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], tuple[R, Any]]: ...
    @overload
    def __call__(self, function: TakesCls[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], tuple[R, Any]]: ...
    @overload
    def __call__(self, function: Derivative[Any, Any, Any, P], /) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> ValueAndGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...

class CompiledValueAndGradDecorator:
    """The same, compiled."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /
    ) -> BoundValueAndGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self: KeywordsUnread, function: partial[R], /) -> Callable[..., tuple[R, Any]]: ...
    @overload
    def __call__(self, function: TakesSelf[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], tuple[R, Any]]: ...
    @overload
    def __call__(self, function: TakesCls[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], tuple[R, Any]]: ...
    @overload
    def __call__(self, function: Derivative[Any, Any, Any, P], /) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> CompiledValueAndGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...

class JacobianDecorator:
    """Of `jacfwd`, `jacrev` and `hessian`, with what keeps types around and inside."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /
    ) -> BoundJacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self: KeywordsUnread, function: partial[R], /) -> Callable[..., Any]: ...
    @overload
    def __call__(self, function: TakesSelf[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: TakesCls[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: Derivative[Any, Any, Any, P], /) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> JacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...

class CompiledJacobianDecorator:
    """The same, compiled."""

    def _are_names_read(self, /, other: int) -> None: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /
    ) -> BoundJacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self: KeywordsUnread, function: partial[R], /) -> Callable[..., Any]: ...
    @overload
    def __call__(self, function: TakesSelf[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: TakesCls[S, P, R], /) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(self, function: Derivative[Any, Any, Any, P], /) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> CompiledJacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...

class StatedGrad(Transform, Generic[G]):
    """`grad[G]`: the user states what the gradient is."""

    @property
    def _decorator(self) -> StatedGrad[G]: ...
    @property
    def _compiled_decorator(self) -> StatedGrad[G]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, tuple[Array | float, Y]],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, tuple[G, Y]]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, tuple[Any, ...]],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, tuple[G, Any]]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, Any],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, G]: ...
    @overload
    def __call__(
        self, /, *, wrt: Selector | Sequence[Selector] | None = ..., **options: Unpack[GradOptions]
    ) -> StatedGrad[G]: ...

class StatedValueAndGrad(Transform, Generic[G]):
    """`value_and_grad[G]`."""

    @property
    def _decorator(self) -> StatedValueAndGrad[G]: ...
    @property
    def _compiled_decorator(self) -> StatedValueAndGrad[G]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, R],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, tuple[R, G]]: ...
    @overload
    def __call__(
        self, /, *, wrt: Selector | Sequence[Selector] | None = ..., **options: Unpack[GradOptions]
    ) -> StatedValueAndGrad[G]: ...

class SelectedGrad(Transform):
    """`grad(wrt=...)`: what is selected is not seen."""

    def __getitem__(self, stated: type[G], /) -> StatedGrad[G]: ...
    @property
    def _decorator(self) -> SelectedGrad: ...
    @property
    def _compiled_decorator(self) -> SelectedGrad: ...
    @overload
    def __call__(
        self,
        function: Callable[P, tuple[Array | float, Y]],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, tuple[Any, Y]]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, Any],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, Any]: ...

class SelectedJacobian(Transform):
    """`jacfwd(wrt=...)` and its like."""

    @property
    def _decorator(self) -> SelectedJacobian: ...
    @property
    def _compiled_decorator(self) -> SelectedJacobian: ...

class SelectedValueAndGrad(Transform):
    """`value_and_grad(wrt=...)`."""

    def __getitem__(self, stated: type[G], /) -> StatedValueAndGrad[G]: ...
    @property
    def _decorator(self) -> SelectedValueAndGrad: ...
    @property
    def _compiled_decorator(self) -> SelectedValueAndGrad: ...
    def __call__(
        self,
        function: Callable[P, R],
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = ...,
        **options: Unpack[GradOptions],
    ) -> Callable[P, tuple[R, Any]]: ...

class JaxprDecorator:
    """Of `make_jaxpr`."""

    def __call__(self, function: Callable[P, Any], /) -> Callable[P, Any]: ...

# --- options ---------------------------------------------------------------------------------------------------------

class JitOptions(TypedDict, total=False):
    static: Selector | Sequence[Selector]
    donate: Selector | Sequence[Selector] | None
    mesh: Mesh | None
    max_traces: int | None
    inline: bool
    keep_unused: bool
    compiler_options: Mapping[str, Any] | None
    typechecker: TypeCheckerOption

class VmapOptions(TypedDict, total=False):
    in_axes: Mapping[Selector, Any] | None
    out_axes: Any
    axis_name: str | None
    axis_size: int | None
    spmd_axis_name: str | tuple[str, ...] | None
    typechecker: TypeCheckerOption

class PmapOptions(TypedDict, total=False):
    in_axes: Mapping[Selector, Any] | None
    out_axes: Any
    axis_name: str | None
    axis_size: int | None
    devices: Sequence[Any] | None
    backend: str | None
    typechecker: TypeCheckerOption

class ShardMapOptions(TypedDict, total=False):
    mesh: Mesh | AbstractMesh | None
    in_specs: Mapping[Selector, Any] | None
    out_specs: Any
    axis_names: Sequence[str] | None
    check_vma: bool
    typechecker: TypeCheckerOption

class CheckpointOptions(TypedDict, total=False):
    policy: Callable[..., bool] | None
    prevent_cse: bool
    typechecker: TypeCheckerOption

class CustomVjpOptions(TypedDict, total=False):
    optimize_remat: bool
    typechecker: TypeCheckerOption

class CustomJvpOptions(TypedDict, total=False):
    typechecker: TypeCheckerOption

class MakeJaxprOptions(TypedDict, total=False):
    axis_env: Mapping[Any, int] | None
    typechecker: TypeCheckerOption

class JacobianOptions(TypedDict, total=False):
    has_aux: bool | None
    holomorphic: bool
    typechecker: TypeCheckerOption

class GradOptions(JacobianOptions, total=False):
    allow_int: bool
