"""Why a function was traced: one record a trace, kept as text, made while tracing.

A cached call never comes here. What is recorded holds no value: no tracer can leak, and no array is kept alive.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, overload

import jax

from annotax._contract import Contract
from annotax._errors import TraceError, message
from annotax._hints import may_hold_fields
from annotax._tree import Constant, describe_constant, is_hashable, is_tracer, leaves_with_paths

KEPT = 100
"""How many traces of a function are remembered."""

Entry: TypeAlias = tuple[str, int]
"""What stands at a path: as a person would say it, and a number that differs where that is not enough."""

Signature: TypeAlias = Mapping[str, Entry]
"""What a trace depends on, by path: `model.layers[0].w`, `n`, an option of JAX."""


@dataclass(frozen=True)
class Trace:
    """One trace of a function.

    Attributes:
        number: The how manieth it is, from 1.
        because: What is new about it, one line each: `"n: 2 -> 3"`, `"x: float32[3] -> float32[4]"`.

    Examples:
        >>> import annotax, jax.numpy as jnp
        >>> double = annotax.jit(lambda x: 2 * x)
        >>> _ = double(jnp.ones(3)), double(jnp.ones(4))
        >>> double.traces[-1]
        Trace(number=2, because=('x: float32[3] -> float32[4]',))
    """

    number: int
    because: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number}. {'; '.join(self.because)}"


class Traces(Sequence[Trace]):
    """The traces of a function so far, the oldest first; the last hundred are kept.

    `f.traces` of a compiled function is one; it grows as the function is traced.

    Examples:
        >>> import annotax, jax.numpy as jnp
        >>> @annotax.jit
        ... def tiled(x, *, times: annotax.Static[int]):
        ...     return jnp.tile(x, times)
        >>> _ = tiled(jnp.ones(2), times=1), tiled(jnp.ones(3), times=1), tiled(jnp.ones(3), times=2)
        >>> print(tiled.traces)
        1. the first call
        2. x: float32[2] -> float32[3]
        3. times: 1 -> 2
    """

    def __init__(self, history: Callable[[], History | None]) -> None:
        self._history = history

    def _kept(self) -> list[Trace]:
        history = self._history()
        return [] if history is None else list(history.traces)

    @overload
    def __getitem__(self, index: int) -> Trace: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trace]: ...
    def __getitem__(self, index: int | slice) -> Trace | list[Trace]:
        return self._kept()[index]

    def __iter__(self) -> Iterator[Trace]:
        return iter(self._kept())

    def __len__(self) -> int:
        return len(self._kept())

    def __str__(self) -> str:
        return "\n".join(map(str, self._kept())) or "not traced yet"

    def __repr__(self) -> str:
        return f"<annotax.Traces: {self}>"


class History:
    """The traces of one compiled function.

    Attributes:
        traces: The last of them.
        limit: How many there may be, or `None`.
    """

    def __init__(self, contract: Contract, limit: int | None = None) -> None:
        self.contract = contract
        self.limit = limit
        self.traces: collections.deque[Trace] = collections.deque(maxlen=KEPT)
        self._seen: collections.OrderedDict[frozenset[tuple[str, Entry]], Signature] = collections.OrderedDict()
        self._count = 0
        self._lock = threading.Lock()

    def begin(self, slots: Sequence[Any]) -> Signature | None:
        """What a trace that begins depends on, or `None` if it is none: under `jax.disable_jit`, or seen before.

        Raises:
            TraceError: If there have been as many traces as may be.
        """
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # JAX makes its settings at run time
            return None
        signature = signature_of(self.contract, slots)
        with self._lock:
            if (
                frozenset(signature.items()) in self._seen
            ):  # `jax.clear_caches`, or a call that failed and is made again
                return None
            self._check_limit(signature)
        return signature

    def end(self, signature: Signature | None) -> None:
        """Record a trace that has succeeded.

        Raises:
            TraceError: As `begin`.
        """
        if signature is None:
            return
        with self._lock:
            key = frozenset(signature.items())
            if key in self._seen:
                return
            self._check_limit(signature)  # again: other threads may have been tracing too
            self._count += 1
            self.traces.append(Trace(self._count, self._because(signature)))
            self._seen[key] = signature
            while len(self._seen) > KEPT:
                self._seen.popitem(last=False)

    def _check_limit(self, signature: Signature) -> None:
        limit = self.limit
        if limit is None or self._count < limit:
            return
        raise TraceError(
            message(
                self.contract.where,
                f"traced once more, though max_traces={limit}",
                because="; ".join(self._because(signature)),
                expected=f"{limit} trace{'' if limit == 1 else 's'}; "
                "every other call has the shapes, dtypes and static values of one of them",
                fix="pad to one shape, trace what changes instead of marking it Static, or raise max_traces",
            )
        )

    def _because(self, signature: Signature) -> tuple[str, ...]:
        """What is new, against the trace that differs least, the latest of those."""
        changes = [differences(old, signature) for old in reversed(self._seen.values())]
        return min(changes, key=len) if changes else ("the first call",)


def signature_of(contract: Contract, slots: Sequence[Any]) -> Signature:
    """What a trace depends on, from the slots as the traced function sees them."""
    entries: dict[str, Entry] = {}
    for parameter, slot in zip(contract, slots, strict=True):
        for path, leaf in leaves_with_paths(parameter.name, slot):
            entries[path] = _entry(leaf)
        if may_hold_fields(parameter.hint):
            entries.update((path, _entry(value)) for path, value in _static_fields(parameter.name, slot))
            structure = cast("Any", jax.tree).structure(slot)
            text = str(structure).removeprefix("PyTreeDef(").removesuffix(")")
            entries[f"the structure of {parameter.name}"] = (
                _shortened(text),
                hash(structure) if is_hashable(structure) else hash(text),
            )
        if slot is None:
            entries[parameter.name] = ("None", 0)
    entries.update((f"jax option {name}", (str(value), 0)) for name, value in _options().items())
    return entries


def _without_article(text: str) -> str:
    return text.removeprefix("the ").removeprefix("an ").removeprefix("a ")


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _entry(leaf: Any) -> Entry:
    if is_tracer(leaf):
        return _text(jax.typeof(leaf)), 0
    return describe_constant(leaf), hash(Constant(leaf)) if is_hashable(leaf) else 0


@functools.lru_cache(maxsize=4096)  # a model has many leaves and few shapes
def _text(aval: Any) -> str:
    weak = " (weak)" if getattr(aval, "weak_type", False) else ""
    return f"{aval.str_short()}{weak}"


def _static_fields(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of dataclasses, at any depth, that are part of the structure."""

    def is_inside(part: Any) -> bool:
        return part is not value

    pairs = cast("Any", jax.tree_util).tree_flatten_with_path(value, is_leaf=is_inside)[0]
    if len(pairs) == 1 and pairs[0][1] is value:  # a leaf
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        children = {id(child) for _, child in pairs}
        for field in dataclasses.fields(value):
            static = getattr(value, field.name, None)
            if static is not None and id(static) not in children:
                yield f"{path}.{field.name}", static
    for keys, child in pairs:
        if not is_tracer(child):
            yield from _static_fields(path + jax.tree_util.keystr(keys), child)


