"""Paths into arguments, as a person writes them: `model.layers[0].bias`, `batch['x']`."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax


@dataclass(frozen=True, slots=True)
class Attribute:
    """The step `.name`."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class Item:
    """The step `[key]`."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


Step: TypeAlias = Attribute | Item
Path: TypeAlias = tuple[Step, ...]


def parse(text: str) -> tuple[str, Path]:
    """The name at which a path starts, and its steps.

    Raises:
        ValueError: If the text is no path.
    """
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
        steps: list[Step] = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                steps.append(Attribute(node.attr))
            elif isinstance(node, ast.Subscript):
                if not isinstance(node.slice, (ast.Constant, ast.UnaryOp, ast.Tuple)):
                    raise ValueError("between brackets stands no number and no string")
                steps.append(Item(ast.literal_eval(node.slice)))
            else:
                raise ValueError("it has something else than names, .names and [keys]")
            node = node.value
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"{text!r} is no path such as 'model.layers[0].bias': {why}") from None
    return node.id, tuple(reversed(steps))


def parse_relative(text: str) -> Path:
    """The steps of a path that starts at a value, which has no name: `layers[0].bias`, `[0].bias`.

    Raises:
        ValueError: If the text is no path.
    """
    text = text.strip()
    try:
        return parse(f"_{text}" if text[:1] in (".", "[") else f"_.{text}")[1]
    except ValueError:
        raise ValueError(f"{text!r} is no path such as 'layers[0].bias'") from None


def show(path: Path) -> str:
    """The path as a person writes it after the name of an argument."""
    return "".join(map(str, path))


def as_step(key: Any) -> Step:
    """One entry of JAX's key paths."""
    if isinstance(key, jax.tree_util.GetAttrKey):
        return Attribute(key.name)
    if isinstance(key, jax.tree_util.SequenceKey):
        return Item(key.idx)
    if isinstance(key, (jax.tree_util.DictKey, jax.tree_util.FlattenedIndexKey)):
        return Item(key.key)
    return Item(key)
