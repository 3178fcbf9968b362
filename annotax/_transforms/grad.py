"""`grad` and `value_and_grad`: what is differentiated, and what is auxiliary, read from the hints.

The core goes to `jax.value_and_grad` as it is. Only if JAX refuses the values because some leaves have no gradient
(integers, keys, functions) are those leaves held back, with `None` in their place in the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import jax

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Parameter, Result, Role, Selector, selectors
from annotax._errors import DifferentiationError, MarkerError, message
from annotax._markers import Aux, Diff, NoDiff, Static
from annotax._transform import DEFAULT, Transform, makes
from annotax._tree import describe, flatten, is_differentiable, is_traceable


@dataclass(frozen=True)
class Grad(Transform):
    """The transform that `grad` and `value_and_grad` make; see there."""

    wrt: Selector | tuple[Selector, ...] | None = None
    has_aux: bool | None = None
    holomorphic: bool = False
    allow_int: bool = False
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str] = "grad"

    def check(self, contract: Contract) -> Contract:
        """See that there is something to differentiate, and say what comes out."""
        self.differentiated(contract)
        aux = self._aux(contract)
        gradient = Result()
        if not aux:
            return contract.returning(gradient)
        return contract.returning(Result(components=(gradient, Result(roles=(Role(Aux, "auxiliary under grad"),)))))

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of `jax.value_and_grad`."""
        indices, is_bare = self.differentiated(contract)
        options = {"has_aux": bool(self._aux(contract)), "holomorphic": self.holomorphic, "allow_int": self.allow_int}
        chosen = {name: value for name, value in options.items() if value}
        return {"argnums": indices[0] if is_bare else indices, **chosen}

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Differentiate the core."""
        differentiated = _Differentiated(core, contract, self)
        aux = self._aux(contract)
        if not aux:
            return lambda *slots: differentiated(slots)[1], self.check(contract)

        def gradient_and_aux(*slots: Any) -> Any:
            returned, gradient = differentiated(slots)
            return gradient, returned[aux[0]] if len(aux) == 1 else tuple(returned[i] for i in aux)

        return gradient_and_aux, self.check(contract)

    def differentiated(self, contract: Contract) -> tuple[tuple[int, ...], bool]:
        """The positions to differentiate, in the order of the result, and whether the gradient comes bare."""
        if self.wrt is None:
            marked = contract.indices(Diff)
            chosen = marked or tuple(i for i, p in enumerate(contract) if not p.role(Static) and not p.role(NoDiff))
            if not chosen:
                raise MarkerError(
                    message(
                        contract.where,
                        f"{self.name} has nothing to differentiate",
                        got="; ".join(f"{p.name}: {_why_excluded(p)}" for p in contract) or "no parameters",
                        fix="mark a parameter Diff, or name one: grad(wrt='name')",
                    )
                )
            return chosen, len(chosen) == 1
        option = f"{self.name}(wrt=...)"
        chosen = contract.select(selectors(self.wrt), option)
        for i in chosen:
            role = contract.parameters[i].role(Static)
            if role is not None:
                raise MarkerError(
                    message(
                        contract.where,
                        f"{option} names the static parameter {contract.parameters[i].name}",
                        got=f"it is static: {role.why}",
                        fix="a static value is never traced, so it has no gradient: name another parameter",
                    )
                )
        if not chosen or len(set(chosen)) < len(chosen):
            raise MarkerError(
                message(
                    contract.where,
                    f"{option} names {'a parameter twice' if chosen else 'no parameter'}",
                    got=repr(self.wrt),
                    fix="name each parameter to differentiate once",
                )
            )
        return chosen, isinstance(self.wrt, (int, str))

    def _aux(self, contract: Contract) -> tuple[int, ...]:
        """The positions of the auxiliary components in what the function returns; none: it returns just the value."""
        if self.has_aux is not None:
            return (1,) if self.has_aux else ()
        components = contract.result.components or ()
        aux = tuple(i for i, component in enumerate(components) if component.is_aux)
        if aux and len(aux) != len(components) - 1:
            raise MarkerError(
                message(
                    contract.where,
                    f"{self.name} needs exactly one component of the result that is not Aux",
                    got=f"{len(components) - len(aux)} of {len(components)} components are not Aux",
                    fix="mark all but the value to differentiate: tuple[Array, Aux[Metrics], Aux[State]]",
                )
            )
        return aux

    def value_index(self, contract: Contract) -> int | None:
        """Where the value to differentiate stands in a returned tuple, or `None` if it is returned bare."""
        aux = self._aux(contract)
        return next(i for i in range(len(aux) + 1) if i not in aux) if aux else None


def _why_excluded(parameter: Parameter) -> str:
    role = parameter.role(Static) or parameter.role(NoDiff)
    return role.why if role is not None else "not excluded"


@dataclass(frozen=True)
class ValueAndGrad(Grad):
    """The transform that `value_and_grad` makes; see there."""

    name: ClassVar[str] = "value_and_grad"

    def check(self, contract: Contract) -> Contract:
        """See that there is something to differentiate, and say what comes out."""
        super().check(contract)
        return contract.returning(Result(components=(contract.result, Result())))

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Differentiate the core."""
        differentiated = _Differentiated(core, contract, self)
        return lambda *slots: differentiated(slots), self.check(contract)


