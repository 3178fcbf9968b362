"""Pipelines: from a function and some transforms to a face.

`transform(t1, ..., tn)` builds `t1(...(tn(f)))`. The contract is read and every transform has its say when the function
is decorated; cores are built at the first call and kept on the function itself, by the transforms that made them, so
that building the same pipeline twice gives the same compiled object. A decorator above a face extends its pipeline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import types
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, cast, overload

import jax

from annotax._checks import (
    TypeChecker,
    TypeCheckerOption,
    argument_check,
    in_shape_context,
    resolve_typechecker,
    result_check,
)
from annotax._contract import Contract, filled, read
from annotax._errors import AnnotaxError, has_said_all
from annotax._layout import lay_out
from annotax._normal import MEMO, PIPELINE, as_slots, make_binder, make_core, make_face
from annotax._notes import explain_error
from annotax._signature import Callee, callee
from annotax._source import Writer
from annotax._tracebacks import shorten, shortens
from annotax._traces import History, Traces
from annotax._tree import describe

if TYPE_CHECKING:
    from annotax._faces import AnyDecorator, Changing, ChangingCompiled, Keeping
    from annotax._transforms.jit import Jit

C = TypeVar("C")
D = TypeVar("D")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")

DEFAULT: TypeCheckerOption = "beartype"
"""What `typechecker=` is where no decorator of a pipeline says otherwise."""


class Transform:
    """A step of a pipeline. Subclass it to make your own.

    A transform takes a core, a function with one positional argument for each parameter of the signature, and returns
    another; the contract says what those positions are. Make it a frozen dataclass, so that equal transforms share
    what they build.

    Examples:
        A transform that scales what the function returns:

        >>> from dataclasses import dataclass
        >>> import annotax, jax.numpy as jnp
        >>> @dataclass(frozen=True)
        ... class scaled(annotax.Transform):
        ...     factor: float
        ...     def apply(self, core, contract):
        ...         return lambda *slots: self.factor * core(*slots), contract
        >>> @annotax.transform(annotax.jit, scaled(10.0))
        ... def f(x, *, power: annotax.Static[int] = 2):
        ...     return x**power
        >>> float(f(jnp.array(3.0)))
        90.0
    """

    typechecker: TypeCheckerOption = DEFAULT
    """The checker for the whole pipeline; the outermost transform that names one decides."""

    methods: ClassVar[tuple[str, ...]] = ()
    """Names of functions of slots on the core, offered on the face where this transform is the outermost."""

    kept_methods: ClassVar[tuple[str, ...]] = ()
    """Names of methods of the transform itself, offered on every face whose pipeline has it; they are handed the
    pipeline first."""

    if TYPE_CHECKING:

        def _are_names_read(self, /, other: int) -> None: ...  # by it `_faces.NamesUnread` tells type checkers apart

    else:

        def __getattr__(self, name: str) -> Any:
            if name == "__name__":  # decorators have one, so programs ask for it
                return type(self).__dict__.get("name", type(self).__name__)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        call = getattr(cls.__dict__.get("__call__"), "__wrapped__", None)
        if call is not None and "name" in cls.__dict__:
            call.__qualname__ = cls.__dict__["name"]  # what Python calls it when it is called wrongly

    def for_one_function(self) -> Transform:
        """What decorates one function: itself, unless it keeps something of that function."""
        return self

    def for_bound_method(self, names: Sequence[str]) -> Transform | None:
        """The same for a signature without its first parameter, or `None` where an option speaks of that one.

        Arguments:
            names: The parameters, of which the first, mostly `self`, will be bound.
        """
        return self

    def apply(self, core: Callable[..., Any], contract: Contract) -> tuple[Callable[..., Any], Contract]:
        """Transform a core.

        Arguments:
            core: A function of slots.
            contract: What the slots are.

        Returns:
            The transformed core, a function of the same slots, and the contract that holds for it.
        """
        raise NotImplementedError

    def declare(self, contract: Contract) -> Contract:
        """Add the roles that this transform's own options give to parameters; the transforms inside see them too."""
        return contract

    def check(self, contract: Contract) -> Contract | None:
        """Raise for whatever can be known to be wrong at decoration, before anything is built.

        Returns:
            The contract that will hold outside this transform, or `None` where only `apply` can tell.
        """
        return None

    def check_complete(self, contract: Contract, transforms: tuple[Transform, ...]) -> None:
        """Raise for what can be known to be wrong only once no further decorator can come: at the first call.

        Arguments:
            contract: The contract of the function.
            transforms: All steps of the pipeline, the outermost first.
        """

    def checked(self, core: Callable[..., Any], contract: Contract, checker: TypeChecker | None) -> Callable[..., Any]:
        """Put checks of its own around what `apply` has made.

        Arguments:
            core: The transformed core.
            contract: What `apply` was given.
            checker: The type checker of the pipeline, if any.
        """
        return core

    def given(self, contract: Contract) -> Mapping[str, Any]:
        """What JAX is given, by the name of JAX's own argument, for `explain`."""
        return {}

    def facts(self, contract: Contract, slots: Sequence[Any]) -> Mapping[str, str]:
        """What becomes of the values of one call, by path (`"params['w']"`), for `explain`."""
        return {}

    def inside(self, contract: Contract, slots: Sequence[Any]) -> Sequence[Any]:
        """The slots of one call as the function inside sees them, abstract where it sees parts of them."""
        return slots

    def write(self, writer: Writer, inner: str, contract: Contract, slots: Sequence[Any]) -> str:
        """Write what this transform does to one call, in JAX alone.

        Arguments:
            writer: Takes the lines.
            inner: The name of the function of slots to transform.
            contract: What the slots are.
            slots: The values of the call, as this transform sees them.

        Returns:
            The name of the transformed function of slots.
        """
        name = getattr(self, "name", "")
        if not hasattr(jax, name):
            return self.write_applied(writer, inner, contract)
        transformed = writer.new(f"{name}_{inner}")
        writer.write(f"{transformed} = jax.{name}({inner}{writer.options(self.given(contract))})")
        return transformed

    def write_applied(self, writer: Writer, inner: str, contract: Contract) -> str:
        """Write this transform as itself, where JAX alone has no words for it: one of the user's own, a rule."""
        transformed = writer.new(f"transformed_{inner}")
        step, of = writer.bind(type(self).__name__, self), writer.bind("contract", contract)
        writer.write(f"{transformed} = {step}.apply({inner}, {of})[0]")
        return transformed

    @shortens
    def __call__(self, function: Callable[P, Any], /) -> Callable[P, Any]:
        """Decorate a function with this one transform."""
        return decorate(function, (self,))

    def _made(self, step: Transform, function: Any) -> Any:
        """What a call of this transform gives: a function decorated, or a decorator with more options.

        Arguments:
            step: A transform of the same kind, with the options of the call.
            function: What was passed to be decorated, or `None`.
        """
        made = self._with_options_of(step)
        if function is None:
            return made
        name = getattr(self, "name", type(self).__name__)
        if isinstance(function, Transform):
            inner = getattr(function, "name", type(function).__name__)
            raise AnnotaxError(
                f"{name}() was given the transform {inner}, not a function.\n"
                f"  fix  write transform({name}, {inner})(f), or {name}({inner}(f))"
            )
        if not callable(function) and not isinstance(function, (staticmethod, classmethod)):
            raise AnnotaxError(
                f"{name}() was given {describe(function)}, not a function.\n"
                f"  fix  decorate a function, and pass options by name: {name}({self._shown_option()})(f)"
            )
        return decorate(cast("Any", function), (made,))

    def _shown_option(self) -> str:
        """How an option is passed, for a message."""
        shown = {"wrt": "wrt='w'", "static": "static='n'", "in_axes": "in_axes={'x': 1}", "in_specs": "mesh=mesh"}
        options = [field.name for field in dataclasses.fields(cast("Any", self)) if field.name in shown]
        return ", ".join(shown[name] for name in options) or "typechecker=None"

    def _with_options_of(self, step: Transform) -> Transform:
        """This transform, with what is not left at its default in another of its kind."""
        bare: Any = type(self)()
        changes: dict[str, Any] = {}
        fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(bare)
        for name in (field.name for field in fields):
            own, given = getattr(self, name), getattr(step, name)
            if given == getattr(bare, name):
                continue
            if name == "options":  # those of the JAX function, by name
                given = type(own)(sorted({**dict(own), **dict(given)}.items()))
            changes[name] = given
        return cast("Transform", dataclasses.replace(cast("Any", self), **changes)) if changes else self


