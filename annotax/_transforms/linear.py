"""`vjp`, `jvp`, `linearize`: a function and its derivative at one point, for arguments in any spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter as SignatureParameter
from typing import Any, ClassVar, ParamSpec, TypeVar, cast, overload

import jax
import numpy as np

from annotax._contract import Contract
from annotax._differentiation import Differentiated, Differentiation, Moving, Skeleton
from annotax._errors import DifferentiationError, message
from annotax._tracebacks import shortens
from annotax._transform import Pipeline, pipeline_for
from annotax._tree import describe, flatten, leaves_with_paths

P = ParamSpec("P")
R = TypeVar("R")


class _Vjp(Differentiation):
    name: ClassVar[str] = "vjp"


class _Jvp(Differentiation):
    name: ClassVar[str] = "jvp"


class _Linearize(Differentiation):
    name: ClassVar[str] = "linearize"


_VJP, _JVP, _LINEARIZE = _Vjp(), _Jvp(), _Linearize()


class _Point:
    """A function at one point, as JAX is handed it.

    Where every leaf has a derivative that is the core and the chosen arguments; else a function of the leaves that do.

    Attributes:
        function: A function of `primals`.
        slots: The values at which to differentiate.
        primals: Those of them that move, as JAX is handed them.
        options: Further arguments of the JAX function.
    """

    def __init__(
        self,
        rule: Differentiation,
        function: Callable[..., Any],
        slots_of: Callable[[Pipeline], Sequence[Any]],
        *,
        is_tried: bool = False,
    ) -> None:
        pipeline = pipeline_for(function)

        def prepare() -> Differentiated:
            return Differentiated(*pipeline.built, rule)

        self.differentiated: Differentiated = pipeline.prepared(rule.name, prepare)
        of, slots = self.differentiated, slots_of(pipeline)
        self.slots = slots
        self.primals: tuple[Any, ...] = tuple(slots) if of.is_whole else tuple(slots[i] for i in of.indices)
        self.skeleton: Skeleton | None = None
        if not of.holds_back(slots) and (is_tried or all(map(of.takes, jax.tree.leaves(self.primals)))):
            self.function = of.of_chosen(slots)
        else:
            moving = Moving(of, slots)
            self.function, self.primals, self.skeleton = moving.function, (moving.leaves,), moving.skeleton
        self.options = {"has_aux": True} if of.auxiliary else {}

    def with_aux(self, results: Sequence[Any]) -> tuple[Any, ...]:
        """What JAX returned, the last of it reduced to the auxiliary components if there are any."""
        if not self.options:
            return tuple(results)
        return (*results[:-1], self.differentiated.aux_of(results[-1]))

    def pullback(self, pull: Any) -> Any:
        """JAX's pullback with a result that is shaped as a gradient."""
        if self.skeleton is None and not self.differentiated.is_bare:
            return pull
        return cast("Any", jax.tree_util.Partial)(_Pullback(self.skeleton), pull)

    def pushforward(self, push: Any) -> Any:
        """JAX's linear function with one argument for each differentiable parameter."""
        if self.skeleton is None:
            return push
        return cast("Any", jax.tree_util.Partial)(_Pushforward(self.skeleton), push)

    def tangents(self, directions: Sequence[Any]) -> tuple[Any, ...]:
        """Tangents of `primals`."""
        return tuple(directions) if self.skeleton is None else (self.skeleton.taken(directions),)


@dataclass(frozen=True)
class _Pullback:
    """From a cotangent of the result to cotangents of the arguments; hashable, so that it can leave a `jit`."""

    skeleton: Skeleton | None

    def __call__(self, pull: Callable[[Any], Any], cotangent: Any) -> Any:
        (pulled,) = pull(cotangent)
        return pulled if self.skeleton is None else self.skeleton.restored(pulled)


@dataclass(frozen=True)
class _Pushforward:
    """From tangents of the arguments to a tangent of the result."""

    skeleton: Skeleton

    def __call__(self, push: Callable[[Any], Any], *tangents: Any) -> Any:
        return push(self.skeleton.taken(tangents))


