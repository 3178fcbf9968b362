"""`custom_vjp` and `custom_jvp`: derivative rules that speak of parameters by what they are.

What JAX calls nondiff there really means static (jax-ml/jax#12982): here `Static` is handed to it, and `NoDiff` stays
traced with a zero cotangent. All that is static goes to JAX in one argument, so that it can differ from call to call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter as SignatureParameter
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast, overload

import jax

from annotax._checks import TypeCheckerOption
from annotax._contract import Contract
from annotax._differentiation import marked_to_differentiate
from annotax._errors import AnnotaxError, MarkerError, message
from annotax._hints import is_jaxtyping_class, without_metadata
from annotax._markers import Static
from annotax._partition import Partition, Structures, with_structures
from annotax._source import Writer
from annotax._tracebacks import shortens
from annotax._transform import DEFAULT, Pipeline, Transform
from annotax._tree import Structure, describe, flatten

if TYPE_CHECKING:
    from annotax._faces import (
        BoundWithJvp,
        BoundWithVjp,
        ClassMethod,
        CompilingDecorator,
        CustomJvpOptions,
        CustomVjpOptions,
        F,
        KeepingDecorator,
        Method,
        NamesUnread,
        P,
        R,
        WithJvp,
        WithVjp,
    )


@dataclass(frozen=True, eq=False)
class _CustomRule(Transform):
    """The base of the transforms that carry rules of the user's, set after the function is decorated.

    Each is equal to itself alone, so that no two functions, and no two decorations of one, share rules.
    """

    rules: dict[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    taken: dict[str, frozenset[str] | None] = field(default_factory=dict[str, "frozenset[str] | None"])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str]

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> KeepingDecorator: ...
        @property
        def _compiled_decorator(self) -> CompilingDecorator: ...

    def __reduce__(self) -> Any:
        is_public = self is globals().get(self.name)  # which is pickled by name, as it is equal to itself alone
        return self.name if is_public else (type(self), (self.rules, self.taken, self.options, self.typechecker))

    def for_one_function(self) -> Transform:
        """The same with no rules yet."""
        return type(self)(options=self.options, typechecker=self.typechecker)

    def check(self, contract: Contract) -> Contract:
        """See that there is something to differentiate; the result is what it was."""
        marked_to_differentiate(contract, self.name)
        return contract

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of the JAX function."""
        return {"nondiff_argnums": contract.indices(Static)}

    def _set(self, pipeline: Pipeline, option: str, **rules: Callable[..., Any]) -> None:
        """Remember rules, the last of which is called with the statics by name."""
        contract = pipeline.contract
        *_, (label, rule) = rules.items()
        taken = _names_taken(rule)
        self.taken[label] = taken
        for i in contract.indices(Static):
            parameter = contract.parameters[i]
            role = parameter.role(Static)
            if taken is not None and parameter.name not in taken and role is not None and not role.inferred:
                raise MarkerError(
                    message(
                        contract.where,
                        f"{option} was given a {label} that does not take the static parameter {parameter.name}",
                        expected=f"a keyword {parameter.name} of {label}, which is called with every Static by name",
                        fix=f"add it after a star: def {label}(..., *, {parameter.name})",
                    )
                )
        self.rules.update(rules)

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """Itself: the rule is the user's."""
        return self.write_applied(writer, inner, contract)

    def _rule(self, name: str, contract: Contract) -> Callable[..., Any]:
        if name in self.rules:
            return self.rules[name]
        setter = self.kept_methods[0]
        raise AnnotaxError(
            message(
                contract.where,
                f"{self.name} has no rule yet",
                fix=f"set one below the definition: {contract.where.rpartition('.')[2]}.{setter}(...)",
            )
        )


