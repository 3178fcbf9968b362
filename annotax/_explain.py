"""`explain`: what each transform of a pipeline hands to JAX, by parameter name, and what was inferred and why."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter as SignatureParameter
from typing import Any, TypeAlias, cast

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding

from annotax._contract import Contract, Role
from annotax._differentiation import Differentiation
from annotax._donation import reuses
from annotax._errors import AnnotaxError, StaticValueError
from annotax._hints import show
from annotax._layout import spec_of, specs_of_leaves
from annotax._markers import NoDiff, Static
from annotax._partition import Partition, hold, returnable_leaves
from annotax._source import Writer
from annotax._tracebacks import shortens
from annotax._transform import Pipeline, Transform, pipeline_of
from annotax._tree import describe_constant, flatten, is_traceable, leaves_with_paths, release

Row: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; `str()` of it is the text that `explain` prints, and a notebook shows it as tables.

    Attributes:
        title: The function with its parameters, and where it is defined.
        rows: Lines of three columns: a transform or a parameter, what it gets, and why.
        call: For one call, lines of three columns: each leaf of the arguments and of the result, its dtype and shape or
            its value, and what becomes of it. Empty where no arguments were given.
        traces: Why the function was traced so far.
        source: For one call, the same computation in JAX alone: text that runs in `namespace` and sets `result`.
        namespace: What the names in `source` stand for.

    Examples:
        >>> import annotax
        >>> product = annotax.grad(lambda w, x: w * x)
        >>> explanation = annotax.explain(product, 2.0, 3.0)
        <lambda>(w, x), defined at ...
        >>> explanation.rows[0]
        ('grad', 'argnums=(0, 1)', 'w, x')
        >>> exec(explanation.source, explanation.namespace)
        >>> [float(gradient) for gradient in explanation.namespace["result"]]
        [3.0, 2.0]
    """

    title: str
    rows: tuple[Row, ...]
    call: tuple[Row, ...] = ()
    traces: tuple[str, ...] = ()
    source: str | None = None
    namespace: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)

    def __str__(self) -> str:
        parts = [self.title, "", *_aligned(self.rows)]
        if self.call:
            parts += ["", "this call", "", *_aligned(self.call)]
        if self.traces:
            parts += ["", "traces", "", *self.traces]
        if self.source:
            parts += ["", "in JAX alone", "", *self.source.splitlines()]
        return "\n".join(parts)

    def __repr__(self) -> str:
        return f"<annotax.Explanation of {self.title}>"

    def _repr_html_(self) -> str:
        tables = [_table(self.rows)]
        if self.call:
            tables += ["<h4>this call</h4>", _table(self.call)]
        if self.traces:
            tables += ["<h4>traces</h4>", f"<pre>{html.escape(chr(10).join(self.traces))}</pre>"]
        if self.source:
            tables += ["<h4>in JAX alone</h4>", f"<pre>{html.escape(self.source)}</pre>"]
        return f"<div><p><strong>{html.escape(self.title)}</strong></p>{''.join(tables)}</div>"

    def as_dict(self) -> dict[str, Any]:
        """All of it but the namespace, as JSON can hold it."""
        return {
            "title": self.title,
            "rows": [list(row) for row in self.rows],
            "call": [list(row) for row in self.call],
            "traces": list(self.traces),
            "source": self.source,
        }


def _aligned(rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]


def _table(rows: Sequence[Row]) -> str:
    cells = ("".join(f'<td style="text-align: left">{html.escape(cell)}</td>' for cell in row) for row in rows)
    return f"<table><tbody>{''.join(f'<tr>{row}</tr>' for row in cells)}</tbody></table>"


@shortens
def explain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Explanation:
    """Print, for each transform of a pipeline, what JAX is given, and what was inferred and why.

    Positions are those of the signature, one for each parameter, as the core of a function has them.

    Given the arguments of a call, print also what becomes of each of their leaves: what is traced and what is constant,
    what is differentiated and what gets `None`, which axis is mapped, how it is laid out, which result takes a donated
    buffer, or that none can; and the same computation written in JAX alone. The function is traced for that, aside, so
    that `f.traces` says nothing of it.

    Arguments:
        function: A function that annotax has decorated.
        args: The positional arguments of a call.
        kwargs: Its keyword arguments.

    Returns:
        What was printed; in a notebook it shows itself as tables.

    Raises:
        AnnotaxError: If no annotax decorator made the function; for a call, whatever the call would raise.

    Examples:
        >>> import annotax, jax, jax.numpy as jnp
        >>> @annotax.jit
        ... def scale(x: jax.Array, by: str, *, times: annotax.Static[int] = 2) -> jax.Array:
        ...     return x * times
        >>> _ = annotax.explain(scale)  # doctest: +ELLIPSIS
        scale(x, by, *, times=2), defined at ...
        <BLANKLINE>
        jit    static_argnums=(1, 2)  by, times
               donate_argnums=()
        <BLANKLINE>
        x      Array                  traced
        by     str                    Static, inferred: str can never be traced
        times  int                    Static
        >>> _ = annotax.explain(scale, jnp.ones(3), "two")  # doctest: +ELLIPSIS
        scale(x, by, *, times=2), defined at ...
        this call
        <BLANKLINE>
        x       float32[3]  traced
        by      'two'       Static, inferred: str can never be traced
        times   2           Static
        <BLANKLINE>
        result  float32[3]
        <BLANKLINE>
        in JAX alone
        <BLANKLINE>
        def by_position(x, by, times):
            return scale(x, by, times=times)
        <BLANKLINE>
        jit_by_position = jax.jit(by_position, static_argnums=(1, 2))
        result = jit_by_position(x, by, times)
    """
    pipeline = pipeline_of(function)
    if pipeline is None:
        name = getattr(function, "__qualname__", repr(function))
        raise AnnotaxError(
            f"explain(): {name} has no annotax transforms.\n"
            "  fix  Decorate it first, as in annotax.explain(annotax.jit(f))."
        )
    explanation = _explanation(pipeline)
    if args or kwargs:
        explanation = _of_call(explanation, pipeline.alone(), args, kwargs)
    print(explanation)
    return explanation


