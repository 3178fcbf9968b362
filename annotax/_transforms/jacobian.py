"""`jacfwd`, `jacrev`, `jacobian`, `hessian`: the parameter rule of `grad`, with results shaped as JAX's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Unpack, cast, overload

import jax

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Selector
from annotax._differentiation import Differentiated, Differentiation, as_options, as_wrt
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT

if TYPE_CHECKING:
    from functools import partial

    from annotax._faces import (
        BoundJacobianFunction,
        CompiledJacobianDecorator,
        Derivative,
        GradOptions,
        JacobianDecorator,
        JacobianFunction,
        JacobianOptions,
        KeywordsUnread,
        NamesUnread,
        P,
        R,
        S,
        SelectedJacobian,
        TakesCls,
        TakesSelf,
        WillBeBound,
    )


class Jacobian(Differentiation):
    """The base of the transforms that this module makes; see `jacfwd`."""

    holds_aux: ClassVar[bool] = True

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> JacobianDecorator: ...
        @property
        def _compiled_decorator(self) -> CompiledJacobianDecorator: ...

    @property
    def derivative(self) -> Any:
        """What JAX has for it."""
        raise NotImplementedError

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Differentiate the core."""
        differentiated = Differentiated(core, contract, self)
        derivative_of_leaves = differentiated.direct_or_partly(self.derivative)

        def call(slots: tuple[Any, ...]) -> Any:
            nothing = tuple(slots[i] for i in differentiated.indices)
            if jax.tree.leaves(nothing):
                return derivative_of_leaves(slots)
            # JAX fails here; as under `grad`, of nothing the derivative is nothing, at each leaf of the output.
            returned = differentiated.value_first(*slots)
            value = returned[0] if differentiated.auxiliary else returned
            structure = cast("Any", jax.tree.structure(value))
            entry = nothing[0] if differentiated.is_bare else nothing
            derivative = structure.unflatten([entry] * structure.num_leaves)
            return (derivative, returned[1]) if differentiated.auxiliary else derivative

        if not differentiated.auxiliary:
            return lambda *slots: call(slots), self.check(contract)

        def derivative_and_aux(*slots: Any) -> Any:
            derivative, returned = call(slots)
            return derivative, differentiated.aux_of(returned)

        return derivative_and_aux, self.check(contract)


