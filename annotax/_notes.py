"""Notes on JAX's own exceptions: which parameter they speak of, and what to write, where JAX does not say.

The exception itself passes through untouched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import Parameter as SignatureParameter
from typing import Any, cast, get_origin

import jax
import numpy as np

from annotax._contract import Contract, Parameter
from annotax._errors import AnnotaxError, listed, message
from annotax._hints import show, without_metadata
from annotax._markers import Static
from annotax._tree import is_traceable, is_tracer, leaves_with_paths


def explain_error(error: Exception, contract: Contract, slots: Sequence[Any]) -> None:
    """Add to an error of JAX what annotax knows, once.

    Arguments:
        error: It.
        contract: Of the function that was called.
        slots: The values of the call.
    """
    if isinstance(error, AnnotaxError):
        return
    for note in (_deleted, _donated_twice, _not_concrete, _not_real, _no_scalar):
        try:
            text = note(error, contract, slots)
        except Exception:  # what cannot be explained is no reason to hide the error
            continue
        # A function that calls another one sees the error after it; the innermost knows best.
        if text is not None and not any("  fix  " in known for known in getattr(error, "__notes__", ())):
            error.add_note(text)


def _deleted(error: Exception, contract: Contract, slots: Sequence[Any]) -> str | None:
    """Name the arguments whose arrays are gone, most likely donated to an earlier call."""
    gone = [
        path
        for parameter, slot in zip(contract, slots, strict=True)
        for path, leaf in leaves_with_paths(parameter.name, slot)
        if isinstance(leaf, jax.Array) and not is_tracer(leaf) and leaf.is_deleted()
    ]
    if not gone:
        return None
    return message(
        contract.where,
        f"deleted before this call, by a donation it seems: {listed(gone)}",
        fix="use what that call returned, or drop Donate there",
    )


def _donated_twice(error: Exception, contract: Contract, slots: Sequence[Any]) -> str | None:
    """Name the arguments that are one array."""
    if "donate the same buffer twice" not in str(error):
        return None
    paths: dict[int, list[str]] = {}
    for parameter, slot in zip(contract, slots, strict=True):
        for path, leaf in leaves_with_paths(parameter.name, slot):
            if isinstance(leaf, jax.Array) and not is_tracer(leaf):
                paths.setdefault(id(leaf), []).append(path)
    twice = [" and ".join(same) for same in paths.values() if len(same) > 1]
    if not twice:
        return None
    return message(
        contract.where,
        f"one array is donated twice, as {'; as '.join(twice)}",
        fix="pass a copy, jnp.copy(x), or drop Donate from all but one",
    )


_ARGUMENTS = re.compile(
    r"tracing the function (\S+) at .*? depends on the values? of the arguments? (.+?)\.?\n", re.DOTALL
)
_NEEDS_VALUE = ("Shapes must be 1D sequences of concrete values", "Attempted boolean conversion")


def _not_concrete(error: Exception, contract: Contract, slots: Sequence[Any]) -> str | None:
    """Name the parameters that were used where Python needs a value: as an `if`, an index, a shape."""
    kinds = (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError,
             jax.errors.TracerArrayConversionError)  # fmt: skip
    text = str(error)
    if isinstance(error, jax.errors.NonConcreteBooleanIndexError):
        return message(
            contract.where,
            "the size of a traced array would depend on the values of a mask",
            fix="keep the size, by jnp.where(mask, x, 0), or give it, by x[jnp.where(mask, size=n)]",
        )
    if not isinstance(error, kinds) and not text.startswith(_NEEDS_VALUE):
        return None
    told = _ARGUMENTS.search(f"{text}\n")
    pairs = list(zip(contract, slots, strict=True))
    if told is not None:
        if told[1] != contract.where.rpartition(".")[2]:  # of a function inside this one
            return None
        named = set(re.findall(r"[^\W\d]\w*", told[2]))
        pairs = [(parameter, slot) for parameter, slot in pairs if parameter.name in named]
    else:  # JAX cannot tell, as under `vmap`: whatever is meant to be a Python number
        pairs = [(parameter, slot) for parameter, slot in pairs if _is_meant_for_python(parameter)]
    traced = [(parameter, slot) for parameter, slot in pairs if parameter.role(Static) is None]
    if not traced:
        return None
    names = " and ".join(parameter.name for parameter, _ in traced)
    are_used = f"arguments {names} are used" if len(traced) > 1 else f"argument {names} is used"
    can_be_static = [(parameter, slot) for parameter, slot in traced if _is_whole_number(slot)]
    marked = ", ".join(f"`{p.name}: Static[{_hint(p, s)}]`" for p, s in can_be_static)
    instead = "choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop"
    return message(
        contract.where,
        f"the traced {are_used} where Python needs a value",
        fix=f"mark {marked}, which compiles once for each value; or {instead}" if marked else instead,
    )


def _is_meant_for_python(parameter: Parameter) -> bool:
    default = parameter.default
    by_hint = without_metadata(parameter.hint) in (int, bool)
    return by_hint or (default is not SignatureParameter.empty and isinstance(default, int))


def _is_whole_number(slot: Any) -> bool:
    if isinstance(slot, (tuple, list)):
        return all(map(_is_whole_number, cast("Any", slot)))
    if not is_traceable(slot) or np.ndim(slot):
        return False
    dtype = np.result_type(slot)
    return bool(np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.bool_))


def _hint(parameter: Parameter, slot: Any) -> str:
    hint = without_metadata(parameter.hint)
    if isinstance(slot, (tuple, list)):
        return show(hint) if get_origin(hint) is tuple else "tuple[int, ...]"
    return show(hint) if hint in (int, bool) else "int"


_NOT_REAL = re.compile(r"(\w+) requires real-valued inputs .*?, but got (complex\w*)", re.DOTALL)


def _not_real(error: Exception, contract: Contract, slots: Sequence[Any]) -> str | None:
    """Name the complex arguments of a derivative."""
    told = _NOT_REAL.match(str(error))
    pairs = [pair for p, slot in zip(contract, slots, strict=True) for pair in leaves_with_paths(p.name, slot)]
    paths = [path for path, leaf in pairs if is_traceable(leaf) and np.iscomplexobj(leaf)]
    if told is None or not paths:
        return None
    return message(
        contract.where,
        f"{told[1]} cannot differentiate by {listed(paths)}, which {'is' if len(paths) == 1 else 'are'} complex",
        fix="pass holomorphic=True if the function is, or mark the parameter NoDiff",
    )


_NO_SCALAR = re.compile(r"Gradient only defined for scalar-output functions\. Output (.*)", re.DOTALL)


def _no_array(told: str) -> str:
    """What JAX says that the output was, without its values."""
    got = told.strip().removeprefix("was ")
    kinds = {"(": "a tuple", "[": "a list", "{": "a dict"}
    return kinds.get(got[:1], got.partition("\n")[0].removesuffix("."))


_NO_FLOAT = re.compile(r"\S+ requires real-valued outputs .*?, but got (\w+)", re.DOTALL)


def _no_scalar(error: Exception, contract: Contract, slots: Sequence[Any]) -> str | None:
    """Say what a loss has to return."""
    told = _NO_SCALAR.match(str(error))
    if told is not None:
        shape = re.search(r"had shape: (\(.*?\))", told[1])
        return message(
            contract.where,
            "grad needs a function that returns one scalar",
            got=_no_array(told[1]) if shape is None else f"an output of shape {shape[1]}",
            fix="return a scalar, as by jnp.mean; mark what comes beside it Aux, `-> tuple[Array, Aux[Metrics]]`; "
            "or take annotax.jacrev",
        )
    told = _NO_FLOAT.match(str(error))
    if told is None:
        return None
    is_complex = told[1].startswith("complex")
    return message(
        contract.where,
        "grad needs a function that returns a real floating-point scalar",
        got=told[1],
        fix="return a real number, as by jnp.abs, or pass holomorphic=True"
        if is_complex
        else "return a float, as by .astype(float); of whole numbers there is no gradient",
    )