def _as_transform(given: Any) -> Transform:
    if isinstance(given, Transform):
        return given
    if isinstance(given, type) and issubclass(given, Transform):
        return given()
    other = cast("object", given)
    name = getattr(other, "__name__", repr(other))
    module = getattr(other, "__module__", "") or ""
    fix = f"write annotax.{name}" if module.startswith("jax") else "subclass annotax.Transform to write your own"
    raise AnnotaxError(
        f"transform(): {name} is not an annotax transform.\n"
        "  expected  transforms, as in transform(jit, grad(wrt='w'))(f)\n"
        f"  fix       {fix}."
    )


@overload
def transform(step: Changing[D], /, *inner: Keeping, typechecker: TypeCheckerOption = ...) -> D: ...
@overload
def transform(jit: Jit, step: ChangingCompiled[C], /, *inner: Keeping, typechecker: TypeCheckerOption = ...) -> C: ...
@overload
def transform(outer: Keeping, step: Changing[D], /, *inner: Keeping, typechecker: TypeCheckerOption = ...) -> D: ...
@overload
def transform(
    jit: Jit, outer: Keeping, step: ChangingCompiled[C], /, *inner: Keeping, typechecker: TypeCheckerOption = ...
) -> C: ...
@overload
def transform(
    outer: Keeping,
    second: Keeping,
    step: Changing[D],
    /,
    *inner: Keeping,
    typechecker: TypeCheckerOption = ...,
) -> D: ...
@overload
def transform(
    jit: Jit,
    outer: Keeping,
    second: Keeping,
    step: ChangingCompiled[C],
    /,
    *inner: Keeping,
    typechecker: TypeCheckerOption = ...,
) -> C: ...
@overload
def transform(
    outer: Keeping,
    second: Keeping,
    third: Keeping,
    step: Changing[D],
    /,
    *inner: Keeping,
    typechecker: TypeCheckerOption = ...,
) -> D: ...
@overload
def transform(*transforms: Transform | type[Transform], typechecker: TypeCheckerOption = ...) -> AnyDecorator: ...
@shortens
def transform(*transforms: Any, typechecker: TypeCheckerOption = DEFAULT) -> Any:
    """Apply several transforms to a function, each told about it by its type hints.

    Arguments:
        transforms: From the outside in, bare or with options: `transform(jit, value_and_grad)` is
            `jit(value_and_grad(f))`, and `transform(jit(inline=True), grad(wrt="w"))` passes options.
        typechecker: Checks arguments and results while tracing: `"beartype"`, a function
            `check(value, hint) -> str | None`, or `None`.

    Returns:
        A decorator. What it makes has the function's own signature, and `__wrapped__` is the function.

    Raises:
        MarkerError: When it decorates a function whose markers cannot be honoured.

    Examples:
        >>> import jax.numpy as jnp
        >>> from annotax import NoDiff, Static, jit, transform, value_and_grad
        >>> @transform(jit, value_and_grad)
        ... def loss(w, x: NoDiff[object], *, power: Static[int] = 2):
        ...     return jnp.sum(w * x) ** power
        >>> value, gradient = loss(jnp.ones(2), x=jnp.ones(2))
        >>> float(value), gradient.tolist()
        (4.0, [4.0, 4.0])
    """
    steps = tuple(_as_transform(given) for given in transforms)

    @shortens
    def decorator(function: F) -> F:
        return decorate(function, steps, typechecker)

    return decorator


