"""Exact static types from the markers, for mypy.

A type checker sees `NoDiff[Array]` as `Array`. This plugin keeps the markers in view: what `grad`, `value_and_grad`,
the Jacobians and any `transform` pipeline return is exact, and what would raise when a function is decorated is
reported while it is checked. Switch it on in `pyproject.toml`:

    [tool.mypy]
    plugins = ["annotax.mypy_plugin"]

`Annotated[X, NoDiff]` is read as the alias `NoDiff[X]`, which mypy carries along, into its cache too. What the options
of a transform say goes with the type of the transform, as literals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from jax.sharding import PartitionSpec
from mypy.errorcodes import ErrorCode
from mypy.nodes import (
    ARG_NAMED_OPT,
    ARG_OPT,
    ARG_STAR,
    ARG_STAR2,
    ArgKind,
    AssignmentStmt,
    CallExpr,
    ClassDef,
    Context,
    Decorator,
    DictExpr,
    Expression,
    FuncDef,
    IfStmt,
    Import,
    ImportAll,
    ImportBase,
    ImportFrom,
    IndexExpr,
    IntExpr,
    LambdaExpr,
    ListExpr,
    MemberExpr,
    MypyFile,
    NameExpr,
    OpExpr,
    Statement,
    StrExpr,
    TupleExpr,
    TypeAlias,
    TypeAliasStmt,
    TypeInfo,
    UnaryExpr,
)
from mypy.plugin import AnalyzeTypeContext, ClassDefContext, FunctionContext, MethodContext, MethodSigContext, Plugin
from mypy.plugins.dataclasses import dataclass_class_maker_callback
from mypy.types import (
    AnyType,
    CallableType,
    FunctionLike,
    Instance,
    LiteralType,
    NoneType,
    ProperType,
    RawExpressionType,
    TupleType,
    Type,
    TypeAliasType,
    TypeOfAny,
    TypeType,
    UnboundType,
    UnionType,
    flatten_nested_unions,
    get_proper_type,
)

from annotax._markers import CONTRADICTIONS, Axis, Diff, Donate, NoDiff, Static

_CODE = ErrorCode("annotax", "What annotax would refuse when it decorates the function", "annotax")

_MARKERS = "annotax._markers."
_FACES = "annotax._faces."

_ALIASES = {_MARKERS + name: name for name in ("Static", "NoDiff", "Diff", "Donate", "Aux")} | {
    _FACES + "HasAxis": "Axis",
    _FACES + "HasLayout": "PartitionSpec",
    _FACES + "Integers": "Integers",
    _FACES + "Derived": "Derived",
}
"""The aliases that stand for markers in types, and what they stand for."""

_NAMES: dict[Any, str] = {
    Static: "Static", NoDiff: "NoDiff", Diff: "Diff", Donate: "Donate", Axis: "Axis", PartitionSpec: "PartitionSpec",
}  # fmt: skip
"""What the markers of the run time are called here."""

_ON_PARAMETERS = ("Static", "NoDiff", "Diff", "Donate")

_INTEGER_HINTS = re.compile(r"(?:^|\.)(?:U?Int(?:eger)?\d*|Bool|Key)$")
"""jaxtyping's hints for what has no derivative, all of which are `Annotated` to mypy."""

_KINDS = {
    "annotax._transforms.grad.Grad": "grad",
    "annotax._transforms.grad.ValueAndGrad": "value_and_grad",
    "annotax._transforms.jacobian.JacFwd": "jacfwd",
    "annotax._transforms.jacobian.JacRev": "jacrev",
    "annotax._transforms.jacobian.Hessian": "hessian",
    "annotax._transforms.jit.Jit": "jit",
    "annotax._transforms.vmap.Vmap": "vmap",
    "annotax._transforms.pmap.Pmap": "pmap",
    "annotax._transforms.sharding.ShardMap": "shard_map",
    "annotax._transforms.checkpoint.Checkpoint": "checkpoint",
    "annotax._transforms.custom.CustomVjp": "custom_vjp",
    "annotax._transforms.custom.CustomJvp": "custom_jvp",
    "annotax._transforms.stage.MakeJaxpr": "make_jaxpr",
    _FACES + "SelectedGrad": "grad",
    _FACES + "SelectedValueAndGrad": "value_and_grad",
    _FACES + "SelectedJacobian": "jacobian",
    _FACES + "StatedGrad": "grad",
    _FACES + "StatedValueAndGrad": "value_and_grad",
}
_DECORATORS = {
    _FACES + name
    for name in (
        "KeepingDecorator", "CompilingDecorator", "AnyDecorator", "GradDecorator", "CompiledGradDecorator",
        "ValueAndGradDecorator", "CompiledValueAndGradDecorator", "JacobianDecorator", "CompiledJacobianDecorator",
        "JaxprDecorator", "StatedGrad", "StatedValueAndGrad", "SelectedGrad", "SelectedValueAndGrad",
        "SelectedJacobian",
    )
}  # fmt: skip
"""What `transform(...)` returns."""

_KEEPING = {"jit", "vmap", "pmap", "shard_map", "checkpoint", "custom_vjp", "custom_jvp"}
_DIFFERENTIATING = {"grad", "value_and_grad", "jacfwd", "jacrev", "jacobian", "hessian", "custom_vjp", "custom_jvp"}
_WRAPPING = {_FACES + "Jitted", _FACES + "WithVjp", _FACES + "WithJvp"}
"""Classes that hold the function that they stand for."""

