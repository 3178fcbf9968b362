"""What must come out of a case, and whether it does."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np

import annotax
from tests.oracle.cases import Case, Home
from tests.oracle.functions import Call, canonical, each
from tests.oracle.maps import Vmap
from tests.oracle.steps import Flat, Leaves, Refusal, can_be_laid_out, laid_out
from tests.oracle.values import MESHES, Value, described, holds_arrays

TALLY: Counter[str] = Counter()
"""What kinds of cases were run."""


class Mismatch(AssertionError):
    """annotax and plain JAX disagree."""


def agree(case: Case) -> None:
    """Run a case through annotax and through plain JAX.

    Raises:
        Mismatch: Where they disagree, or where something is not raised that must be.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
        _agree(case)


def _agree(case: Case) -> None:
    home = Home(case)
    refused = [refusal for step in case.steps for refusal in step.refused_at_decoration(case)]
    if refused:
        _count(case, "refused at decoration")
        for stacked in set(case.stacked):
            _raises(refused, lambda stacked=stacked: home.decorated(stacked))
        return
    one = home.decorated(case.stacked[0])
    two = one if case.setter else home.decorated(case.stacked[1])  # each has rules of its own
    first, second, whole = case.spellings
    made = _made(case.call)
    refused = _refused_at_call(case, Leaves(case, made))
    if refused:
        _count(case, "refused at the call")
        for function, spelling in ((one, first), (two, second)):
            _raises(refused, functools.partial(case.way.run, function, case, spelling, _made(case.call)))
        return
    _count(case, "ran")
    oracle = Home(case)
    flat = _plain(case, oracle, Leaves(case, made))
    calls = [("first spelling", one, first, case.call), ("second spelling", two, second, case.call)]
    calls.append(("other values", two, whole, case.moved(static=False)))
    if case.restarts:
        calls.append(("other static values", two, whole, case.moved(static=True)))
    for title, function, spelling, call in calls:
        slots, plain = _made(call), Leaves(case, _made(call))
        runs = len(home.seen)
        got, expected = case.way.run(function, case, spelling, slots), flat(*plain.values)
        got, expected = (case.steps[0].compared(result, Leaves(case, _made(call))) for result in (got, expected))
        _same(f"the result of the {title}", expected, got, coarse="float16" in str(described(plain.values)))
        _equal(f"the arguments that the {title} deletes", _deleted(plain.values), _deleted(jax.tree.leaves(slots)))
        counted = (lambda seen: seen) if case.way.counts_runs else _distinct
        _equal(f"what the body is given by the {title}", counted(oracle.seen), counted(home.seen))
        if title == "second spelling" and case.keeps_trace and case.way.counts_runs:
            _equal("the further runs of the body for another spelling", 0, len(home.seen) - runs)


def _distinct(seen: list[list[str]]) -> list[list[str]]:
    return [given for i, given in enumerate(seen) if given not in seen[:i]]


def _count(case: Case, outcome: str) -> None:
    TALLY[outcome] += 1
    TALLY[f"  {outcome}: {' '.join(step.name for step in case.steps)}"] += 1


def _made(call: Call) -> list[Any]:
    return [each(entry, Value.make) for entry in call]


def _plain(case: Case, oracle: Home, leaves: Leaves) -> Flat:
    """The case in plain JAX: a function of leaves."""

    returns = case.function.returns

    def flat(*values: Any) -> Any:
        values = [
            laid_out(value, leaves.layout(i), case.mesh) if i in traced else value for i, value in enumerate(values)
        ]
        slots = [leaves.join(i, values) for i in range(len(case.function.parameters))]
        args, kwargs = canonical(case.function, slots)
        returned = oracle.undecorated(*args, **kwargs)
        if not returns.aux:
            return laid_out(returned, returns.layout(0), case.mesh)
        return tuple(laid_out(part, returns.layout(i), case.mesh) for i, part in enumerate(returned))

    traced = set(leaves.traced)
    returned: Any = tuple(range(len(returns.components))) if returns.aux else 0
    plain: Flat = flat
    for step in reversed(case.steps):
        plain, returned = step.plain(plain, leaves, returned), step.outcome(returned, returns)
    return plain


def _refused_at_call(case: Case, leaves: Leaves) -> list[Refusal]:
    refused = [*_static_refusals(case), *_name_refusals(case)]
    for step in case.steps:
        found = list(step.refused_at_call(case, leaves))
        if found:
            return [*refused, *found]
        leaves = step.inside(leaves)
    return [*refused, *_layout_refusals(case, leaves)]


