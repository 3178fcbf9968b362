"""Values that cases pass, the hints and markers that stand beside them, and what drawn sources can name."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Float, Int, Key

import annotax
from tests.oracle.models import AXES, MODELS, fields_of


@dataclass(frozen=True)
class Form:
    """A way to write a value.

    Attributes:
        text: Source, in which `{x}` becomes a number and `{n}` a positive integer.
        constant: Whether the value compares and hashes by value, so that it may be marked static.
    """

    text: str
    constant: bool = False


@dataclass(frozen=True)
class Batch:
    """An axis that a value has more than a single example.

    Attributes:
        axis: Where it is; `None` for only those leaves of which a field of a model says something else.
        size: How long it is.
        whole: Whether leaves of rank 0 have it.
        by_fields: Whether fields of models decide for themselves.
    """

    axis: int | None
    size: int
    whole: bool = True
    by_fields: bool = True

    def text(self, value: str) -> str:
        options = [f", {name}=False" for name in ("whole", "by_fields") if not getattr(self, name)]
        return f"batched({value}, {self.axis}, {self.size}{''.join(options)})"


@dataclass(frozen=True)
class Value:
    """One value. It is made anew for each call, since a call may donate it.

    Attributes:
        form: How it is written.
        seed: Its numbers.
        batches: Axes that it has more than the form, the innermost first.
    """

    form: Form
    seed: int
    batches: tuple[Batch, ...] = ()

    @property
    def text(self) -> str:
        example = self.form.text.format(x=(self.seed * 37 % 100 + 5) / 100, n=self.seed + 1)
        return functools.reduce(lambda text, batch: batch.text(text), self.batches, example)

    def make(self) -> Any:
        return eval(self.text, NAMESPACE)

    def moved(self) -> Value:
        """Another value of the same form, of the same type, shape and structure."""
        return dataclasses.replace(self, seed=self.seed + 51)


@dataclass(frozen=True)
class Hint:
    """What may stand behind a parameter's colon, and what may be passed for it.

    Attributes:
        text: Source; empty for a parameter without a hint.
        forms: Ways to write its values.
        static: Whether its values can never be traced.
        differentiable: Whether its values may have a gradient, as far as the hint tells.
    """

    text: str
    forms: tuple[Form, ...]
    static: bool = False
    differentiable: bool = True

    @property
    def constants(self) -> tuple[Form, ...]:
        return tuple(form for form in self.forms if form.constant)


VECTOR = Form("jnp.array([{x}, 1.0, -{x}, 0.5], jnp.float32)")
INTEGERS = Form("jnp.array([{n}, 2], jnp.int32)")

W, BASIS, SHARED, COLUMNS = (
    "w=dict(a=jnp.array([{x}, 0.5]))",
    "basis=jnp.array([{x}, 1.5])",
    "shared=jnp.float32({x})",
    "columns=jnp.array([[{x}, 0.7]])",
)
FORMS_OF_MODELS = [
    f"{name}({W}, {BASIS}, {SHARED}, {COLUMNS}{', activation=jnp.tanh' if name == 'Module' else ''})" for name in MODELS
]

DIFFERENTIABLE = (
    Hint("Array", (VECTOR, Form("jnp.float32({x})"), Form("jnp.asarray({x})"), Form("jnp.array([{x}], jnp.float16)"))),
    Hint('Float[Array, "..."]', (VECTOR, Form("jnp.full((2, 2), {x}, jnp.float32)"))),
    Hint("float", (Form("{x}", constant=True), Form("jnp.asarray({x})"), Form("np.float32({x})"))),
    Hint(
        "dict[str, dict[str, Array]]",
        (
            Form("dict(out=dict(w=jnp.array([{x}, 0.5]), b=jnp.float32({x})), hidden=dict(w=jnp.array([[{x}]])))"),
            Form("dict(hidden=dict(w=jnp.array([{x}, 2.0]), steps=jnp.array([{n}, 3])))"),
        ),
    ),
    Hint(" | ".join(MODELS), tuple(map(Form, FORMS_OF_MODELS))),
    Hint(f"dict[str, list[{' | '.join(MODELS)}]]", tuple(Form(f"dict(a=[{text}])") for text in FORMS_OF_MODELS)),
)
"""Hints whose values mostly have a gradient; those of `HINTS` may have one, or none."""

HINTS = (
    *DIFFERENTIABLE,
    Hint("int", (Form("{n}", constant=True), Form("jnp.int32({n})")), differentiable=False),
    Hint("bool", (Form("{n} % 2 == 0", constant=True),), differentiable=False),
    Hint('Int[Array, "..."]', (INTEGERS,), differentiable=False),
    Hint("Array", (INTEGERS,)),
    Hint("np.ndarray", (Form("np.array([{x}, 0.5], np.float32)"),)),
    Hint('Key[Array, ""]', (Form("jax.random.key({n})"),), differentiable=False),
    Hint("tuple[Array, ...]", (Form("(jnp.array([{x}]), jnp.float32({x}))"), Form("()", constant=True))),
    Hint("float", (Form("{n}", constant=True),)),
    Hint("Array | None", (Form("None", constant=True), VECTOR)),
    Hint(
        "dict[str, Any]",
        (
            Form("dict(act='s{n}', w=jnp.array([{x}]), deep=[({x}, None), {n}], key=jax.random.key({n}))"),
            Form("dict(act=(jnp.sin, jnp.tanh)[{n} % 2], w=jnp.array([{x}]))"),
            Form("dict()"),
        ),
    ),
    Hint("str", (Form("'s{n}'", constant=True),), static=True),
    Hint("Literal['sum', 'mean', 1, 2]", (Form("('sum', 'mean', 1, 2)[{n} % 4]", constant=True),), static=True),
    Hint("Mode", (Form("list(Mode)[{n} % 2]", constant=True),), static=True),
    Hint("np.dtype", (Form("np.dtype(('float32', 'int8')[{n} % 2])", constant=True),), static=True),
    Hint("type", (Form("(float, int)[{n} % 2]", constant=True),), static=True),
    Hint("bytes", (Form("bytes([{n}])", constant=True),), static=True),
    Hint("Config", (Form("Config({n}, name='s{n}')", constant=True),)),
    Hint("tuple[Any, ...]", (Form("({n}, 's{n}', None)", constant=True), Form("(jnp.float32({x}), Config({n}))"))),
    Hint(
        "Callable[[Any], Any]",
        (
            Form("(jnp.sin, jnp.tanh)[{n} % 2]", constant=True),
            Form("(halved, thirded)[{n} % 2]", constant=True),
            Form("Partial(scaled, jnp.array({x}))"),
        ),
        static=True,
    ),
    Hint("", (VECTOR, Form("{x}", constant=True), Form("{n}", constant=True), Form("'s{n}'", constant=True))),
)

MARKERS: tuple[tuple[str, ...], ...] = (
    (),
    ("NoDiff",),
    ("Diff",),
    ("Donate",),
    ("Static",),
    ("NoDiff", "Donate"),
    ("Donate", "Diff"),
    ("Static", "NoDiff"),
    ("Diff", "Diff"),
)
"""Markers that do not contradict each other."""

CONTRADICTIONS = (
    ("Static", "Donate"),
    ("Static", "Diff"),
    ("NoDiff", "Diff"),
    ("Static", "Axis"),
    ("Static", "data"),  # what every layout speaks of
)
"""Markers that do."""

MESHES = {
    name: jax.make_mesh((size,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:size])
    for name, size in (("mesh", 1), ("mesh_of_two", 2))
    if size <= jax.device_count()
}
"""What `shard_map` maps over, and `jit` lays arrays out on; on one device all is possible that the rank allows."""


class Mode(enum.Enum):
    """What an enum among the values is a member of."""

    SLOW = "slow"
    FAST = "fast"


@dataclass(frozen=True)
class Config:
    """What a frozen dataclass among the values is."""

    depth: int
    name: str = "config"


def scaled(by: Any, x: Any) -> Any:
    """What a `Partial` among the values calls."""
    return by * x


halved, thirded = functools.partial(scaled, 1 / 2), functools.partial(scaled, 1 / 3)
"""Partials that are the same in every call, since they compare by identity."""


def is_traceable(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct))


def is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, float) or jnp.issubdtype(getattr(leaf, "dtype", np.str_), jnp.floating)


def is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(getattr(leaf, "dtype", np.str_), jax.dtypes.prng_key))


def batched(value: Any, axis: int | None, size: int, *, whole: bool = True, by_fields: bool = True) -> Any:
    """A batch of examples like a value, each with other numbers, as a `Batch` says."""

    def batch(path: Any, leaf: Any) -> Any:
        said = [AXES[name] for name in fields_of(path) if name in AXES] if by_fields else []
        at = said[0] if said else axis
        if at is None or not is_traceable(leaf) or not (whole or said or np.ndim(leaf)):
            return leaf
        rank = np.ndim(leaf)
        stack = np.stack if isinstance(leaf, np.ndarray) else jnp.stack
        return stack([_example(leaf, i) for i in range(size)], at if -rank - 1 <= at <= rank else 0)

    return jax.tree_util.tree_map_with_path(batch, value)


def _example(leaf: Any, i: int) -> Any:
    if is_key(leaf):
        return jax.random.wrap_key_data(jax.random.key_data(leaf) + i)
    if is_differentiable(leaf):
        return leaf * getattr(leaf, "dtype", np.dtype(np.float32)).type(1 + 0.15 * i)
    is_bool = np.asarray(leaf).dtype == np.bool_
    return leaf ^ bool(i % 2) if is_bool else leaf + i


def holds_arrays(value: Any) -> bool:
    """Whether there is an array in a value."""
    return any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(value))


def mix(*slots: Any) -> Any:
    """A scalar that depends on every leaf of every slot, in another way for each place, so that no two can be swapped.

    Each gradient depends on all the other slots. It is written in few operations of `lax`, which is what a case costs.
    """
    total: Any = jnp.float32(0.8)
    for i, slot in enumerate(slots):
        for j, leaf in enumerate(jax.tree.leaves(slot, is_leaf=callable)):
            factor = 0.3 + 0.11 * i + 0.07 * j
            if isinstance(leaf, (str, bytes, Mode, Config, np.dtype)):
                term = np.float32(factor * sum(map(ord, str(leaf))))
            elif callable(leaf):
                term = jax.lax.convert_element_type(leaf(factor), np.float32)
            else:
                leaf = jax.random.key_data(leaf) if is_key(leaf) else leaf
                scaled = jax.lax.mul(jax.lax.convert_element_type(leaf, np.float32), np.float32(factor))
                term = jax.lax.reduce_sum(jax.lax.sin(scaled), range(np.ndim(leaf)))
            total = jax.lax.add(total, term)
    return jax.lax.add(jax.lax.mul(jax.lax.sin(total), np.float32(0.4)), np.float32(1.5))


def echo(*slots: Any) -> list[jax.Array]:
    """Every array changed a little, so that there is something for a donated buffer to be reused for."""
    numbers = [leaf for leaf in jax.tree.leaves(slots) if jnp.issubdtype(getattr(leaf, "dtype", np.str_), np.number)]
    return [jnp.multiply(leaf, i + 2) for i, leaf in enumerate(numbers)]


NAMESPACE: dict[str, Any] = {
    "Annotated": Annotated,
    "Any": Any,
    "Array": jax.Array,
    "Callable": Callable,
    "Config": Config,
    "Float": Float,
    "Int": Int,
    "Key": Key,
    "Literal": Literal,
    "Mode": Mode,
    "Partial": jax.tree_util.Partial,
    "P": PartitionSpec,
    "annotax": annotax,
    "batched": batched,
    "echo": echo,
    "halved": halved,
    "jax": jax,
    "jnp": jnp,
    "mix": mix,
    "np": np,
    "scaled": scaled,
    "thirded": thirded,
    **MESHES,
    **MODELS,
    **{name: getattr(annotax, name) for name in ("Aux", "Axis", "Diff", "Donate", "NoDiff", "Static")},
}
"""What drawn sources can name; no parameter has one of these names."""

NAMES = ("a", "b", "args", "kwargs", "f", "call", "core", "slots", "error", "match", "_annotax_call", "übung", "self_")
KEYWORDS = ("k", "j", "class", "not a name", "value")


def described(value: Any) -> list[str]:
    """Each leaf of a value: where it is, what it is, and what it is to JAX, but not its numbers."""
    return [f"{jax.tree_util.keystr(path)}: {_described(leaf)}" for path, leaf in jax.tree.leaves_with_path(value)]


def _described(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return f"{type(leaf).__name__} {leaf if isinstance(leaf, str) else ''}"
    weak = " weak" if getattr(leaf, "weak_type", False) else ""
    return f"{type(leaf).__name__} {leaf.dtype}{list(np.shape(leaf))}{weak}"
