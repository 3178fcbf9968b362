"""How cases are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter as P
from typing import Any

import hypothesis.strategies as st
import jax
import numpy as np

from annotax import Axis
from tests.oracle.cases import Case
from tests.oracle.derivatives import (
    CustomJvp,
    CustomVjp,
    Grad,
    Hessian,
    JacFwd,
    JacRev,
    Jvp,
    Linearize,
    ValueAndGrad,
    Vjp,
)
from tests.oracle.functions import COMPONENTS, NOTHING, SEATS, Call, Function, Parameter, Returns, Selection, Spelling
from tests.oracle.maps import Pmap, ShardMap, Vmap
from tests.oracle.models import AXES, fields_of
from tests.oracle.steps import Checkpoint, EvalShape, Jit, MakeJaxpr, Step, Way
from tests.oracle.values import (
    CONTRADICTIONS,
    DIFFERENTIABLE,
    HINTS,
    KEYWORDS,
    MARKERS,
    MESHES,
    NAMES,
    Batch,
    Form,
    Hint,
    Value,
    is_traceable,
)


def now_and_then(draw: Any, often: int) -> bool:
    """True in one of so many cases; shrinks to false."""
    return draw(st.integers(0, often - 1)) == often - 1


@st.composite
def values(draw: Any, forms: Sequence[Form], offset: int) -> Value:
    """A value of one of some forms, with numbers that no other slot has."""
    return Value(draw(st.sampled_from(forms)), offset + draw(st.integers(0, 2)))


@dataclass(frozen=True)
class Map:
    """A map of a pipeline, before its overrides are drawn.

    Attributes:
        axis_name: Its axis name.
        size: The size of its batches.
        counts_back: Whether it takes negative axes, which `pmap` of JAX 0.7 does not.
    """

    axis_name: str | None
    size: int
    counts_back: bool = True

    def possible(self, choices: Sequence[int | None]) -> list[int | None]:
        """Those of some axes that it takes."""
        return [axis for axis in choices if self.counts_back or axis is None or axis >= 0]


@st.composite
def maps(draw: Any, kinds: Sequence[type[Step]]) -> tuple[Map, ...]:
    """The maps of a pipeline, the outermost first."""
    count = sum(issubclass(kind, Vmap) for kind in kinds)
    names = draw(st.permutations(["time", "batch", None]))
    sizes = [2 + (count - 1 - i) for i in range(count)]
    if Pmap in kinds:  # the outermost
        sizes[0] = draw(st.sampled_from([mesh.size for mesh in MESHES.values()]))
    return tuple(Map(names[i], size, Pmap not in kinds) for i, size in enumerate(sizes))


@st.composite
def axes(draw: Any, around: Sequence[Map], choices: Sequence[int | None]) -> tuple[Axis, ...]:
    """`Axis` markers, one for each name at most."""
    if not around and not now_and_then(draw, 10):
        return ()
    names = [None, *(each.axis_name for each in around if each.axis_name is not None)]
    if around and now_and_then(draw, 40):
        names.append("nobody")
    for each in around:
        choices = each.possible(choices)
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3 if len(around) > 1 else 2))
    return tuple(Axis(draw(st.sampled_from(choices)), name) for name in chosen)


def spoken(axes: Sequence[Axis], name: str | None) -> Axis | None:
    """The marker that speaks to a map."""
    return Vmap(axis_name=name).speaks(tuple(axes))


@st.composite
def batches(draw: Any, value: Value, said: Sequence[tuple[Axis | None, int, bool]]) -> Value:
    """A value with the axes that maps take from it.

    Arguments:
        value: One example.
        said: For each map, the innermost first, the axis that something speaks of, the size of its batches, and whether
            fields of models come before that axis.
    """
    for axis, size, by_fields in said:
        pairs = jax.tree_util.tree_leaves_with_path(value.make())
        leaves = [leaf for _, leaf in pairs if is_traceable(leaf)]
        has_fields = by_fields and any(AXES.get(name) is not None for path, _ in pairs for name in fields_of(path))
        if not leaves or (axis is not None and axis.axis is None and not has_fields):
            continue
        has_axes = any(map(np.ndim, leaves))
        if axis is None and not has_axes and draw(st.booleans()):
            continue
        size += now_and_then(draw, 60)
        whole = axis is not None or draw(st.booleans())
        batch = Batch(0 if axis is None else axis.axis, size, whole, by_fields)
        value = dataclasses.replace(value, batches=(*value.batches, batch))
    return value


@st.composite
def parameters(
    draw: Any, name: str, kind: Any, index: int, must_default: bool, hints: Sequence[Hint], around: Sequence[Map]
) -> Parameter:
    """A parameter that does not contradict itself."""
    hint = draw(st.sampled_from(hints))
    markers = draw(st.sampled_from(MARKERS)) if draw(st.booleans()) else ()
    if "Static" in markers and not hint.constants and not now_and_then(draw, 8):
        markers = ()
    default = None
    if kind not in (P.VAR_POSITIONAL, P.VAR_KEYWORD) and (must_default or draw(st.booleans())):
        forms = (hint.constants if "Static" in markers else ()) or hint.forms
        default = draw(values(forms, 3 * index))
    parameter = Parameter(name, kind, hint, markers, default, draw(st.booleans()))
    if not parameter.is_static:
        over = draw(axes(around, [0, -1, None, 1, 0, -1]))
        if around and default is not None and not over and not now_and_then(draw, 6):
            over = (Axis(draw(st.sampled_from(around[0].possible([0, -1, None])))),)
        layout = draw(st.sampled_from(LAYOUTS)) if now_and_then(draw, 3) else None
        parameter = dataclasses.replace(parameter, axes=over, layout=layout)
        if default is not None:
            said = [(spoken(over, each.axis_name), each.size, True) for each in reversed(around)]
            parameter = dataclasses.replace(parameter, default=draw(batches(default, said)))
    if parameter.contradictions:
        kept = tuple(marker for marker in markers if marker not in ("Diff", "Donate"))
        parameter = dataclasses.replace(parameter, markers=kept)
    return parameter


LAYOUTS = ("P()", "P('data')", "P()", "P('data')", "P(None, 'data')", "P('nobody')")
"""Layouts of parameters; the last is of no mesh."""


@st.composite
def returned(draw: Any, around: Sequence[Map]) -> Returns:
    """What a function returns."""
    components = ["value", *draw(st.lists(st.sampled_from(["array", "dict", "row", "echo"]), max_size=2))]
    hinted = len(components) > 2 or draw(st.booleans())
    if hinted:
        components = draw(st.permutations(components))
    over: list[tuple[Axis, ...]] = []
    layouts: list[str | None] = []
    for component in components:
        rank = COMPONENTS[component].rank
        over.append(() if rank is None else draw(axes(around, range(-rank - 1, rank + 1))))
        can_be_laid_out = rank and now_and_then(draw, 3)
        layouts.append(draw(st.sampled_from(["P()", "P('data')"])) if can_be_laid_out else None)
    return Returns(tuple(components), hinted, tuple(over), tuple(layouts))


@st.composite
def functions(draw: Any, around: Sequence[Map]) -> Function:
    """A function with up to eight parameters, for a pipeline with these maps."""
    counts = [(P.POSITIONAL_ONLY, 2), (P.POSITIONAL_OR_KEYWORD, 2), (P.VAR_POSITIONAL, 1), (P.KEYWORD_ONLY, 2),
              (P.VAR_KEYWORD, 1)]  # fmt: skip
    kinds = [kind for kind, most in counts for _ in range(draw(st.integers(0, most)))] or [P.POSITIONAL_OR_KEYWORD]
    names = draw(st.permutations(NAMES))
    drawn: list[Parameter] = []
    sure = draw(st.integers(0, len(kinds) - 1))  # this one likely has a gradient
    for i, kind in enumerate(kinds):
        must_default = kind is not P.KEYWORD_ONLY and any(parameter.default is not None for parameter in drawn)
        hints = DIFFERENTIABLE if i == sure else HINTS
        drawn.append(draw(parameters(names[i], kind, i, must_default, hints, around)))
    seat = draw(st.sampled_from(SEATS))
    return Function(tuple(drawn), draw(returned(around)), seat, draw(st.booleans()))


@st.composite
def selections(draw: Any, slots: Sequence[int], *, least: int = 0) -> Selection:
    """An override that names some of these slots, in any order and spelling."""
    chosen = tuple(draw(st.lists(st.sampled_from(slots), unique=True, min_size=least, max_size=3)))
    spelled = tuple(draw(st.sampled_from(["name", "index", "negative"])) for _ in chosen)
    return Selection(chosen, spelled, len(chosen) == 1 and draw(st.booleans()))


@st.composite
def jits(draw: Any, function: Function, *, may_lay_out: bool) -> Jit:
    """`jit` with or without overrides and a mesh."""
    numbered = list(enumerate(function.parameters))
    can_be_static = [i for i, p in numbered if p.hint.constants and (p.default is None or p.default.form.constant)]
    can_be_donated = [i for i, p in numbered if not p.has_array_default and not p.is_static]
    if not can_be_donated or now_and_then(draw, 8):
        can_be_donated = [i for i, p in numbered if not p.has_array_default]
    static = draw(selections(can_be_static)) if can_be_static and now_and_then(draw, 4) else None
    donated = draw(selections(can_be_donated)) if can_be_donated and now_and_then(draw, 3) else None
    mesh = draw(st.sampled_from(list(MESHES))) if may_lay_out and draw(st.booleans()) else None
    return Jit(static, donated, mesh)


@st.composite
def grads(draw: Any, function: Function, kind: type[Grad]) -> Grad:
    """`grad`, or one of its kin, with or without overrides."""
    wrt = None
    if now_and_then(draw, 3):
        slots = [i for i, p in enumerate(function.parameters) if p.hint in DIFFERENTIABLE and not p.is_static]
        if not slots or now_and_then(draw, 6):
            slots = range(len(function.parameters))
        wrt = draw(selections(slots, least=1))
    returns = function.returns
    is_pair = returns.components[0] == "value" and len(returns.components) == 2
    has_aux = bool(returns.aux) and (not returns.hinted or (is_pair and now_and_then(draw, 3)))
    return JacRev(wrt, has_aux, draw(st.sampled_from(["jacrev", "jacobian"]))) if kind is JacRev else kind(wrt, has_aux)


@st.composite
def checkpoints(draw: Any) -> Checkpoint:
    """`checkpoint` with or without options."""
    options = {"prevent_cse": "False", "policy": "jax.checkpoint_policies.everything_saveable"}
    given = draw(st.lists(st.sampled_from(list(options)), unique=True))
    return Checkpoint(draw(st.sampled_from(["checkpoint", "remat"])), tuple((name, options[name]) for name in given))


@st.composite
def vmaps(draw: Any, function: Function, kind: type[Vmap], each: Map) -> Vmap:
    """`vmap` or `pmap` with or without overrides."""
    overridden, over = NOTHING, ()
    slots = [i for i, p in enumerate(function.parameters) if not p.is_static and not p.has_array_default]
    if slots and now_and_then(draw, 3):
        overridden = draw(selections(slots))
        over = tuple(draw(st.sampled_from(each.possible([0, -1, None, 1, 0]))) for _ in overridden.slots)
    return kind(overridden, over, each.axis_name, each.size, is_sized=kind is Vmap and now_and_then(draw, 3))


@st.composite
def shard_maps(draw: Any, function: Function) -> ShardMap:
    """`shard_map` with or without a mesh and overrides."""
    overridden, specs = NOTHING, ()
    slots = [i for i, p in enumerate(function.parameters) if not p.is_static]
    if slots and now_and_then(draw, 3):
        overridden = draw(selections(slots))
        specs = tuple(draw(st.sampled_from(LAYOUTS)) for _ in overridden.slots)
    return ShardMap(None if now_and_then(draw, 5) else draw(st.sampled_from(list(MESHES))), overridden, specs)


PIPELINES: tuple[tuple[type[Step], ...], ...] = (
    (Jit,),
    (Grad,),
    (ValueAndGrad,),
    (Jit, Grad),
    (Jit, ValueAndGrad),
    (Grad, Jit),
    (ValueAndGrad, Jit),
    (Jit, ValueAndGrad, Jit),
    (Jit, Jit),
    (JacFwd,),
    (JacRev,),
    (Hessian,),
    (Jit, JacRev),
    (Jit, Hessian),
    (JacFwd, Vmap),
    (JacRev, Vmap),
    (Checkpoint,),
    (Grad, Checkpoint),
    (Jit, Checkpoint),
    (Jit, Grad, Checkpoint),
    (Vmap,),
    (Vmap, Jit),
    (Vmap, Grad),
    (Jit, Vmap, ValueAndGrad),
    (Jit, Vmap, Vmap),
    (Vmap, JacFwd),
    (Pmap,),
    (CustomVjp,),
    (Jit, Grad, CustomVjp),
    (Grad, Jit, CustomVjp),
    (Vmap, Grad, CustomVjp),
    (CustomJvp,),
    (Jit, Grad, CustomJvp),
    (Grad, Jit, CustomJvp),
    (JacFwd, CustomJvp),
    (ShardMap,),
    (Jit, Grad, ShardMap),
    (Vjp,),
    (Vjp, Jit),
    (Vjp, Vmap),
    (Vjp, CustomVjp),
    (Jvp,),
    (Jvp, Jit),
    (Jvp, Vmap),
    (Jvp, Jit, CustomJvp),
    (Linearize,),
    (Linearize, Jit),
    (EvalShape,),
    (EvalShape, Jit),
    (EvalShape, Jit, Vmap),
    (EvalShape, Hessian),
    (MakeJaxpr,),
    (MakeJaxpr, Grad),
    (MakeJaxpr, Vmap),
    (MakeJaxpr, Jit),
    (Jit, JacRev, Vmap),
    (Jit, Vmap, JacRev),
    (Jit, ShardMap),
    (Jit, JacFwd, Jit),
    (Jit, JacFwd, CustomJvp),
    (Jit, Vmap, Hessian),
    (Jit, Checkpoint, Vmap),
    (Vmap, Vmap, Grad),
    (Vmap, Grad, Jit),
    (Pmap, Grad),
    (Pmap, Vmap, Grad),
    (Vjp, Jit, Vmap),
    (Jvp, Vmap, Checkpoint),
    (Linearize, Vmap, Jit),
    (EvalShape, Vmap, Grad),
    (MakeJaxpr, Vmap, Grad),
)
"""What is put around a function, the outermost first."""


@st.composite
def pipelines(draw: Any, function: Function, kinds: Sequence[type[Step]], around: Sequence[Map]) -> tuple[Step, ...]:
    """A pipeline for a function, with or without overrides."""
    remaining = iter(around)
    # A rule keeps arguments for the derivative, in plain JAX too, so a `jit` in between must leave them alone.
    may_not_donate = kinds[0] is not Jit and any(kind in (CustomVjp, CustomJvp) for kind in kinds)

    # Elsewhere the mesh of `jit` changes what the other transforms do, or there are layouts of theirs.
    can_lay_out = kinds[0] is Jit and {*kinds} <= {Jit, Grad, ValueAndGrad, Checkpoint}

    def step(i: int, kind: type[Step]) -> Step:
        if issubclass(kind, Grad):
            return draw(grads(function, kind))
        if issubclass(kind, Vmap):
            return draw(vmaps(function, kind, next(remaining)))
        if kind is Jvp:
            return Jvp(named=(draw(st.booleans()), draw(st.booleans())))
        if kind is EvalShape:
            return EvalShape(draw(st.booleans()))
        if kind is Jit and may_not_donate:
            jit = dataclasses.replace(draw(jits(function, may_lay_out=False)), donates=NOTHING)
            # A method with a rule is called as it is, so that what its `jit` is told stays inside.
            is_opaque = issubclass(kinds[0], Way) and function.seat == "method"
            return dataclasses.replace(jit, makes_static=None) if is_opaque else jit
        strategy = {
            Jit: lambda: jits(function, may_lay_out=can_lay_out and i == 0),
            Checkpoint: checkpoints,
            ShardMap: lambda: shard_maps(function),
        }
        return draw(strategy[kind]()) if kind in strategy else kind()

    return tuple(step(i, kind) for i, kind in enumerate(kinds))


@st.composite
def calls(draw: Any, case: Case) -> Call:
    """The values of a call, for a case without one."""
    function, call = case.function, []
    maps = [step for step in reversed(case.steps) if isinstance(step, Vmap)]

    def value(i: int, offset: int) -> Any:
        parameter = function.parameters[i]
        forms = (parameter.hint.constants if i in case.static else ()) or parameter.hint.forms
        example = values(forms, offset)
        if case.is_static(i):
            return draw(example)
        said = [(each.said(case, i), each.size, i not in each.overridden.slots) for each in maps]
        return draw(batches(draw(example), said))

    taken = {p.name for p in function.parameters if p.kind in (P.POSITIONAL_OR_KEYWORD, P.KEYWORD_ONLY)}
    # A name of `**kwargs` may be that of a parameter that cannot be passed by keyword.
    names = [name for name in (*KEYWORDS, *function.names(range(len(function.parameters)))) if name not in taken]
    for i, parameter in enumerate(function.parameters):
        if parameter.kind is P.VAR_POSITIONAL:
            call.append(tuple(value(i, 3 * i + 24 * j) for j in range(draw(st.integers(0, 2)))))
        elif parameter.kind is P.VAR_KEYWORD:
            keys = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
            call.append({key: value(i, 3 * i + 24 * j) for j, key in enumerate(keys)})
        else:
            omit = parameter.default is not None and draw(st.booleans())
            call.append(parameter.default if omit else value(i, 3 * i))
    return tuple(call)


@st.composite
def spellings(draw: Any, function: Function, call: Call, *, whole: bool = False) -> Spelling:
    """One way to write a call; `whole` to leave no default out."""
    kinds = [parameter.kind for parameter in function.parameters]
    by_position = [i for i, kind in enumerate(kinds) if kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)]
    only = kinds.count(P.POSITIONAL_ONLY)
    followed = any(kind is P.VAR_POSITIONAL and call[i] for i, kind in enumerate(kinds))

    def can_omit(i: int) -> bool:
        return not whole and call[i] == function.parameters[i].default

    if followed:
        positional = len(by_position)
    else:
        least = only
        while least and can_omit(least - 1):
            least -= 1
        positional = draw(st.integers(least, len(by_position)))
    keywords: list[tuple[int, str | None]] = []
    for i, kind in enumerate(kinds):
        if kind is P.KEYWORD_ONLY or (kind is P.POSITIONAL_OR_KEYWORD and i >= positional):
            keywords += [] if can_omit(i) and draw(st.booleans()) else [(i, None)]
        elif kind is P.VAR_KEYWORD:
            keywords += [(i, name) for name in call[i]]
    return Spelling(positional, tuple(draw(st.permutations(keywords))))


@st.composite
def cases(draw: Any, kinds: Sequence[type[Step]]) -> Case:
    """A function, a pipeline of these transforms, a call, and ways to write them."""
    around = draw(maps(kinds))
    function = draw(functions(around))
    pipeline = draw(pipelines(function, kinds, around))
    stacked = (draw(st.booleans()), draw(st.booleans()))
    nothing = Spelling(0, ())
    case = Case(function, pipeline, stacked, (), (nothing, nothing, nothing), draw(st.booleans()))
    call = draw(calls(case))
    first, second, whole = (draw(spellings(function, call, whole=whole)) for whole in (False, False, True))
    return dataclasses.replace(case, call=call, spellings=(first, second, whole))


@st.composite
def contradictions(draw: Any) -> Case:
    """A case of which one parameter cannot be honoured."""
    decorated = [kinds for kinds in PIPELINES if not issubclass(kinds[0], Way)]
    case = draw(st.sampled_from(decorated).flatmap(cases))
    index = draw(st.integers(0, len(case.function.parameters) - 1))
    parameter = case.function.parameters[index]
    clashing = [
        changed
        for roles in (*CONTRADICTIONS, ("Diff",), ("Donate",))
        for order in (roles, roles[::-1])
        for more in ((), ("NoDiff",))
        if (changed := _with_roles(parameter, (*more, *order))).contradictions
    ]
    changed = draw(st.sampled_from(clashing))
    changed_parameters = (*case.function.parameters[:index], changed, *case.function.parameters[index + 1 :])
    return dataclasses.replace(case, function=dataclasses.replace(case.function, parameters=changed_parameters))


def _with_roles(parameter: Parameter, roles: Sequence[str]) -> Parameter:
    return dataclasses.replace(
        parameter,
        markers=tuple(role for role in roles if role not in ("Axis", "data")),
        axes=(Axis(0),) if "Axis" in roles else (),
        layout="P('data')" if "data" in roles else None,
    )
