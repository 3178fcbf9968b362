"""`jit`: static and donated parameters from the hints, and a road for values that JAX cannot trace.

The fast road is what `jax.jit` returns, called by the face directly. It is left only if JAX refuses a call because of
the values in it (found by looking at them): then the leaves that cannot be traced become part of the cache key.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter as SignatureParameter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, Unpack, cast, overload

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

from annotax._checks import TypeCheckerOption
from annotax._contract import (
    Contract,
    Parameter,
    Role,
    Selector,
    StaticAt,
    check_donated,
    selectors,
    without_first,
)
from annotax._donation import Reuse, naming_donations, reuses
from annotax._errors import AnnotaxError, MarkerError, ShardingError, StaticValueError, has_said_all, message
from annotax._fields import may_hold_numbers
from annotax._hints import EMPTY, may_be_unstrict
from annotax._layout import ambient, carry
from annotax._markers import Axis, Diff, Donate, NoDiff, Static
from annotax._normal import as_slots, make_encoder, named_as
from annotax._partition import (
    Partition,
    difference,
    holding,
    is_inferred,
    returnable_leaves,
    slot_holds_traceable,
    with_structures,
    write_with_constants,
)
from annotax._source import Writer
from annotax._tracebacks import shortens
from annotax._traces import History, Traces
from annotax._transform import DEFAULT, Pipeline, Transform, pipeline_of, unpickled_entry
from annotax._tree import Constant, describe, release

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from annotax._faces import (
        AnyFirst,
        BoundLater,
        ClassMethod,
        CompiledGradient,
        CompiledJacobianFunction,
        CompiledValueAndGradient,
        CompilingDecorator,
        Derivative,
        F,
        F_co,
        F_contra,
        Gradient,
        JacobianFunction,
        JitOptions,
        Jitted,
        KeywordsUnread,
        Method,
        Shapes,
        ValueAndGradient,
    )


@dataclass(frozen=True)
class Jit(Transform):
    """Compile a function with XLA, as `jax.jit`, with what is static and what is donated read from its type hints.

    Parameters marked `Static` are compile-time constants, those marked `Donate` give their buffers away. Strings,
    functions and whatever else JAX can never trace are static without a marker; `annotax.explain` lists them. Every
    spelling of a call, by position, by keyword, with a default left out, shares one trace.

    Arguments:
        function: The function; left out, `jit(...)` is a decorator.
        static: Parameters to make static besides those marked, by name or index into the signature.
        donate: Parameters to donate besides those marked; an empty sequence donates nothing.
        mesh: The mesh on which the layouts in the hints (`Annotated[Array, PartitionSpec("data")]`) are imposed; left
            out, the ambient one of `jax.set_mesh`. Without any mesh they say nothing.
        max_traces: How often the function may be traced; one trace more raises and says what changed. For tests, and
            for loops that must not compile again.
        inline: As in `jax.jit`: inline the function into the jaxpr that calls it.
        keep_unused: As in `jax.jit`: keep arguments that the function does not use.
        compiler_options: As in `jax.jit`: options for the compiler.
        typechecker: Checks arguments and results while tracing: `"beartype"`, a function
            `check(value, hint) -> str | None`, or `None`.

    Returns:
        A function with the signature of the given one, with `lower`, `trace`, `eval_shape` and `clear_cache`, which
        take a call as the function does, and with `traces`, a sequence of why it was traced. `__wrapped__` is the given
        function.

    Raises:
        MarkerError: At decoration, for markers or options that cannot be honoured.
        StaticValueError: At a call whose static value is unhashable, an array or a tracer.
        CheckError: At a call that is traced with a value that does not fit its hint.
        ShardingError: At a call that is traced with an array that the mesh cannot split as its hint says.
        TraceError: At a call that would be traced once more than `max_traces` allows.

    Examples:
        >>> import annotax, jax
        >>> @annotax.jit
        ... def repeat(x: jax.Array, *, times: annotax.Static[int] = 2) -> jax.Array:
        ...     return jax.numpy.tile(x, times)
        >>> repeat(jax.numpy.arange(2), times=3).tolist()
        [0, 1, 0, 1, 0, 1]
    """

    static: tuple[Selector, ...] = ()
    donate: tuple[Selector, ...] | None = None
    mesh: Mesh | None = None
    max_traces: int | None = None
    options: tuple[tuple[str, Any], ...] = ()
    typechecker: TypeCheckerOption = DEFAULT

    name: ClassVar[str] = "jit"
    methods: ClassVar[tuple[str, ...]] = ("lower", "trace", "eval_shape", "clear_cache")

    def for_bound_method(self, names: Sequence[str]) -> Transform | None:
        """The same without the first parameter."""
        static, donate = without_first(self.static, names), without_first(self.donate or (), names)
        if static is None or donate is None:
            return None
        return dataclasses.replace(self, static=static, donate=None if self.donate is None else donate)

    def declare(self, contract: Contract) -> Contract:
        """Make the parameters named by `static=` static for the whole pipeline, and have its layouts imposed."""
        why = "named by jit(static=...)"
        for selector in self.static:
            i, path = contract.locate(selector, "jit(static=...)")
            if path:
                contract = contract.change([i], Role(StaticAt(path), why))
            else:
                replacing = (Donate, Diff, NoDiff, Axis, PartitionSpec, StaticAt)
                contract = contract.change([i], Role(Static, why), replacing=replacing)
        return dataclasses.replace(contract, is_laid_out=True)

    def check(self, contract: Contract) -> Contract:
        """See that what is donated exists and is not static."""
        self._donated(contract)
        return contract

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """The arguments of `jax.jit`."""
        return {
            "static_argnums": contract.indices(Static),
            "donate_argnums": self._donated(contract),
            **{name: dict(value) if name == "compiler_options" else value for name, value in self.options},
        }

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """`jax.jit`, of the arrays alone where the values hold more than that."""
        written = write_with_constants(self.name, self.given(contract), writer, inner, contract, slots)
        return super().write(writer, inner, contract, slots) if written is None else written

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Compile the core."""
        return _JitCore(core, contract, self.given(contract), self.mesh, max_traces=self.max_traces), contract

    def _donated(self, contract: Contract) -> tuple[int, ...]:
        if self.donate is None:
            return contract.indices(Donate)
        named = contract.select(self.donate, "jit(donate=...)")
        for i in named:
            check_donated(contract.where, contract.parameters[i], "jit(donate=...)")
            role = contract.parameters[i].role(Static)
            if role is not None:
                raise MarkerError(
                    message(
                        contract.where,
                        f"jit(donate=...) names the static parameter {contract.parameters[i].name}",
                        got=f"it is static: {role.why}",
                        fix="a static value has no buffers to give away: name another parameter",
                    )
                )
        # An override speaks for the parameters that it names; the others keep their markers. An empty one: nothing.
        return tuple(sorted({*named, *contract.indices(Donate)})) if named else ()

    if TYPE_CHECKING:

        @property
        def _decorator(self) -> CompilingDecorator: ...
        @property
        def _compiled_decorator(self) -> CompilingDecorator: ...

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # its first name tells
        self, function: Method, /, **options: Unpack[JitOptions]
    ) -> Method: ...
    @overload
    def __call__(self, function: ClassMethod, /, **options: Unpack[JitOptions]) -> ClassMethod: ...
    @overload
    def __call__(
        self, function: Gradient[F, F_co, F_contra, P], /, **options: Unpack[JitOptions]
    ) -> CompiledGradient[F, F_co, F_contra, P]: ...
    @overload
    def __call__(
        self, function: ValueAndGradient[F, F_co, F_contra, P], /, **options: Unpack[JitOptions]
    ) -> CompiledValueAndGradient[F, F_co, F_contra, P]: ...
    @overload
    def __call__(
        self, function: JacobianFunction[F, F_co, F_contra, P], /, **options: Unpack[JitOptions]
    ) -> CompiledJacobianFunction[F, F_co, F_contra, P]: ...
    @overload
    def __call__(self, function: Jitted[F], /, **options: Unpack[JitOptions]) -> Jitted[F]: ...  # type: ignore[overload-cannot-match]  # a name tells
    @overload
    def __call__(self: KeywordsUnread, function: F, /, **options: Unpack[JitOptions]) -> Jitted[F]: ...
    @overload
    def __call__(self, function: AnyFirst, /, **options: Unpack[JitOptions]) -> Jitted[AnyFirst]: ...
    @overload
    def __call__(self, function: BoundLater, /, **options: Unpack[JitOptions]) -> BoundLater: ...
    @overload
    def __call__(self, function: F, /, **options: Unpack[JitOptions]) -> Jitted[F]: ...  # type: ignore[overload-cannot-match]  # a name tells
    @overload
    def __call__(self, /, **options: Unpack[JitOptions]) -> Jit: ...
    @shortens
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        static: Selector | Sequence[Selector] = (),
        donate: Selector | Sequence[Selector] | None = None,
        mesh: Mesh | None = None,
        max_traces: int | None = None,
        inline: bool = False,
        keep_unused: bool = False,
        compiler_options: Mapping[str, Any] | None = None,
        typechecker: TypeCheckerOption = DEFAULT,
    ) -> Any:
        """Decorate a function, or make a decorator with other options."""
        if max_traces is not None and not (type(cast("Any", max_traces)) is int and max_traces > 0):
            raise TypeError(
                f"jit(max_traces=...) takes no {max_traces!r}.\n"
                "  expected  a positive integer, or None\n"
                "  fix       write how many shapes and static values the function may meet, as in max_traces=1"
            )
        options = {
            "inline": inline,
            "keep_unused": keep_unused,
            "compiler_options": tuple(sorted(compiler_options.items())) if compiler_options else None,
        }
        step = Jit(
            static=selectors(static),
            donate=None if donate is None else selectors(donate),
            mesh=mesh,
            max_traces=max_traces,
            options=tuple((name, value) for name, value in options.items() if value),
            typechecker=typechecker,
        )
        return self._made(step, function)