# --- building --------------------------------------------------------------------------------------------------------


def is_face(function: Any) -> bool:
    """Whether annotax made this function; a wrapper that copied its attributes does not count."""
    return _pipeline_of(function) is not None


def _pipeline_of(function: Any) -> Pipeline | None:
    pipeline = getattr(function, PIPELINE, None) if isinstance(function, types.FunctionType) else None
    # `functools.wraps` copies attributes, so a face is one only if the pipeline's code runs in it.
    return pipeline if isinstance(pipeline, Pipeline) and _names(function, pipeline) else None


def _names(function: types.FunctionType, pipeline: Pipeline) -> bool:
    return any(getattr(value, "__self__", None) is pipeline for value in function.__globals__.values())


def pipeline_of(function: Any) -> Pipeline | None:
    """The pipeline behind a face, or behind a bound method of one; `None` for any other function."""
    if isinstance(function, (staticmethod, classmethod)):
        function = cast("staticmethod[..., Any]", function).__func__
    if isinstance(function, types.MethodType) and (inner := _pipeline_of(function.__func__)) is not None:
        if any(step.kept_methods for step in inner.transforms):
            return None  # its rules speak of `self` too, so it is called as it is
        names = list(inner.callee.signature.parameters)
        transforms = [step.for_bound_method(names) for step in inner.transforms]
        if None in transforms:
            return None
        bound = types.MethodType(inner.given, function.__self__)
        return Pipeline(bound, tuple(step for step in transforms if step is not None), inner.typechecker)
    return _pipeline_of(function)