_ANY = AnyType(TypeOfAny.special_form)

# What a transform's options said goes with its type, under names that no attribute has.
_OPTION, _STEPS = "annotax option ", "annotax steps"


def plugin(version: str) -> type[Plugin]:
    """The entry point that mypy asks for."""
    return _AnnotaxPlugin


class _AnnotaxPlugin(Plugin):
    """See the module."""

    _looked_at = 0  # how many of mypy's modules

    def get_additional_deps(self, file: MypyFile) -> list[tuple[int, str, int]]:
        """Whatever uses annotax refers to its aliases, so that they are there when it comes from the cache."""
        if not _uses_annotax(file):
            return []
        _Aliases(file)
        return [(10, "annotax._markers", -1), (10, "annotax._faces", -1)]

    def get_type_analyze_hook(self, fullname: str) -> Callable[[AnalyzeTypeContext], Type] | None:
        """Keep the markers of `Annotated`."""
        hook: Callable[[AnalyzeTypeContext], Type] | None = None
        if fullname in ("typing.Annotated", "typing_extensions.Annotated"):
            hook = lambda ctx: _annotated(ctx, fullname)  # noqa: E731
        rewritten = self._rewrite_new_modules()
        return (lambda ctx: _once_more(ctx, hook, rewritten)) if rewritten else hook

    def _rewrite_new_modules(self) -> list[MypyFile]:
        """Rewrite the aliases of modules that are here for other reasons than a change of their own.

        Such a module, one of whose imports has changed, was parsed anew, but its dependencies are those of the cache.
        This is the first that a plugin hears of it.
        """
        modules = self._modules or {}
        if len(modules) == self._looked_at:  # as it nearly always is, and this is asked for every type
            return []
        new = list(modules.values())[self._looked_at if self._looked_at < len(modules) else 0 :]
        self._looked_at = len(modules)
        return [file for file in new if _uses_annotax(file) and _Aliases(file).found]

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        """Keep the transforms of `transform(...)`."""
        return _transform if fullname == "annotax._transform.transform" else None

    def get_class_decorator_hook_2(self, fullname: str) -> Callable[[ClassDefContext], bool] | None:
        """Look at the markers on the fields of a `pytree`."""
        return _pytree if fullname == "annotax._pytree.pytree" else None

    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        """Say what a transform makes of a function."""
        owner, _, method = fullname.rpartition(".")
        if method == "__call__" and (owner in _KINDS or owner in _DECORATORS):
            return _decorated
        if owner == _FACES + "Jitted" and method in ("lower", "trace", "eval_shape"):
            return _staged
        return None

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        """Keep the options of a transform that is called without a function."""
        owner, _, method = fullname.rpartition(".")
        if owner in _KINDS and method == "__call__":
            return _configured
        return None


def _imported(node: ImportBase) -> list[str]:
    """The modules that an import names."""
    if isinstance(node, Import):
        return [name for name, _ in node.ids]
    return [node.id] if isinstance(node, (ImportFrom, ImportAll)) else []


def _uses_annotax(file: MypyFile) -> bool:
    """Whether a module imports annotax, or a part of it."""
    modules = {name for imported in file.imports for name in _imported(imported)}
    return any(name == "annotax" or name.startswith("annotax.") for name in modules)


class _Aliases:
    """Rewrites `Frozen = Annotated[Array, NoDiff]` to `Frozen = NoDiff[Array]`: mypy drops the metadata of an alias."""

    def __init__(self, file: MypyFile) -> None:
        self.found = False
        self.markers: set[str] = set()
        self.modules: set[str] = set()
        for imported in file.imports:
            if isinstance(imported, ImportFrom) and imported.id == "annotax":
                self.markers |= {renamed or name for name, renamed in imported.names if _MARKERS + name in _ALIASES}
            elif isinstance(imported, Import):
                self.modules |= {renamed or name for name, renamed in imported.ids if name == "annotax"}
        self.rewrite_in(file.defs)

    def rewrite_in(self, statements: Sequence[Statement]) -> None:
        """Rewrite the aliases among some statements, and in the classes, functions and branches among them."""
        for statement in statements:
            if isinstance(statement, AssignmentStmt):
                self.rewrite(statement.rvalue)
            elif isinstance(statement, TypeAliasStmt):
                self.rewrite(statement.value.expr())
            elif isinstance(statement, ClassDef):
                self.rewrite_in(statement.defs.body)
            elif isinstance(statement, FuncDef):
                self.rewrite_in(statement.body.body)
            elif isinstance(statement, IfStmt):
                for block in (*statement.body, *([statement.else_body] if statement.else_body else [])):
                    self.rewrite_in(block.body)

    def rewrite(self, expression: Expression) -> None:
        """Put the markers around what is annotated, in an expression and its parts."""
        if isinstance(expression, TupleExpr):
            for item in expression.items:
                self.rewrite(item)
        elif isinstance(expression, OpExpr):
            self.rewrite(expression.left)
            self.rewrite(expression.right)
        elif isinstance(expression, IndexExpr):
            base, index = expression.base, expression.index
            self.rewrite(index)
            if getattr(base, "name", None) != "Annotated" or not isinstance(index, TupleExpr):
                return
            for metadata in filter(self.is_marker, index.items[1:]):
                is_first = expression.base is base
                inner = index.items[0] if is_first else IndexExpr(expression.base, expression.index)
                inner.set_line(expression)
                expression.base, expression.index = metadata, inner
                self.found = True

    def is_marker(self, metadata: Expression) -> bool:
        """Whether an expression is a marker, as far as imports tell."""
        if isinstance(metadata, NameExpr):
            return metadata.name in self.markers
        if not isinstance(metadata, MemberExpr) or getattr(metadata.expr, "name", None) not in self.modules:
            return False
        return _MARKERS + metadata.name in _ALIASES


