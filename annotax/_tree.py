"""Values: what JAX can trace, what it can differentiate, and how the rest becomes part of a cache key.

`Constant` compares static values as strictly as a trace needs; `split` takes a pytree that mixes arrays with functions
or strings apart into what is traced and a hashable `Structure`, which puts it together again.
"""

from __future__ import annotations

import enum
import functools
import math
import types
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_SCALARS = (bool, int, float, complex)
_TRACEABLE = (Tracer, jax.Array, *_SCALARS, jax.ShapeDtypeStruct)  # the commonest first: each test takes time


def is_traceable(leaf: Any) -> bool:
    """Whether JAX can trace this leaf: an array, a number, a tracer, or (for ahead-of-time work) an abstract value."""
    if isinstance(leaf, _TRACEABLE):
        return True
    try:
        jax.typeof(leaf)
    except TypeError:
        return False
    return True


def is_tracer(value: Any) -> bool:
    """Whether a value is traced by some JAX transform."""
    return isinstance(value, Tracer)


def is_differentiable(leaf: Any) -> bool:
    """Whether a leaf has a tangent space worth the name: a real or complex floating-point array or number."""
    dtype = getattr(leaf, "dtype", None)  # first, for most leaves are arrays, and this is asked at every eager call
    if dtype is None:
        return isinstance(leaf, (float, complex))
    return _is_inexact(dtype) and is_traceable(leaf)


@functools.lru_cache(maxsize=256)
def _is_inexact(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def is_constant(leaf: Any, *, callables: bool = True) -> bool:
    """Whether a leaf that cannot be traced can be a compile-time constant without hiding a change from the cache.

    Functions, types, strings, enums, dtypes and whatever defines equality by value can; an object with identity
    equality cannot, since JAX would go on with what it was when the function was traced.

    Arguments:
        leaf: The leaf.
        callables: Whether any callable object passes for a function.
    """
    known = isinstance(leaf, (str, bytes, type, enum.Enum, np.dtype, types.GenericAlias))
    if known or (callables and callable(leaf)):
        return is_hashable(leaf)
    return cast("Any", type(leaf)).__eq__ is not object.__eq__ and is_hashable(leaf)


def is_hashable(value: Any) -> bool:
    """Whether `hash(value)` works; for a tracer it does not."""
    try:
        hash(value)
    except TypeError:  # JAX's TracerIntegerConversionError and its kin are TypeErrors too
        return False
    return True


def is_leaf(value: Any) -> bool:
    """Whether JAX sees one leaf in the value, not a container; `None` is a container of nothing."""
    return jax.tree_util.all_leaves([value])


def holds_traceable(value: Any, *, numbers: bool) -> bool:
    """Whether a value inferred to be static turns out to hold something to trace, or to be a registered pytree.

    Arguments:
        value: The value.
        numbers: Whether Python's numbers count; they do not where a hint, `Literal[1, 2]` or an `IntEnum`, wants them.
    """

    def counts(leaf: Any) -> bool:
        return is_traceable(leaf) and (numbers or not isinstance(leaf, _SCALARS))

    if value is None or is_leaf(value):
        return value is not None and counts(value)
    return not isinstance(value, tuple) or any(map(counts, jax.tree.leaves(cast("Any", value))))


def why_static_value(value: Any, what: str) -> str | None:
    """Why a value can never be traced, or `None` if it can be, or if it is a container."""
    if not is_leaf(value) or is_traceable(value):
        return None
    return f"{what}, {describe(value)}, can never be traced"


def describe(value: Any) -> str:
    """A value in a few words: the type and shape of an array (never its contents), the name of a function."""
    if isinstance(value, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        kind = "traced " if is_tracer(value) else "numpy " if isinstance(value, np.ndarray) else ""
        dtype, shape = cast("Any", value).dtype, cast("Any", value).shape
        return f"{kind}{dtype}[{','.join(map(str, shape))}]"
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    if isinstance(value, (str, bytes, enum.Enum, *_SCALARS)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (list, tuple, dict)):
        return f"{type(cast('Any', value)).__name__} of {len(cast('Any', value))}"
    return f"an object of type {type(value).__qualname__}"


def describe_constant(value: Any) -> str:
    """A static value in a few words: as Python shows it, where that is short and no array is in it."""
    known = (jax.Array, np.ndarray, jax.ShapeDtypeStruct, type)
    if isinstance(value, known) or (callable(value) and hasattr(value, "__name__")):
        return describe(value)
    if any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(value)):
        return describe(value)
    text = repr(value)
    is_default = cast("Any", type(value)).__repr__ is object.__repr__
    return describe(value) if is_default or len(text) > 60 or "\n" in text else text


# --- constants -------------------------------------------------------------------------------------------------------


class Constant:
    """A static value that equals another only if tracing cannot tell the two apart.

    Plain `==` would let `(1,)` and `(True,)`, or `0.0` and `-0.0`, share a trace, and would trace NaN at every call.
    """

    __slots__ = ("key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = _key(value)

    @classmethod
    def of_keywords(cls, keywords: dict[str, Any]) -> Constant:
        """The value of a static `**kwargs`, whose order does not matter."""
        constant = cls.__new__(cls)
        constant.value = keywords
        constant.key = frozenset((name, _key(value)) for name, value in keywords.items())
        return constant

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return repr(self.value)


def _key(value: Any) -> Any:
    kind = cast("Any", type(value))
    if kind is float:
        return (float, "nan") if value != value else (float, value, math.copysign(1.0, value))
    if kind is complex:
        return (complex, _key(value.real), _key(value.imag))
    if isinstance(value, tuple):
        return (kind, tuple(_key(item) for item in cast("Any", value)))
    if kind is frozenset:
        return (kind, frozenset(_key(item) for item in value))
    if isinstance(value, np.generic):
        return (kind, value.tobytes())
    return (kind, value)


# --- mixed pytrees ---------------------------------------------------------------------------------------------------


class Structure:
    """All of a pytree but its traced leaves: hashable, so that it can be part of a cache key."""

    __slots__ = ("constants", "digest", "positions", "template", "treedef")

    def __init__(self, treedef: Any, constants: tuple[Constant | None, ...]) -> None:
        self.treedef = treedef
        self.constants = constants
        self.digest = hash((treedef, constants))
        self.template = [None if constant is None else constant.value for constant in constants]
        self.positions = tuple(i for i, constant in enumerate(constants) if constant is None)

    @classmethod
    def of_constant(cls, constant: Constant) -> Structure:
        """A value that is constant as a whole, whatever JAX sees in it."""
        return cls(jax.tree.structure(0), (constant,))

    def join(self, leaves: Sequence[Any]) -> Any:
        """The pytree with these leaves where the traced ones were."""
        whole = self.template.copy()
        for position, leaf in zip(self.positions, leaves, strict=True):
            whole[position] = leaf
        return self.treedef.unflatten(whole)

    def split_again(self, value: Any) -> list[Any] | None:
        """The traced leaves of another value, if all the rest of it is the very same objects; else `None`."""
        leaves, treedef = flatten(value)
        if not is_same(treedef, self.treedef):
            return None
        for leaf, constant in zip(leaves, self.constants, strict=True):
            if constant is not None and leaf is not constant.value:
                return None
        return [leaves[position] for position in self.positions]

    @property
    def kept(self) -> list[bool]:
        """For each leaf, whether it is traced."""
        return [constant is None for constant in self.constants]

    @property
    def traced(self) -> int:
        """How many leaves are traced."""
        return len(self.positions)

    def pick(self, tree: Any) -> tuple[Any, ...]:
        """From a pytree of this structure, or with `None` where nothing is traced, what stands at the traced leaves."""
        leaves = self.treedef.flatten_up_to(tree)
        return tuple(leaves[position] for position in self.positions)

    def join_or_none(self, leaves: Sequence[Any]) -> Any:
        """The pytree with these leaves where the traced ones were, and `None` elsewhere."""
        whole: list[Any] = [None] * len(self.constants)
        for position, leaf in zip(self.positions, leaves, strict=True):
            whole[position] = leaf
        return self.treedef.unflatten(whole)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Structure)
            and self.digest == other.digest
            and self.treedef == other.treedef
            and self.constants == other.constants
        )

    def __hash__(self) -> int:
        return self.digest