@overload
def vjp(function: Callable[P, tuple[Any, ...]], /, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, ...]: ...
@overload
def vjp(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> tuple[R, Callable[..., Any]]: ...
@shortens
def vjp(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The value of a function and the pullback of its derivative there, as `jax.vjp`.

    What is differentiated is read from the type hints by the rule of `annotax.grad`; arguments go in as the function
    takes them, by keyword too.

    Arguments:
        function: The function, with or without annotax transforms.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Returns:
        `(result, pullback)`, and `(result, pullback, aux)` if components are marked `Aux`. `pullback(cotangent)` takes
        what has the structure of the result and returns cotangents shaped as the gradient of `annotax.grad`: bare for
        one parameter, else a tuple, `None` at leaves that have no derivative.

    Raises:
        MarkerError: If there is nothing to differentiate.
        DifferentiationError: If the values hold nothing to differentiate.
        StaticValueError: If a static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> def scaled(x: jax.Array, *, by: annotax.NoDiff[float], times: annotax.Static[int] = 1) -> jax.Array:
        ...     return times * by * x
        >>> result, pullback = annotax.vjp(scaled, jnp.ones(2), by=3.0, times=2)
        >>> pullback(jnp.array([1.0, 10.0])).tolist()
        [6.0, 60.0]
    """
    point = _Point(_VJP, function, lambda pipeline: pipeline.bind(*args, **kwargs))
    result, pull, *aux = cast("Any", jax.vjp)(point.function, *point.primals, **point.options)
    return point.with_aux((result, point.pullback(pull), *aux))


@overload
def linearize(function: Callable[P, tuple[Any, ...]], /, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, ...]: ...
@overload
def linearize(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> tuple[R, Callable[..., Any]]: ...
@shortens
def linearize(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The value of a function and its derivative there as a linear function, as `jax.linearize`.

    What is differentiated is read from the type hints by the rule of `annotax.grad`; arguments go in as the function
    takes them, by keyword too.

    Arguments:
        function: The function, with or without annotax transforms.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Returns:
        `(result, linear)`, and `(result, linear, aux)` if components are marked `Aux`. `linear(*tangents)` takes one
        tangent for each differentiable parameter, in the order of the signature, and returns the tangent of the result.

    Raises:
        MarkerError: If there is nothing to differentiate.
        DifferentiationError: If the values hold nothing to differentiate.
        StaticValueError: If a static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> def scaled(x: jax.Array, *, by: annotax.NoDiff[float]) -> jax.Array:
        ...     return by * x
        >>> result, linear = annotax.linearize(scaled, jnp.ones(2), by=3.0)
        >>> linear(jnp.array([1.0, 10.0])).tolist()
        [3.0, 30.0]
    """
    point = _Point(_LINEARIZE, function, lambda pipeline: pipeline.bind(*args, **kwargs))
    result, push, *aux = cast("Any", jax.linearize)(point.function, *point.primals, **point.options)
    return point.with_aux((result, point.pushforward(push), *aux))


@shortens
def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any] | Mapping[str, Any],
    tangents: Sequence[Any] | Mapping[str, Any],
) -> tuple[Any, ...]:
    """The value of a function and its derivative in one direction, as `jax.jvp`.

    What is differentiated is read from the type hints by the rule of `annotax.grad`.

    Arguments:
        function: The function, with or without annotax transforms.
        primals: Its arguments, one for each parameter: a tuple in the order of the signature, from the front, or a dict
            by name. `*args` is one tuple, `**kwargs` one dict. Parameters left out take their default.
        tangents: One for each differentiable parameter: a tuple in the order of the signature, or a dict by name. It
            has the structure of the argument; at leaves that have no derivative anything may stand.

    Returns:
        `(result, tangent of the result)`, and `(result, tangent, aux)` if components are marked `Aux`.

    Raises:
        MarkerError: If there is nothing to differentiate.
        DifferentiationError: If primals or tangents are not those of the parameters, or hold nothing to differentiate.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> def scaled(x: jax.Array, *, by: annotax.NoDiff[float] = 3.0) -> jax.Array:
        ...     return by * x
        >>> result, tangent = annotax.jvp(scaled, {"x": jnp.ones(2)}, {"x": jnp.array([1.0, 10.0])})
        >>> tangent.tolist()
        [3.0, 30.0]
    """
    # JAX refuses leaves without a derivative before it runs the function, so they are looked for only then.
    point = _Point(_JVP, function, lambda pipeline: _slots(pipeline.require_contract(), primals), is_tried=True)
    of = point.differentiated
    directions = _tangents(of.contract, of.indices, tangents)
    problem: DifferentiationError | None = None
    try:
        return point.with_aux(
            cast("Any", jax.jvp)(point.function, point.primals, point.tangents(directions), **point.options)
        )
    except Exception:
        problem = _misfit(of, point.slots, directions)
        is_mixed = point.skeleton is None and not all(map(of.takes, jax.tree.leaves(point.primals)))
        if problem is None and not is_mixed:
            raise
    if problem is not None:
        raise problem
    slots = point.slots
    point = _Point(_JVP, function, lambda _: slots)
    return point.with_aux(
        cast("Any", jax.jvp)(point.function, point.primals, point.tangents(directions), **point.options)
    )