def _once_more(
    ctx: AnalyzeTypeContext, hook: Callable[[AnalyzeTypeContext], Type] | None, rewritten: Sequence[MypyFile]
) -> Type:
    """What a type is; and its module is gone through again, if its aliases have just been rewritten."""
    analyzer = cast("Any", ctx.api).api
    if any(file is getattr(analyzer, "cur_mod_node", None) for file in rewritten):
        analyzer.defer()
    return ctx.type.accept(cast("Any", ctx.api)) if hook is None else hook(ctx)


# --- markers in types ------------------------------------------------------------------------------------------------


def _annotated(ctx: AnalyzeTypeContext, fullname: str) -> Type:
    """`Annotated[X, Marker]` as the alias `Marker[X]`; any other `Annotated` as mypy reads it."""
    written, api = ctx.type, cast("Any", ctx.api)
    found: list[TypeAlias] = []
    for metadata in written.args[1:]:
        alias = _alias_of(metadata, api, ctx.context)
        if alias is not None:
            found.append(alias)
    if _INTEGER_HINTS.search(written.name) and (integers := _alias(_FACES + "Integers", api)) is not None:
        found.append(integers)
    if not found:
        return cast("Type", api.try_analyze_special_unbound_type(written, fullname) or _ANY)
    inner: Type = ctx.api.analyze_type(written.args[0])
    for alias in found:
        inner = TypeAliasType(alias, [inner], written.line, written.column)
    return inner


def _alias_of(metadata: Type, api: Any, context: Context) -> TypeAlias | None:
    """The alias for one piece of metadata, if it is a marker."""
    if isinstance(metadata, UnboundType):
        node = _node(metadata.name, api, context)
        if _called(node) is not None:
            api.fail(
                f"the marker {metadata.name} stands without its arguments; write {metadata.name}(...)",
                context,
                code=_CODE,
            )
        return node if isinstance(node, TypeAlias) and node.fullname in _ALIASES else None
    if isinstance(metadata, RawExpressionType) and metadata.note:
        # mypy does not keep a call; it tells the name of what was called in the hint that it would give.
        called = re.search(r"use ([\w.]+)\[", metadata.note)
        name = None if called is None else _called(_node(called.group(1), api, context))
        return None if name is None else _alias(name, api)
    return None


def _called(node: Any) -> str | None:
    """The alias that stands for a marker that is called, `Axis(1)`, by what is called."""
    if isinstance(node, TypeAlias) and isinstance(target := get_proper_type(node.target), Instance):
        node = target.type  # JAX gives PartitionSpec another name
    if not isinstance(node, TypeInfo):
        return None
    if re.fullmatch(r"jax\..*(?:PartitionSpec|partition_spec\.P)", node.fullname):
        return _FACES + "HasLayout"
    return _FACES + "HasAxis" if node.fullname == _MARKERS + "Axis" else None


def _node(name: str, api: Any, context: Context) -> Any:
    found = api.lookup_qualified(name, context, suppress_errors=True)
    return None if found is None else found.node


def _alias(fullname: str, api: Any) -> TypeAlias | None:
    found = api.api.lookup_fully_qualified_or_none(fullname)
    return found.node if found is not None and isinstance(found.node, TypeAlias) else None


def _taken_apart(hint: Type) -> tuple[ProperType, tuple[str, ...]]:
    """A type without the markers around it, and those markers, the outermost first."""
    markers: list[str] = []
    while isinstance(hint, TypeAliasType) and hint.alias is not None:
        name = _ALIASES.get(hint.alias.fullname)
        if name is not None:
            markers.append(name)
            hint = hint.args[0]
        elif hint.is_recursive:
            return _ANY, tuple(markers)  # it has no end
        else:
            hint = hint._expand_once()  # pyright: ignore[reportPrivateUsage]  # one alias alone
    return get_proper_type(hint), tuple(markers)


def _parts(hint: ProperType) -> Sequence[Type]:
    """What a type is made of."""
    if isinstance(hint, (TupleType, UnionType)):
        return hint.items
    if isinstance(hint, Instance):
        return hint.args
    return [*hint.arg_types, hint.ret_type] if isinstance(hint, CallableType) else ()


def _nested_marker(hint: ProperType) -> str | None:
    """A marker somewhere inside a type."""
    for part in _parts(hint):
        inner, markers = _taken_apart(part)
        for marker in (*markers, _nested_marker(inner)):
            if marker not in (None, "Integers", "Derived"):
                return marker
    return None


# --- what a type alone gives away; as `annotax._hints` does at run time ----------------------------------------------


_CONSTANT = {"builtins.str", "builtins.bytes", "builtins.type", "enum.Enum", "numpy.dtype", "types.FunctionType"}
_INTEGRAL = {"builtins.int", "numpy.integer", "numpy.bool", "numpy.bool_"}
_NUMBERS = {"builtins.float", "builtins.complex", "numpy.ndarray", "numpy.generic"}
_CONTAINERS = {"builtins.list", "builtins.dict", "builtins.tuple", "typing.Sequence", "typing.Mapping"}