class _JitCore:
    """What `jit` makes of a core: a fast entry for the face, and the careful road beside it."""

    def __init__(
        self,
        core: Callable[..., Any],
        contract: Contract,
        given: Mapping[str, Any],
        mesh: Mesh | None = None,
        *,
        is_placed_inside: bool = False,
        max_traces: int | None = None,
    ) -> None:
        self.core = core
        self.history: History = History(contract, max_traces)
        self.contract = contract
        self.given: dict[str, Any] = {"donate_argnums": (), **given}
        self.mesh = mesh
        self.is_placed_inside = is_placed_inside
        self.partition: Partition = Partition(contract)
        # What leaves the fast road for good: arguments that JAX cannot trace all of, results that it cannot return, and
        # Equinox modules that may hold Python numbers.
        self.meets_mixed_values: bool = bool(self.partition.paths)
        self.returns_mixed_values = False
        self.doubts_values = False
        self.reused: tuple[Reuse, ...] = ()
        self.encoders: dict[int, Callable[[Any], Any]] = {
            i: encode for i in contract.indices(Static) if (encode := _encoder(contract.parameters[i])) is not None
        }
        as_slots(self, inspect.unwrap(core), contract.names)
        compiled = jax.jit(self._refusing(self._decoded), **self.given)
        # A PjitFunction would pickle what was compiled, and with it everything that it refers to.
        compiled.__reduce_ex__ = lambda protocol: (unpickled_entry, ())  # type: ignore[method-assign]  # on the object
        self.compiled: Any = compiled
        self.entry: Any = compiled
        if self.encoders:
            self.entry = _EncodedEntry(make_encoder(contract.where, contract.names, compiled, self.encoders))
        self._fast = self.entry
        if mesh is not None or self.meets_mixed_values:  # which has to be made the ambient one for each call
            self.entry = None

    def __call__(self, *slots: Any) -> Any:
        if self.mesh is None:
            return self._call(slots)
        with ambient(self.mesh) as is_unplaced:
            return self._call(self._carried(slots, self.mesh) if is_unplaced else slots)

    def _call(self, slots: tuple[Any, ...]) -> Any:
        if not self.given["donate_argnums"] or self.history.traces:
            return self._result(slots)
        with naming_donations(self.contract, lambda: self.reused):
            return self._result(slots)

    def _result(self, slots: tuple[Any, ...]) -> Any:
        if self.is_fast:
            try:
                return self._fast(*slots)
            except Exception as error:
                if has_said_all(error) or not self.refused(slots):
                    raise
        elif self.meets_mixed_values and (again := self.partition.split_again(slots)) is not None:
            structures, arguments = again
            try:
                return release(self._mixed(structures, *self._encoded(arguments, self.partition.marked)))
            except Exception:
                if self.partition.fit(structures, slots):
                    raise
        jitted, arguments = self._prepared(slots)
        return release(jitted(*arguments))

    @property
    def is_fast(self) -> bool:
        """Whether a call may go straight to JAX."""
        return not (self.meets_mixed_values or self.returns_mixed_values or self.doubts_values)

    def _carried(self, slots: tuple[Any, ...], mesh: Mesh) -> tuple[Any, ...]:
        """The slots with the devices of a mesh that cannot be entered here, since another transform is tracing."""
        if AxisType.Explicit not in mesh.axis_types:
            static = self.given["static_argnums"]
            return tuple(slot if i in static else carry(slot, mesh) for i, slot in enumerate(slots))
        if not self.is_placed_inside:
            raise ShardingError(
                message(
                    self.contract.where,
                    "the mesh of jit(mesh=...) cannot be entered while another transform traces",
                    because="its axes are of type Explicit",
                    fix="write `with jax.set_mesh(mesh):` around the whole computation, or make its axes Auto",
                )
            )
        return slots

    @property
    def found(self) -> Mapping[str, str]:
        """What calls have shown to be static, for `explain`."""
        return self.partition.found

    @functools.cached_property
    def _decoded(self) -> Callable[..., Any]:
        """The core behind encoded slots, which also looks again at what was only inferred to be static."""
        if not self.encoders and not self.partition.inferred:
            return self._recorded
        parameters = self.contract.parameters

        def decoding(*slots: Any) -> Any:
            values = [slot.value if isinstance(slot, Constant) else slot for slot in slots]
            for i in self.partition.inferred:
                if slot_holds_traceable(parameters[i], values[i]):
                    # Seen by `refused`, which makes the call again with the value traced.
                    raise StaticValueError(f"{parameters[i].name} was inferred to be static but holds arrays")
            return self._recorded(*values)

        return cast("Callable[..., Any]", as_slots(decoding, inspect.unwrap(self.core), self.contract.names))

    def _recorded(self, *slots: Any) -> Any:
        """Run the core, and record why it was traced."""
        signature = self.history.begin(slots)
        result = self.core(*slots)
        self.history.end(signature)
        if self.given["donate_argnums"]:
            self.reused = reuses(self.contract, self.given["donate_argnums"], slots, result)
        return result

    def _refusing(self, core: Callable[..., Any]) -> Callable[..., Any]:
        """The core, refusing what is not for the fast road; then the call is made again, by the careful one."""

        def refusing(*slots: Any) -> Any:
            # JAX would trace the Python numbers of Equinox modules, which are constants to Equinox, and to `grad`.
            if any(map(may_hold_numbers, (slots[i] for i in self.partition.with_fields))):
                self.doubts_values = True
                raise _Refused
            result = core(*slots)
            if not all(returnable_leaves(result)):
                self.returns_mixed_values = True
                raise _Refused
            return result

        return cast("Callable[..., Any]", as_slots(refusing, inspect.unwrap(self.core), self.contract.names))

    # --- the careful road --------------------------------------------------------------------------------------------

    def refused(self, slots: tuple[Any, ...]) -> bool:
        """Whether there is a value that the fast entry cannot take, or a result that it cannot return."""
        return self.returns_mixed_values or self.doubts_values or self.partition.is_mixed(slots)

    def _prepared(self, slots: tuple[Any, ...]) -> tuple[Any, list[Any]]:
        """What to call for these values, and with which arguments.

        Raises:
            StaticValueError: If a static value is no constant, or a value can be neither traced nor held constant.
        """
        if not self.partition.is_mixed(slots):
            jitted = self._holding if self.returns_mixed_values or self.doubts_values else self.compiled
            return jitted, self._encoded(slots, self.encoders)
        structures, arguments = self.partition.split(slots)
        self.meets_mixed_values = True
        return self._mixed, [structures, *self._encoded(arguments, self.partition.marked)]

    def _encoded(self, slots: Sequence[Any], indices: Container[int]) -> list[Any]:
        return [self.encoders[i](slot) if i in self.encoders and i in indices else slot for i, slot in enumerate(slots)]

    @functools.cached_property
    def _mixed(self) -> Any:
        """The compiled function for mixed values: the structures come first, then each slot or its traced leaves."""
        given = dict(self.given)
        given["static_argnums"] = (0, *(i + 1 for i in self.partition.marked))
        given["donate_argnums"] = tuple(i + 1 for i in given["donate_argnums"])
        core = named_as(holding(self._recorded, self.contract), self.core)
        return jax.jit(with_structures(core, self.contract), **given)

    @functools.cached_property
    def _holding(self) -> Any:
        """The compiled function for results that JAX cannot return."""
        return jax.jit(named_as(holding(self._decoded, self.contract), self.core), **self.given)

    # --- what the face offers beside the call ------------------------------------------------------------------------

    def eval_shape(self, pipeline: Pipeline, args: Any, kwargs: Any) -> Any:
        """See `jax.eval_shape`."""
        return release(self._staged("eval_shape", pipeline, args, kwargs)[0])

    def trace(self, pipeline: Pipeline, args: Any, kwargs: Any) -> Traced[..., Any]:
        """See `jax.stages.Traced`."""
        return Traced(*self._staged("trace", pipeline, args, kwargs))

    def lower(self, pipeline: Pipeline, args: Any, kwargs: Any) -> Lowered[..., Any]:
        """See `jax.stages.Lowered`."""
        return Lowered(*self._staged("lower", pipeline, args, kwargs))

    def _staged(self, method: str, pipeline: Pipeline, args: Any, kwargs: Any) -> tuple[Any, _Call]:
        """What a method of JAX's compiled function makes of a call."""
        try:
            jitted, arguments, call = self.prepared(pipeline, args, kwargs)
            with ambient(self.mesh):
                return getattr(jitted, method)(*arguments), call
        except _Refused:  # seen while tracing, and known from now on
            pass
        jitted, arguments, call = self.prepared(pipeline, args, kwargs)
        with ambient(self.mesh):
            return getattr(jitted, method)(*arguments), call

    def clear_cache(self, pipeline: Pipeline, args: Any, kwargs: Any) -> None:
        """Forget what was compiled."""
        for jitted in (self.compiled, self.__dict__.get("_mixed"), self.__dict__.get("_holding")):
            if jitted is not None:
                jitted.clear_cache()

    def split_call(self, jitted: Any, arguments: Sequence[Any]) -> tuple[dict[str, Constant], list[Any]]:
        """The static arguments of a call by name, those inside mixed values under no name, and the traced arguments."""
        is_mixed = jitted is self.__dict__.get("_mixed")
        names = ("", *self.contract.names) if is_mixed else self.contract.names
        static: tuple[int, ...] = self.given["static_argnums"]
        if is_mixed:
            static = (0, *(i + 1 for i in self.partition.marked))
        part = {names[i]: Constant(arguments[i]) for i in static}
        return part, [argument for i, argument in enumerate(arguments) if i not in static]

    def prepared(self, pipeline: Pipeline, args: Any, kwargs: Any) -> tuple[Any, list[Any], _Call]:
        """What to call, with which arguments, and how calls of what is compiled ahead of time will go."""
        jitted, arguments = self._prepared(pipeline.bind(*args, **kwargs))
        return jitted, arguments, _Call(self, pipeline, self.split_call(jitted, arguments)[0])


