"""`grad` and `value_and_grad`: what is differentiated, and what is auxiliary, read from the hints."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Unpack, cast, overload

import jax

from annotax._checks import TypeChecker, TypeCheckerOption, first_check
from annotax._contract import Contract, Result, Selector
from annotax._differentiation import Differentiated, Differentiation, as_options, as_wrt
from annotax._hints import EMPTY, show
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT

if TYPE_CHECKING:
    from functools import partial

    from annotax._faces import (
        BoundGradient,
        BoundValueAndGradient,
        CompiledGradDecorator,
        CompiledValueAndGradDecorator,
        Derivative,
        G,
        GradDecorator,
        Gradient,
        GradOptions,
        KeywordsUnread,
        NamesUnread,
        P,
        R,
        S,
        SelectedGrad,
        SelectedValueAndGrad,
        StatedGrad,
        StatedValueAndGrad,
        TakesCls,
        TakesSelf,
        ValueAndGradDecorator,
        ValueAndGradient,
        WillBeBound,
    )


@dataclass(frozen=True)
class _Stated(Differentiation):
    """The base of the two: what the user stated the gradient to be is seen to at the first call.

    Attributes:
        stated: The type in `grad[type]`, or `EMPTY`.
    """

    stated: Any = EMPTY

    place: ClassVar[int | None]
    """Where in a pair that is returned the gradient stands; `None` where it may be returned alone."""

    def checked(self, core: Callable[..., Any], contract: Contract, checker: TypeChecker | None) -> Callable[..., Any]:
        """Compare the first gradient with what was stated."""
        check = None if self.stated is EMPTY else first_check(contract, self.stated, self.name, checker)
        if check is None:
            return core
        place = self.place if self.place is not None or not self.auxiliary(contract) else 0

        def checking(*slots: Any) -> Any:
            returned = core(*slots)
            check(returned if place is None else returned[place])
            return returned

        return checking


def _one_type(stated: Any, name: str) -> Any:
    """What stands in `grad[...]`, which must be one type.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(stated, (str, bytes, int, float, complex, tuple, list, dict, set, types.EllipsisType)):
        return stated
    several: list[Any] = list(cast("Any", stated)) if isinstance(stated, tuple) else []
    listed = ", ".join(map(show, several))
    got = f"({listed})" if listed else show(cast("Any", stated))
    raise TypeError(
        f"{name}[...] takes one type, the gradient's.\n"
        f"  got  {got}\n"
        f"  fix  write {name}[{f'tuple[{listed}]' if listed else 'Array'}]"
    )


class Grad(_Stated):
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
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.
        CheckError: At the first call, if the gradient is not what `grad[...]` stated.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.grad
        ... def loss(w: jax.Array, x: annotax.NoDiff[jax.Array], *, power: int = 2) -> jax.Array:
        ...     return jnp.sum(w * x) ** power
        >>> loss(jnp.ones(2), x=jnp.ones(2)).tolist()
        [4.0, 4.0]

        Type checkers do not see markers; `grad[...]` states the gradient, and the first one is compared with it:

        >>> @annotax.grad[jax.Array]
        ... def loss(w: jax.Array, x: annotax.NoDiff[jax.Array]) -> jax.Array:
        ...     return jnp.sum(w * x)
        >>> loss(jnp.ones(2), jnp.ones(2)).tolist()
        [1.0, 1.0]
    """

    name: ClassVar[str] = "grad"
    place: ClassVar[int | None] = None

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Differentiate the core."""
        differentiated = Differentiated(core, contract, self)
        # As `jax.grad` does; the value is computed all the same.
        call = differentiated.direct_or_partly(jax.value_and_grad)
        if not differentiated.auxiliary:
            return lambda *slots: differentiated.laid_out(call(slots)[1], slots), self.check(contract)

        def gradient_and_aux(*slots: Any) -> Any:
            (_, returned), gradient = call(slots)
            return differentiated.laid_out(gradient, slots), differentiated.aux_of(returned)

        return gradient_and_aux, self.check(contract)

    @shortens
    def __getitem__(self, stated: type[G], /) -> StatedGrad[G]:
        """State what the gradient is where type checkers cannot see it; the first one is compared with it."""
        return cast("StatedGrad[G]", dataclasses.replace(self, stated=_one_type(stated, self.name)))

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> GradDecorator: ...
        @property
        def _compiled_decorator(self) -> CompiledGradDecorator: ...

    @overload
    def __call__(
        self, function: Callable[P, R], /, *, wrt: Selector | Sequence[Selector], **options: Unpack[GradOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[GradOptions]
    ) -> BoundGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
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
    ) -> Gradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self, /, *, wrt: None = ..., **options: Unpack[GradOptions]) -> Grad: ...
    @overload
    def __call__(self, /, *, wrt: Selector | Sequence[Selector], **options: Unpack[GradOptions]) -> SelectedGrad: ...
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
        step = Grad(as_wrt(wrt), has_aux, as_options(holomorphic=holomorphic, allow_int=allow_int), typechecker)
        return self._made(step, function)


