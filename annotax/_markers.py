"""The vocabulary: what a type hint can say to a JAX transform.

Every marker works as metadata, `Annotated[T, Marker]`; the plain ones also as an alias, `Marker[T]`. Markers are inert:
a function that no transform has read behaves as if they were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from jax.sharding import PartitionSpec

T = TypeVar("T")


class Marker:
    """Base of every marker. Subclass it for a marker that only your own `Transform` reads.

    Two markers are the same if they are equal; a subclass with arguments should be a frozen dataclass or define
    `__eq__` and `__hash__`.

    Examples:
        >>> from dataclasses import dataclass
        >>> from typing import Annotated
        >>> import annotax
        >>> @dataclass(frozen=True)
        ... class Unit(annotax.Marker):
        ...     name: str
        >>> Speed = Annotated[float, Unit("m/s")]  # a transform finds it with `parameter.role(Unit)`
    """

    __slots__ = ()


class _Alias(Marker):
    """A marker without arguments: one object that is metadata and, subscripted, the `Annotated` form of itself.

    A special form has to be told to each type checker; an ordinary generic alias does not, so the checkers are shown
    `Annotated[T, ...]` in place of this class.
    """

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.__doc__ = doc

    def __getitem__(self, hint: Any) -> Any:
        return Annotated[hint, self]

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        # Pickled by name, so that identity survives a process border.
        return self.name


if TYPE_CHECKING:
    Static = Annotated[T, "annotax.Static"]
    NoDiff = Annotated[T, "annotax.NoDiff"]
    Diff = Annotated[T, "annotax.Diff"]
    Donate = Annotated[T, "annotax.Donate"]
    Aux = Annotated[T, "annotax.Aux"]
else:
    Static = _Alias(
        "Static",
        """A hashable compile-time constant: never traced, differentiated, batched, sharded or donated.

        Write `n: Static[int]` or `n: Annotated[int, Static]`. A new value compiles anew.

        Examples:
            >>> import annotax, jax.numpy as jnp
            >>> @annotax.jit
            ... def tiled(x, *, times: annotax.Static[int] = 2):
            ...     return jnp.tile(x, times)
            >>> tiled(jnp.ones(2), times=3).shape
            (6,)
        """,
    )
    NoDiff = _Alias(
        "NoDiff",
        """Traced, but never differentiated.

        Write `x: NoDiff[Array]` or `x: Annotated[Array, NoDiff]`.

        Examples:
            >>> import annotax, jax, jax.numpy as jnp
            >>> @annotax.grad
            ... def loss(weights: jax.Array, x: annotax.NoDiff[jax.Array]) -> jax.Array:
            ...     return jnp.vdot(weights, x)
            >>> loss(jnp.zeros(2), x=jnp.ones(2)).tolist()
            [1.0, 1.0]
        """,
    )
    Diff = _Alias(
        "Diff",
        """Differentiate exactly the parameters so marked.

        Write `w: Diff[Array]` or `w: Annotated[Array, Diff]`. Without any, every parameter that is not excluded is
        differentiated.

        Examples:
            >>> import annotax, jax, jax.numpy as jnp
            >>> @annotax.grad
            ... def energy(charge: jax.Array, position: annotax.Diff[jax.Array], field: jax.Array) -> jax.Array:
            ...     return charge * jnp.vdot(position, field)
            >>> energy(jnp.array(2.0), jnp.zeros(2), jnp.ones(2)).tolist()
            [2.0, 2.0]
        """,
    )
    Donate = _Alias(
        "Donate",
        """The call may reuse the argument's buffers; the caller's arrays are deleted.

        Write `state: Donate[State]` or `state: Annotated[State, Donate]`.

        Examples:
            >>> import annotax, jax, jax.numpy as jnp
            >>> @annotax.jit
            ... def step(state: annotax.Donate[jax.Array]) -> jax.Array:
            ...     return state + 1
            >>> old = jnp.zeros(2)
            >>> new = step(old)
            >>> old.is_deleted()
            True
        """,
    )
    Aux = _Alias(
        "Aux",
        """An auxiliary component of a returned tuple: handed through, not differentiated.

        Write `-> tuple[Array, Aux[Metrics]]` or `-> tuple[Array, Annotated[Metrics, Aux]]`.

        Examples:
            >>> import annotax, jax, jax.numpy as jnp
            >>> @annotax.grad
            ... def loss(x: jax.Array) -> tuple[jax.Array, annotax.Aux[str]]:
            ...     return x**2, "seen"
            >>> gradient, aux = loss(jnp.array(3.0))
            >>> float(gradient), aux
            (6.0, 'seen')
        """,
    )


def is_marker(metadata: Any) -> bool:
    """Whether metadata of an `Annotated` is of the vocabulary: a marker, or JAX's own `PartitionSpec`.

    A class of it without arguments, `Axis`, counts too, so that it can be refused.
    """
    is_class = isinstance(metadata, type) and issubclass(metadata, (Marker, PartitionSpec))
    return is_class or isinstance(metadata, (Marker, PartitionSpec))


class Axis(Marker):
    """The axis that a batching transform maps: `Annotated[Array, Axis(1)]`.

    Arguments:
        axis: The mapped axis, or `None` for a value that the whole batch shares.
        name: Speak only to the map with this axis name.

    Raises:
        TypeError: If the axis is neither an integer nor `None`.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> from typing import Annotated
        >>> @annotax.vmap
        ... def shifted(column: Annotated[jax.Array, annotax.Axis(1)], by: Annotated[jax.Array, annotax.Axis(None)]):
        ...     return column + by
        >>> shifted(jnp.zeros((2, 3)), by=jnp.ones(2)).shape
        (3, 2)
    """

    __slots__ = ("axis", "name")

    def __init__(self, axis: int | None, name: str | None = None) -> None:
        if axis is not None and not isinstance(cast("object", axis), int):
            raise TypeError(f"Axis takes an integer or None, and a name, as in Axis(1, 'time'), not {axis!r}")
        self.axis: int | None = axis
        self.name: str | None = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and (self.axis, self.name) == (other.axis, other.name)

    def __hash__(self) -> int:
        return hash((Axis, self.axis, self.name))

    def __repr__(self) -> str:
        return f"Axis({self.axis!r})" if self.name is None else f"Axis({self.axis!r}, {self.name!r})"


CONTRADICTIONS: tuple[tuple[Any, Any, str], ...] = (
    (Static, Donate, "a static value has no buffers to give away: drop one of the two"),
    (Static, Diff, "a static value is never traced, so it has no gradient: drop one of the two"),
    (Static, Axis, "a static value is shared by the whole batch: drop the Axis"),
    (Static, PartitionSpec, "a static value is no array and has no layout: drop one of the two"),
    (NoDiff, Diff, "they say opposite things: drop one of the two"),
)


def contradiction(markers: Sequence[Any]) -> tuple[str, tuple[Any, ...], str] | None:
    """What is wrong with markers that stand on one thing, which of them it is, and the fix; `None` if nothing is."""
    if len(markers) < 2:
        return None

    def of(kind: Any) -> list[Any]:
        return [m for m in markers if m is kind or (isinstance(kind, type) and isinstance(m, kind))]

    for one, other, fix in CONTRADICTIONS:
        if of(one) and of(other):
            first, second = of(one)[0], of(other)[0]
            return f"is both {first!r} and {second!r}", (first, second), fix
    axes = of(Axis)
    if len({axis.name for axis in axes}) < len(axes):
        fix = "keep one, or give each the axis name of its map: Axis(1, 'time')"
        return "has two axes for one map", tuple(axes), fix
    layouts = of(PartitionSpec)
    return ("has two layouts", tuple(layouts), "keep one PartitionSpec") if len(layouts) > 1 else None