def _of_call(explanation: Explanation, pipeline: Pipeline, args: Any, kwargs: Any) -> Explanation:
    """The explanation with all that can be said of one call.

    Arguments:
        explanation: Of the function.
        pipeline: One that nobody else uses, since it is traced here.
        args: The positional arguments.
        kwargs: The keyword arguments.
    """
    slots = pipeline.bind(*args, **kwargs)
    core, contract = pipeline.built
    partition = Partition(pipeline.contract)
    structures, arguments = partition.split(slots, whole=True)

    kept: list[Any] = []

    def held(*arguments: Any) -> Any:
        result = core(*Partition.join(structures, arguments))
        try:
            return hold(result, contract)
        except StaticValueError:  # a jaxpr, which no compiled function could return
            kept.append(result)
            return ()

    result: Any = release(cast("Any", jax.eval_shape)(held, *arguments))
    result = kept[0] if kept else result
    facts = _facts(pipeline, partition, slots)
    steps = [(step, step_contract) for step, step_contract in reversed(list(pipeline.contracts(build=True)))]
    if steps and "donate_argnums" in (given := steps[0][0].given(steps[0][1])):
        for reuse in reuses(pipeline.contract, given["donate_argnums"], slots, result):
            taken = "no result can take its buffer" if reuse.result is None else f"{reuse.result} takes its buffer"
            facts[reuse.path].append(f"donated: {taken}")
    rows = [
        (path, _value(leaf), "; ".join(facts[path]) or "traced")
        for name, slot in zip(contract.names, slots, strict=True)
        for path, leaf in _leaves(name, slot, is_whole=name in facts)
    ]
    rows.append(("", "", ""))
    rows += [(path, _value(leaf), "") for path, leaf in leaves_with_paths("result", result)]
    writer = Writer(pipeline.contract, returnable_leaves(result))
    seen: Sequence[Any] = slots
    of_steps: list[tuple[Transform, Contract, Sequence[Any]]] = []
    for step, step_contract in steps:
        of_steps.append((step, step_contract, seen))
        seen = step.inside(step_contract, seen)
    callee = pipeline.callee
    inner = writer.core(pipeline.contract, callee.function if callee.instance is None else callee.given)
    if pipeline.contract.is_laid_out and not any(getattr(step, "name", "") == "shard_map" for step, _ in steps):
        mesh = next((mesh for step, _ in steps if (mesh := getattr(step, "mesh", None)) is not None), None)
        inner = _write_layouts(writer, inner, pipeline.contract, slots, mesh)
    for step, step_contract, seen in reversed(of_steps):
        inner = step.write(writer, inner, step_contract, seen)
    writer.write(f"result = {inner}({writer.passed})")
    namespace = {**writer.namespace, **dict(zip(writer.slots, slots, strict=True))}
    return dataclasses.replace(
        explanation, call=tuple(rows), source=writer.text(), namespace=namespace, traces=explanation.traces
    )


def _write_layouts(writer: Writer, inner: str, contract: Contract, slots: Sequence[Any], mesh: Any) -> str:
    """A function that lays its arguments out before it calls another one; that one itself where there is no mesh."""
    kinds = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    if kinds.empty:
        return inner
    lines: list[str] = []
    for parameter, given, slot in zip(contract, writer.slots, slots, strict=True):
        own = spec_of(parameter)
        specs = None if parameter.role(Static) is not None else specs_of_leaves(slot, own)
        if specs is None and own is None:
            continue
        specs = [own] * len(flatten(slot)[0]) if specs is None else specs
        layouts = [spec if mesh is None or spec is None else NamedSharding(mesh, spec) for spec in specs]
        name = writer.bind(f"layouts_of_{given}", layouts)
        lay_out = (
            "jax.sharding.reshard" if AxisType.Explicit in kinds.axis_types else "jax.lax.with_sharding_constraint"
        )
        lines += [
            f"    leaves, structure = jax.tree.flatten({given})",
            f"    pairs = zip(leaves, {name})",
            f"    leaves = [leaf if layout is None else {lay_out}(leaf, layout) for leaf, layout in pairs]",
            f"    {given} = structure.unflatten(leaves)",
        ]
    if not lines:
        return inner
    laid_out = writer.new(f"laid_out_{inner}")
    writer.write(f"def {laid_out}({writer.passed}):", *lines, f"    return {inner}({writer.passed})", "")
    return laid_out