def is_same(treedef: Any, other: Any) -> bool:
    """Whether two treedefs are equal; to `==` two dataclasses with as many fields are, in JAX 0.10 and later."""
    return bool(treedef == other) and hash(treedef) == hash(other)


def flatten(value: Any) -> tuple[list[Any], Any]:
    """The leaves of a pytree and its treedef."""
    return cast("tuple[list[Any], Any]", jax.tree.flatten(value))


def split(value: Any, kept: Sequence[bool] | None = None) -> tuple[tuple[Any, ...], Structure]:
    """The leaves of a pytree that are traced, and the structure that holds all the rest.

    Arguments:
        value: The pytree.
        kept: For each leaf, whether it is traced; left out, those are that can be.
    """
    leaves, treedef = flatten(value)
    kept = list(map(is_traceable, leaves)) if kept is None else kept
    constants = tuple(None if keep else Constant(leaf) for keep, leaf in zip(kept, leaves, strict=True))
    return tuple(leaf for keep, leaf in zip(kept, leaves, strict=True) if keep), Structure(treedef, constants)


@jax.tree_util.register_pytree_node_class
class Held:
    """A pytree as a transform returns it that cannot return functions or strings: its traced leaves are ours."""

    __slots__ = ("leaves", "structure")

    def __init__(self, structure: Structure, leaves: Sequence[Any]) -> None:
        self.structure = structure
        self.leaves = leaves

    def tree_flatten(self) -> tuple[Sequence[Any], Structure]:
        return self.leaves, self.structure

    @classmethod
    def tree_unflatten(cls, structure: Structure, leaves: Sequence[Any]) -> Held:
        return cls(structure, leaves)


def release(value: Any) -> Any:
    """The pytree that was held, or the value itself."""
    return value.structure.join(value.leaves) if type(value) is Held else value


def leaves_with_paths(name: str, value: Any) -> list[tuple[str, Any]]:
    """Every leaf with its path as a person writes it: `("batch['x'][1]", leaf)`."""
    pairs = cast("list[tuple[Any, Any]]", jax.tree.leaves_with_path(value))
    return [(name + jax.tree_util.keystr(path), leaf) for path, leaf in pairs]
