"""`checkpoint` (`remat`): recompute in the backward pass what the forward pass does not keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast, overload

import jax

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract
from annotax._markers import Static
from annotax._partition import Partition, holding, with_structures, write_with_constants
from annotax._source import Writer
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT, Transform
from annotax._tree import release

if TYPE_CHECKING:
    from annotax._faces import CheckpointOptions, CompilingDecorator, F, Jitted, KeepingDecorator


@dataclass(frozen=True)
class Checkpoint(Transform):
    """Recompute intermediates in the backward pass in place of keeping them, as `jax.checkpoint`. Also `remat`.

    Parameters marked `Static`, and values that can never be traced, are constants in every spelling of a call, and
    compare strictly: `1` and `True` are two.

    Arguments:
        function: The function; left out, `checkpoint(...)` is a decorator.
        policy: As in `jax.checkpoint`: which intermediates to keep, one of `jax.checkpoint_policies`.
        prevent_cse: As in `jax.checkpoint`; `False` is safe, and faster, under `jit` with `scan`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature and the values of the given one.

    Raises:
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.checkpoint
        ... def block(x: jax.Array, *, activation: str = "sin") -> jax.Array:
        ...     return getattr(jnp, activation)(x)
        >>> float(jax.grad(lambda x: block(x, activation="cos"))(0.0))
        -0.0
    """

    policy: Callable[..., bool] | None = None
    prevent_cse: bool = True
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str] = "checkpoint"

    def check(self, contract: Contract) -> Contract:
        """The result is what it was."""
        return contract

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of `jax.checkpoint`."""
        policy = {} if self.policy is None else {"policy": self.policy}
        return {"static_argnums": contract.indices(Static), "prevent_cse": self.prevent_cse, **policy}

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """`jax.checkpoint`, of the arrays alone where the values hold more than that."""
        written = write_with_constants(self.name, self.given(contract), writer, inner, contract, slots)
        return super().write(writer, inner, contract, slots) if written is None else written

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Wrap the core."""
        partition = Partition(contract)
        # All that is static goes into one argument that compares strictly: by itself JAX would let a call with `1`
        # and one with `True` share what was traced.
        checkpointed = cast("Any", jax.checkpoint)(
            with_structures(holding(core, contract), contract),
            static_argnums=(0,),
            policy=self.policy,
            prevent_cse=self.prevent_cse,
        )

        def call(*slots: Any) -> Any:
            structures, arguments = partition.split(slots, whole=True)
            return release(checkpointed(structures, *arguments))

        return call, contract

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> KeepingDecorator: ...
        @property
        def _compiled_decorator(self) -> CompilingDecorator: ...

    @overload
    def __call__(self, function: Jitted[F], /, **options: Unpack[CheckpointOptions]) -> F: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[CheckpointOptions]) -> F: ...
    @overload
    def __call__(self, /, **options: Unpack[CheckpointOptions]) -> Checkpoint: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        policy: Callable[..., bool] | None = None,
        prevent_cse: bool = True,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        step = Checkpoint(policy, prevent_cse, typechecker)
        return self._made(step, function)


checkpoint: Checkpoint = Checkpoint()
"""`Checkpoint` without options: a decorator, and with options the maker of one."""


remat: Checkpoint = checkpoint
"""Another name of `checkpoint`, as in JAX."""
