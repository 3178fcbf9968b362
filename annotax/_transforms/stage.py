"""`eval_shape` and `make_jaxpr`: what a function would do, without doing it, for arguments in any spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack, cast, overload

import jax

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract, Result
from annotax._markers import Static
from annotax._partition import Partition, holding, with_structures
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT, Transform, pipeline_for
from annotax._tree import release

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr

    from annotax._faces import JaxprDecorator, MakeJaxprOptions, P


@shortens
def eval_shape(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of what a function returns, without computing it, as `jax.eval_shape`.

    Parameters marked `Static`, and values that can never be traced, are constants.

    Arguments:
        function: The function, with or without annotax transforms.
        args: Its positional arguments, arrays or `jax.ShapeDtypeStruct`s in their place.
        kwargs: Its keyword arguments, likewise.

    Returns:
        A pytree of `jax.ShapeDtypeStruct`.

    Raises:
        StaticValueError: If a static value is unhashable, an array or a tracer.
        CheckError: If a value does not fit its hint.

    Examples:
        >>> import annotax, jax
        >>> def repeated(x: jax.Array, *, times: annotax.Static[int]) -> jax.Array:
        ...     return jax.numpy.tile(x, times)
        >>> annotax.eval_shape(repeated, jax.ShapeDtypeStruct((2,), "float32"), times=3)
        ShapeDtypeStruct(shape=(6,), dtype=float32)
    """
    pipeline = pipeline_for(function)

    def prepare() -> tuple[Partition, Any]:
        core, contract = pipeline.built
        return Partition(contract), jax.jit(with_structures(holding(core, contract), contract), static_argnums=(0,))

    partition, staged = pipeline.prepared("eval_shape", prepare)
    structures, arguments = partition.split(pipeline.bind(*args, **kwargs), whole=True)
    return release(staged.eval_shape(structures, *arguments))


@dataclass(frozen=True)
class MakeJaxpr(Transform):
    """The jaxpr of a function, as `jax.make_jaxpr`, for a call in any spelling.

    Parameters marked `Static`, and values that can never be traced, are constants.

    Arguments:
        function: The function, with or without annotax transforms; left out, `make_jaxpr(...)` is a decorator.
        return_shape: As in `jax.make_jaxpr`: return `(jaxpr, shapes of the result)`.
        axis_env: Names and sizes of mapped axes that the function uses.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one that returns its jaxpr.

    Raises:
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax
        >>> def power(x: jax.Array, *, n: annotax.Static[int] = 2) -> jax.Array:
        ...     return x**n
        >>> len(annotax.make_jaxpr(power)(2.0, n=3).eqns)
        1
    """

    return_shape: bool = False
    axis_env: tuple[tuple[Any, int], ...] = ()
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str] = "make_jaxpr"

    def check(self, contract: Contract) -> Contract:
        """The result is a jaxpr."""
        return contract.returning(Result())

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of `jax.make_jaxpr`."""
        axis_env = {"axis_env": list(self.axis_env)} if self.axis_env else {}
        shape = {"return_shape": True} if self.return_shape else {}
        return {"static_argnums": contract.indices(Static), **axis_env, **shape}

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Stage the core out."""
        partition = Partition(contract)
        options = {**self.given(contract), "static_argnums": (0,)}
        staged = cast("Any", jax.make_jaxpr)(with_structures(holding(core, contract), contract), **options)

        def call(*slots: Any) -> Any:
            structures, arguments = partition.split(slots, whole=True)
            staged_out = staged(structures, *arguments)
            return (staged_out[0], release(staged_out[1])) if self.return_shape else staged_out

        return call, self.check(contract)

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> JaxprDecorator: ...
        @property
        def _compiled_decorator(self) -> JaxprDecorator: ...

    @overload
    def __call__(
        self, function: Callable[P, Any], /, *, return_shape: Literal[False] = ..., **options: Unpack[MakeJaxprOptions]
    ) -> Callable[P, ClosedJaxpr]: ...
    @overload
    def __call__(
        self, function: Callable[P, Any], /, *, return_shape: bool, **options: Unpack[MakeJaxprOptions]
    ) -> Callable[P, Any]: ...
    @overload
    def __call__(self, /, *, return_shape: bool = ..., **options: Unpack[MakeJaxprOptions]) -> MakeJaxpr: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        return_shape: bool = False,
        axis_env: Mapping[Any, int] | None = None,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        step = MakeJaxpr(return_shape, tuple((axis_env or {}).items()), typechecker)
        return self._made(step, function)


make_jaxpr: MakeJaxpr = MakeJaxpr()
"""`MakeJaxpr` without options: a decorator, and with options the maker of one."""