def compiled_core(
    core: Callable[..., Any],
    named: Callable[..., Any],
    contract: Contract,
    given: Mapping[str, Any],
    mesh: Mesh | None = None,
) -> Callable[..., Any]:
    """What `jit` makes of a core that another transform built, under the names of the core inside of it."""
    return _JitCore(named_as(core, named), contract, given, mesh, is_placed_inside=True)


class _Refused(Exception):
    """Raised while tracing what is not for the fast road."""


class _EncodedEntry(functools.partial[Any]):
    """An entry that encodes some slots, called at the speed of a partial."""

    def __reduce__(self) -> Any:
        return unpickled_entry, ()


@dataclass(frozen=True, eq=False)
class _Call:
    """How an ahead-of-time object takes its arguments, and which static ones it was made for."""

    core: _JitCore
    pipeline: Pipeline
    static: Mapping[str, Constant]
    bound: tuple[Any, ...] = ()
    """What comes first in every call: the object of a bound method."""

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        jitted, arguments, _ = self.core.prepared(self.pipeline, (*self.bound, *args), kwargs)
        static, traced = self.core.split_call(jitted, arguments)
        if static != self.static:
            wrong = next((name for name in {**static, **self.static} if static.get(name) != self.static.get(name)), "")
            got = static[wrong].value if wrong in static else None
            expected = self.static[wrong].value if wrong in self.static else None
            if wrong == "" and got is not None and expected is not None:
                wrong, expected, got = difference(self.core.contract, expected, got) or (wrong, expected, got)
            raise StaticValueError(
                message(
                    self.core.contract.where,
                    f"compiled for another value of {wrong or 'what is static inside the arguments'}",
                    got=None if got is None else describe(got),
                    expected=None if expected is None else describe(expected),
                    fix="lower and compile once for each static value, or call the function itself",
                )
            )
        return traced