def _is_any_of(hint: ProperType, names: set[str]) -> bool:
    return isinstance(hint, Instance) and any(base.fullname in names for base in hint.type.mro)


def _is_array(hint: ProperType) -> bool:
    return isinstance(hint, Instance) and hint.type.fullname in ("jax._src.basearray.Array", "jax.Array")


def _never_traced(hint: ProperType) -> bool:
    if isinstance(hint, UnionType):
        parts = [part for part, _ in map(_taken_apart, hint.items) if not isinstance(part, NoneType)]
        return bool(parts) and all(map(_never_traced, parts))
    if isinstance(hint, TupleType):
        return bool(hint.items) and all(_never_traced(_taken_apart(part)[0]) for part in hint.items)
    if isinstance(hint, Instance) and hint.type.fullname == "builtins.tuple":
        return _never_traced(_taken_apart(hint.args[0])[0])
    if isinstance(hint, (LiteralType, FunctionLike, TypeType)):
        return True
    return _is_any_of(hint, _CONSTANT)


def _never_differentiated(hint: Type) -> bool:
    bare, markers = _taken_apart(hint)
    if "Integers" in markers or _never_traced(bare):
        return True
    if isinstance(bare, (UnionType, TupleType)):
        parts = [part for part in bare.items if not isinstance(_taken_apart(part)[0], NoneType)]
        return bool(parts) and all(map(_never_differentiated, parts))
    # What is hinted a `Sequence` is looked at in each call alone.
    if isinstance(bare, Instance) and bare.type.fullname in _CONTAINERS - {"typing.Sequence"}:
        return _never_differentiated(bare.args[-1])
    return _is_any_of(bare, _INTEGRAL)


def _gradient_of(hint: Type, array: Type, *, is_alone: bool = False) -> Type:
    """The type of the gradient of a value: numbers become arrays, what has none `None`, classes stay.

    Arguments:
        hint: The type of the value.
        array: `jax.Array`.
        is_alone: Whether the gradient is that of this value alone, which then has one.
    """
    bare = _taken_apart(hint)[0]
    if is_alone and isinstance(bare, UnionType):
        parts = [part for part in flatten_nested_unions(bare.items) if not _never_differentiated(part)]
        bare = get_proper_type(UnionType.make_union(parts))
    if _never_differentiated(hint):
        return NoneType() if not _is_container(bare) else _mapped(bare, lambda part: _gradient_of(part, array))
    return array if _is_any_of(bare, _NUMBERS) else _mapped(bare, lambda part: _gradient_of(part, array))


def _is_container(hint: ProperType) -> bool:
    if isinstance(hint, UnionType):
        return True
    return isinstance(hint, (TupleType, Instance)) and _is_any_of(_fallback(hint), _CONTAINERS)


def _fallback(hint: ProperType) -> ProperType:
    return hint.partial_fallback if isinstance(hint, TupleType) else hint


def _mapped(hint: ProperType, change: Callable[[Type], Type]) -> Type:
    """A container with its parts changed, any other type as it is."""
    if isinstance(hint, UnionType):
        parts = [part if isinstance(_taken_apart(part)[0], NoneType) else change(part) for part in hint.items]
        return UnionType.make_union(list(dict.fromkeys(parts)))
    if isinstance(hint, TupleType):
        if hint.partial_fallback.type.fullname != "builtins.tuple":
            return hint  # a NamedTuple
        return hint.copy_modified(items=[change(part) for part in hint.items])
    if isinstance(hint, Instance) and hint.type.fullname in _CONTAINERS:
        return hint.copy_modified(args=[*hint.args[:-1], change(hint.args[-1])])
    return hint


def _at_leaves(hint: Type, leaf: Type) -> Type | None:
    """The type of a value with something else at each of its arrays, or `None` if they cannot be seen."""
    bare = _taken_apart(hint)[0]
    if _is_array(bare) or (_is_any_of(bare, _NUMBERS)):
        return leaf
    if not _is_container(bare) or isinstance(bare, UnionType):
        return None
    unseen = False

    def change(part: Type) -> Type:
        nonlocal unseen
        changed = _at_leaves(part, leaf)
        unseen = unseen or changed is None
        return _ANY if changed is None else changed

    if isinstance(bare, TupleType) and bare.partial_fallback.type.fullname != "builtins.tuple":
        return None
    changed = _mapped(bare, change)
    return None if unseen else changed


# --- transforms in types ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unknown:
    """An option that is no literal."""


_UNKNOWN = _Unknown()


@dataclass(frozen=True)
class _Step:
    """One transform of a pipeline.

    Attributes:
        kind: Its name, or `None` where it is none of ours.
        options: What its options name: an index, a name, a tuple of them, or `_UNKNOWN`.
        stated: What `grad[...]` states.
    """

    kind: str | None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stated: Type | None = None

    def named(self, option: str) -> tuple[Any, ...]:
        """The parameters that an option names."""
        given: Any = self.options.get(option)
        if given is None:
            return ()
        return tuple(cast("Any", given)) if isinstance(given, tuple) else (given,)


def _step(hint: Type) -> _Step:
    bare = get_proper_type(hint)
    if not isinstance(bare, Instance):
        return _Step(None)
    attributes = {} if bare.extra_attrs is None else bare.extra_attrs.attrs
    options = {
        name.removeprefix(_OPTION): _value(given) for name, given in attributes.items() if name.startswith(_OPTION)
    }
    return _Step(_KINDS.get(bare.type.fullname), options, bare.args[0] if bare.args else None)


