"""Which leaves of a tree are trained: `mask` says it, `partition` splits the tree by it, `combine` joins it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import jax

from annotax._errors import AnnotaxError, DifferentiationError, message
from annotax._fields import outline, place_at
from annotax._paths import Path, parse_relative
from annotax._tracebacks import shortens
from annotax._tree import describe, flatten, is_differentiable

T = TypeVar("T")


@shortens
def mask(tree: T, *, wrt: str | Sequence[str] | None = None) -> T:
    """Which leaves of a tree have a gradient: the tree with `True` at those and `False` at the others.

    A leaf has none if it is under a field marked `NoDiff`, or if it is no floating-point array or number. What
    `optax.masked` takes for its mask.

    Arguments:
        tree: A model, or any pytree.
        wrt: Only what is at these paths, as in `"layers[0].bias"`: leaves, or whole subtrees. A path that ends at a
            `NoDiff` field wins over the marker.

    Returns:
        A tree of booleans with the structure of the given one.

    Raises:
        DifferentiationError: If a path leads nowhere, or to nothing that has a gradient.
        MarkerError: If a class in the tree has markers that cannot be honoured.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> annotax.mask({"w": jnp.ones(2), "step": jnp.array(3)})
        {'step': False, 'w': True}
    """
    leaves, structure = flatten(tree)
    return cast("T", structure.unflatten(_trained(tree, leaves, wrt, "mask")))


@shortens
def partition(tree: T, *, wrt: str | Sequence[str] | None = None) -> tuple[T, T]:
    """Split a tree into what is trained and the rest.

    Arguments:
        tree: A model, or any pytree.
        wrt: As in `annotax.mask`.

    Returns:
        Two trees like the given one, with `None` where a leaf is in the other one. The first has the structure of the
        gradient that `annotax.grad` gives of such an argument. `annotax.combine` joins them.

    Raises:
        DifferentiationError: As `annotax.mask`.
        MarkerError: As `annotax.mask`.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> trained, rest = annotax.partition({"w": 1.5, "name": "a"})
        >>> trained, rest
        ({'name': None, 'w': 1.5}, {'name': 'a', 'w': None})
    """
    leaves, structure = flatten(tree)
    trained = _trained(tree, leaves, wrt, "partition")
    first = [leaf if is_trained else None for leaf, is_trained in zip(leaves, trained, strict=True)]
    second = [None if is_trained else leaf for leaf, is_trained in zip(leaves, trained, strict=True)]
    return structure.unflatten(first), structure.unflatten(second)


@shortens
def combine(*trees: T) -> T:
    """Join what `annotax.partition` has split.

    Arguments:
        trees: Trees of one structure, with `None` at leaves that are in another one.

    Returns:
        The tree with, at each place, the first leaf that is not `None`.

    Raises:
        AnnotaxError: If the trees are not of one structure.

    Examples:
        >>> import annotax
        >>> annotax.combine({"w": 1.5, "name": None}, {"w": None, "name": "a"})
        {'name': 'a', 'w': 1.5}
    """
    if not trees:
        raise AnnotaxError(
            message("annotax.combine", "there is nothing to combine", fix="pass what annotax.partition has returned")
        )
    # Walked anew each time: to find a plan kept for two structures they would be compared, which takes longer.
    leaves, structure = cast("Any", jax.tree).flatten(trees[0], is_leaf=_is_none)
    for tree in trees[1:]:
        try:
            others = structure.flatten_up_to(tree)
        except ValueError as error:
            problem = str(error)
            break
        leaves = [other if leaf is None else leaf for leaf, other in zip(leaves, others, strict=True)]
    else:
        return cast("T", structure.unflatten(leaves))
    raise AnnotaxError(
        message(
            "annotax.combine",
            "the trees are not of one structure",
            got=problem,
            fix="pass what annotax.partition made of one tree",
        )
    )


def _is_none(part: Any) -> bool:
    return part is None


def _trained(tree: Any, leaves: Sequence[Any], wrt: str | Sequence[str] | None, name: str) -> list[bool]:
    """For each leaf whether it is trained."""
    found = outline(tree)
    takes = list(map(is_differentiable, leaves))
    constants = found.constants(leaves)
    if constants is not None:
        takes = [takes and not constant for takes, constant in zip(takes, constants, strict=True)]
    if wrt is None:
        if found.frozen is None:
            return takes
        return [takes and not frozen for takes, frozen in zip(takes, found.frozen, strict=True)]
    chosen = [False] * len(leaves)
    for path in (wrt,) if isinstance(wrt, str) else wrt:
        node = place_at(_path(path, name), tree, f"annotax.{name}", "", f"{name}(wrt=...)", DifferentiationError)
        frozen = zip(range(node.start, node.stop), found.frozen_below(node), strict=True)
        selected = [i for i, is_frozen in frozen if takes[i] and not is_frozen]
        if not selected:
            raise DifferentiationError(
                message(
                    f"annotax.{name}",
                    f"nothing at {path} has a gradient",
                    got=", ".join(describe(leaf) for leaf in leaves[node.start : node.stop]) or "no leaves",
                    expected="floating-point arrays or numbers",
                    fix="leave the path out",
                )
            )
        for i in selected:
            chosen[i] = True
    return chosen


def _path(path: str, name: str) -> Path:
    try:
        return parse_relative(path)
    except ValueError as error:
        problem = str(error)
    raise DifferentiationError(
        message(f"annotax.{name}", f"{name}(wrt=...) takes paths", got=problem, fix="write one as 'layers[0].bias'")
    )