class _Stage(Generic[P, R]):
    """An object of `jax.stages` that takes calls as the user's function does; everything else is JAX's."""

    def __init__(self, stage: Any, call: _Call) -> None:
        self._annotax_stage = stage
        self._annotax_call = call

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_annotax_"):  # not set yet, as while unpickling
            raise AttributeError(name)
        return getattr(self._annotax_stage, name)

    def __repr__(self) -> str:
        return f"<annotax {type(self).__name__} of {self._annotax_call.core.contract.where}>"


class Traced(_Stage[P, R]):
    """A traced function, as `jax.stages.Traced`.

    Examples:
        >>> import annotax, jax
        >>> double = annotax.jit(lambda x: 2 * x)
        >>> double.trace(jax.ShapeDtypeStruct((3,), "float32")).jaxpr.out_avals
        [ShapedArray(float32[3])]
    """

    def lower(self, **options: Any) -> Lowered[P, R]:
        """Lower it, as `jax.stages.Traced.lower`."""
        return Lowered(self._annotax_stage.lower(**options), self._annotax_call)


class Lowered(_Stage[P, R]):
    """A lowered function, as `jax.stages.Lowered`.

    Examples:
        >>> import annotax, jax
        >>> double = annotax.jit(lambda x: 2 * x)
        >>> "multiply" in double.lower(jax.ShapeDtypeStruct((3,), "float32")).as_text()
        True
    """

    def compile(self, *args: Any, **kwargs: Any) -> Compiled[P, R]:
        """Compile it, as `jax.stages.Lowered.compile`."""
        return Compiled(self._annotax_stage.compile(*args, **kwargs), self._annotax_call)


