"""Writes `markers.md`, the table of what each marker means to each transform: `python docs/generate.py`.

Nothing in the table is written by hand. Each cell comes from a probe, a function with one marked parameter between two
plain ones, that is given to the transform and compared with the same function without the marker: what JAX is given
(`Transform.given`), whether the value arrives traced, and which cotangents or tangents there are. A transform that
`annotax` exports gets its row by itself, as soon as it has a page.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static

DOCS = Path(__file__).parent

PAGES = {
    "jit": ("jit",),
    "grad": ("grad", "value_and_grad"),
    "jacobians": ("jacfwd", "jacrev", "jacobian", "hessian"),
    "vjp": ("vjp", "jvp", "linearize"),
    "vmap": ("vmap",),
    "pmap": ("pmap",),
    "checkpoint": ("checkpoint", "remat"),
    "custom_vjp": ("custom_vjp",),
    "custom_jvp": ("custom_jvp",),
    "eval_shape": ("eval_shape", "make_jaxpr"),
    "shard_map": ("shard_map",),
}
"""Which transforms each page is about."""

CALLED = ("vjp", "jvp", "linearize", "eval_shape")
"""Those that take a function and its arguments at once, and so are no decorators."""

NOTHING = "\N{EN DASH}"


# --- the probe -------------------------------------------------------------------------------------------------------

NAMES = ("first", "marked", "last")
ARRAY = "array"
"""Stands for an array where a probe is described: the probe makes one, of the size that tells its parameter."""


@dataclass(frozen=True)
class Variant:
    """One way to mark the probe.

    Attributes:
        title: How the column is headed.
        hint: The hint of the parameter `marked`, or that of the second component of the result.
        value: What the parameter is given.
    """

    title: str
    hint: Any = jax.Array
    value: Any = ARRAY


PLAIN = Variant("unmarked")
ON_PARAMETERS = (
    Variant("`Static`", Static[int], 2),
    Variant("`NoDiff`", NoDiff[jax.Array]),
    Variant("`Diff`", Diff[jax.Array]),
    Variant("`Donate`", Donate[jax.Array]),
    Variant("`Axis(None)`", Annotated[jax.Array, Axis(None)]),
    Variant("`Axis(1)`", Annotated[jax.Array, Axis(1)]),
    Variant('`Axis(1, "time")`', Annotated[jax.Array, Axis(1, "time")]),
    Variant('`P("data")`', Annotated[jax.Array, PartitionSpec("data")]),
)
ON_RESULTS = (
    Variant("`Aux`", Aux[jax.Array]),
    Variant("`Axis(1)`", Annotated[jax.Array, Axis(1)]),
    Variant('`P("data")`', Annotated[jax.Array, PartitionSpec("data")]),
)
HINTS = (
    Variant("`int`", int, 2),
    Variant("`str`", str, "name"),
    Variant("`Callable`", Callable[..., Any], jnp.sin),
)


@dataclass
class Probe:
    """A function whose parameter `marked`, or the second component of whose result, is marked.

    Attributes:
        variant: How.
        marks_result: Whether it is the result.
        is_traced: Whether the value of `marked` was traced, as seen inside when it was called last.
        rank: Its rank, likewise.
    """

    variant: Variant
    marks_result: bool = False
    is_traced: bool = False
    rank: int = 0

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself; it sums what is numeric, so that every transform can take it."""

        def probe(first, marked, last):
            self.is_traced = isinstance(marked, jax.core.Tracer)
            self.rank = np.ndim(marked)
            total = sum(jnp.sum(x) for x in (first, marked, last) if not (isinstance(x, str) or callable(x)))
            return (total, last) if self.marks_result else total

        hint = jax.Array if self.marks_result else self.variant.hint
        result = tuple[jax.Array, self.variant.hint] if self.marks_result else jax.Array
        probe.__annotations__ = {"first": jax.Array, "marked": hint, "last": jax.Array, "return": result}
        return probe

    @property
    def values(self) -> tuple[Any, ...]:
        """Arguments: arrays whose last size tells the parameter, each with two axes of one to map along."""
        marked = ARRAY if self.marks_result else self.variant.value
        given = (ARRAY, marked, ARRAY)
        return tuple(jnp.ones((1, 1, i + 1)) if value is ARRAY else value for i, value in enumerate(given))