class _Slots:
    """The slots of a function under a rule of its own: which are static, traced, differentiable."""

    def __init__(self, contract: Contract, name: str) -> None:
        self.contract = contract
        self.name = name
        self.partition = Partition(contract)
        self.differentiable = marked_to_differentiate(contract, name)

    def statics(self, structures: Structures, taken: frozenset[str] | None) -> dict[str, Any]:
        """The statics that a rule is called with: all that are marked, and those inferred that it takes."""
        found: dict[str, Any] = {}
        for i, structure in structures:
            name = self.contract.parameters[i].name
            if i in self.partition.marked or (not structure.traced and taken is not None and name in taken):
                found[name] = structure.join(())
        return found

    def is_traced(self, i: int, structures: Mapping[int, Structure]) -> bool:
        """Whether a slot holds anything that is traced."""
        return i not in structures or structures[i].traced > 0

    def alone(self, returned: tuple[Any, ...], i: int) -> Any:
        """The one cotangent in a tuple.

        Raises:
            AnnotaxError: If there is not just one.
        """
        if len(returned) == 1:
            return returned[0]
        raise AnnotaxError(
            message(
                self.contract.where,
                f"the rule of {self.name} returned the wrong number of cotangents",
                got=f"{len(returned)} of them",
                expected=f"one, for the only differentiable parameter {self.contract.names[i]}",
                fix="leave out static and NoDiff parameters",
            )
        )

    def several(self, values: Any, what: str, indices: Sequence[int]) -> tuple[Any, ...]:
        """What a rule returned for several parameters, as a tuple: one comes bare.

        Raises:
            AnnotaxError: If it is not one for each.
        """
        if len(indices) == 1:
            return (values,)
        names = ", ".join(self.contract.parameters[i].name for i in indices)
        if not isinstance(values, (tuple, list)) or len(cast("Any", values)) != len(indices):
            got = f"{len(cast('Any', values))} of them" if isinstance(values, (tuple, list)) else type(values).__name__
            raise AnnotaxError(
                message(
                    self.contract.where,
                    f"the rule of {self.name} returned the wrong number of {what}",
                    got=got,
                    expected=f"a tuple of {len(indices)}, for the differentiable parameters {names}",
                    fix="leave out static and NoDiff parameters, and keep the order of the signature",
                )
            )
        return tuple(cast("Any", values))


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Primals:
    """The structure of an argument, kept beside the residuals."""

    structure: Any

    def fits(self, value: tuple[Any, ...]) -> bool:
        """Whether a tuple has this structure, or `None` for parts of it."""
        try:
            self.structure.flatten_up_to(value)
        except ValueError:
            return False
        return not jax.tree_util.treedef_is_leaf(self.structure)


def _is_array(hint: Any) -> bool:
    """Whether a hint wants one array or number, and so no tuple."""
    bare = without_metadata(hint)
    return bare in (jax.Array, float, complex) or (is_jaxtyping_class(bare) and hasattr(bare, "dtypes"))


def _pair(returned: Any, contract: Contract) -> tuple[Any, Any]:
    if isinstance(returned, tuple):
        parts = cast("Any", returned)
        if len(parts) == 2:
            return parts[0], parts[1]
    raise AnnotaxError(
        message(
            contract.where,
            "the fwd rule of custom_vjp returned no pair",
            got=describe(cast("Any", returned)).removeprefix("traced "),
            expected="(what the function returns, residuals)",
            fix="return both: residuals are whatever bwd needs, or None",
        )
    )