def _steps(hint: Type) -> list[_Step]:
    """The transforms of a decorator, the outermost first."""
    bare = get_proper_type(hint)
    if isinstance(bare, Instance) and bare.extra_attrs is not None and _STEPS in bare.extra_attrs.attrs:
        steps = get_proper_type(bare.extra_attrs.attrs[_STEPS])
        return list(map(_step, steps.items)) if isinstance(steps, TupleType) else [_Step(None)]
    return [_step(bare)]


_IN_PATH = re.compile(r"[.\[]")

_NAMING = ("static", "donate", "wrt", "in_axes", "in_specs")
"""Options that name parameters."""

_READ = (*_NAMING, "has_aux")


def _options_in(context: Context) -> dict[str, Expression]:
    """The options in a call that mean something here."""
    if not isinstance(context, CallExpr):
        return {}
    return {name: given for name, given in zip(context.arg_names, context.args, strict=True) if name in _READ}


def _literal(given: Expression, api: Any) -> Type:
    """An option as a type."""
    if isinstance(given, StrExpr):
        return LiteralType(given.value, api.named_generic_type("builtins.str", []))
    if isinstance(given, IntExpr):
        return LiteralType(given.value, api.named_generic_type("builtins.int", []))
    if isinstance(given, UnaryExpr) and given.op == "-" and isinstance(given.expr, IntExpr):
        return LiteralType(-given.expr.value, api.named_generic_type("builtins.int", []))
    if isinstance(given, NameExpr) and given.fullname in ("builtins.True", "builtins.False"):
        return LiteralType(given.fullname == "builtins.True", api.named_generic_type("builtins.bool", []))
    if isinstance(given, NameExpr) and given.fullname == "builtins.None":
        return NoneType()
    items = None
    if isinstance(given, (TupleExpr, ListExpr)):
        items = given.items
    elif isinstance(given, DictExpr) and all(key is not None for key, _ in given.items):
        items = [cast("Expression", key) for key, _ in given.items]
    if items is None:
        return _ANY
    fallback = api.named_generic_type("builtins.tuple", [_ANY])
    return TupleType([_literal(item, api) for item in items], fallback)


def _value(hint: Type) -> Any:
    """An option as a value again."""
    bare = get_proper_type(hint)
    if isinstance(bare, LiteralType):
        return bare.value
    if isinstance(bare, NoneType):
        return None
    return tuple(map(_value, bare.items)) if isinstance(bare, TupleType) else _UNKNOWN


def _configured(ctx: MethodContext) -> Type:
    """`jit(static="n")`: the transform with what its options say."""
    made = get_proper_type(ctx.default_return_type)
    if not isinstance(made, Instance) or made.type.fullname not in _KINDS:
        return ctx.default_return_type
    for name, given in _options_in(ctx.context).items():
        made = made.copy_with_extra_attr(_OPTION + name, _literal(given, ctx.api))
    return made


def _transform(ctx: FunctionContext) -> Type:
    """`transform(jit, grad)`: the decorator with its transforms."""
    made = get_proper_type(ctx.default_return_type)
    if not isinstance(made, Instance) or made.type.fullname not in _DECORATORS:
        return ctx.default_return_type
    if not isinstance(ctx.context, CallExpr) or any(kind.is_star() for kind in ctx.context.arg_kinds):
        steps: list[Type] = [_ANY]
    else:
        api = cast("Any", ctx.api)
        given = zip(ctx.context.arg_names, ctx.context.args, strict=True)
        steps = [api.get_expression_type(step) for name, step in given if name is None]
    fallback = cast("Any", ctx.api).named_generic_type("builtins.tuple", [_ANY])
    return made.copy_with_extra_attr(_STEPS, TupleType(steps, fallback))


# --- functions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parameter:
    """One parameter, as the contract of a function has it."""

    name: str
    kind: ArgKind
    hint: ProperType
    markers: tuple[str, ...]

    @property
    def slot(self) -> str:
        """How it is named in a message."""
        return f"parameter {self.name}"


class _Function:
    """A function to be decorated, with what its markers say."""

    def __init__(self, hint: CallableType) -> None:
        self.type = hint
        self.name = hint.name or "the function"
        self.parameters: list[_Parameter] = []
        given = zip(hint.arg_names, hint.arg_kinds, hint.arg_types, strict=True)
        for i, (name, kind, argument) in enumerate(given):
            bare, markers = _taken_apart(argument)
            self.parameters.append(_Parameter(name or f"number {i}", kind, bare, markers))
        self.result = hint.ret_type

    @property
    def is_method(self) -> bool:
        """Whether its first parameter will be bound."""
        return bool(self.parameters) and self.parameters[0].name in ("self", "cls")

    @property
    def components(self) -> list[tuple[ProperType, tuple[str, ...]]] | None:
        """The components of a returned tuple."""
        bare = _taken_apart(self.result)[0]
        return [_taken_apart(part) for part in bare.items] if isinstance(bare, TupleType) else None

    def located(self, selector: Any) -> int | None:
        """The position of a parameter by name, path or index, or `None` if there is none."""
        if isinstance(selector, int):
            count = len(self.parameters)
            return selector % count if -count <= selector < count else None
        root = re.split(_IN_PATH, str(selector), maxsplit=1)[0]
        return next((i for i, parameter in enumerate(self.parameters) if parameter.name == root), None)