def names_of(tree: Any) -> tuple[str, ...]:
    """The parameters that arrays have the shapes of."""
    return tuple(NAMES[leaf.shape[-1] - 1] for leaf in jax.tree.leaves(tree))


def which(accepted: Callable[[tuple[str, ...]], Any]) -> tuple[str, ...]:
    """The parameters that something wants values for: the one choice of them that it accepts."""
    for count in (3, 2, 1):
        for names in itertools.combinations(NAMES, count):
            try:
                accepted(names)
            except Exception:
                continue
            return names
    raise AssertionError("no choice of parameters is accepted")


def arrays(names: Sequence[str]) -> tuple[Any, ...]:
    """A value for each of some parameters."""
    return tuple(jnp.ones((1, 1, NAMES.index(name) + 1)) for name in names)


# --- decorators: what JAX is given -----------------------------------------------------------------------------------


class Reading(annotax.Transform):
    """A transform that changes nothing and keeps the contract that it is shown."""

    contract: annotax.Contract

    def check(self, contract: annotax.Contract) -> annotax.Contract:
        """Keep the contract."""
        self.contract = contract
        return contract

    def apply(self, core: Any, contract: annotax.Contract) -> tuple[Any, annotax.Contract]:
        """Change nothing."""
        return core, contract


def contract_under(step: annotax.Transform, probe: Probe) -> annotax.Contract:
    """The contract that a transform is given."""
    reading = Reading()
    annotax.transform(step, reading)(probe.function)
    return reading.contract


def show(value: Any) -> str:
    """A value in a cell; layouts alike on every version of JAX."""
    if isinstance(value, PartitionSpec):
        return f"P({', '.join(map(repr, value))})".replace("'", '"')
    return repr(value)


def part(value: Any, i: int) -> Any:
    """What an option says of one parameter or component: its entry, or the one value for all."""
    return value[i] if isinstance(value, tuple) and not isinstance(value, PartitionSpec) else value


def selected(value: Any) -> tuple[int, ...]:
    """The positions that an option such as `argnums` names."""
    return (value,) if isinstance(value, int) else tuple(value)


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """What the options of a transform say otherwise of the marked parameter, or component of the result."""
    for option in {**before, **after}:
        old, new = before.get(option), after.get(option)
        if option.endswith("argnums"):
            was, now = selected(old), selected(new)
            if 1 in now and (1 not in was or len(now) < len(was)):
                yield f"`{option}`" if 1 not in was else f"`{option}`, alone"
            elif 1 in was and 1 not in now:
                yield f"left out of `{option}`"
        elif part(old, 1) != part(new, 1):
            yield f"`{option}={show(part(new, 1))}`"


@functools.cache
def called(step: annotax.Transform, variant: Variant) -> Probe:
    """A probe that was called under a transform."""
    probe = Probe(variant)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        step(probe.function)(*probe.values)
    return probe


def cell_of_step(step: annotax.Transform, variant: Variant, *, marks_result: bool) -> str:
    """What a marker means to a transform."""
    if marks_result:
        return _cell(_facts_of_step(step, variant, marks_result=True))
    try:
        plain, probe = called(step, PLAIN), called(step, variant)
    except annotax.AnnotaxError as error:
        return f"`{type(error).__name__}`"
    facts = _facts_of_step(step, variant, marks_result=False)
    return _cell([*(facts or _facts_of_call(plain, probe)), *_facts_of_rule(step, probe)])


def _facts_of_step(step: annotax.Transform, variant: Variant, *, marks_result: bool) -> list[str]:
    before, after = (contract_under(step, Probe(v, marks_result)) for v in (PLAIN, variant))
    facts = list(changes(dict(step.given(before)), dict(step.given(after))))
    holders = (after.result.components or ())[1:] if marks_result else after.parameters[1:2]
    has_layout = any(role.is_of(PartitionSpec) for holder in holders for role in holder.roles)
    return facts or (["its layout"] if has_layout and after.is_laid_out else [])


