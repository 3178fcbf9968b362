"""Models: a class of each of several libraries, and what the markers on their fields mean for the leaves below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import jax
from jax import Array
from jax.sharding import PartitionSpec as P

import annotax
from annotax import Axis, NoDiff, Static

try:
    import equinox
    import flax.struct
except ImportError:  # the models of these libraries are not drawn then
    equinox = flax = None


@annotax.pytree
class Ours:
    """A model of annotax."""

    w: Array
    basis: NoDiff[Array]
    shared: Annotated[Array, Axis(None)]
    columns: Annotated[Array, Axis(1), P(None, "data")]
    name: Static[str] = "ours"


class Named(NamedTuple):
    """A named tuple."""

    w: Array
    columns: Annotated[Array, Axis(1), P(None, "data")]
    basis: NoDiff[Array]
    shared: Annotated[Array, Axis(None)]


MODELS: dict[str, Any] = {"Ours": Ours, "Named": Named}
"""The classes, by name."""

if equinox is not None:

    class Module(equinox.Module):
        """A model of Equinox."""

        w: Array
        basis: NoDiff[Array]
        activation: Any
        shared: Annotated[Array, Axis(None)]
        columns: Annotated[Array, Axis(1), P(None, "data")]
        name: str = equinox.field(static=True, default="module")

    @flax.struct.dataclass
    class Struct:
        """A model of Flax."""

        columns: Annotated[Array, Axis(1), P(None, "data")]
        w: Array
        basis: Annotated[Array, NoDiff]
        shared: Annotated[Array, Axis(None)]
        name: str = flax.struct.field(pytree_node=False, default="struct")

    MODELS |= {"Module": Module, "Struct": Struct}

FROZEN = {"basis"}
AXES = {"shared": None, "columns": 1}
LAYOUTS = {"columns": P(None, "data")}


def fields_of(path: Sequence[Any]) -> list[str]:
    """The fields on the way to a leaf, the nearest first."""
    return [key.name for key in reversed(path) if isinstance(key, jax.tree_util.GetAttrKey)]