def _function(hint: Type) -> _Function | None:
    """The function of an argument, unless its parameters cannot be seen."""
    bare = get_proper_type(hint)
    while isinstance(bare, Instance) and bare.type.fullname in _WRAPPING:
        bare = get_proper_type(bare.args[0])
    if not isinstance(bare, CallableType) or bare.is_type_obj() or bare.implicit or bare.is_ellipsis_args:
        return None
    if bare.param_spec() is not None or bare.unpack_kwargs:
        return None
    return _Function(bare)


class _Reports:
    """Errors at one place."""

    def __init__(self, ctx: MethodSigContext, function: _Function) -> None:
        self.ctx, self.function = ctx, function

    def __call__(self, problem: str, fix: str) -> None:
        self.ctx.api.fail(f"{self.function.name}(): {problem}; {fix}", self.ctx.context, code=_CODE)


def _contradictions(markers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with markers that stand on one thing, and the fix."""
    for one, other, fix in CONTRADICTIONS:
        if _NAMES[one] in markers and _NAMES[other] in markers:
            yield f"is both {_NAMES[one]} and {_NAMES[other]}", fix
    if markers.count("PartitionSpec") > 1:
        yield "has two layouts", "keep one PartitionSpec"


def _check(function: _Function, fail: _Reports) -> bool:
    """Report what is wrong with the markers themselves; whether all are right."""
    is_right = True

    def wrong(problem: str, fix: str) -> None:
        nonlocal is_right
        is_right = False
        fail(problem, fix)

    for parameter in function.parameters:
        markers = parameter.markers
        for problem, fix in _contradictions(markers):
            wrong(f"{parameter.slot} {problem}", fix)
        if "Aux" in markers:
            wrong(f"{parameter.slot} has the marker Aux where it cannot be honoured",
                  "Aux belongs on a component of the returned tuple")  # fmt: skip
        nested = _nested_marker(parameter.hint)
        if nested is not None:
            wrong(f"{parameter.slot} has the marker {nested} where it cannot be honoured", "put it outside")
        if "Static" in markers and (_is_array(parameter.hint) or _is_any_of(parameter.hint, {"numpy.ndarray"})):
            wrong(f"{parameter.slot} is Static, but an array can be no compile-time constant", "drop Static")
    whole, on_whole = _taken_apart(function.result)
    parts = function.components
    if "Aux" in on_whole:
        wrong("the result has the marker Aux where it cannot be honoured", "mark a component of a returned tuple")
    for hint, markers in [(whole, on_whole)] if parts is None else [(NoneType(), on_whole), *parts]:
        for marker in [*(marker for marker in markers if marker in _ON_PARAMETERS), _nested_marker(hint)]:
            if marker is not None:
                fix = (
                    f"{marker} belongs on a parameter" if marker in _ON_PARAMETERS else "mark a component of the tuple"
                )
                wrong(f"the result has the marker {marker} where it cannot be honoured", fix)
    return is_right


def _check_names(function: _Function, steps: Sequence[_Step], fail: _Reports) -> bool:
    """Report options that name no parameter, or one that they cannot be honoured for; whether all are right."""
    is_right = True
    static = _static_names(function, steps) or set()
    static |= {i for i, parameter in enumerate(function.parameters) if "Static" in parameter.markers}
    names = ", ".join(parameter.name for parameter in function.parameters)

    def wrong(problem: str, fix: str) -> None:
        nonlocal is_right
        is_right = False
        fail(problem, fix)

    for step in steps:
        for option in _NAMING:
            says = f"{step.kind}({option}=...)"
            found: set[int] = set()
            for selector in step.named(option):
                i = None if isinstance(selector, _Unknown) else function.located(selector)
                if isinstance(selector, _Unknown):
                    continue
                if i is None:
                    wrong(f"{says} names no parameter: {selector!r}", f"the parameters are {names}")
                elif option != "static" and i in static:
                    wrong(f"{says} names the static parameter {function.parameters[i].name}", "name another parameter")
                elif option == "wrt" and i in found and not re.search(_IN_PATH, str(selector)):
                    wrong(f"{says} names {selector!r} twice", "name each parameter to differentiate once")
                else:
                    found.add(i)
            if option == "wrt" and step.options.get("wrt") == ():
                wrong(f"{says} names no parameter", "name each parameter to differentiate once")
    return is_right


def _static_names(function: _Function, steps: Sequence[_Step]) -> set[int] | None:
    """The parameters that options make static, or `None` where an option is no literal."""
    found: set[int] = set()
    for step in steps:
        for selector in step.named("static"):
            if isinstance(selector, _Unknown):
                return None
            i = function.located(selector)
            if i is not None and re.search(_IN_PATH, str(selector)) is None:
                found.add(i)
    return found


def _chosen(function: _Function, step: _Step, static: set[int], fail: _Reports) -> tuple[list[int], bool] | None:
    """The parameters that a step differentiates, and whether the derivative comes bare; `None` if that is not seen."""
    selectors = step.named("wrt")
    if selectors:
        if _UNKNOWN in selectors:
            return None
        places = [function.located(selector) for selector in selectors]
        if any(re.search(_IN_PATH, str(selector)) for selector in selectors):
            return None
        named = [i for i in places if i is not None]
        return (named, not isinstance(step.options["wrt"], tuple)) if len(named) == len(places) else None
    marked = [i for i, parameter in enumerate(function.parameters) if "Diff" in parameter.markers and i not in static]
    if marked:
        return marked, len(marked) == 1
    found: list[int] = []
    is_seen = True
    for i, parameter in enumerate(function.parameters):
        if i in static or "Static" in parameter.markers or "NoDiff" in parameter.markers:
            continue
        # Whether `cls` has a hint is not seen; without one its gradient is `None`.
        is_seen = is_seen and not (i == 0 and parameter.name == "cls" and isinstance(parameter.hint, TypeType))
        if "Integers" in parameter.markers or _never_differentiated(parameter.hint):
            continue
        # The default of a parameter without a hint may make it static; an object may be no pytree.
        is_untold = isinstance(parameter.hint, AnyType) and parameter.kind in (ARG_OPT, ARG_NAMED_OPT)
        if is_untold or (i == 0 and parameter.name == "self" and not _is_pytree(parameter.hint)):
            is_seen = False
        found.append(i)
    if not found:
        fail(f"{step.kind} has nothing to differentiate", f"mark a parameter Diff, or name one: {step.kind}(wrt=...)")
    return (found, len(found) == 1) if found and is_seen else None


def _is_pytree(hint: ProperType) -> bool:
    """Whether the class of `self` is seen to be a pytree: dataclasses of all kinds, named tuples."""
    if isinstance(hint, TupleType):
        return True
    if not isinstance(hint, Instance):
        return False
    return any("dataclass" in base.metadata or "dataclass_tag" in base.metadata for base in hint.type.mro)


# --- results ---------------------------------------------------------------------------------------------------------


class _Results:
    """What the transforms of a pipeline make of a function's result."""

    def __init__(self, function: _Function, ctx: MethodSigContext, fail: _Reports) -> None:
        self.function, self.fail = function, fail
        self.api = cast("Any", ctx.api)

    @property
    def array(self) -> Type:
        """`jax.Array`."""
        return Instance(_face("Array", self.api), [])

    def tuple_of(self, items: Sequence[Type]) -> Type:
        """A tuple of a fixed length."""
        return TupleType(list(items), self.api.named_generic_type("builtins.tuple", [_ANY]))

    def of(self, steps: Sequence[_Step]) -> Type | None:
        """The result of a pipeline, or `None` where it is not seen."""
        static = _static_names(self.function, steps)
        result: Type | None = self.function.result
        is_changed = False
        for step in reversed(steps):
            if step.kind in _KEEPING:
                if step.kind in _DIFFERENTIATING and not is_changed:
                    _chosen(self.function, step, static or set(), self.fail)
                continue
            chosen = None
            if step.kind in _DIFFERENTIATING and static is not None:
                chosen = _chosen(self.function, step, static, self.fail)
            if result is None or (chosen is None and step.stated is None):
                result = None
            elif step.kind in ("grad", "value_and_grad") and step.stated is not None:
                result = self.gradient(step, result, step.stated)
            elif step.kind in ("grad", "value_and_grad"):
                result = self.gradient(step, result, self.of_chosen(*cast("tuple[list[int], bool]", chosen)))
            else:
                result = self.jacobian(step, result, *cast("tuple[list[int], bool]", chosen))
            is_changed = True
        return result

    def aux(self, step: _Step, result: Type) -> tuple[Type, Type | None] | None:
        """The value to differentiate, and what is auxiliary; `None` where that is not seen."""
        bare = _taken_apart(result)[0]
        has_aux = step.options.get("has_aux")
        if isinstance(has_aux, _Unknown):
            return None
        parts = bare.items if isinstance(bare, TupleType) else []
        marked = [i for i, part in enumerate(parts) if "Aux" in _taken_apart(part)[1]]
        if has_aux is not None:
            if not has_aux:
                return result, None
            return (parts[0], _taken_apart(parts[1])[0]) if len(parts) == 2 else None
        if not marked:
            return result, None
        if len(marked) != len(parts) - 1:
            self.fail(
                f"{step.kind} needs exactly one component of the result that is not Aux",
                "mark all but the value to differentiate",
            )
            return None
        aux = [_taken_apart(parts[i])[0] for i in marked]
        value = next(part for i, part in enumerate(parts) if i not in marked)
        return value, aux[0] if len(aux) == 1 else self.tuple_of(aux)

    def of_chosen(self, chosen: Sequence[int], is_bare: bool) -> Type:
        """The gradient of some parameters."""
        slots: list[Type] = []
        for i in chosen:
            parameter = self.function.parameters[i]
            slots.append(self.in_slot(parameter, _gradient_of(parameter.hint, self.array, is_alone=is_bare)))
        return slots[0] if is_bare else self.tuple_of(slots)

    def in_slot(self, parameter: _Parameter, part: Type) -> Type:
        """What is for each value of a variadic parameter, for all of them."""
        if parameter.kind == ARG_STAR:
            return cast("Type", self.api.named_generic_type("builtins.tuple", [part]))
        if parameter.kind == ARG_STAR2:
            key = self.api.named_generic_type("builtins.str", [])
            return cast("Type", self.api.named_generic_type("builtins.dict", [key, part]))
        return part

    def gradient(self, step: _Step, result: Type, gradient: Type) -> Type | None:
        """Of `grad` and `value_and_grad`."""
        if step.kind == "value_and_grad":
            return self.tuple_of([result, gradient])
        split = self.aux(step, result)
        if split is None:
            return None
        return gradient if split[1] is None else self.tuple_of([gradient, split[1]])

    def jacobian(self, step: _Step, result: Type, chosen: Sequence[int], is_bare: bool) -> Type | None:
        """Of the Jacobians: at each array of the value the structure of the arguments, twice for `hessian`."""
        split = self.aux(step, result)
        leaf = self.at_arguments(chosen, is_bare, self.array)
        if leaf is not None and step.kind == "hessian":
            leaf = self.at_arguments(chosen, is_bare, leaf)
        derivative = None if split is None or leaf is None else _at_leaves(split[0], leaf)
        if split is None or derivative is None:
            return None
        return derivative if split[1] is None else self.tuple_of([derivative, split[1]])

    def at_arguments(self, chosen: Sequence[int], is_bare: bool, leaf: Type) -> Type | None:
        """The structure of what is differentiated, with something at each leaf."""
        slots: list[Type] = []
        for i in chosen:
            parameter = self.function.parameters[i]
            part = _at_leaves(parameter.hint, leaf)
            if part is None:
                return None
            slots.append(self.in_slot(parameter, part))
        return slots[0] if is_bare else self.tuple_of(slots)


# --- fields -----------------------------------------------------------------------------------------------------------


def _pytree(ctx: ClassDefContext) -> bool:
    """A dataclass, as mypy makes it, whose markers are looked at first."""
    for statement in ctx.cls.defs.body:
        if not isinstance(statement, AssignmentStmt) or statement.type is None:
            continue
        name = getattr(statement.lvalues[0], "name", "")
        hint, markers = _taken_apart(statement.type)
        problems = list(_contradictions(markers))
        for marker in [*(marker for marker in markers if marker in ("Diff", "Donate", "Aux")), _nested_marker(hint)]:
            if marker is not None:
                where = "put it outside" if marker not in markers else f"{marker} belongs on a function"
                problems.append((f"has the marker {marker} where it cannot be honoured", where))
        for problem, fix in problems:
            ctx.api.fail(f"{ctx.cls.name}: field {name} {problem}; {fix}", statement, code=_CODE)
    return dataclass_class_maker_callback(ctx)


# --- signatures ------------------------------------------------------------------------------------------------------


def _decorated(ctx: MethodSigContext) -> FunctionLike:
    """What a transform, or a decorator of several, makes of the function that it is given."""
    signature = ctx.default_signature
    if not signature.arg_kinds or not signature.arg_kinds[0].is_positional() or len(ctx.args[0]) != 1:
        return signature  # options alone
    given = ctx.args[0][0]
    if isinstance(given, LambdaExpr):
        return signature
    hint = cast("Any", ctx.api).get_expression_type(given)
    function = _function(hint)
    if function is None:
        return signature
    steps = _steps(ctx.type)
    here = _options_in(ctx.context) if isinstance(ctx.context, CallExpr) and given in ctx.context.args else {}
    if here and len(steps) == 1:
        options = {name: _value(_literal(expression, ctx.api)) for name, expression in here.items()}
        steps = [_Step(steps[0].kind, {**steps[0].options, **options}, steps[0].stated)]
    fail = _Reports(ctx, function)
    is_right = _check(function, fail)
    is_right = _check_names(function, steps, fail) and is_right
    if any(step.kind is None for step in steps):
        return signature
    if all(step.kind in _KEEPING for step in steps) and not _changes_derivative(function, steps):
        _Results(function, ctx, fail).of(steps)
        if not _is_method(ctx.context):
            return signature
        # mypy drops the name `self` of `__matmul__` and its like, so it is not seen to be a method.
        return signature.copy_modified(arg_types=[hint, *signature.arg_types[1:]], ret_type=hint, variables=[])
    result = _Results(function, ctx, fail).of(steps) if is_right else None
    if "make_jaxpr" in {step.kind for step in steps}:
        return signature
    result = _ANY if result is None or _changes_derivative(function, steps) else result
    exact = function.type.copy_modified(ret_type=TypeAliasType(_face("Derived", ctx.api), [result]))
    returned: Type = exact
    if steps[0].kind == "jit" and not function.is_method and not _is_method(ctx.context):
        returned = Instance(_face("Jitted", ctx.api), [exact])
    arguments = [hint, *signature.arg_types[1:]]
    return signature.copy_modified(arg_types=arguments, ret_type=returned, variables=[])


def _is_method(context: Context) -> bool:
    """Whether what is decorated is a method."""
    function = context.func if isinstance(context, Decorator) else context
    return isinstance(function, FuncDef) and bool(function.info) and not function.is_static


def _face(name: str, api: Any) -> Any:
    """A class or alias that `_faces.pyi` names."""
    return api.modules["annotax._faces"].names[name].node


def _changes_derivative(function: _Function, steps: Sequence[_Step]) -> bool:
    """Whether an option makes static what a derivative inside was taken of."""
    if "Derived" not in _taken_apart(function.result)[1]:
        return False
    static = _static_names(function, steps)
    return static is None or any(not _never_differentiated(function.parameters[i].hint) for i in static)


def _staged(ctx: MethodSigContext) -> FunctionLike:
    """`f.lower(...)` of a compiled function, with the parameters of the function, type variables and all."""
    bare = get_proper_type(ctx.type)
    function = get_proper_type(bare.args[0]) if isinstance(bare, Instance) and bare.args else None
    is_of_shapes = bool(ctx.default_signature.arg_names) and ctx.default_signature.arg_kinds[-1:] == [ARG_STAR2]
    if not isinstance(function, CallableType) or function.is_ellipsis_args or is_of_shapes:
        return ctx.default_signature
    return function.copy_modified(ret_type=ctx.default_signature.ret_type)