def _misfit(of: Differentiated, slots: Sequence[Any], tangents: Sequence[Any]) -> DifferentiationError | None:
    """What keeps tangents from being those of the values, if anything does."""
    for i, tangent in zip(of.indices, tangents, strict=True):
        pairs = leaves_with_paths(of.contract.names[i], slots[i])
        structure = flatten(slots[i])[1]
        try:
            directions = structure.flatten_up_to(tangent)
        except ValueError:
            names = [of.contract.names[index] for index in of.indices]
            return _mismatch("tangents", of.contract, f"{describe(tangent)} for {of.contract.names[i]}", names)
        for (path, leaf), direction in zip(pairs, directions, strict=True):
            if of.takes(leaf) and np.shape(direction) != np.shape(leaf):
                return DifferentiationError(
                    message(
                        of.contract.where,
                        f"the tangent of {path} does not fit",
                        got=describe(direction),
                        expected=describe(leaf),
                        fix="give a tangent of the shape of its argument",
                    )
                )
    return None


def _slots(contract: Contract, primals: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any]:
    if isinstance(primals, tuple) and len(primals) == len(contract.parameters):
        return primals
    given = _by_name("primals", contract, contract.names, primals)
    slots: list[Any] = []
    for parameter in contract:
        if parameter.name in given:
            slots.append(given[parameter.name])
        elif parameter.kind is SignatureParameter.VAR_POSITIONAL:
            slots.append(())
        elif parameter.kind is SignatureParameter.VAR_KEYWORD:
            slots.append({})
        elif parameter.default is not SignatureParameter.empty:
            slots.append(parameter.default)
        else:
            raise _mismatch("primals", contract, f"no value for parameter {parameter.name}", contract.names)
    return slots


def _tangents(contract: Contract, indices: Sequence[int], tangents: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any]:
    if isinstance(tangents, tuple) and len(tangents) == len(indices):
        return tangents
    names = [contract.parameters[i].name for i in indices]
    given = _by_name("tangents", contract, names, tangents)
    missing = [name for name in names if name not in given]
    if missing:
        raise _mismatch("tangents", contract, f"no tangent for parameter {missing[0]}", names)
    return [given[name] for name in names]


def _by_name(
    what: str, contract: Contract, names: Sequence[str], values: Sequence[Any] | Mapping[str, Any]
) -> Mapping[str, Any]:
    if isinstance(values, Mapping):
        unknown = [name for name in values if name not in names]
        if unknown:
            raise _mismatch(what, contract, f"a value for {unknown[0]!r}", names)
        return values
    if len(values) > len(names):
        raise _mismatch(what, contract, f"{len(values)} values", names)
    return dict(zip(names, values, strict=False))


def _mismatch(what: str, contract: Contract, got: str, names: Sequence[str]) -> DifferentiationError:
    of_which = "parameters" if what == "primals" else "differentiable parameters"
    return DifferentiationError(
        message(
            contract.where,
            f"the {what} of jvp are not those of its {of_which}",
            got=got,
            expected=f"{of_which} {', '.join(names)}",
            fix="give a tuple in the order of the signature, or a dict by name",
        )
    )