class ValueAndGrad(_Stated):
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
        StaticValueError: As `annotax.grad`.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.value_and_grad
        ... def loss(w: jax.Array) -> tuple[jax.Array, annotax.Aux[str]]:
        ...     return jnp.sum(w**2), "two terms"
        >>> (value, note), gradient = loss(jnp.ones(2))
        >>> float(value), note, gradient.tolist()
        (2.0, 'two terms', [2.0, 2.0])
    """

    name: ClassVar[str] = "value_and_grad"
    place: ClassVar[int | None] = 1

    def check(self, contract: Contract) -> Contract:
        """See that there is something to differentiate, and say what comes out."""
        super().check(contract)
        return contract.returning(Result(components=(contract.result, Result(is_derivative=True))))

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Differentiate the core."""
        differentiated = Differentiated(core, contract, self)
        call = differentiated.direct_or_partly(jax.value_and_grad)

        def returned_and_gradient(*slots: Any) -> Any:
            returned, gradient = call(slots)
            return returned[1] if differentiated.auxiliary else returned, differentiated.laid_out(gradient, slots)

        return returned_and_gradient, self.check(contract)

    def written(self, options: str) -> str:
        """The line that sets `found` and `returned`."""
        return f"    (_, returned), found = jax.value_and_grad(of_moving, has_aux=True{options})(moving)"

    def returned_text(self, aux: str) -> str:
        """What is returned, as source."""
        return "returned, restored(found)"

    @shortens
    def __getitem__(self, stated: type[G], /) -> StatedValueAndGrad[G]:
        """State what the gradient is where type checkers cannot see it; the first one is compared with it."""
        return cast("StatedValueAndGrad[G]", dataclasses.replace(self, stated=_one_type(stated, self.name)))

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> ValueAndGradDecorator: ...
        @property
        def _compiled_decorator(self) -> CompiledValueAndGradDecorator: ...

    @overload
    def __call__(
        self, function: Callable[P, R], /, *, wrt: Selector | Sequence[Selector], **options: Unpack[GradOptions]
    ) -> Callable[P, tuple[R, Any]]: ...
    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[GradOptions]
    ) -> BoundValueAndGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(
        self: KeywordsUnread, function: partial[R], /, **options: Unpack[GradOptions]
    ) -> Callable[..., tuple[R, Any]]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: TakesSelf[S, P, R], /, **options: Unpack[GradOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], tuple[R, Any]]: ...
    @overload
    def __call__(
        self, function: TakesCls[S, P, R], /, **options: Unpack[GradOptions]
    ) -> Callable[Concatenate[S | WillBeBound, P], tuple[R, Any]]: ...
    @overload
    def __call__(
        self, function: Derivative[Any, Any, Any, P], /, **options: Unpack[GradOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], /, **options: Unpack[GradOptions]
    ) -> ValueAndGradient[Callable[P, R], Callable[P, R], Callable[P, R], P]: ...
    @overload
    def __call__(self, /, *, wrt: None = ..., **options: Unpack[GradOptions]) -> ValueAndGrad: ...
    @overload
    def __call__(
        self, /, *, wrt: Selector | Sequence[Selector], **options: Unpack[GradOptions]
    ) -> SelectedValueAndGrad: ...
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
        step = ValueAndGrad(as_wrt(wrt), has_aux, as_options(holomorphic=holomorphic, allow_int=allow_int), typechecker)
        return self._made(step, function)


grad: Grad = Grad()
"""`Grad` without options: a decorator, and with options the maker of one."""


value_and_grad: ValueAndGrad = ValueAndGrad()
"""`ValueAndGrad` without options: a decorator, and with options the maker of one."""