class _Differentiated:
    """The call of one differentiated core: `differentiated(slots)` is `(what the function returned, gradient)`."""

    def __init__(self, core: Callable[..., Any], contract: Contract, step: Grad) -> None:
        self.contract = contract
        self.step = step
        self.indices, self.is_bare = step.differentiated(contract)
        self.must_have = self.indices if step.wrt is not None or contract.indices(Diff) else ()
        self.given = dict(step.given(contract))
        self.meets_mixed_values = False
        value = step.value_index(contract)

        def value_first(*slots: Any) -> Any:
            returned = core(*slots)
            return returned[value], returned

        self.value_first = core if value is None else value_first
        self.has_aux = value is not None
        _named(self.value_first, core)
        self.direct = jax.value_and_grad(self.value_first, **self.given)

    def __call__(self, slots: tuple[Any, ...]) -> tuple[Any, Any]:
        if not self.meets_mixed_values:
            try:
                value, gradient = self.direct(*slots)
            except Exception:
                # JAX looks at dtypes before it runs the function, so such a leaf is the reason, whatever it raised.
                if all(map(self._is_taken, jax.tree.leaves([slots[i] for i in self.indices]))):
                    raise
                self.meets_mixed_values = True
            else:
                return (value[1] if self.has_aux else value), gradient
        return self._partly(slots)

    def _is_taken(self, leaf: Any) -> bool:
        """Whether JAX differentiates a leaf."""
        return is_differentiable(leaf) or (self.step.allow_int and is_traceable(leaf))

    def _partly(self, slots: tuple[Any, ...]) -> tuple[Any, Any]:
        """Differentiate the leaves that can be; the others get `None`."""
        leaves, treedef = flatten([slots[i] for i in self.indices])
        taken = [self._is_taken(leaf) for leaf in leaves]
        self._check_taken(slots, any(taken))

        def of_leaves(moving: Sequence[Any]) -> Any:
            moved = iter(moving)
            whole = treedef.unflatten([next(moved) if take else leaf for take, leaf in zip(taken, leaves, strict=True)])
            replaced = dict(zip(self.indices, whole, strict=True))
            return self.value_first(*(replaced.get(i, slot) for i, slot in enumerate(slots)))

        options = {name: option for name, option in self.given.items() if name != "argnums"}
        moving = [leaf for take, leaf in zip(taken, leaves, strict=True) if take]
        value, gradients = jax.value_and_grad(of_leaves, **options)(moving)
        found = iter(gradients)
        gradient = treedef.unflatten([next(found) if take else None for take in taken])
        return (value[1] if self.has_aux else value), gradient[0] if self.is_bare else tuple(gradient)

    def _check_taken(self, slots: tuple[Any, ...], found_any: bool) -> None:
        for i in self.must_have if found_any else self.indices:
            if any(map(self._is_taken, jax.tree.leaves(slots[i]))):
                continue
            parameter = self.contract.parameters[i]
            asked = "asked for by wrt=" if self.step.wrt is not None else "asked for by Diff"
            raise DifferentiationError(
                message(
                    self.contract.where,
                    f"{self.step.name} finds nothing to differentiate in argument {parameter.name}",
                    got=describe(slots[i]),
                    expected="a floating-point array or number, or a pytree that holds one",
                    because=asked if self.must_have else "no argument holds one",
                    fix="pass floats, or mark the parameter NoDiff",
                )
            )


def _named(function: Any, core: Any) -> None:
    """Hand the names for JAX's messages on to the function that puts the value first."""
    if function is not core:
        for attribute in ("__name__", "__qualname__", "__module__", "__wrapped__", "__signature__"):
            if hasattr(core, attribute):
                setattr(function, attribute, getattr(core, attribute))


@overload
def grad(
    function: Callable[..., Any],
    /,
    *,
    wrt: Selector | Sequence[Selector] | None = ...,
    has_aux: bool | None = ...,
    holomorphic: bool = ...,
    allow_int: bool = ...,
    typechecker: TypeCheckerOption = ...,
) -> Callable[..., Any]: ...