def _options() -> dict[str, Any]:
    config: Any = jax.config
    names = ("jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
             "jax_debug_nans", "jax_debug_infs", "jax_default_device", "jax_default_prng_impl",
             "jax_threefry_partitionable", "jax_remove_size_one_mesh_axis_from_type")  # fmt: skip
    mesh: Any = jax.sharding.get_abstract_mesh()
    options = {name: getattr(config, name, None) for name in names}
    if mesh.empty:
        return options
    axes = zip(mesh.axis_names, mesh.axis_sizes, mesh.axis_types, strict=True)
    return {**options, "mesh": {name: f"{size} {kind.name}" for name, size, kind in axes}}


def differences(old: Signature, new: Signature) -> tuple[str, ...]:
    """What has changed from one trace to another, one line each."""
    lines: list[str] = []
    for path in {**old, **new}:
        before, after = old.get(path), new.get(path)
        if before == after or path.startswith("the structure of "):
            continue
        if before is None or after is None:
            entry = cast("Entry", before or after)
            lines.append(f"{path}: {entry[0]} is {'new' if before is None else 'gone'}")
        elif before[0] == after[0]:
            lines.append(f"{path}: {before[0]} -> another {_without_article(after[0])}")
        else:
            lines.append(f"{path}: {before[0]} -> {after[0]}")
    if not lines:  # what no path names: the order of keys, the class of a container, metadata of a class of its own
        changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
        lines += [f"{path}: {old.get(path, ('none',))[0]} -> {new.get(path, ('none',))[0]}" for path in changed]
    return tuple(lines)