def _static_refusals(case: Case) -> Iterator[Refusal]:
    for slot in sorted(case.static):
        constant: list[bool] = []
        each(case.call[slot], lambda value, constant=constant: constant.append(_is_constant(value)))
        if not all(constant):
            yield Refusal(annotax.StaticValueError, case.function.names([slot]))


def _name_refusals(case: Case) -> Iterator[Refusal]:
    """The axes of maps that are not there."""
    names = {step.axis_name for step in case.steps if isinstance(step, Vmap)}
    for parameter in case.function.parameters if names else []:
        if any(axis.name is not None and axis.name not in names for axis in parameter.axes):
            yield Refusal(annotax.MarkerError, (parameter.name,))


def _layout_refusals(case: Case, leaves: Leaves) -> Iterator[Refusal]:
    """What keeps `jit` from laying out arguments, which it does where the function begins."""
    for position in leaves.traced if case.mesh is not None else []:
        spec = leaves.layout(position)
        if spec is not None and not can_be_laid_out(leaves.values[position], spec, MESHES[case.mesh]):
            yield Refusal(annotax.ShardingError, case.function.names([leaves.owners[position]]))


def _is_constant(value: Value) -> bool:
    """Whether a value can be static: one for each of a batch cannot, if that made arrays of it."""
    return value.form.constant and not (value.batches and holds_arrays(value.make()))


def _raises(refused: Sequence[Refusal], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except annotax.AnnotaxError as error:
        if not any(isinstance(error, refusal.error) and _names(error, refusal) for refusal in refused):
            raise Mismatch(f"expected {refused}, got {type(error).__name__}: {error}") from error
    else:
        raise Mismatch(f"expected {refused}, but nothing was raised, and it returned {result}")


def _names(error: Exception, refusal: Refusal) -> bool:
    return any(name in str(error) for name in refusal.names)


def _deleted(leaves: Sequence[Any]) -> list[bool]:
    return [isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves]


def _equal(what: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise Mismatch(f"{what}:\n  expected  {expected}\n  got       {got}")


def _same(what: str, expected: Any, got: Any, *, coarse: bool) -> None:
    """Structure, types, dtypes, shapes, weak types, and numbers: coarse ones where a half is among the arguments."""
    _equal(f"{what}, structure", jax.tree.structure(expected), jax.tree.structure(got))
    _equal(f"{what}, types", described(expected), described(got))
    for (path, wanted), given in zip(jax.tree.leaves_with_path(expected), jax.tree.leaves(got), strict=True):
        tolerance = 1e-2 if coarse else 1e-4
        if getattr(wanted, "dtype", None) == jax.dtypes.float0 or isinstance(wanted, jax.ShapeDtypeStruct):
            continue
        if isinstance(wanted, jax.Array) and not _is_placed_alike(wanted, given):
            raise Mismatch(
                f"{what}{jax.tree_util.keystr(path)}:\n  expected  {wanted.sharding}\n  got       {given.sharding}"
            )
        if not np.allclose(wanted, given, rtol=tolerance, atol=tolerance / 10):
            raise Mismatch(f"{what}{jax.tree_util.keystr(path)}:\n  expected  {wanted}\n  got       {given}")


def _is_placed_alike(wanted: jax.Array, given: jax.Array) -> bool:
    is_equivalent = wanted.sharding.is_equivalent_to(given.sharding, wanted.ndim)
    return is_equivalent and wanted.committed == given.committed


def contradict(case: Case) -> None:
    """Decorate a function of which one parameter cannot be honoured.

    Raises:
        Mismatch: If annotax does not say so, naming function, parameter and markers.
    """
    TALLY["contradictory"] += 1
    (parameter,) = (p for p in case.function.parameters if p.contradictions)
    try:
        Home(case).decorated(case.stacked[0])
    except annotax.MarkerError as error:
        wanted = [("drawn()", f"parameter {parameter.name} ", *markers) for markers in parameter.contradictions]
        if not any(all(word in str(error) for word in words) for words in wanted):
            raise Mismatch(f"expected one of {wanted} in: {error}") from error
    else:
        raise Mismatch(f"nothing was raised for parameter {parameter.text}")


def explore(strategy: st.SearchStrategy[Case], check: Callable[[Case], None], *, examples: int, seed: int) -> None:
    """Check drawn cases, the same ones for the same seed; the first that fails is shrunk, shown and raised."""
    settings = hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
    )

    run = itertools.count()

    @hypothesis.seed(seed)
    @settings
    @hypothesis.given(strategy)
    def explored(case: Case) -> None:
        if next(run) % 400 == 399:
            jax.clear_caches()  # a long run would keep what it compiled for every case
        check(case)

    explored()