def _facts_of_call(plain: Probe, probe: Probe) -> list[str]:
    if plain.rank < plain.values[1].ndim and probe.rank == np.ndim(probe.values[1]):
        return ["shared"]
    return ["a constant"] if plain.is_traced and not probe.is_traced else []


def _facts_of_rule(step: annotax.Transform, probe: Probe) -> list[str]:
    rules = {"defvjp": ("bwd", "cotangent", _seen_by_bwd), "defjvp": ("rule", "tangent", _seen_by_rule)}
    facts: list[str] = []
    for method in step.kept_methods:
        rule, noun, seen_by = rules[method]
        moving, takes_static = seen_by(probe)
        if takes_static:
            facts.append(f"by name to `{rule}`")
        elif moving != NAMES:
            facts.append(_moves(moving, noun))
    return facts


def _seen_by_bwd(probe: Probe) -> tuple[tuple[str, ...], bool]:
    takes_static = False

    def accepted(names: tuple[str, ...]) -> None:
        def fwd(*values: Any) -> Any:
            return probe.function(*values), None

        def bwd(residuals: Any, cotangent: Any, *, marked: Any = None) -> Any:
            nonlocal takes_static
            takes_static = marked is not None
            returned = arrays(names)
            return returned[0] if len(names) == 1 else returned

        function = annotax.custom_vjp(probe.function)
        function.defvjp(fwd, bwd)
        annotax.grad(function)(*probe.values)

    return which(accepted), takes_static


def _seen_by_rule(probe: Probe) -> tuple[tuple[str, ...], bool]:
    moving: tuple[str, ...] = ()
    takes_static = False
    function = annotax.custom_jvp(probe.function)

    @function.defjvp
    def rule(primals: Any, tangents: Any, *, marked: Any = None) -> Any:
        nonlocal moving, takes_static
        moving, takes_static = names_of(tangents), marked is not None
        return jnp.float32(0), sum(map(jnp.sum, tangents))

    annotax.grad(function)(*probe.values)
    return moving, takes_static


def _moves(moving: Sequence[str], noun: str) -> str:
    return f"no {noun}" if "marked" not in moving else f"the only {noun}"


# --- functions of a function: what they do ---------------------------------------------------------------------------


def _moving_under(name: str, probe: Probe) -> tuple[str, ...]:
    """The parameters that have a cotangent, or take a tangent."""
    if name == "vjp":
        return names_of(annotax.vjp(probe.function, *probe.values)[1](jnp.float32(1)))
    if name == "linearize":
        linear = annotax.linearize(probe.function, *probe.values)[1]
        return which(lambda names: linear(*arrays(names)))
    tangents = dict(zip(NAMES, arrays(NAMES), strict=True))
    return which(lambda names: annotax.jvp(probe.function, probe.values, {name: tangents[name] for name in names}))


def _returned_by(name: str, probe: Probe) -> Any:
    """What the function returns for a probe."""
    if name == "jvp":
        return annotax.jvp(probe.function, probe.values, arrays(NAMES))
    return getattr(annotax, name)(probe.function, *probe.values)


def cell_of_called(name: str, variant: Variant, *, marks_result: bool) -> str:
    """What a marker means to a function that takes a function and its arguments."""
    plain, probe = Probe(PLAIN, marks_result), Probe(variant, marks_result)
    if marks_result:
        counts = [len(_returned_by(name, one)) for one in (plain, probe)]
        return "apart, as with `has_aux`" if counts[1] > counts[0] else NOTHING
    if name == "eval_shape":
        for one in (plain, probe):
            _returned_by(name, one)
        return _cell(_facts_of_call(plain, probe))
    moving = _moving_under(name, probe)
    return NOTHING if moving == NAMES else _moves(moving, "cotangent" if name == "vjp" else "tangent")


