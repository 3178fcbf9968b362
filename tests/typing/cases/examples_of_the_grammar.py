"""Every form of expectation once, on plain Python; `tests/typing/expectations.py` describes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload, reveal_type

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


def scale(x: int, *, n: int = 2) -> str:
    return str(x * n)


def positional(x: int, /, y: str = "a", *rest: float) -> None: ...


def same(value: T) -> T:
    return value


def paired(function: Callable[P, R]) -> Callable[P, tuple[R, int]]:
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> tuple[R, int]:
        return function(*args, **kwargs), 1

    return wrapped


def without_first(function: Callable[Concatenate[int, P], R]) -> Callable[P, R]:
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(0, *args, **kwargs)

    return wrapped


@overload
def either(x: int) -> str: ...
@overload
def either(x: str) -> int: ...
def either(x: int | str) -> int | str:
    return str(x) if isinstance(x, int) else len(x)


class Box(Generic[T]):
    """A value in a box."""

    def __init__(self, value: T) -> None:
        self.value = value

    def get(self, times: int = 1) -> T:
        reveal_type(times)  # type: int
        return self.value

    @classmethod
    def of(cls, value: T) -> Box[T]:
        return cls(value)

    @property
    def names(self) -> list[str]:
        return []


# Functions: defaults are dots, positional-only parameters have no name, unions are sorted.
reveal_type(scale)  # type: (x: int, *, n: int = ...) -> str
reveal_type(scale(1))  # type: str
reveal_type(positional)  # type: (int, y: str = ..., *rest: float) -> None
reveal_type(either)  # type: Overload[(x: int) -> str, (x: str) -> int]
reveal_type(either("a"))  # type: int

# Generic functions, and decorators that keep or change a signature.
reveal_type(same)  # type: (value: T) -> T
reveal_type(same(1))  # type: int; ty: Literal[1]
reveal_type(paired(scale))  # type: (x: int, *, n: int = ...) -> tuple[str, int]
reveal_type(without_first(scale))  # type: (*, n: int = ...) -> str
reveal_type(paired)  # type: (function: (**P) -> R) -> (**P) -> tuple[R, int]

# Classes.
reveal_type(Box("a"))  # type: Box[str]
reveal_type(Box(scale))  # type: Box[(x: int, *, n: int = ...) -> str]
reveal_type(Box("a").get)  # type: (times: int = ...) -> str
reveal_type(Box("a").names)  # type: list[str]
reveal_type(Box)  # type: type[Box[Unknown]]; mypy, plugin: (value: T) -> Box[T]; ty: type[Box]; pyrefly: type[Box]

# Errors, in every run or in some, with a text or without one.
scale("a")  # error
scale("a")  # error "int"
scale(
    1,
    m=3,  # error: mypy "Unexpected keyword argument", plugin, pyright, ty, pyrefly "Unexpected keyword"
)
reveal_type(scale("a"))  # type: str # error


def keep(x: Any) -> Callable[..., Any]: ...  # error: mypy, plugin, ty


@paired
@without_first  # error
def no_first(x: str) -> int:
    return len(x)


value: int | None = None
lines = [
    value + 1,  # error: mypy, plugin, pyright, ty, pyrefly "None"
]
untyped: Any = 1
untyped.anything()


def bare(x) -> None: ...  # error: mypy, plugin, pyright