class Compiled(_Stage[P, R]):
    """A compiled function, as `jax.stages.Compiled`, but called like the function that it was compiled from.

    Raises:
        StaticValueError: At a call with another static value than it was compiled for.

    Examples:
        >>> import annotax, jax.numpy as jnp
        >>> @annotax.jit
        ... def scaled(x, *, by: annotax.Static[int] = 2):
        ...     return by * x
        >>> compiled = scaled.lower(jnp.ones(3), by=3).compile()
        >>> compiled(by=3, x=jnp.ones(3)).tolist()
        [3.0, 3.0, 3.0]
    """

    @shortens
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, release(self._annotax_stage(*self._annotax_call.arguments(args, kwargs))))


class Stages(Generic[P, R]):
    """A compiled function or bound method, called as itself, with what `jit` offers besides; see `jitted`.

    Examples:
        >>> import annotax, jax.numpy as jnp
        >>> double = annotax.jitted(annotax.jit(lambda x: 2 * x))
        >>> double(jnp.ones(2)).tolist(), len(double.traces)
        ([2.0, 2.0], 1)
    """

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._face: Any = getattr(function, "__func__", function)
        self._bound = (cast("Any", function).__self__,) if self._face is not function else ()

    @property
    def traces(self) -> Traces:
        """Why the function was traced; see `annotax.Traces`."""
        return cast("Traces", self._face.traces)

    @shortens
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    @overload
    def lower(self, *args: P.args, **kwargs: P.kwargs) -> Lowered[P, R]: ...
    @overload
    def lower(self, shape: Shapes, /, *args: Any, **kwargs: Any) -> Lowered[P, R]: ...
    @shortens
    def lower(self, *args: Any, **kwargs: Any) -> Lowered[P, R]:
        """Lower it for the arguments of a call, as `jax.stages.Wrapped.lower`."""
        return cast("Lowered[P, R]", self._staged(Lowered, self._face.lower(*self._bound, *args, **kwargs)))

    @overload
    def trace(self, *args: P.args, **kwargs: P.kwargs) -> Traced[P, R]: ...
    @overload
    def trace(self, shape: Shapes, /, *args: Any, **kwargs: Any) -> Traced[P, R]: ...
    @shortens
    def trace(self, *args: Any, **kwargs: Any) -> Traced[P, R]:
        """Trace it for the arguments of a call, as `jax.stages.Wrapped.trace`."""
        return cast("Traced[P, R]", self._staged(Traced, self._face.trace(*self._bound, *args, **kwargs)))

    @overload
    def eval_shape(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def eval_shape(self, shape: Shapes, /, *args: Any, **kwargs: Any) -> Any: ...
    @shortens
    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of the result, as `jax.eval_shape`."""
        return self._face.eval_shape(*self._bound, *args, **kwargs)

    def clear_cache(self) -> None:
        """Forget what was compiled."""
        self._face.clear_cache()

    def _staged(self, kind: type[_Stage[..., Any]], staged: Any) -> Any:
        """The same stage, called without the bound object."""
        call: _Call = staged._annotax_call
        return kind(staged._annotax_stage, dataclasses.replace(call, bound=self._bound))

    def __repr__(self) -> str:
        return f"<annotax Stages of {self._function!r}>"


@overload
def jitted(function: Derivative[Any, Any, Any, P], /) -> Stages[P, Any]: ...
@overload
def jitted(function: Callable[P, R], /) -> Stages[P, R]: ...
@shortens
def jitted(function: Any, /) -> Any:
    """What `annotax.jit` offers besides the call, `lower` and its like, of a function or of a bound method.

    On a function these stand on the function itself (`f.lower(x)`); this is the way to them for a bound method, and
    for type checkers that see a decorated function as the plain one.

    Arguments:
        function: A function or bound method whose outermost transform is `jit`.

    Returns:
        An object with `lower`, `trace`, `eval_shape`, `clear_cache` and `traces`, that is called as the function.

    Raises:
        AnnotaxError: If it is not compiled by `annotax.jit`.

    Examples:
        >>> import annotax, jax
        >>> @annotax.pytree
        ... class Model:
        ...     scale: jax.Array
        ...     @annotax.jit
        ...     def __call__(self, x: jax.Array, *, power: annotax.Static[int] = 1) -> jax.Array:
        ...         return self.scale * x**power
        >>> model = Model(jax.numpy.array(2.0))
        >>> compiled = annotax.jitted(model.__call__).lower(3.0, power=2).compile()
    """
    face = getattr(function, "__func__", function)
    if pipeline_of(face) is None or not hasattr(face, "lower"):
        name = getattr(function, "__qualname__", None)
        raise AnnotaxError(
            f"jitted(): {describe(function) if name is None else name} is not compiled by its outermost transform.\n"
            "  expected  a function or bound method under annotax.jit\n"
            f"  fix       pass {'one' if name is None else f'annotax.jit({name})'}"
        )
    return Stages(function)


def _encoder(parameter: Parameter) -> Callable[[Any], Any] | None:
    """How a static slot goes into the cache key where the value itself would compare too loosely, or has no hash."""
    if parameter.kind is SignatureParameter.VAR_KEYWORD:
        return Constant.of_keywords
    if parameter.kind is SignatureParameter.VAR_POSITIONAL:
        return Constant
    # What is static for its default alone is no number and no tuple: those would be traced.
    has_hint = parameter.hint is not EMPTY or not is_inferred(parameter)
    return Constant if has_hint and may_be_unstrict(parameter.hint) else None


jit: Jit = Jit()
"""`Jit` without options: a decorator, and with options the maker of one."""