# --- the page --------------------------------------------------------------------------------------------------------


def _cell(facts: Sequence[str]) -> str:
    return "; ".join(facts) or NOTHING


def _unmarked(step: annotax.Transform) -> str:
    """What a plain parameter is to a transform."""
    given = step.given(contract_under(step, Probe(PLAIN)))
    found = [f"`{name}`" for name, value in given.items() if name.endswith("argnums") and 1 in selected(value)]
    found += [f"`{name}={show(part(given[name], 1))}`" for name in ("in_axes", "in_specs") if name in given]
    return _cell(found) if found else "traced"


@dataclass(frozen=True)
class Row:
    """A line of the tables.

    Attributes:
        title: How it is headed, with a link to its page.
        step: The transform, or the name of the function.
    """

    title: str
    step: annotax.Transform | str

    def cell(self, variant: Variant, *, marks_result: bool = False) -> str:
        """What a marker means here."""
        if isinstance(self.step, str):
            return cell_of_called(self.step, variant, marks_result=marks_result)
        return cell_of_step(self.step, variant, marks_result=marks_result)

    @property
    def unmarked(self) -> str:
        """What a parameter without a marker is here."""
        if isinstance(self.step, annotax.Transform):
            return _unmarked(self.step)
        if self.step == "eval_shape":
            return "traced"
        return "a cotangent" if self.step == "vjp" else "a tangent"


def exported() -> list[str]:
    """The names of all transforms that annotax exports."""
    return [name for name in annotax.__all__ if isinstance(getattr(annotax, name), annotax.Transform)]


def rows() -> Iterator[Row]:
    """A row for each transform, the names of one together."""
    missing = {*exported(), *CALLED} - {name for names in PAGES.values() for name in names}
    if missing:
        raise SystemExit(f"no page for {', '.join(sorted(missing))}: add one to PAGES")
    for page, names in PAGES.items():
        for function, group in itertools.groupby(names, key=lambda name: getattr(annotax, name)):
            same = list(group)
            title = f"[{', '.join(f'`{name}`' for name in same)}](transforms/{page}.md)"
            yield Row(title, same[0] if same[0] in CALLED else function())
        if page == "vmap":
            yield Row('[`vmap(axis_name="time")`](transforms/vmap.md)', annotax.vmap(axis_name="time"))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


TEXT = """\
# What each marker means to each transform

Written by `python docs/generate.py`, which asks the transforms themselves; a test sees that it is up to date. A
transform ignores the markers that mean nothing to it ({nothing}: nothing changes against an unmarked parameter), so one
function can serve many pipelines.

A cell names the argument of JAX that a marker decides. *A constant* is not traced: the function gets the value itself,
and another value means another trace. *Shared* is one value for the whole batch. *Its layout* is imposed by `jit` where
the function begins and ends, wherever `jit` stands in the pipeline; see [layouts](transforms/layouts.md). `P` is
`jax.sharding.PartitionSpec`.

## On a parameter

{parameters}

## On a component of the result

{results}

## Hints without a marker

What a hint alone says. `annotax.explain` lists whatever was inferred, and why.

{hints}
"""


def generate() -> str:
    """The whole page."""
    listed = list(rows())

    def of(variants: Sequence[Variant], *, marks_result: bool = False) -> list[list[str]]:
        return [[row.title, *(row.cell(variant, marks_result=marks_result) for variant in variants)] for row in listed]

    parameters = [[title, row.unmarked, *cells] for row, (title, *cells) in zip(listed, of(ON_PARAMETERS), strict=True)]
    return TEXT.format(
        nothing=NOTHING,
        parameters=table(["", PLAIN.title, *(variant.title for variant in ON_PARAMETERS)], parameters),
        results=table(["", *(variant.title for variant in ON_RESULTS)], of(ON_RESULTS, marks_result=True)),
        hints=table(["", *(variant.title for variant in HINTS)], of(HINTS)),
    )


if __name__ == "__main__":
    (DOCS / "markers.md").write_text(generate())