class CustomVjp(_CustomRule):
    """Give a function its own reverse-mode derivative, as `jax.custom_vjp`, with roles read from its type hints.

    The rule is set by `f.defvjp(fwd, bwd)`. `fwd` has the function's own signature and is called like it; it returns
    `(what the function returns, residuals)`. `bwd(residuals, cotangent, *, <each Static parameter by name>)` returns
    the cotangents of the differentiable parameters alone, in the order of the signature, bare if it is one. `NoDiff`
    parameters are traced, and their cotangent is zero. Parameters static by inference go to `bwd` if it takes them.

    Arguments:
        function: The function; left out, `custom_vjp(...)` is a decorator.
        optimize_remat: As in `jax.custom_vjp.defvjp`.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one, with `defvjp`; decorators above it keep `defvjp`.

    Raises:
        MarkerError: If there is nothing to differentiate, or `bwd` does not take a static parameter.
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.custom_vjp
        ... def clip(x: jax.Array, *, limit: annotax.Static[float] = 1.0) -> jax.Array:
        ...     return x
        >>> def fwd(x, *, limit):
        ...     return x, None
        >>> def bwd(residuals, cotangent, *, limit):
        ...     return jnp.clip(cotangent, -limit, limit)
        >>> clip.defvjp(fwd, bwd)
        >>> float(jax.grad(lambda x: 100 * clip(x, limit=2.0))(1.0))
        2.0
    """

    name: ClassVar[str] = "custom_vjp"
    kept_methods: ClassVar[tuple[str, ...]] = ("defvjp",)

    @shortens
    def defvjp(self, pipeline: Pipeline, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the two halves of the rule; see `custom_vjp`."""
        _check_forward(pipeline, fwd)
        self._set(pipeline, "defvjp", fwd=fwd, bwd=bwd)

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Give the core the rule."""
        slots_of = _Slots(contract, self.name)
        partition = slots_of.partition
        # Where one cotangent comes back it may stand in a tuple, as in a rule for JAX itself, unless that is its own.
        is_alone = len(slots_of.differentiable) == 1
        alone = contract.parameters[slots_of.differentiable[0]]
        # The hint of `*args` is that of one of them.
        may_be_tuple = is_alone and (alone.kind is SignatureParameter.VAR_POSITIONAL or not _is_array(alone.hint))

        def forward(structures: Structures, *arguments: Any) -> Any:
            slots = Partition.join(structures, arguments)
            result, residuals = _pair(_call(self._rule("fwd", contract), contract, slots), contract)
            if not may_be_tuple:
                return result, residuals
            return result, (residuals, _Primals(flatten(slots[slots_of.differentiable[0]])[1]))

        def backward(structures: Structures, residuals: Any, cotangent: Any) -> tuple[Any, ...]:
            residuals, primals = residuals if may_be_tuple else (residuals, None)
            rule = self._rule("bwd", contract)
            returned: Any = rule(residuals, cotangent, **slots_of.statics(structures, self.taken["bwd"]))
            by_slot = dict(structures)
            moving = [i for i in slots_of.differentiable if slots_of.is_traced(i, by_slot)]
            is_wrapped = is_alone and isinstance(returned, tuple) and (primals is None or not primals.fits(returned))
            if is_wrapped and len(moving) == 1:
                returned = slots_of.alone(cast("Any", returned), moving[0])  # as a rule for JAX itself returns it
            cotangents = dict(zip(moving, slots_of.several(returned, "cotangents", moving), strict=True))
            return tuple(
                by_slot[i].pick(cotangents[i]) if i in by_slot and i in cotangents else cotangents.get(i)
                for i in range(len(contract.parameters))
            )

        function = cast("Any", jax.custom_vjp)(with_structures(core, contract), nondiff_argnums=(0,))
        function.defvjp(forward, backward, **self.options)

        def call(*slots: Any) -> Any:
            structures, arguments = partition.split(slots, whole=True)
            return function(structures, *arguments)

        return call, contract

    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[CustomVjpOptions]
    ) -> BoundWithVjp[Callable[P, R], P, R]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: Method, /, **options: Unpack[CustomVjpOptions]
    ) -> Method: ...
    @overload
    def __call__(self, function: ClassMethod, /, **options: Unpack[CustomVjpOptions]) -> ClassMethod: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[CustomVjpOptions]) -> WithVjp[F]: ...  # type: ignore[overload-cannot-match]  # a name tells
    @overload
    def __call__(self, /, **options: Unpack[CustomVjpOptions]) -> CustomVjp: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        optimize_remat: bool = False,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        options = {"optimize_remat": True} if optimize_remat else {}
        step = CustomVjp(options=options, typechecker=typechecker)
        return self._made(step, function)


