"""annotax: say it once, in the signature.

A parameter's type hint carries what every JAX transform must know about it, and one decorator hands each transform its
own arguments. See the README for the idea in one snippet, and `annotax.transform` for the way in.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jax.sharding import PartitionSpec

from annotax._checks import TypeChecker, TypeCheckerOption, set_typechecker
from annotax._contract import Contract, Parameter, Result, Role
from annotax._errors import (
    AnnotaxError,
    AxisError,
    CheckError,
    DifferentiationError,
    MarkerError,
    ShardingError,
    StaticValueError,
    TraceError,
)
from annotax._markers import Aux, Axis, Diff, Donate, Marker, NoDiff, Static
from annotax._traces import Trace, Traces
from annotax._transform import Transform, transform

if TYPE_CHECKING:
    from annotax._explain import Explanation, explain
    from annotax._layout import shard
    from annotax._masks import combine, mask, partition
    from annotax._pytree import pytree
    from annotax._transforms.checkpoint import checkpoint, remat
    from annotax._transforms.custom import custom_jvp, custom_vjp
    from annotax._transforms.grad import grad, value_and_grad
    from annotax._transforms.jacobian import hessian, jacfwd, jacobian, jacrev
    from annotax._transforms.jit import Compiled, Lowered, Stages, Traced, jit, jitted
    from annotax._transforms.linear import jvp, linearize, vjp
    from annotax._transforms.pmap import pmap
    from annotax._transforms.sharding import shard_map
    from annotax._transforms.stage import eval_shape, make_jaxpr
    from annotax._transforms.vmap import vmap

# Each family is imported when it is first asked for, so that a program pays for what it uses.
_FAMILIES = {
    "_explain": ("Explanation", "explain"),
    "_layout": ("shard",),
    "_masks": ("combine", "mask", "partition"),
    "_pytree": ("pytree",),
    "_transforms.checkpoint": ("checkpoint", "remat"),
    "_transforms.custom": ("custom_jvp", "custom_vjp"),
    "_transforms.grad": ("grad", "value_and_grad"),
    "_transforms.jacobian": ("hessian", "jacfwd", "jacobian", "jacrev"),
    "_transforms.jit": ("Compiled", "Lowered", "Stages", "Traced", "jit", "jitted"),
    "_transforms.linear": ("jvp", "linearize", "vjp"),
    "_transforms.pmap": ("pmap",),
    "_transforms.sharding": ("shard_map",),
    "_transforms.stage": ("eval_shape", "make_jaxpr"),
    "_transforms.vmap": ("vmap",),
}


if not TYPE_CHECKING:  # type checkers see the imports, and take a misspelled name for an error

    def __getattr__(name: str) -> Any:
        for module, names in _FAMILIES.items():
            if name in names:
                found = getattr(importlib.import_module(f"annotax.{module}"), name)
                globals()[name] = found
                return found
        raise AttributeError(f"module 'annotax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__version__ = "0.1.0"

__all__ = [
    "AnnotaxError",
    "Aux",
    "Axis",
    "AxisError",
    "CheckError",
    "Compiled",
    "Contract",
    "Diff",
    "DifferentiationError",
    "Donate",
    "Explanation",
    "Lowered",
    "Marker",
    "MarkerError",
    "NoDiff",
    "Parameter",
    "PartitionSpec",
    "Result",
    "Role",
    "ShardingError",
    "Stages",
    "Static",
    "StaticValueError",
    "Trace",
    "TraceError",
    "Traced",
    "Traces",
    "Transform",
    "TypeChecker",
    "TypeCheckerOption",
    "checkpoint",
    "combine",
    "custom_jvp",
    "custom_vjp",
    "eval_shape",
    "explain",
    "grad",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jitted",
    "jvp",
    "linearize",
    "make_jaxpr",
    "mask",
    "partition",
    "pmap",
    "pytree",
    "remat",
    "set_typechecker",
    "shard",
    "shard_map",
    "transform",
    "value_and_grad",
    "vjp",
    "vmap",
]