class JacFwd(Jacobian):
    """The Jacobian of a function, column by column, as `jax.jacfwd`; good where there are few inputs.

    What is differentiated is read from the type hints by the rule of `annotax.grad`.

    Arguments:
        function: A function of arrays that returns arrays, or a tuple of them and components marked `Aux`; left out,
            `jacfwd(...)` is a decorator.
        wrt: As in `annotax.grad`.
        has_aux: As in `annotax.grad`.
        holomorphic: As in `jax.jacfwd`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one. Its result has the structure of the output, with the structure
        of the argument (or a tuple of them) at each leaf, and entries of shape `output.shape + input.shape`; with
        auxiliary components `(jacobian, aux)`.

    Raises:
        MarkerError: As `annotax.grad`.
        DifferentiationError: As `annotax.grad`.
        StaticValueError: As `annotax.grad`.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.jacfwd
        ... def powers(x: jax.Array, *, upto: annotax.Static[int] = 2) -> jax.Array:
        ...     return jnp.stack([x**n for n in range(1, upto + 1)])
        >>> powers(jnp.array(3.0)).tolist()
        [1.0, 6.0]
    """

    name: ClassVar[str] = "jacfwd"

    @property
    def derivative(self) -> Any:
        """What JAX has for it."""
        return cast("Any", jax.jacfwd)

    @overload
    def __call__(
        self, function: Callable[P, R], /, *, wrt: Selector | Sequence[Selector], **options: Unpack[JacobianOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[JacobianOptions]
    ) -> BoundJacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(
        self: KeywordsUnread, function: partial[R], /, **options: Unpack[JacobianOptions]
    ) -> Callable[..., Any]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: TakesSelf[S, P, R], /, **options: Unpack[JacobianOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(
        self, function: TakesCls[S, P, R], /, **options: Unpack[JacobianOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(
        self, function: Derivative[Any, Any, Any, P], /, **options: Unpack[JacobianOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /, **options: Unpack[JacobianOptions]
    ) -> JacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self, /, *, wrt: None = ..., **options: Unpack[JacobianOptions]) -> JacFwd: ...
    @overload
    def __call__(
        self, /, *, wrt: Selector | Sequence[Selector], **options: Unpack[JacobianOptions]
    ) -> SelectedJacobian: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = None,
        has_aux: bool | None = None,
        holomorphic: bool = False,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        step = JacFwd(as_wrt(wrt), has_aux, as_options(holomorphic=holomorphic), typechecker)
        return self._made(step, function)


class JacRev(Jacobian):
    """The Jacobian of a function, row by row, as `jax.jacrev`; good where there are few outputs. Also `jacobian`.

    What is differentiated is read from the type hints by the rule of `annotax.grad`.

    Arguments:
        function: A function of arrays that returns arrays, or a tuple of them and components marked `Aux`; left out,
            `jacrev(...)` is a decorator.
        wrt: As in `annotax.grad`.
        has_aux: As in `annotax.grad`.
        holomorphic: As in `jax.jacrev`.
        allow_int: As in `jax.jacrev`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one; its result is shaped as that of `annotax.jacfwd`.

    Raises:
        MarkerError: As `annotax.grad`.
        DifferentiationError: As `annotax.grad`.
        StaticValueError: As `annotax.grad`.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.jacrev
        ... def scaled(x: jax.Array, by: annotax.NoDiff[jax.Array]) -> jax.Array:
        ...     return by * x
        >>> scaled(jnp.ones(2), by=jnp.array([2.0, 3.0])).tolist()
        [[2.0, 0.0], [0.0, 3.0]]
    """

    name: ClassVar[str] = "jacrev"

    @property
    def derivative(self) -> Any:
        """What JAX has for it."""
        return cast("Any", jax.jacrev)

    @overload
    def __call__(
        self, function: Callable[P, R], /, *, wrt: Selector | Sequence[Selector], **options: Unpack[GradOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[GradOptions]
    ) -> BoundJacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(
        self: KeywordsUnread, function: partial[R], /, **options: Unpack[GradOptions]
    ) -> Callable[..., Any]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: TakesSelf[S, P, R], /, **options: Unpack[GradOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(
        self, function: TakesCls[S, P, R], /, **options: Unpack[GradOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(
        self, function: Derivative[Any, Any, Any, P], /, **options: Unpack[GradOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /, **options: Unpack[GradOptions]
    ) -> JacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self, /, *, wrt: None = ..., **options: Unpack[GradOptions]) -> JacRev: ...
    @overload
    def __call__(
        self, /, *, wrt: Selector | Sequence[Selector], **options: Unpack[GradOptions]
    ) -> SelectedJacobian: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = None,
        has_aux: bool | None = None,
        holomorphic: bool = False,
        allow_int: bool = False,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        step = JacRev(as_wrt(wrt), has_aux, as_options(holomorphic=holomorphic, allow_int=allow_int), typechecker)
        return self._made(step, function)


class Hessian(Jacobian):
    """The matrix of second derivatives of a function, as `jax.hessian`.

    What is differentiated is read from the type hints by the rule of `annotax.grad`.

    Arguments:
        function: A function of arrays that returns arrays, or a tuple of them and components marked `Aux`; left out,
            `hessian(...)` is a decorator.
        wrt: As in `annotax.grad`.
        has_aux: As in `annotax.grad`.
        holomorphic: As in `jax.hessian`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one. Its result has the structure of the output, and at each leaf
        twice the structure of the argument (or tuple of them), with entries of shape
        `output.shape + input.shape + input.shape`; with auxiliary components `(hessian, aux)`.

    Raises:
        MarkerError: As `annotax.grad`.
        DifferentiationError: As `annotax.grad`.
        StaticValueError: As `annotax.grad`.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.hessian
        ... def energy(x: jax.Array, *, stiffness: annotax.NoDiff[float] = 2.0) -> jax.Array:
        ...     return 0.5 * stiffness * jnp.sum(x**2)
        >>> energy(jnp.ones(2), stiffness=3.0).tolist()
        [[3.0, 0.0], [0.0, 3.0]]
    """

    name: ClassVar[str] = "hessian"

    @property
    def derivative(self) -> Any:
        """What JAX has for it."""
        return cast("Any", jax.hessian)

    @overload
    def __call__(
        self, function: Callable[P, R], /, *, wrt: Selector | Sequence[Selector], **options: Unpack[JacobianOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[JacobianOptions]
    ) -> BoundJacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(
        self: KeywordsUnread, function: partial[R], /, **options: Unpack[JacobianOptions]
    ) -> Callable[..., Any]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: TakesSelf[S, P, R], /, **options: Unpack[JacobianOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(
        self, function: TakesCls[S, P, R], /, **options: Unpack[JacobianOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], Any]: ...
    @overload
    def __call__(
        self, function: Derivative[Any, Any, Any, P], /, **options: Unpack[JacobianOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /, **options: Unpack[JacobianOptions]
    ) -> JacobianFunction[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self, /, *, wrt: None = ..., **options: Unpack[JacobianOptions]) -> Hessian: ...
    @overload
    def __call__(
        self, /, *, wrt: Selector | Sequence[Selector], **options: Unpack[JacobianOptions]
    ) -> SelectedJacobian: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        wrt: Selector | Sequence[Selector] | None = None,
        has_aux: bool | None = None,
        holomorphic: bool = False,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        step = Hessian(as_wrt(wrt), has_aux, as_options(holomorphic=holomorphic), typechecker)
        return self._made(step, function)


jacfwd: JacFwd = JacFwd()
"""`JacFwd` without options: a decorator, and with options the maker of one."""


jacrev: JacRev = JacRev()
"""`JacRev` without options: a decorator, and with options the maker of one."""


jacobian: JacRev = jacrev
"""Another name of `jacrev`, as in JAX."""


hessian: Hessian = Hessian()
"""`Hessian` without options: a decorator, and with options the maker of one."""