class CustomJvp(_CustomRule):
    """Give a function its own forward-mode derivative, as `jax.custom_jvp`, with roles read from its type hints.

    The rule is set by `f.defjvp(rule)`, which returns it, so that it can stand as a decorator. It is called as
    `rule(primals, tangents, *, <each Static parameter by name>)`: the values of all traced parameters and the tangents
    of the differentiable ones, as tuples in the order of the signature. It returns `(result, tangent of the result)`.

    Arguments:
        function: The function; left out, `custom_jvp(...)` is a decorator.
        typechecker: Checks arguments and results while tracing; see `annotax.jit`.

    Returns:
        A function with the signature of the given one, with `defjvp`; decorators above it keep `defjvp`.

    Raises:
        MarkerError: If there is nothing to differentiate, or the rule does not take a static parameter.
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.custom_jvp
        ... def power(x: jax.Array, *, n: annotax.Static[int] = 2) -> jax.Array:
        ...     return x**n
        >>> @power.defjvp
        ... def rule(primals, tangents, *, n):
        ...     (x,), (dx,) = primals, tangents
        ...     return power(x, n=n), n * x ** (n - 1) * dx
        >>> float(jax.grad(power)(3.0))
        6.0
    """

    name: ClassVar[str] = "custom_jvp"
    kept_methods: ClassVar[tuple[str, ...]] = ("defjvp",)

    @shortens
    def defjvp(self, pipeline: Pipeline, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule and return it; see `custom_jvp`."""
        self._set(pipeline, "defjvp", rule=rule)
        return rule

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Give the core the rule."""
        slots_of = _Slots(contract, self.name)
        partition = slots_of.partition

        def forward(structures: Structures, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            rule = self._rule("rule", contract)
            by_slot = dict(structures)
            slots = Partition.join(structures, primals)
            traced = [i for i in range(len(slots)) if slots_of.is_traced(i, by_slot)]
            moving = [i for i in slots_of.differentiable if i in traced]
            directions = tuple(by_slot[i].join_or_none(tangents[i]) if i in by_slot else tangents[i] for i in moving)
            return rule(tuple(slots[i] for i in traced), directions, **slots_of.statics(structures, self.taken["rule"]))

        function = cast("Any", jax.custom_jvp)(with_structures(core, contract), nondiff_argnums=(0,))
        function.defjvp(forward, **self.options)

        def call(*slots: Any) -> Any:
            structures, arguments = partition.split(slots, whole=True)
            return function(structures, *arguments)

        return call, contract

    @overload
    def __call__(
        self: NamesUnread[...], function: Callable[P, R], /, **options: Unpack[CustomJvpOptions]
    ) -> BoundWithJvp[Callable[P, R], P, R]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: Method, /, **options: Unpack[CustomJvpOptions]
    ) -> Method: ...
    @overload
    def __call__(self, function: ClassMethod, /, **options: Unpack[CustomJvpOptions]) -> ClassMethod: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[CustomJvpOptions]) -> WithJvp[F]: ...  # type: ignore[overload-cannot-match]  # a name tells
    @overload
    def __call__(self, /, **options: Unpack[CustomJvpOptions]) -> CustomJvp: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        step = CustomJvp(typechecker=typechecker)
        return self._made(step, function)


def _call(function: Callable[..., Any], contract: Contract, slots: Sequence[Any]) -> Any:
    """Call a function with slots as the kinds of the parameters want it."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for parameter, slot in zip(contract, slots, strict=True):
        match parameter.kind:
            case SignatureParameter.VAR_POSITIONAL:
                args.extend(slot)
            case SignatureParameter.VAR_KEYWORD:
                kwargs.update(slot)
            case SignatureParameter.KEYWORD_ONLY:
                kwargs[parameter.name] = slot
            case _:
                args.append(slot)
    return function(*args, **kwargs)


def _bare(signature: inspect.Signature) -> inspect.Signature:
    """A signature without its hints."""
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


def _check_forward(pipeline: Pipeline, rule: Callable[..., Any]) -> None:
    """See that `fwd` can be called as the function is.

    Raises:
        MarkerError: If it cannot.
    """
    contract = pipeline.contract
    empty: dict[Any, Any] = {SignatureParameter.VAR_POSITIONAL: (), SignatureParameter.VAR_KEYWORD: {}}
    try:
        _call(inspect.signature(rule).bind, contract, [empty.get(parameter.kind) for parameter in contract])
    except ValueError:  # it has no signature that Python knows of
        return
    except TypeError as error:
        problem = str(error)
    else:
        return
    raise MarkerError(
        message(
            contract.where,
            "defvjp was given a fwd that cannot be called as the function is",
            got=f"{getattr(rule, '__name__', 'fwd')}{inspect.signature(rule)}: {problem}",
            expected=f"the parameters of the function, by their own kinds: {', '.join(contract.names)}",
            fix=f"write def fwd{_bare(pipeline.callee.signature)}",
        )
    )


def _names_taken(function: Callable[..., Any]) -> frozenset[str] | None:
    """The names that a function takes by keyword, or `None` if it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is SignatureParameter.VAR_KEYWORD for parameter in parameters):
        return None
    by_keyword = (SignatureParameter.POSITIONAL_OR_KEYWORD, SignatureParameter.KEYWORD_ONLY)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in by_keyword)


custom_vjp: CustomVjp = CustomVjp()
"""`CustomVjp` without options: a decorator, and with options the maker of one."""


custom_jvp: CustomJvp = CustomJvp()
"""`CustomJvp` without options: a decorator, and with options the maker of one."""