def pipeline_for(function: Callable[..., Any]) -> Pipeline:
    """The pipeline behind a face, or one without transforms for any other function."""
    known = pipeline_of(function) or getattr(_memo_on(function), "untransformed", None)
    return Pipeline(function, (), DEFAULT).kept() if known is None else known


def decorate(function: F, transforms: tuple[Transform, ...], typechecker: TypeCheckerOption = DEFAULT) -> F:
    """Put transforms around a function, or around those that it already has."""
    if isinstance(function, (staticmethod, classmethod)):
        method = cast("staticmethod[..., Any]", function)
        return cast(F, type(method)(decorate(method.__func__, transforms, typechecker)))
    inner = pipeline_of(function)
    transforms = tuple(step.for_one_function() for step in transforms)
    if inner is not None:
        transforms = (*transforms, *inner.transforms)
        if typechecker == DEFAULT:
            typechecker = inner.typechecker
    pipeline = Pipeline(function if inner is None else inner.given, transforms, typechecker)
    return cast(F, pipeline.face())


class Pipeline:
    """A function and its transforms, from the outside in; builds lazily, and shares what it builds.

    Attributes:
        given: The user's callable.
        transforms: The steps, the outermost first.
        typechecker: The option given to `transform`.
    """

    def __init__(
        self,
        given: Callable[..., Any],
        transforms: tuple[Transform, ...],
        typechecker: TypeCheckerOption,
        *,
        shared: bool = True,
    ) -> None:
        self.given = given
        self.transforms = transforms
        self.typechecker: TypeCheckerOption = typechecker
        self.callee: Callee = callee(given, is_face=is_face)
        self._memo = _memo(self.callee) if shared else _Memo()
        self._prepared: dict[str, Any] = {}
        self._is_final = False
        _ = self.checker  # an option that is none raises here
        self.contract: Contract = self._read(final=False)
        if self.contract.pending is None:
            self._check()

    def alone(self) -> Pipeline:
        """The same pipeline, sharing nothing, so that what it traces leaves no mark on this one."""
        return Pipeline(self.given, self.transforms, self.typechecker, shared=False)

    def __reduce__(self) -> Any:
        return Pipeline, (self.given, self.transforms, self.typechecker)

    @property
    def checker(self) -> TypeChecker | None:
        """The type checker of the whole pipeline; the outermost option decides."""
        options: list[TypeCheckerOption] = [self.typechecker, *(step.typechecker for step in self.transforms)]
        for option in options:
            if option != DEFAULT:
                return resolve_typechecker(option)
        return resolve_typechecker(DEFAULT)

    def _read(self, *, final: bool) -> Contract:
        """The contract of the function, with what the transforms' own options say, the innermost first.

        So the outermost option has the last word.
        """
        contract = self._memo.contract
        if contract is None or contract.pending is not None:
            contract = read(self.callee, final=final)
            self._memo.contract = contract
        for step in reversed(self.transforms):
            contract = step.declare(contract)
        return contract

    def _check(self) -> None:
        for _ in self.contracts():
            pass

    def contracts(self, *, build: bool = False) -> Iterator[tuple[Transform, Contract]]:
        """Each transform with the contract of the core that it is given, the innermost first.

        Arguments:
            build: Whether to build what is inside a transform that says nothing before it is applied, as one of the
                user's own may; else the rest is left out.
        """
        contract: Contract | None = self.contract
        for i in reversed(range(len(self.transforms))):
            if contract is None and build:
                contract = self._build(self.transforms[i + 1 :])[1]
            if contract is None:
                return
            yield self.transforms[i], contract
            contract = self.transforms[i].check(contract)

    def require_contract(self) -> Contract:
        """The contract, with every hint read.

        Raises:
            MarkerError: If a hint still cannot be read, or what it says cannot be honoured.
        """
        if not self._is_final:
            if self.contract.pending is not None:
                self.contract = self._read(final=True)
                self._check()
            self.contract = filled(self.contract, self.callee)
            self._is_final = True
        return self.contract

    @functools.cached_property
    def built(self) -> tuple[Any, Contract]:
        """The core of the whole pipeline, and the contract that holds for it."""
        contract = self.require_contract()
        for step in self.transforms:
            step.check_complete(contract, self.transforms)
        return self._build(self.transforms)

    @property
    def core(self) -> Any:
        """The core of the whole pipeline."""
        return self.built[0]

    @property
    def found(self) -> Mapping[str, str]:
        """What calls have shown to be static because it cannot be traced, with the reason, by path."""
        return getattr(self.core, "found", {}) if "built" in self.__dict__ else {}

    def _build(self, transforms: tuple[Transform, ...]) -> tuple[Any, Contract]:
        """The core and contract of some of the innermost transforms, built or remembered."""
        # Options flow inward (`jit(static="n")` takes `n` from the `grad` inside), so the contract is part of the key.
        roles = tuple(parameter.roles for parameter in self.contract)
        key = (transforms, self.checker, roles, self.contract.is_laid_out)
        try:
            known = self._memo.cores.get(key)
        except TypeError:  # an unhashable option: not shared
            return self._built(transforms)
        # Built without a lock, since reading hints may import: two threads may build, one result is kept.
        return self._memo.cores.setdefault(key, self._built(transforms)) if known is None else known

    def _built(self, transforms: tuple[Transform, ...]) -> tuple[Any, Contract]:
        if transforms:
            inner, inner_contract = self._build(transforms[1:])
            core, contract = transforms[0].apply(inner, inner_contract)
            core = transforms[0].checked(core, inner_contract, self.checker)
            if isinstance(core, types.FunctionType) and not hasattr(core, "__wrapped__"):
                as_slots(core, self.callee.annotated, contract.names)
            return core, contract
        core = make_core(
            self.callee, argument_check(self.contract, self.checker), result_check(self.contract, self.checker)
        )
        return lay_out(in_shape_context(core, self.contract), self.contract), self.contract

    def face(self) -> types.FunctionType:
        """The function that the user gets; the same one while it is alive."""
        key = (self.transforms, self.typechecker)
        try:
            known = self._memo.faces.get(key, lambda: None)()
        except TypeError:  # an unhashable option: not shared
            return self._new_face()
        if known is not None:
            return known
        face = self._new_face()
        self._memo.faces[key] = weakref.ref(face)
        return face

    def _new_face(self) -> types.FunctionType:
        own = self.transforms[0].methods if self.transforms else ()
        methods = (*own, *(name for step in self.transforms for name in step.kept_methods))
        attributes: dict[str, Any] = {method: functools.partial(self.method, method) for method in methods}
        if any("lower" in step.methods for step in self.transforms):  # something compiles
            attributes["traces"] = Traces(self.history)
        return make_face(self.callee, first_call, self.refused, self.careful, {PIPELINE: self, **attributes})

    def history(self) -> History | None:
        """The traces of the outermost step that compiles, once it is built."""
        if "built" not in self.__dict__:
            return None
        for i in range(len(self.transforms)):
            history = getattr(self._build(self.transforms[i:])[0], "history", None)
            if history is not None:
                return cast("History", history)
        return None

    def kept(self) -> Pipeline:
        """The same pipeline, remembered as the one without transforms, unless it would keep an object alive."""
        if self.callee.instance is None:
            self._memo.untransformed = self
        return self

    def prepared(self, name: str, make: Callable[[], Any]) -> Any:
        """What a function like `vjp` needs of this pipeline at every call, made once.

        Arguments:
            name: Under which it is kept.
            make: Makes it.
        """
        if name not in self._prepared:
            self._prepared[name] = make()
        return self._prepared[name]

    # --- what a face calls -------------------------------------------------------------------------------------------

    def run(self, *slots: Any) -> Any:
        """The call of a core that has no faster entry."""
        return self.core(*slots)

    def refused(self, error: Exception, slots: tuple[Any, ...]) -> bool:
        """Whether the fast entry failed for the values that it was given, so that `careful` may do better."""
        entry = getattr(self.core, "entry", None) if "built" in self.__dict__ else None
        called = _caller_globals().values()
        if entry is not None and any(value is entry for value in called) and self._is_refused(error, slots):
            return True
        self._explain(error, slots)
        return False

    def _is_refused(self, error: Exception, slots: tuple[Any, ...]) -> bool:
        if has_said_all(error):
            return False
        try:
            return bool(self.core.refused(slots))
        except AnnotaxError as problem:
            raise problem from None

    def _explain(self, error: Exception, slots: tuple[Any, ...]) -> None:
        """Have an error that goes to the user say what annotax knows, and show the user's frames."""
        explain_error(error, self.contract, slots)
        shorten(error)

    def careful(self, slots: tuple[Any, ...]) -> Any:
        """Make a call again that was refused, and remember to look at the values first from now on."""
        _install(_caller_globals(), self.core.entry, self.run)
        try:
            return self.core(*slots)
        except Exception as error:
            self._explain(error, slots)
            raise

    @functools.cached_property
    def bind(self) -> Callable[..., tuple[Any, ...]]:
        """A function with the user's signature that returns the slots of a call."""
        return make_binder(self.callee)

    @shortens
    def method(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """What a face offers besides the call: `lower`, called as the user's function is; `defvjp` of a transform."""
        rules = [step for step in self.transforms if name in step.kept_methods]
        if rules:
            return getattr(rules[0], name)(self, *args, **kwargs)
        try:
            return getattr(self.core, name)(self, args, kwargs)
        except Exception as error:
            with contextlib.suppress(TypeError):  # the arguments are not those of the function
                explain_error(error, self.contract, self.bind(*args, **kwargs))
            shorten(error)
            raise


def first_call(*slots: Any) -> Any:
    """What a face calls the first time: builds the core and puts its entry in the place of itself.

    It finds the pipeline from the face that called it, so that it can be pickled without one.
    """
    namespace = _caller_globals()
    pipeline = next(p for v in namespace.values() if isinstance(p := getattr(v, "__self__", None), Pipeline))
    result = pipeline.run(*slots)
    entry = getattr(pipeline.core, "entry", None)
    is_fast = entry is not None and pipeline.core.is_fast
    _install(namespace, first_call, entry if is_fast else pipeline.run)
    return result


def unpickled_entry() -> Callable[..., Any]:
    """What the entry of a compiled core is pickled as: it is compiled anew at the first call."""
    return first_call


def _caller_globals() -> dict[str, Any]:
    """The namespace of the face that called the function that asks."""
    asking = cast("types.FrameType", inspect.currentframe()).f_back
    return cast("types.FrameType", cast("types.FrameType", asking).f_back).f_globals


def _install(namespace: dict[str, Any], old: Any, new: Any) -> None:
    for name, value in list(namespace.items()):
        if value is old:
            namespace[name] = new


# --- the memo --------------------------------------------------------------------------------------------------------


class _Memo:
    """What was built from one function, kept on that function, so that it lives exactly as long.

    A WeakKeyDictionary would keep every function for ever, since what is built refers to it.
    """

    def __init__(self, owner: Any = None) -> None:
        self.owner: Any = None if owner is None else weakref.ref(owner)
        self.contract: Contract | None = None
        self.cores: dict[Any, tuple[Any, Contract]] = {}
        self.faces: dict[Any, Callable[[], types.FunctionType | None]] = {}
        self.untransformed: Pipeline | None = None
        self.instances: dict[int, tuple[weakref.ref[Any], _Memo]] = {}

    def __reduce__(self) -> Any:
        return _Memo, ()  # what was built stays in its process

    def of_instance(self, instance: Any) -> _Memo:
        """The memo of a method bound to an object; it goes when the object goes."""
        known = self.instances.get(id(instance))
        if known is not None and known[0]() is instance:
            return known[1]
        key, instances = id(instance), self.instances
        try:
            reference = weakref.ref(instance, lambda _: instances.pop(key, None))
        except TypeError:  # cannot be referred to weakly: not shared
            return _Memo()
        memo = _Memo()
        instances[key] = (reference, memo)
        return memo


def _memo_on(function: Any) -> _Memo | None:
    """The memo on a function; one that `functools.wraps` copied from another does not count."""
    memo = getattr(function, MEMO, None)
    return memo if isinstance(memo, _Memo) and memo.owner is not None and memo.owner() is function else None


def _memo(of: Callee) -> _Memo:
    function = of.function
    memo = _memo_on(function)
    if memo is None:
        try:
            memo = _Memo(function)
            function.__dict__[MEMO] = memo
        except (AttributeError, TypeError):  # a builtin, a class: not shared
            memo = _Memo()
    return memo if of.instance is None else memo.of_instance(of.instance)
