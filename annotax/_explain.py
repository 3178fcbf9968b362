"""`explain`: what each transform of a pipeline hands to JAX, by parameter name, and what was inferred and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter as SignatureParameter
from typing import Any, TypeAlias

from annotax._contract import Contract, Role
from annotax._errors import AnnotaxError
from annotax._hints import show
from annotax._transform import Pipeline, pipeline_of

Row: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; `str()` of it is the text that `explain` prints.

    Attributes:
        title: The function with its parameters, and where it is defined.
        rows: Lines of three columns: a transform or a parameter, what it gets, and why.
    """

    title: str
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        widths = [max(len(row[column]) for row in self.rows) for column in (0, 1)]
        lines = (f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in self.rows)
        return "\n".join([self.title, "", *lines])

    def __repr__(self) -> str:
        return f"<annotax.Explanation of {self.title}>"


def explain(function: Callable[..., Any]) -> Explanation:
    """Print, for each transform of a pipeline, what JAX is given, and what was inferred and why.

    Positions are those of the signature, one for each parameter, as the core of a function has them.

    Arguments:
        function: A function that annotax has decorated.

    Returns:
        What was printed.

    Raises:
        AnnotaxError: If no annotax decorator made the function.

    Example:
        >>> import annotax, jax
        >>> @annotax.jit
        ... def scale(x: jax.Array, by: str, *, times: annotax.Static[int] = 2) -> jax.Array:
        ...     return x * times
        >>> _ = annotax.explain(scale)  # doctest: +ELLIPSIS
        scale(x, by, *, times=2), defined at ...
        <BLANKLINE>
        jit    static_argnums=(1, 2)  by, times
               donate_argnums=()
        <BLANKLINE>
        x      Array                  traced
        by     str                    Static, inferred: str can never be traced
        times  int                    Static
    """
    pipeline = pipeline_of(function)
    if pipeline is None:
        name = getattr(function, "__qualname__", repr(function))
        raise AnnotaxError(
            f"explain(): {name} has no annotax transforms.\n"
            "  fix  Decorate it first, as in annotax.explain(annotax.jit(f))."
        )
    explanation = _explanation(pipeline)
    print(explanation)
    return explanation


def _explanation(pipeline: Pipeline) -> Explanation:
    contract = pipeline.require_contract()
    title = f"{contract.where.rpartition('.')[2]}{_signature(pipeline)}, defined at {contract.source}"
    return Explanation(title, (*_transform_rows(pipeline), *_parameter_rows(contract), *_inferred_rows(pipeline)))


def _signature(pipeline: Pipeline) -> str:
    """The parameters without their hints, which the rows below show; arrays among the defaults in short."""
    signature = pipeline.callee.signature
    parameters = [
        p.replace(annotation=SignatureParameter.empty, default=p.default if _is_short(p.default) else _LONG)
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=SignatureParameter.empty))


class _Long:
    """Stands for a default that would not fit on the line."""

    def __repr__(self) -> str:
        return "..."


_LONG = _Long()


def _is_short(default: Any) -> bool:
    return default is SignatureParameter.empty or isinstance(default, (bool, int, float, complex, str, type(None)))


def _transform_rows(pipeline: Pipeline) -> Iterator[Row]:
    """What JAX is given: the very arguments that the transform passes on, with indices read as names."""
    for step, contract in reversed(list(pipeline.contracts(build=True))):
        name = getattr(step, "name", type(step).__name__)
        for option, value in step.given(contract).items():
            yield name, f"{option}={value!r}", ", ".join(_names(contract, option, value))
            name = ""
        if name:
            yield name, "", ""
    yield "", "", ""


def _names(contract: Contract, option: str, value: Any) -> Iterator[str]:
    if option.endswith("argnums"):
        for index in (value,) if isinstance(value, int) else value:
            yield contract.parameters[index].name


def _parameter_rows(contract: Contract) -> Iterator[Row]:
    for parameter in contract:
        roles = "; ".join(map(_role, parameter.roles))
        yield parameter.name, show(parameter.hint), roles or "traced"
    for i, component in enumerate(contract.result.components or ()):
        for role in component.roles:
            yield f"result[{i}]", show(component.hint), _role(role)


def _role(role: Role) -> str:
    if role.why == f"marked {role.marker!r}":  # it says so itself
        return repr(role.marker)
    return f"{role.marker!r}, {'inferred: ' if role.inferred else ''}{role.why}"


def _inferred_rows(pipeline: Pipeline) -> Iterator[Row]:
    """What calls have shown so far: values that are static because they cannot be traced."""
    for path, why in pipeline.found.items():
        yield path, "", f"Static, inferred: {why}"
