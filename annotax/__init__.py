"""annotax: say it once, in the signature.

A parameter's type hint carries what every JAX transform must know about it, and one decorator hands each transform its
own arguments. See the README for the idea in one snippet, and `annotax.transform` for the way in.
"""

from annotax._checks import TypeChecker, TypeCheckerOption
from annotax._contract import Contract, Parameter, Result, Role
from annotax._errors import AnnotaxError, CheckError, DifferentiationError, MarkerError, StaticValueError
from annotax._explain import Explanation, explain
from annotax._markers import Aux, Axis, Diff, Donate, Marker, NoDiff, Static
from annotax._transform import Transform, transform
from annotax._transforms.grad import grad, value_and_grad
from annotax._transforms.jit import Compiled, Lowered, Traced, jit

__version__ = "0.1.0"

__all__ = [
    "AnnotaxError",
    "Aux",
    "Axis",
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
    "Result",
    "Role",
    "Static",
    "StaticValueError",
    "Traced",
    "Transform",
    "TypeChecker",
    "TypeCheckerOption",
    "explain",
    "grad",
    "jit",
    "transform",
    "value_and_grad",
]