def _facts(pipeline: Pipeline, partition: Partition, slots: Sequence[Any]) -> dict[str, list[str]]:
    """What there is to say of each leaf of the values of a call, by path; of a static argument as a whole."""
    facts: dict[str, list[str]] = {}
    for i, (parameter, slot) in enumerate(zip(pipeline.contract, slots, strict=True)):
        role = parameter.role(Static)
        if i in partition.marked or (role is not None and not any(partition.traced(i, slot))):
            facts[parameter.name] = [_role(cast("Role", role))]
            continue
        layouts = specs_of_leaves(slot, spec_of(parameter))
        pairs = leaves_with_paths(parameter.name, slot)
        for position, (path, _) in enumerate(pairs):
            facts[path] = [f"constant: {partition.found[path]}"] if path in partition.found else []
            if parameter.role(NoDiff) is not None:
                facts[path].append(_role(cast("Role", parameter.role(NoDiff))))
            layout = spec_of(parameter) if layouts is None else layouts[position]
            if layout is not None:
                facts[path].append(repr(layout))
    seen = slots
    for step, contract in reversed(list(pipeline.contracts(build=True))):
        for path, fact in step.facts(contract, seen).items():
            if path in facts:
                facts[path].append(fact)
        seen = step.inside(contract, seen)
    return facts


def _leaves(name: str, slot: Any, *, is_whole: bool) -> list[tuple[str, Any]]:
    """The leaves of a slot with their paths; a static one counts as one."""
    return [(name, slot)] if is_whole else leaves_with_paths(name, slot)


def _value(leaf: Any) -> str:
    if isinstance(leaf, (np.ndarray, np.generic)) and is_traceable(leaf):  # as JAX takes it
        leaf = cast("Any", jax.ShapeDtypeStruct)(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype))
    return describe_constant(leaf)


def _explanation(pipeline: Pipeline) -> Explanation:
    contract = pipeline.require_contract()
    title = f"{contract.where.rpartition('.')[2]}{_signature(pipeline)}, defined at {contract.source}"
    rows = (*_transform_rows(pipeline), *_parameter_rows(contract), *_inferred_rows(pipeline))
    history = pipeline.history()
    return Explanation(title, rows, traces=() if history is None else tuple(map(str, history.traces)))


def _signature(pipeline: Pipeline) -> str:
    """The parameters without their hints, which the rows below show; arrays among the defaults in short."""
    signature = pipeline.callee.signature
    parameters = [
        p.replace(annotation=SignatureParameter.empty, default=p.default if _is_short(p.default) else _LONG)
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=SignatureParameter.empty))


class _Long:
    """Stands for a default that would not fit on the line."""

    def __repr__(self) -> str:
        return "..."


_LONG = _Long()


def _is_short(default: Any) -> bool:
    return default is SignatureParameter.empty or isinstance(default, (bool, int, float, complex, str, type(None)))


def _transform_rows(pipeline: Pipeline) -> Iterator[Row]:
    """What JAX is given: the very arguments that the transform passes on, with indices read as names."""
    for step, contract in reversed(list(pipeline.contracts(build=True))):
        name = getattr(step, "name", type(step).__name__)
        for option, value in step.given(contract).items():
            names = step.names(contract) if option == "argnums" and isinstance(step, Differentiation) else None
            yield name, f"{option}={value!r}", ", ".join(_names(contract, option, value) if names is None else names)
            name = ""
        if name:
            yield name, "", ""
    yield "", "", ""


def _names(contract: Contract, option: str, value: Any) -> Iterator[str]:
    if option.endswith("argnums"):
        for index in (value,) if isinstance(value, int) else value:
            yield contract.parameters[index].name


def _parameter_rows(contract: Contract) -> Iterator[Row]:
    for parameter in contract:
        roles = "; ".join(map(_role, parameter.roles))
        yield parameter.name, show(parameter.hint), roles or "traced"
    for i, component in enumerate(contract.result.components or ()):
        for role in component.roles:
            yield f"result[{i}]", show(component.hint), _role(role)


def _role(role: Role) -> str:
    if role.why == f"marked {role.marker!r}":  # it says so itself
        return repr(role.marker)
    return f"{role.marker!r}, {'inferred: ' if role.inferred else ''}{role.why}"


def _inferred_rows(pipeline: Pipeline) -> Iterator[Row]:
    """What calls have shown so far: values that are static because they cannot be traced."""
    for path, why in pipeline.found.items():
        yield path, "", f"Static, inferred: {why}"