@overload
def grad(
    *,
    wrt: Selector | Sequence[Selector] | None = ...,
    has_aux: bool | None = ...,
    holomorphic: bool = ...,
    allow_int: bool = ...,
    typechecker: TypeCheckerOption = ...,
) -> Grad: ...


@makes(Grad)
def grad(
    function: Callable[..., Any] | None = None,
    /,
    *,
    wrt: Selector | Sequence[Selector] | None = None,
    has_aux: bool | None = None,
    holomorphic: bool = False,
    allow_int: bool = False,
    typechecker: TypeCheckerOption = DEFAULT,
) -> Any:
    """The gradient of a function, as `jax.grad`, with what is differentiated read from its type hints.

    Every parameter is differentiated that is not excluded: by `Static`, by `NoDiff`, or by a hint that can never be
    differentiated (`int`, `bool`, `str`, jaxtyping's `Int[...]`). Where any is marked `Diff`, exactly those are. One
    parameter gives its bare gradient, several a tuple in the order of the signature. Inside an argument, leaves that
    have no gradient (integers, keys, functions) get `None`.

    Arguments:
        function: A function that returns a scalar, or a tuple of a scalar and components marked `Aux`; left out,
            `grad(...)` is a decorator.
        wrt: What to differentiate in place of what the markers say, by name or index. A single one gives the bare
            gradient, a sequence a tuple in its own order, of one too.
        has_aux: Whether the function returns a pair `(value, aux)`, in place of what `Aux` says.
        holomorphic: As in `jax.grad`.
        allow_int: As in `jax.grad`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one that returns the gradient; with auxiliary components
        `(gradient, aux)`, aux bare if it is one, else a tuple.

    Raises:
        MarkerError: At decoration, if there is nothing to differentiate or the markers contradict each other.
        DifferentiationError: At a call whose values hold nothing to differentiate.

    Example:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.grad
        ... def loss(w: jax.Array, x: annotax.NoDiff[jax.Array], *, power: int = 2) -> jax.Array:
        ...     return jnp.sum(w * x) ** power
        >>> loss(jnp.ones(2), x=jnp.ones(2)).tolist()
        [4.0, 4.0]
    """
    step = Grad(_wrt(wrt), has_aux, holomorphic, allow_int, typechecker)
    return step if function is None else step(function)


@overload
def value_and_grad(
    function: Callable[..., Any],
    /,
    *,
    wrt: Selector | Sequence[Selector] | None = ...,
    has_aux: bool | None = ...,
    holomorphic: bool = ...,
    allow_int: bool = ...,
    typechecker: TypeCheckerOption = ...,
) -> Callable[..., Any]: ...


@overload
def value_and_grad(
    *,
    wrt: Selector | Sequence[Selector] | None = ...,
    has_aux: bool | None = ...,
    holomorphic: bool = ...,
    allow_int: bool = ...,
    typechecker: TypeCheckerOption = ...,
) -> ValueAndGrad: ...


@makes(ValueAndGrad)
def value_and_grad(
    function: Callable[..., Any] | None = None,
    /,
    *,
    wrt: Selector | Sequence[Selector] | None = None,
    has_aux: bool | None = None,
    holomorphic: bool = False,
    allow_int: bool = False,
    typechecker: TypeCheckerOption = DEFAULT,
) -> Any:
    """What a function returns and its gradient, as `jax.value_and_grad`; see `annotax.grad` for what is differentiated.

    Arguments:
        function: A function that returns a scalar, or a tuple of a scalar and components marked `Aux`; left out,
            `value_and_grad(...)` is a decorator.
        wrt: As in `annotax.grad`.
        has_aux: As in `annotax.grad`.
        holomorphic: As in `jax.value_and_grad`.
        allow_int: As in `jax.value_and_grad`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one that returns `(what the function returned, gradient)`.

    Raises:
        MarkerError: As `annotax.grad`.
        DifferentiationError: As `annotax.grad`.

    Example:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.value_and_grad
        ... def loss(w: jax.Array) -> tuple[jax.Array, annotax.Aux[str]]:
        ...     return jnp.sum(w**2), "two terms"
        >>> (value, note), gradient = loss(jnp.ones(2))
        >>> float(value), note, gradient.tolist()
        (2.0, 'two terms', [2.0, 2.0])
    """
    step = ValueAndGrad(_wrt(wrt), has_aux, holomorphic, allow_int, typechecker)
    return step if function is None else step(function)


def _wrt(wrt: Selector | Sequence[Selector] | None) -> Selector | tuple[Selector, ...] | None:
    return wrt if wrt is None or isinstance(wrt, (int, str)) else tuple(wrt)
