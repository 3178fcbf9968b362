"""What the reference shows of names that are objects: `mkdocs.yml` hands this to griffe, which reads the source.

In the source `annotax.jit` is an attribute, an instance of a class whose docstring is the documentation, and a marker
is one of two things, the one that type checkers see among them. The objects themselves know better, so they are asked.
"""

from __future__ import annotations

import inspect
from typing import Any

import griffe

import annotax


class Objects(griffe.Extension):
    """Gives every public object the docstring, and every decorator the signature, that `help()` shows."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Replace what was read from the source of annotax."""
        if pkg.name != "annotax":
            return
        for name in annotax.__all__:
            value = getattr(annotax, name)
            if isinstance(value, annotax.Transform):
                pkg.set_member(name, _decorator(name, value, pkg))
            elif isinstance(value, annotax.Marker):
                pkg.set_member(name, griffe.Attribute(name, docstring=_docstring(value), parent=pkg))


def _docstring(value: object) -> griffe.Docstring:
    return griffe.Docstring(inspect.getdoc(value) or "")


def _default(value: object) -> str | None:
    """A default as a signature shows it: what only annotax can make, such as `<from markers>`, as three dots."""
    if value is inspect.Parameter.empty:
        return None
    return "..." if repr(value).startswith("<") else repr(value)


def _decorator(name: str, value: Any, package: griffe.Module) -> griffe.Function:
    parameters = griffe.Parameters(
        *(
            griffe.Parameter(
                parameter.name,
                annotation=parameter.annotation if isinstance(parameter.annotation, str) else None,
                kind=griffe.ParameterKind(parameter.kind.description),
                default=_default(parameter.default),
            )
            for parameter in inspect.signature(value).parameters.values()
        )
    )
    return griffe.Function(name, parameters=parameters, docstring=_docstring(value), parent=package)
