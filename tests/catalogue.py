"""The catalogue of mistakes: what a person can do wrong, what raw JAX says, and what annotax says.

`tests/test_catalogue.py` runs every row; `docs/generate_errors.py` makes a page of them, `docs/errors.md`.
"""

# Messages stand here as they are.
# ruff: noqa: E501

from __future__ import annotations

import linecache
import re
import sys
import textwrap
import types
import warnings
from dataclasses import dataclass

IMPORTS = """\
import dataclasses
import functools
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import annotax
from annotax import Aux, Axis, Diff, Donate, NoDiff, Static
from annotax import custom_vjp, grad, jit, shard_map, transform, value_and_grad, vmap
"""
"""What stands above the code of each row."""

MODULE = "train"
"""The name of the module that the code of a row is."""


@dataclass(frozen=True)
class Mistake:
    """One row.

    Attributes:
        group: The heading that it is under.
        title: The mistake.
        code: It, with annotax; the last statement is the one that fails.
        jax: The same with JAX alone, or `None` where JAX has nothing of the kind.
        silently: What JAX does where it does not fail.
        error: The class of an error of JAX that annotax adds to, or hands through; several as `A|B`, by version.
        says: What annotax says: the whole message; of an error or warning of JAX's own the note that is added.
        names: What the message must name: the function and the parameter.
        by_annotax: Whether annotax words it, and not Python.
        advice: What there is to know about it, where annotax cannot say it.
        instead: What to write instead, where annotax cannot say it: code that runs.
    """

    group: str
    title: str
    code: str
    jax: str | None = None
    silently: str | None = None
    error: str = ""
    says: str = ""
    names: tuple[str, ...] = ()
    by_annotax: bool = True
    advice: str | None = None
    instead: str | None = None

    def __post_init__(self) -> None:
        for field in ("code", "jax", "says", "advice", "instead"):
            text = getattr(self, field)
            if text is not None:
                object.__setattr__(self, field, textwrap.dedent(text).strip("\n"))


@dataclass(frozen=True)
class Outcome:
    """What came of some code.

    Attributes:
        error: What it raised, or else what it warned of; `None` if nothing.
    """

    error: Exception | Warning | None

    @property
    def kind(self) -> str:
        """The class of the error."""
        return type(self.error).__name__

    @property
    def is_ours(self) -> bool:
        """Whether annotax raised it."""
        return type(self.error).__module__ == "annotax"

    @property
    def notes(self) -> list[str]:
        """What annotax adds to an error of JAX."""
        return [note for note in getattr(self.error, "__notes__", []) if note.startswith(f"{MODULE}.")]

    @property
    def says(self) -> str:
        """What annotax says: the message of its own error, or what it adds to that of JAX."""
        return "\n".join(self.notes) or str(self.error)

    @property
    def first_line(self) -> str:
        """The class and the first line of the message."""
        return f"{self.kind}: {str(self.error).strip()}".splitlines()[0]


def normal(text: str) -> str:
    """A message without what differs from one version of JAX, or one run, to another."""
    return re.sub(r"0x[0-9a-f]+", "0x...", text).replace("PartitionSpec(", "P(")


def run(code: str) -> Outcome:
    """Run code as a module of its own, which has the imports already."""
    filename = f"{MODULE}.py"
    module = types.ModuleType(MODULE)
    before = sys.modules.get(MODULE)
    sys.modules[MODULE] = module
    # Tracebacks show the lines of it.
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            exec(compile(IMPORTS, f"imports of {filename}", "exec", dont_inherit=True), module.__dict__)
            exec(compile(code, filename, "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        return Outcome(error)
    finally:
        if before is None:
            del sys.modules[MODULE]
        else:
            sys.modules[MODULE] = before
    messages = [warning.message for warning in warned if isinstance(warning.message, UserWarning)]
    # JAX warns of what annotax warns of; the last one is that of annotax.
    return Outcome(messages[-1] if messages else None)


MISTAKES: list[Mistake] = []

# --- the function is decorated ---------------------------------------------------------------------------------------

DECORATION = "When a function is decorated"

MISTAKES += [
    Mistake(
        DECORATION,
        "Markers that contradict each other",
        code="""
        @jit
        def step(w: Array, n: Static[Donate[int]]) -> Array:
            return w * n
        """,
        jax="""
        jax.jit(lambda w, n: w * n, static_argnums=1, donate_argnums=1)
        """,
        names=("train.step()", "parameter n"),
        says="""
        train.step(): parameter n is both Static and Donate.
          got  marked Donate, marked Static
          fix  a static value has no buffers to give away: drop one of the two
        """,
    ),
    Mistake(
        DECORATION,
        "A static parameter that is to be differentiated",
        code="""
        @grad
        def loss(w: Array, n: Annotated[int, Static, Diff]) -> Array:
            return jnp.sum(w) ** n
        """,
        jax="""
        loss = jax.grad(lambda w, n: jnp.sum(w) ** n, argnums=1)
        jax.jit(loss, static_argnums=1)(jnp.ones(3), 2)
        """,
        names=("train.loss()", "parameter n"),
        says="""
        train.loss(): parameter n is both Static and Diff.
          got  marked Static, marked Diff
          fix  a static value is never traced, so it has no gradient: drop one of the two
        """,
    ),
    Mistake(
        DECORATION,
        "A parameter that is both differentiated and not",
        code="""
        @grad
        def loss(w: Array, x: NoDiff[Diff[Array]]) -> Array:
            return jnp.sum(w * x)
        """,
        names=("train.loss()", "parameter x"),
        says="""
        train.loss(): parameter x is both NoDiff and Diff.
          got  marked Diff, marked NoDiff
          fix  they say opposite things: drop one of the two
        """,
    ),
    Mistake(
        DECORATION,
        "A static parameter that is to be mapped",
        code="""
        @vmap
        def repeat(x: Array, n: Annotated[int, Static, Axis(0)]) -> Array:
            return jnp.tile(x, n)
        """,
        jax="""
        jax.vmap(jnp.tile, in_axes=(0, 0))(jnp.ones((4, 3)), 2)
        """,
        names=("train.repeat()", "parameter n"),
        says="""
        train.repeat(): parameter n is both Static and Axis(0).
          got  marked Static, marked Axis(0)
          fix  a static value is shared by the whole batch: drop the Axis
        """,
    ),
    Mistake(
        DECORATION,
        "A static parameter with a layout",
        code="""
        @jit
        def scale(x: Array, n: Annotated[int, Static, P("data")]) -> Array:
            return x * n
        """,
        names=("train.scale()", "parameter n"),
        says="""
        train.scale(): parameter n is both Static and P('data',).
          got  marked Static, marked P('data',)
          fix  a static value is no array and has no layout: drop one of the two
        """,
    ),
    Mistake(
        DECORATION,
        "What can only be static, donated",
        code="""
        @jit
        def norm(x: Array, mode: Donate[str]) -> Array:
            return x if mode == "none" else x / jnp.sum(x)
        """,
        jax="""
        jax.jit(lambda x, mode: x, donate_argnames="mode")(jnp.ones(3), "none")
        """,
        names=("train.norm()", "parameter mode"),
        says="""
        train.norm(): parameter mode is both Static and Donate.
          got  marked Donate, str can never be traced
          fix  a static value has no buffers to give away: drop one of the two
        """,
    ),
    Mistake(
        DECORATION,
        "Two axes for one map",
        code="""
        @vmap
        def total(x: Annotated[Array, Axis(0), Axis(1)]) -> Array:
            return jnp.sum(x)
        """,
        names=("train.total()", "parameter x"),
        says="""
        train.total(): parameter x has two axes for one map.
          got  Axis(0), Axis(1)
          fix  keep one, or give each the axis name of its map: Axis(1, 'time')
        """,
    ),
    Mistake(
        DECORATION,
        "Two layouts",
        code="""
        @jit
        def double(x: Annotated[Array, P("data"), P("model")]) -> Array:
            return 2 * x
        """,
        names=("train.double()", "parameter x"),
        says="""
        train.double(): parameter x has two layouts.
          got  P('data',), P('model',)
          fix  keep one PartitionSpec
        """,
    ),
    Mistake(
        DECORATION,
        "A marker inside a container",
        code="""
        @jit
        def zeros(shape: list[Static[int]]) -> Array:
            return jnp.zeros(shape)
        """,
        jax="""
        jax.jit(jnp.zeros, static_argnames="shape")([2, 3])
        """,
        names=("train.zeros()", "parameter shape"),
        says="""
        train.zeros(): parameter shape has the marker Static where it cannot be honoured.
          got  list[Annotated[int, Static]]
          fix  put it outside: Static[list[int]]
        """,
    ),
    Mistake(
        DECORATION,
        "A marker inside a union",
        code="""
        @jit
        def repeat(x: Array, n: Static[int] | None = None) -> Array:
            return jnp.tile(x, n or 1)
        """,
        names=("train.repeat()", "parameter n"),
        says="""
        train.repeat(): parameter n has the marker Static where it cannot be honoured.
          got  Optional[Annotated[int, Static]]
          fix  put it outside: Static[Optional[int]]
        """,
    ),
    Mistake(
        DECORATION,
        "`Axis` without its arguments",
        code="""
        @vmap
        def total(x: Annotated[Array, Axis]) -> Array:
            return jnp.sum(x)
        """,
        names=("train.total()", "parameter x"),
        says="""
        train.total(): parameter x has the marker Axis without its arguments.
          got  the class Axis
          fix  write Axis(0), Axis(None)
        """,
    ),
    Mistake(
        DECORATION,
        "`Aux` on a parameter",
        code="""
        @grad
        def loss(w: Array, metrics: Aux[Array]) -> Array:
            return jnp.sum(w * metrics)
        """,
        names=("train.loss()", "parameter metrics"),
        says="""
        train.loss(): parameter metrics has the marker Aux where it cannot be honoured.
          got  Annotated[Array, Aux]
          fix  Aux belongs on a component of the returned tuple
        """,
    ),
    Mistake(
        DECORATION,
        "`Aux` on the whole result",
        code="""
        @grad
        def loss(w: Array) -> Aux[Array]:
            return jnp.sum(w)
        """,
        jax="""
        jax.grad(jnp.sum, has_aux=True)(jnp.ones(3))
        """,
        names=("train.loss()", "the result"),
        says="""
        train.loss(): the result has the marker Aux where it cannot be honoured.
          got  Annotated[Array, Aux]
          fix  mark a component of the returned tuple: tuple[Array, Annotated[Array, Aux]]
        """,
    ),
    Mistake(
        DECORATION,
        "A marker of parameters on the result",
        code="""
        @jit
        def count(x: Array) -> Static[int]:
            return len(x)
        """,
        names=("train.count()", "the result"),
        says="""
        train.count(): the result has the marker Static where it cannot be honoured.
          got  Annotated[int, Static]
          fix  Static belongs on a parameter
        """,
    ),
    Mistake(
        DECORATION,
        "Two losses",
        code="""
        @grad
        def loss(w: Array) -> tuple[Array, Array, Aux[Array]]:
            return jnp.sum(w), jnp.mean(w), w
        """,
        jax="""
        jax.grad(lambda w: (jnp.sum(w), jnp.mean(w), w), has_aux=True)(jnp.ones(3))
        """,
        names=("train.loss()", "result"),
        says="""
        train.loss(): grad needs exactly one component of the result that is not Aux.
          got  2 of 3 components are not Aux
          fix  mark all but the value to differentiate: tuple[Array, Aux[Metrics], Aux[State]]
        """,
    ),
    Mistake(
        DECORATION,
        "A hint that cannot be read",
        code="""
        @jit
        def step(w: Array, config: "Config") -> Array:
            return w * config.rate

        step(jnp.ones(3), None)  # a class that is defined later is fine, until here
        """,
        names=("train.step()", "parameter config"),
        says="""
        train.step(): cannot read the hint 'Config' of parameter config: the name 'Config' cannot be found.
          because  it may hide a marker
          fix      import the name at run time, or put the marker outside: NoDiff['Name']
        """,
    ),
    Mistake(
        DECORATION,
        "A wrapper that hides the signature",
        code="""
        def logged(function):
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)
            return wrapper

        @jit
        @logged
        def zeros(n: Static[int]) -> Array:
            return jnp.zeros(n)
        """,
        jax="""
        def wrapper(*args, **kwargs):
            return jnp.zeros(*args, **kwargs)

        jax.jit(wrapper, static_argnames="shape")(3)
        """,
        names=("train.wrapper()", "(*args, **kwargs)"),
        says="""
        train.wrapper(): the parameters (*args, **kwargs) have no hints, so a wrapper may hide the function's own markers.
          fix  put @functools.wraps(function) on the wrapper, decorate below it, or write hints on both
        """,
    ),
    Mistake(
        DECORATION,
        "A wrapper with other parameters than the function that it wraps",
        code="""
        def seeded(function):
            @functools.wraps(function)
            def wrapper(key, x, n):
                return function(x, n)
            return wrapper

        @jit
        @seeded
        def repeat(x: Array, n: Static[int]) -> Array:
            return jnp.tile(x, n)
        """,
        jax="""
        def repeat(x, n):
            return jnp.tile(x, n)

        @functools.wraps(repeat)
        def wrapper(key, x, n):
            return repeat(x, n)

        jax.jit(wrapper, static_argnames="n")(jax.random.key(0), jnp.ones(3), 2)
        """,
        names=("train.repeat()", "wrapper"),
        says="""
        train.repeat(): a wrapper takes other parameters than the function it claims to wrap.
          got       (key, x, n) on the wrapper, defined at train.py:2
          expected  (x, n)
          fix       give the wrapper the same parameters or (*args, **kwargs), or decorate the function below it
        """,
    ),
    Mistake(
        DECORATION,
        "What is not a function",
        code="""
        jit(3)
        """,
        jax="""
        jax.jit(3)
        """,
        names=("jit()", "3"),
        says="""
        jit() was given 3, not a function.
          fix  decorate a function, and pass options by name: jit(static='n')(f)
        """,
    ),
    Mistake(
        DECORATION,
        "A transform in the place of a function",
        code="""
        compiled = jit(grad(wrt="w"))
        """,
        names=("jit()", "grad"),
        says="""
        jit() was given the transform grad, not a function.
          fix  write transform(jit, grad)(f), or jit(grad(f))
        """,
    ),
    Mistake(
        DECORATION,
        "`jitted` of a function that is not compiled",
        code="""
        def step(x: Array) -> Array:
            return x

        annotax.jitted(step).lower(jnp.ones(3))
        """,
        jax="""
        (lambda x: x).lower(jnp.ones(3))
        """,
        names=("jitted()", "step"),
        says="""
        jitted(): step is not compiled by its outermost transform.
          expected  a function or bound method under annotax.jit
          fix       pass annotax.jit(step)
        """,
    ),
    Mistake(
        DECORATION,
        "A function whose signature cannot be read",
        code="""
        jit(min)
        """,
        jax="""
        jax.jit(min)(jnp.ones(3))
        """,
        names=("builtins.min()", "signature"),
        says="""
        builtins.min(): the signature cannot be read.
          got  no signature found for builtin <built-in function min>
          fix  wrap it in a function that names its parameters: `def f(x, n): return ...`
        """,
    ),
    Mistake(
        DECORATION,
        "A transform of JAX in a pipeline",
        code="""
        @transform(jax.jit, grad)
        def loss(w: Array) -> Array:
            return jnp.sum(w)
        """,
        names=("transform()", "jit"),
        says="""
        transform(): jit is not an annotax transform.
          expected  transforms, as in transform(jit, grad(wrt='w'))(f)
          fix       write annotax.jit.
        """,
    ),
    Mistake(
        DECORATION,
        "`static=` that names no parameter",
        code="""
        @jit(static="learing_rate")
        def step(w, learning_rate):
            return w * learning_rate
        """,
        jax="""
        def step(w, learning_rate):
            return w * learning_rate

        jax.jit(step, static_argnames="learing_rate")
        """,
        names=("train.step()", "jit(static=...)", "learning_rate"),
        says="""
        train.step(): jit(static=...) names no parameter.
          got       'learing_rate'
          expected  one of w, learning_rate
          fix       write 'learning_rate'
        """,
    ),
    Mistake(
        DECORATION,
        "`donate=` that names no parameter",
        code="""
        @jit(donate=2)
        def step(w, gradient):
            return w - gradient
        """,
        jax="""
        jax.jit(lambda w, gradient: w - gradient, donate_argnums=2)
        """,
        names=("train.step()", "jit(donate=...)", "w, gradient"),
        says="""
        train.step(): jit(donate=...) names no parameter.
          got       2
          expected  one of w, gradient
          fix       name a parameter, or give its index in the signature
        """,
    ),
    Mistake(
        DECORATION,
        "`wrt=` that names no parameter",
        code="""
        @grad(wrt="weights")
        def loss(w, x):
            return jnp.sum(w * x)
        """,
        jax="""
        jax.grad(lambda w, x: jnp.sum(w * x), argnums=2)(jnp.ones(3), jnp.ones(3))
        """,
        names=("train.loss()", "grad(wrt=...)", "w, x"),
        says="""
        train.loss(): grad(wrt=...) names no parameter.
          got       'weights'
          expected  one of w, x
          fix       name a parameter, or give its index in the signature
        """,
    ),
    Mistake(
        DECORATION,
        "`in_axes=` that names no parameter",
        code="""
        @vmap(in_axes={"z": None})
        def dot(x, y):
            return x @ y
        """,
        jax="""
        jax.vmap(lambda x, y: x @ y, in_axes=(0, 0, None))(jnp.ones((4, 3)), jnp.ones((4, 3)))
        """,
        names=("train.dot()", "vmap(in_axes=...)", "x, y"),
        says="""
        train.dot(): vmap(in_axes=...) names no parameter.
          got       'z'
          expected  one of x, y
          fix       name a parameter, or give its index in the signature
        """,
    ),
    Mistake(
        DECORATION,
        "`in_axes=` without names",
        code="""
        @vmap(in_axes=(0, None))
        def dot(x, y):
            return x @ y
        """,
        error="TypeError",
        names=("vmap(in_axes=...)", "(0, None)"),
        says="""
        vmap(in_axes=...) takes a mapping from parameters to axes, not (0, None).
          fix  Name the parameters: in_axes={'x': 1, 'scale': None}; the others are mapped along axis 0.
        """,
    ),
    Mistake(
        DECORATION,
        "`in_axes=` that maps a static parameter",
        code="""
        @vmap(in_axes={"n": 0})
        def repeat(x: Array, n: Static[int]) -> Array:
            return jnp.tile(x, n)
        """,
        jax="""
        jax.vmap(jnp.tile, in_axes=(0, 0))(jnp.ones((4, 3)), 2)
        """,
        names=("train.repeat()", "vmap(in_axes=...)", "parameter n"),
        says="""
        train.repeat(): vmap(in_axes=...) names the static parameter n.
          got  it is static: marked Static
          fix  a static value is shared by the whole batch: leave it out
        """,
    ),
    Mistake(
        DECORATION,
        "`in_specs=` that names no parameter",
        code="""
        @shard_map(in_specs={"y": P("data")})
        def total(x):
            return jax.lax.psum(jnp.sum(x), "data")
        """,
        jax="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        jax.shard_map(jnp.sum, mesh=mesh, in_specs=(P(), P()), out_specs=P())(jnp.ones(4))
        """,
        names=("train.total()", "shard_map(in_specs=...)", "x"),
        says="""
        train.total(): shard_map(in_specs=...) names no parameter.
          got       'y'
          expected  one of x
          fix       name a parameter, or give its index in the signature
        """,
    ),
    Mistake(
        DECORATION,
        "`donate=` that names a static parameter",
        code="""
        @jit(donate="n")
        def repeat(x: Array, n: Static[int]) -> Array:
            return jnp.tile(x, n)
        """,
        jax="""
        jax.jit(jnp.tile, static_argnums=1, donate_argnums=1)
        """,
        names=("train.repeat()", "jit(donate=...)", "parameter n"),
        says="""
        train.repeat(): jit(donate=...) names the static parameter n.
          got  it is static: marked Static
          fix  a static value has no buffers to give away: name another parameter
        """,
    ),
    Mistake(
        DECORATION,
        "`wrt=` that names a static parameter",
        code="""
        @grad(wrt="power")
        def loss(w: Array, power: Static[int]) -> Array:
            return jnp.sum(w**power)
        """,
        jax="""
        loss = jax.grad(lambda w, power: jnp.sum(w**power), argnums=1)
        jax.jit(loss, static_argnums=1)(jnp.ones(3), 2)
        """,
        names=("train.loss()", "grad(wrt=...)", "parameter power"),
        says="""
        train.loss(): grad(wrt=...) names the static parameter power.
          got  it is static: marked Static
          fix  a static value is never traced, so it has no gradient: name another parameter
        """,
    ),
    Mistake(
        DECORATION,
        "`wrt=` that names a parameter twice",
        code="""
        @grad(wrt=["w", 0])
        def loss(w, x):
            return jnp.sum(w * x)
        """,
        jax="""
        gradient = jax.grad(lambda w, x: jnp.sum(w * x), argnums=(0, 0))(jnp.ones(3), jnp.ones(3))
        assert len(gradient) == 2
        """,
        names=("train.loss()", "grad(wrt=...)", "'w', 0"),
        says="""
        train.loss(): grad(wrt=...) names a parameter twice.
          got  ('w', 0)
          fix  name each parameter to differentiate once
        """,
    ),
    Mistake(
        DECORATION,
        "Nothing to differentiate in a signature",
        code="""
        @grad
        def loss(x: NoDiff[Array], n: int, mode: str = "sum") -> Array:
            return getattr(jnp, mode)(x) * n
        """,
        jax="""
        jax.grad(lambda n, mode="sum": jnp.sum(n))(3)
        """,
        names=("train.loss()", "x: marked NoDiff", "n: ", "mode: "),
        says="""
        train.loss(): grad has nothing to differentiate.
          got  x: marked NoDiff; n: int can never be differentiated; mode: str can never be traced
          fix  mark a parameter Diff, or name one: grad(wrt='name')
        """,
    ),
    Mistake(
        DECORATION,
        "A donated parameter whose default is an array",
        code="""
        @jit
        def step(x: Array, state: Donate[Array] = jnp.zeros(3)) -> Array:
            return state + x
        """,
        jax="""
        state = jnp.zeros(3)
        step = jax.jit(lambda x, state: state + x, donate_argnums=1)
        step(jnp.ones(3), state)
        step(jnp.ones(3), state)
        """,
        names=("train.step()", "parameter state"),
        says="""
        train.step(): parameter state is Donate, but its default is an array.
          because  the first call that omits it deletes the default, and the second finds it gone
          fix      drop the default or the marker, or default to None and make the array inside
        """,
    ),
    Mistake(
        DECORATION,
        "`donate=` for a parameter whose default is an array",
        code="""
        @jit(donate="state")
        def step(x, state=jnp.zeros(3)):
            return state + x
        """,
        jax="""
        step = jax.jit(lambda x, state=jnp.zeros(3): state + x, donate_argnames="state")
        step(jnp.ones(3))
        step(jnp.ones(3))
        """,
        silently="keeps the default as it is when it is left out, and deletes it when it is passed",
        names=("train.step()", "jit(donate=...)", "state"),
        says="""
        train.step(): jit(donate=...) names state, whose default is an array.
          because  the first call that omits it deletes the default, and the second finds it gone
          fix      drop the default or the marker, or default to None and make the array inside
        """,
    ),
    Mistake(
        DECORATION,
        "A default that a map would take apart",
        code="""
        @vmap
        def shifted(x: Array, by=jnp.arange(3.0)) -> Array:
            return x + by
        """,
        jax="""
        by = jnp.arange(3.0)
        shifted = jax.vmap(lambda x, by=by: x + by)
        assert shifted(jnp.ones((3, 3))).tolist() != shifted(jnp.ones((3, 3)), by).tolist()
        """,
        silently="shares the default when it is left out, and maps the same array when it is passed",
        names=("train.shifted()", "parameter by"),
        says="""
        train.shifted(): vmap would map the array that is the default of parameter by.
          got      float32[3]
          because  a default is mostly meant for the whole batch
          fix      mark it Axis(None) if the batch shares it, or Axis(0) if not
        """,
    ),
    Mistake(
        DECORATION,
        "A rule of `custom_vjp` that does not take a static parameter",
        code="""
        @custom_vjp
        def power(x: Array, n: Static[int]) -> Array:
            return x**n

        def forward(x, n):
            return x**n, x

        def backward(residual, cotangent):
            return (2 * residual * cotangent,)

        power.defvjp(forward, backward)
        """,
        jax="""
        power = jax.custom_vjp(lambda x, n: x**n, nondiff_argnums=1)
        power.defvjp(lambda x, n: (x**n, x), lambda residual, cotangent: (2 * residual * cotangent,))
        jax.grad(power)(2.0, 2)
        """,
        names=("train.power()", "parameter n", "bwd"),
        says="""
        train.power(): defvjp was given a bwd that does not take the static parameter n.
          expected  a keyword n of bwd, which is called with every Static by name
          fix       add it after a star: def bwd(..., *, n)
        """,
    ),
    Mistake(
        DECORATION,
        "An unknown type checker",
        code="""
        @jit(typechecker="typeguard")
        def double(x: Array) -> Array:
            return 2 * x

        double(jnp.ones(3))
        """,
        error="TypeError",
        names=("typechecker=", "'typeguard'"),
        says="""
        typechecker= takes no 'typeguard'.
          expected  'beartype', a function check(value, hint) -> str | None, or None
          fix       wrap another checker in such a function, which returns what is wrong, or None
        """,
    ),
    Mistake(
        DECORATION,
        "A rule of `custom_vjp` that does not take the arguments of the function",
        code="""
        @custom_vjp
        def scale(x: Array, by: Array) -> Array:
            return by * x

        def forward(x):
            return x, None

        def backward(residual, cotangent):
            return cotangent, cotangent

        scale.defvjp(forward, backward)
        """,
        jax="""
        scale = jax.custom_vjp(lambda x, by: by * x)
        scale.defvjp(lambda x: (x, None), lambda residual, cotangent: (cotangent, cotangent))
        jax.grad(scale)(2.0, 3.0)
        """,
        names=("train.scale()", "x, by", "forward"),
        says="""
        train.scale(): defvjp was given a fwd that cannot be called as the function is.
          got       forward(x): too many positional arguments
          expected  the parameters of the function, by their own kinds: x, by
          fix       write def fwd(x, by)
        """,
    ),
    Mistake(
        DECORATION,
        "A rule of `custom_jvp` that does not take a static parameter",
        code="""
        @annotax.custom_jvp
        def power(x: Array, n: Static[int]) -> Array:
            return x**n

        @power.defjvp
        def rule(primals, tangents):
            (x,), (t,) = primals, tangents
            return x**2, 2 * x * t
        """,
        jax="""
        power = jax.custom_jvp(lambda x, n: x**n, nondiff_argnums=1)
        power.defjvp(lambda primals, tangents: (primals[0] ** 2, 2 * primals[0] * tangents[0]))
        jax.grad(power)(2.0, 2)
        """,
        names=("train.power()", "parameter n"),
        says="""
        train.power(): defjvp was given a rule that does not take the static parameter n.
          expected  a keyword n of rule, which is called with every Static by name
          fix       add it after a star: def rule(..., *, n)
        """,
    ),
    Mistake(
        DECORATION,
        "An option that is no path",
        code="""
        @jit(static="model[rate]")
        def apply(model, x):
            return model["w"] * x
        """,
        names=("train.apply()", "jit(static=...)", "model[rate]"),
        says="""
        train.apply(): jit(static=...) names no parameter.
          got  'model[rate]' is no path such as 'model.layers[0].bias': between brackets stands no number and no string
          fix  name a parameter or a path
        """,
    ),
]

# --- classes -----------------------------------------------------------------------------------------------------

FIELDS = "When a class with markers is met"

MISTAKES += [
    Mistake(
        FIELDS,
        "A marker that means nothing on a field",
        code="""
        @annotax.pytree
        class Model:
            w: Donate[Array]

        @jit
        def apply(model: Model, x: Array) -> Array:
            return model.w @ x

        apply(Model(jnp.ones((2, 3))), jnp.ones(3))
        """,
        names=("Model", "field w"),
        says="""
        train.Model(): field w has the marker Donate where it cannot be honoured.
          got  Annotated[Array, Donate]
          fix  donate a parameter: `model: Donate[Model]`
        """,
    ),
    Mistake(
        FIELDS,
        "Markers on a field that contradict each other",
        code="""
        @annotax.pytree
        class Model:
            w: Array
            rate: Annotated[float, Static, Axis(0)]

        @jit
        def apply(model: Model, x: Array) -> Array:
            return model.rate * model.w @ x

        apply(Model(jnp.ones((2, 3)), 0.5), jnp.ones(3))
        """,
        names=("Model", "field rate"),
        says="""
        train.Model(): field rate is both Static and Axis(0).
          got  Static, Axis(0)
          fix  a static value is shared by the whole batch: drop the Axis
        """,
    ),
    Mistake(
        FIELDS,
        "A marker inside the hint of a field",
        code="""
        @annotax.pytree
        class Model:
            layers: list[NoDiff[Array]]

        @grad
        def loss(model: Model, x: NoDiff[Array]) -> Array:
            return jnp.sum(model.layers[0] @ x)

        loss(Model([jnp.ones((2, 3))]), jnp.ones(3))
        """,
        names=("Model", "field layers"),
        says="""
        train.Model(): field layers has the marker NoDiff where it cannot be honoured.
          got  list[Annotated[Array, NoDiff]]
          fix  put it outside: NoDiff[...]
        """,
    ),
    Mistake(
        FIELDS,
        "A static field that is registered as data",
        code="""
        @jax.tree_util.register_dataclass
        @dataclasses.dataclass
        class Model:
            w: Array
            power: Static[int]

        @jit
        def apply(model: Model, x: Array) -> Array:
            return (model.w @ x) ** model.power

        apply(Model(jnp.ones((2, 3)), 2), jnp.ones(3))
        """,
        names=("Model", "field power"),
        says="""
        train.Model(): field power is marked Static, but the class is registered with it as data.
          got      Static[int]
          because  JAX would trace it
          fix      make the class an annotax.pytree, or register the field as metadata (equinox.field(static=True), flax.struct.field(pytree_node=False))
        """,
    ),
    Mistake(
        FIELDS,
        "A mapped field that is registered as metadata",
        code="""
        @functools.partial(jax.tree_util.register_dataclass, data_fields=["w"], meta_fields=["rate"])
        @dataclasses.dataclass
        class Model:
            w: Array
            rate: Annotated[float, Axis(0)]

        @vmap
        def apply(model: Model, x: Array) -> Array:
            return model.rate * model.w @ x

        apply(Model(jnp.ones((4, 3)), 0.5), jnp.ones((4, 3)))
        """,
        names=("Model", "field rate"),
        says="""
        train.Model(): field rate is marked Axis(0), but it is no part of what JAX traces.
          because  the class is registered with it as metadata, or without it
          fix      drop the marker, or register the field as data
        """,
    ),
    Mistake(
        FIELDS,
        "A class of which JAX does not say which part is which field",
        code="""
        @jax.tree_util.register_pytree_node_class
        class Model:
            w: Array
            mean: NoDiff[Array]

            def __init__(self, w, mean):
                self.w, self.mean = w, mean

            def tree_flatten(self):
                return ((1 * self.w, 1 * self.mean), None)

            @classmethod
            def tree_unflatten(cls, aux, children):
                return cls(*children)

        @grad
        def loss(model: Model) -> Array:
            return jnp.sum(model.w - model.mean)

        loss(Model(jnp.ones(3), jnp.zeros(3)))
        """,
        names=("Model", "mean"),
        says="""
        train.Model(): the markers on mean cannot be honoured.
          because  JAX takes the class apart in a way that does not tell which part is which field
          fix      register it with jax.tree_util.register_dataclass or register_pytree_with_keys, or make it an annotax.pytree
        """,
    ),
    Mistake(
        FIELDS,
        "The hint of a field that cannot be read",
        code="""
        @annotax.pytree
        class Model:
            w: Array
            rate: "markers.Static[float]"
        """,
        names=("Model", "field rate"),
        says="""
        train.Model(): cannot read the hint 'markers.Static[float]' of field rate: the name 'markers' cannot be found.
          because  it seems to hold a marker
          fix      import its names where the module can find them
        """,
    ),
    Mistake(
        FIELDS,
        "A list in a static field",
        code="""
        @annotax.pytree
        class Model:
            w: Array
            shape: Static[tuple[int, ...]]

        Model(jnp.ones(3), [1, 2])
        """,
        jax="""
        @functools.partial(jax.tree_util.register_dataclass, data_fields=["w"], meta_fields=["shape"])
        @dataclasses.dataclass
        class Model:
            w: Array
            shape: tuple[int, ...]

        model = Model(jnp.ones(3), [1, 2])
        """,
        silently="takes it",
        names=("train.Model()", "field shape"),
        says="""
        train.Model(): static field shape is not hashable.
          got       list of 2
          expected  a hashable compile-time constant
          because   unhashable type: 'list'
          fix       pass a tuple
        """,
    ),
]

# --- calls -----------------------------------------------------------------------------------------------------------

STATIC = "Static values"

MISTAKES += [
    Mistake(
        STATIC,
        "A list for a static parameter",
        code="""
        @jit
        def zeros(shape: Static[tuple[int, ...]]) -> Array:
            return jnp.zeros(shape)

        zeros([2, 3])
        """,
        jax="""
        jax.jit(jnp.zeros, static_argnames="shape")([2, 3])
        """,
        names=("train.zeros()", "argument shape"),
        says="""
        train.zeros(): static argument shape is not hashable.
          got       list of 2
          expected  a hashable compile-time constant
          because   unhashable type: 'list'
          fix       pass a tuple
        """,
    ),
    Mistake(
        STATIC,
        "A dict for a static parameter",
        code="""
        @jit
        def step(w: Array, config: Static[dict]) -> Array:
            return w * config["rate"]

        step(jnp.ones(3), config={"rate": 0.1})
        """,
        jax="""
        step = jax.jit(lambda w, config: w * config["rate"], static_argnames="config")
        step(jnp.ones(3), config={"rate": 0.1})
        """,
        names=("train.step()", "argument config"),
        says="""
        train.step(): static argument config is not hashable.
          got       dict of 1
          expected  a hashable compile-time constant
          because   unhashable type: 'dict'
          fix       pass a tuple of pairs
        """,
    ),
    Mistake(
        STATIC,
        "An array for a static parameter",
        code="""
        @jit
        def repeat(x: Array, n: Static[int]) -> Array:
            return jnp.tile(x, n)

        repeat(jnp.ones(3), jnp.array(2))
        """,
        jax="""
        jax.jit(jnp.tile, static_argnames="reps")(jnp.ones(3), jnp.array(2))
        """,
        names=("train.repeat()", "argument n"),
        says="""
        train.repeat(): static argument n is an array.
          got       int32[]
          expected  a hashable compile-time constant
          because   n is static: marked Static
          fix       pass a Python number or a tuple, as in int(n), or drop Static to trace it
        """,
    ),
    Mistake(
        STATIC,
        "A traced value for a static parameter",
        code="""
        @jit
        def repeat(x: Array, n: Static[int]) -> Array:
            return jnp.tile(x, n)

        @jit
        def step(x: Array, n: int) -> Array:
            return repeat(x, n)

        step(jnp.ones(3), 2)
        """,
        jax="""
        repeat = jax.jit(jnp.tile, static_argnames="reps")
        jax.jit(lambda x, n: repeat(x, n))(jnp.ones(3), 2)
        """,
        names=("train.repeat()", "argument n"),
        says="""
        train.repeat(): static argument n is a traced value.
          got       traced int32[]
          expected  a hashable compile-time constant
          because   n is static: marked Static
          fix       mark the parameter that it comes from Static too, or drop Static here
        """,
    ),
    Mistake(
        STATIC,
        "An object that can be neither traced nor held constant",
        code="""
        class Trainer:
            def __init__(self, rate):
                self.rate = rate

            @jit
            def step(self, w: Array) -> Array:
                return w * self.rate

        Trainer(0.1).step(jnp.ones(3))
        """,
        jax="""
        class Trainer:
            def __init__(self, rate):
                self.rate = rate

            @jax.jit
            def step(self, w):
                return w * self.rate

        Trainer(0.1).step(jnp.ones(3))
        """,
        names=("train.Trainer.step()", "argument self"),
        says="""
        train.Trainer.step(): argument self can be neither traced nor held constant.
          got       an object of type Trainer
          expected  arrays, numbers, functions, strings, or objects that define equality and a hash by value
          because   a later change to it would go unseen, since the compiled function keeps what it was
          fix       mark it, `self: Static["Trainer"]`, if it never changes, register its class as a pytree, or decorate the bound method: annotax.jit(obj.method)
        """,
    ),
    Mistake(
        STATIC,
        "A result that can be neither traced nor held constant",
        code="""
        class Metrics:
            def __init__(self, mean):
                self.mean = mean

        @jit
        def measure(x: Array):
            return Metrics(jnp.mean(x))

        measure(jnp.ones(3))
        """,
        jax="""
        class Metrics:
            def __init__(self, mean):
                self.mean = mean

        jax.jit(lambda x: Metrics(jnp.mean(x)))(jnp.ones(3))
        """,
        names=("train.measure()", "result"),
        says="""
        train.measure(): result can be neither traced nor held constant.
          got       an object of type Metrics
          expected  arrays, numbers, functions, strings, or objects that define equality and a hash by value
          because   every later call would return the one object that was made while tracing
          fix       return arrays, or register its class as a pytree
        """,
    ),
    Mistake(
        STATIC,
        "A compiled function called with another static value",
        code="""
        @jit
        def repeat(x: Array, n: Static[int]) -> Array:
            return jnp.tile(x, n)

        compiled = repeat.lower(jnp.ones(3), n=2).compile()
        compiled(jnp.ones(3), n=3)
        """,
        jax="""
        repeat = jax.jit(jnp.tile, static_argnames="reps")
        compiled = repeat.lower(jnp.ones(3), reps=2).compile()
        compiled(jnp.ones(3), reps=3)
        """,
        names=("train.repeat()", "n"),
        says="""
        train.repeat(): compiled for another value of n.
          got       3
          expected  2
          fix       lower and compile once for each static value, or call the function itself
        """,
    ),
    Mistake(
        STATIC,
        "A static value that is changed after a call",
        code="""
        class Config:
            rate = 1.0

        @jit
        def scale(x: Array, config: Static[Config]) -> Array:
            return x * config.rate

        config = Config()
        scale(jnp.ones(3), config)
        config.rate = 2.0
        assert scale(jnp.ones(3), config).tolist() == [1.0, 1.0, 1.0]  # compiled for the old rate
        """,
        jax="""
        class Config:
            rate = 1.0

        scale = jax.jit(lambda x, config: x * config.rate, static_argnames="config")
        config = Config()
        scale(jnp.ones(3), config)
        config.rate = 2.0
        assert scale(jnp.ones(3), config).tolist() == [1.0, 1.0, 1.0]
        """,
        silently="uses what was compiled for the old value",
        advice="""
        annotax cannot see it either, since a call that is compiled costs nothing more than one of JAX.
        Hold static values in frozen dataclasses, tuples and numbers, and make a new one to change it.
        """,
        instead="""
        @dataclasses.dataclass(frozen=True)
        class Config:
            rate: float = 1.0

        @jit
        def scale(x: Array, config: Static[Config]) -> Array:
            return x * config.rate

        config = Config()
        scale(jnp.ones(3), config)
        config = dataclasses.replace(config, rate=2.0)
        assert scale(jnp.ones(3), config).tolist() == [2.0, 2.0, 2.0]
        """,
    ),
    Mistake(
        STATIC,
        "An array for a static parameter of a function that is differentiated",
        code="""
        @annotax.checkpoint
        def power(x: Array, n: Static[int]) -> Array:
            return x**n

        annotax.grad(power)(2.0, jnp.array(2))
        """,
        jax="""
        power = jax.checkpoint(lambda x, n: x**n, static_argnums=1)
        jax.grad(power)(2.0, jnp.array(2))
        """,
        silently="takes the array for a constant",
        names=("train.power()", "argument n"),
        says="""
        train.power(): static argument n is an array.
          got       int32[]
          expected  a hashable compile-time constant
          because   n is static: marked Static
          fix       pass a Python number or a tuple, as in int(n), or drop Static to trace it
        """,
    ),
    Mistake(
        STATIC,
        "`static=` at a path that does not exist",
        code="""
        @jit(static="model['training']")
        def apply(model, x):
            return model["w"] * x if model["train"] else x

        apply({"w": jnp.ones(3), "train": True}, jnp.ones(3))
        """,
        names=("train.apply()", "jit(static=...)", "model['training']", "model['train']"),
        says="""
        train.apply(): jit(static=...) names model['training'], which does not exist.
          got      there is no ['training'] in it
          nearest  "model['train']"
          fix      name a leaf or a subtree that exists
        """,
    ),
    Mistake(
        STATIC,
        "`static=` at a path to an array",
        code="""
        @jit(static="model['w']")
        def apply(model, x):
            return model["w"] * x

        apply({"w": jnp.ones(3)}, jnp.ones(3))
        """,
        names=("train.apply()", "model['w']"),
        says="""
        train.apply(): static argument model['w'] is an array.
          got       float32[3]
          expected  a hashable compile-time constant
          fix       pass a Python number or a tuple, as in int(n), or drop Static to trace it
        """,
    ),
    Mistake(
        STATIC,
        "A list for the default of a static parameter",
        code="""
        @jit
        def zeros(x: Array, shape: Static[list[int]] = [2, 3]) -> Array:
            return x * jnp.zeros(shape)

        zeros(1.0)
        """,
        jax="""
        jax.jit(lambda x, shape=[2, 3]: x * jnp.zeros(shape), static_argnames="shape")(1.0, shape=[2, 3])
        """,
        names=("train.zeros()", "argument shape"),
        says="""
        train.zeros(): static argument shape is not hashable.
          got       list of 2
          expected  a hashable compile-time constant
          because   unhashable type: 'list'
          fix       pass a tuple
        """,
    ),
]

HINTS = "Values that do not fit their hints"

MISTAKES += [
    Mistake(
        HINTS,
        "A wrong argument",
        code="""
        @jit
        def double(x: Array) -> Array:
            return 2 * x

        double("three")
        """,
        jax="""
        jax.jit(lambda x: 2 * x)("three")
        """,
        names=("train.double()", "argument x"),
        says="""
        train.double(): argument x does not fit its hint.
          expected  Array
          got       'three'
          fix       pass what the hint says, or correct the hint
          while     tracing double, defined at train.py:1
        """,
    ),
    Mistake(
        HINTS,
        "A wrong leaf in a container",
        code="""
        @jit
        def total(batch: dict[str, list[Array]]) -> Array:
            return sum(map(jnp.sum, batch["x"]))

        total({"x": [jnp.ones(3), None]})
        """,
        jax="""
        jax.jit(lambda batch: sum(map(jnp.sum, batch["x"])))({"x": [jnp.ones(3), None]})
        """,
        names=("train.total()", "batch['x'][1]"),
        says="""
        train.total(): argument batch['x'][1] does not fit its hint.
          expected  Array
          got       an object of type NoneType
          fix       pass a value, or write `Array | None`
          while     tracing total, defined at train.py:1
        """,
    ),
    Mistake(
        HINTS,
        "Shapes that disagree",
        code="""
        from jaxtyping import Float

        @jit
        def predict(w: Float[Array, "i o"], x: Float[Array, "b i"]) -> Float[Array, "b o"]:
            return x @ w

        predict(jnp.ones((3, 2)), jnp.ones((5, 4)))
        """,
        jax="""
        jax.jit(lambda w, x: x @ w)(jnp.ones((3, 2)), jnp.ones((5, 4)))
        """,
        names=("train.predict()", "argument x"),
        says="""
        train.predict(): argument x does not fit its hint.
          expected  Float[Array, 'b i']
          got       traced float32[5,4]
          fix       pass what the hint says, or correct the hint
          while     tracing predict, defined at train.py:3
        """,
    ),
    Mistake(
        HINTS,
        "A wrong dtype",
        code="""
        from jaxtyping import Float

        @jit
        def scale(x: Float[Array, "n"]) -> Float[Array, "n"]:
            return 2 * x

        scale(jnp.arange(3))
        """,
        jax="""
        scale = jax.jit(lambda x: 2 * x)
        scale(jnp.arange(3))
        """,
        silently="computes with integers",
        names=("train.scale()", "argument x"),
        says="""
        train.scale(): argument x does not fit its hint.
          expected  Float[Array, 'n']
          got       traced int32[3]
          fix       pass what the hint says, or correct the hint
          while     tracing scale, defined at train.py:3
        """,
    ),
    Mistake(
        HINTS,
        "A wrong `Literal`",
        code="""
        @jit
        def reduce(x: Array, mode: Literal["sum", "mean"] = "sum") -> Array:
            return jnp.sum(x) if mode == "sum" else jnp.mean(x)

        reduce(jnp.ones(3), mode="max")
        """,
        jax="""
        reduce = jax.jit(lambda x, mode: jnp.sum(x) if mode == "sum" else jnp.mean(x), static_argnames="mode")
        reduce(jnp.ones(3), mode="max")
        """,
        silently="computes whatever the last branch does",
        names=("train.reduce()", "argument mode"),
        says="""
        train.reduce(): argument mode does not fit its hint.
          expected  Literal['sum', 'mean']
          got       'max'
          fix       pass what the hint says, or correct the hint
          while     tracing reduce, defined at train.py:1
        """,
    ),
    Mistake(
        HINTS,
        "A wrong result",
        code="""
        @jit
        def split(x: Array) -> tuple[Array, Array]:
            return x[:1], None

        split(jnp.ones(3))
        """,
        jax="""
        jax.jit(lambda x: (x[:1], None))(jnp.ones(3))
        """,
        silently="returns it",
        names=("train.split()", "result[1]"),
        says="""
        train.split(): result[1] does not fit its hint.
          expected  Array
          got       an object of type NoneType
          fix       return a value, or write `Array | None`
          while     tracing split, defined at train.py:1
        """,
    ),
    Mistake(
        HINTS,
        "A wrong argument of a function that is differentiated and compiled",
        code="""
        @transform(jit, value_and_grad)
        def loss(params: dict[str, Array], x: NoDiff[Array]) -> Array:
            return jnp.sum(params["w"] * x)

        loss({"w": None}, jnp.ones(3))
        """,
        jax="""
        loss = jax.jit(jax.value_and_grad(lambda params, x: jnp.sum(params["w"] * x)))
        loss({"w": None}, jnp.ones(3))
        """,
        names=("train.loss()", "params['w']"),
        says="""
        train.loss(): argument params['w'] does not fit its hint.
          expected  Array
          got       an object of type NoneType
          fix       pass a value, or write `Array | None`
          while     tracing loss, defined at train.py:1
        """,
    ),
    Mistake(
        HINTS,
        "An argument that is missing",
        code="""
        @jit
        def step(w: Array, x: Array, *, rate: float) -> Array:
            return w - rate * x

        step(jnp.ones(3), jnp.ones(3))
        """,
        jax="""
        jax.jit(lambda w, x, *, rate: w - rate * x)(jnp.ones(3), jnp.ones(3))
        """,
        error="TypeError",
        names=("step()", "'rate'"),
        by_annotax=False,
        says="""
        step() missing 1 required keyword-only argument: 'rate'
        """,
    ),
    Mistake(
        HINTS,
        "A loss without the metrics that its hint tells of",
        code="""
        @grad
        def loss(w: Array) -> tuple[Array, Aux[Array]]:
            return jnp.sum(w)

        loss(jnp.ones(3))
        """,
        jax="""
        jax.grad(jnp.sum, has_aux=True)(jnp.ones(3))
        """,
        names=("train.loss()", "result"),
        says="""
        train.loss(): the result does not fit its hint.
          expected  tuple[Array, Array]
          got       traced float32[]
          fix       return what the hint says, or correct the hint
          while     tracing loss, defined at train.py:1
        """,
    ),
]

BATCHES = "Batches"

MISTAKES += [
    Mistake(
        BATCHES,
        "Batch sizes that differ",
        code="""
        @vmap
        def dot(x: Array, y: Array) -> Array:
            return x @ y

        dot(jnp.ones((4, 3)), jnp.ones((5, 3)))
        """,
        jax="""
        jax.vmap(lambda x, y: x @ y)(jnp.ones((4, 3)), jnp.ones((5, 3)))
        """,
        names=("train.dot()", "x ", "y "),
        says="""
        train.dot(): vmap was given arguments whose mapped axes differ in size.
          x    4, axis 0 of float32[4,3]
          y    5, axis 0 of float32[5,3]
          fix  mark what the batch shares Axis(None), or pass arguments of one size
        """,
    ),
    Mistake(
        BATCHES,
        "An axis that an array does not have",
        code="""
        @vmap
        def total(batch: Annotated[dict[str, Array], Axis(1)]) -> Array:
            return jnp.sum(batch["x"])

        total({"x": jnp.ones(4)})
        """,
        jax="""
        jax.vmap(lambda batch: jnp.sum(batch["x"]), in_axes=1)({"x": jnp.ones(4)})
        """,
        names=("train.total()", "batch['x']"),
        says="""
        train.total(): vmap cannot map axis 1 of argument batch['x'].
          got       float32[4], which has 1 axes
          expected  at least 2 axes
          because   marked Axis(1)
          fix       name another axis, or mark it Axis(None) if the batch shares it
        """,
    ),
    Mistake(
        BATCHES,
        "Nothing to map",
        code="""
        @vmap
        def double(x: Array) -> Array:
            return 2 * x

        double(jnp.array(3.0))
        """,
        jax="""
        jax.vmap(lambda x: 2 * x)(jnp.array(3.0))
        """,
        names=("train.double()", "x "),
        says="""
        train.double(): vmap has nothing to map.
          x        float32[]
          because  the batch shares all arguments, so nothing says how large it is
          fix      pass an array with an axis for the batch, or say axis_size=
        """,
    ),
    Mistake(
        BATCHES,
        "Axes that do not fit the structure of the argument",
        code="""
        @vmap(in_axes={"batch": {"x": 0, "y": None}})
        def total(batch):
            return jnp.sum(batch["x"])

        total({"x": jnp.ones((4, 3))})
        """,
        jax="""
        jax.vmap(lambda batch: jnp.sum(batch["x"]), in_axes=({"x": 0, "y": None},))({"x": jnp.ones((4, 3))})
        """,
        names=("train.total()", "argument batch"),
        says="""
        train.total(): the axes of argument batch do not fit its structure.
          got       axes {'x': 0, 'y': None}
          expected  a prefix of the argument, dict of 1
          fix       give one axis for the whole argument, or a tree of them that begins like it
        """,
    ),
    Mistake(
        BATCHES,
        "The name of an axis that no map has",
        code="""
        @vmap(axis_name="batch")
        def dot(x: Array, y: Annotated[Array, Axis(1, "time")]) -> Array:
            return x @ y

        dot(jnp.ones((4, 3)), jnp.ones((4, 3)))
        """,
        jax="""
        jax.vmap(lambda x: jax.lax.psum(x, "time"), axis_name="batch")(jnp.ones((4, 3)))
        """,
        names=("train.dot()", "parameter y"),
        says="""
        train.dot(): parameter y is Axis(1, 'time'), but no map has that axis name.
          got  maps with axis_name 'batch'
          fix  write vmap(axis_name='time'), or drop the name from the marker
        """,
    ),
    Mistake(
        BATCHES,
        "Batch sizes that differ, one example a device",
        code="""
        @annotax.pmap
        def dot(x: Array, y: Array) -> Array:
            return x @ y

        dot(jnp.ones((1, 3)), jnp.ones((2, 3)))
        """,
        jax="""
        jax.pmap(lambda x, y: x @ y)(jnp.ones((1, 3)), jnp.ones((2, 3)))
        """,
        names=("train.dot()", "x ", "y "),
        says="""
        train.dot(): pmap was given arguments whose mapped axes differ in size.
          x    1, axis 0 of float32[1,3]
          y    2, axis 0 of float32[2,3]
          fix  mark what the batch shares Axis(None), or pass arguments of one size
        """,
    ),
    Mistake(
        BATCHES,
        "An `axis_size=` that is not that of the arguments",
        code="""
        @vmap(axis_size=3)
        def double(x: Array) -> Array:
            return 2 * x

        double(jnp.ones(4))
        """,
        jax="""
        jax.vmap(lambda x: 2 * x, axis_size=3)(jnp.ones(4))
        """,
        names=("train.double()", "x ", "axis_size"),
        says="""
        train.double(): vmap was given arguments whose mapped axes differ in size.
          x          4, axis 0 of float32[4]
          axis_size  3
          fix        mark what the batch shares Axis(None), or pass arguments of one size
        """,
    ),
    Mistake(
        BATCHES,
        "More examples than devices",
        code="""
        @annotax.pmap
        def double(x: Array) -> Array:
            return 2 * x

        double(jnp.ones((1000, 3)))
        """,
        jax="""
        jax.pmap(lambda x: 2 * x)(jnp.ones((1000, 3)))
        """,
        names=("train.double()", "pmap"),
        says="""
        train.double(): pmap maps 1000 examples over 1 device.
          expected  one example for each device at most
          fix       map the rest by annotax.vmap inside, or leave all to annotax.jit with layouts
        """,
    ),
]

LAYOUTS = "Layouts"

MISTAKES += [
    Mistake(
        LAYOUTS,
        "A layout with more entries than dimensions",
        code="""
        mesh = jax.make_mesh((1, 1), ("data", "model"), axis_types=(AxisType.Auto,) * 2)

        @jit(mesh=mesh)
        def double(x: Annotated[Array, P("data", "model")]) -> Array:
            return 2 * x

        double(jnp.ones(4))
        """,
        jax="""
        mesh = jax.make_mesh((1, 1), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
        jax.jit(lambda x: 2 * x, in_shardings=NamedSharding(mesh, P("data", "model")))(jnp.ones(4))
        """,
        names=("train.double()", "of x "),
        says="""
        train.double(): the layout of x has more entries than the array has dimensions.
          got       P('data', 'model') for traced float32[4]
          expected  at most 1 entries
          fix       leave entries out, or mark the arrays one by one
        """,
    ),
    Mistake(
        LAYOUTS,
        "A layout that names an axis that the mesh lacks",
        code="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

        @jit(mesh=mesh)
        def double(x: Annotated[Array, P("batch")]) -> Array:
            return 2 * x

        double(jnp.ones(4))
        """,
        jax="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        jax.jit(lambda x: 2 * x, in_shardings=NamedSharding(mesh, P("batch")))(jnp.ones(4))
        """,
        names=("train.double()", "of x "),
        says="""
        train.double(): the layout of x names the axis 'batch', which the mesh lacks.
          got       P('batch',)
          expected  axes of the mesh: 'data'
          fix       name an axis of the mesh, or make the mesh with that axis
        """,
    ),
    Mistake(
        LAYOUTS,
        "A layout that names an axis of the mesh twice",
        code="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

        @jit(mesh=mesh)
        def double(x: Annotated[Array, P("data", "data")]) -> Array:
            return 2 * x

        double(jnp.ones((4, 4)))
        """,
        jax="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        jax.jit(lambda x: 2 * x, in_shardings=NamedSharding(mesh, P("data", "data")))(jnp.ones((4, 4)))
        """,
        names=("train.double()", "of x "),
        says="""
        train.double(): the layout of x names a mesh axis twice.
          got       P('data', 'data')
          expected  each axis of the mesh at most once
          fix       split each dimension over other axes
        """,
    ),
    Mistake(
        LAYOUTS,
        "An array that cannot be split into equal parts",
        code="""
        mesh = jax.sharding.AbstractMesh((4,), ("data",), axis_types=(AxisType.Auto,))

        @shard_map(mesh=mesh)
        def double(x: Annotated[Array, P("data")]) -> Annotated[Array, P("data")]:
            return 2 * x

        annotax.eval_shape(double, jnp.ones(6))
        """,
        jax="""
        mesh = jax.sharding.AbstractMesh((4,), ("data",), axis_types=(AxisType.Auto,))
        double = jax.shard_map(lambda x: 2 * x, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
        jax.eval_shape(double, jnp.ones(6))
        """,
        names=("train.double()", "of x "),
        says="""
        train.double(): dimension 0 of x cannot be split into 4 equal parts.
          got       P('data',) for traced float32[6] on a mesh of {'data': 4}
          expected  a multiple of 4
          fix       pad the array, or split another dimension
        """,
    ),
    Mistake(
        LAYOUTS,
        "A result that cannot be laid out so",
        code="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

        @jit(mesh=mesh)
        def total(x: Array) -> tuple[Array, Annotated[Array, P("data")]]:
            return x, jnp.sum(x)

        total(jnp.ones(4))
        """,
        jax="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, P("data")))(jnp.ones(4))
        """,
        names=("train.total()", "result[1]"),
        says="""
        train.total(): the layout of result[1] has more entries than the array has dimensions.
          got       P('data',) for traced float32[]
          expected  at most 0 entries
          fix       leave entries out, or mark the arrays one by one
        """,
    ),
    Mistake(
        LAYOUTS,
        "A mesh entered while another transform traces",
        code="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))

        @jit(mesh=mesh)
        def double(x: Annotated[Array, P("data")]) -> Array:
            return 2 * x

        jax.jit(double)(jnp.ones(4))
        """,
        jax="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))

        def double(x):
            with jax.set_mesh(mesh):
                return 2 * x

        jax.jit(double)(jnp.ones(4))
        """,
        names=("train.double()", "jit(mesh=...)"),
        says="""
        train.double(): the mesh of jit(mesh=...) cannot be entered while another transform traces.
          because  its axes are of type Explicit
          fix      write `with jax.set_mesh(mesh):` around the whole computation, or make its axes Auto
        """,
    ),
    Mistake(
        LAYOUTS,
        "A field whose layout names an axis that the mesh lacks",
        code="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

        @annotax.pytree
        class Model:
            w: Annotated[Array, P("model")]

        annotax.shard(Model(jnp.ones(3)), mesh)
        """,
        jax="""
        mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        jax.device_put(jnp.ones(3), NamedSharding(mesh, P("model")))
        """,
        names=("annotax.shard()", ".w "),
        says="""
        annotax.shard(): the layout of tree.w names the axis 'model', which the mesh lacks.
          got       P('model',)
          expected  axes of the mesh: 'data'
          fix       name an axis of the mesh, or make the mesh with that axis
        """,
    ),
]

DERIVATIVES = "Derivatives"

MISTAKES += [
    Mistake(
        DERIVATIVES,
        "A loss that is no scalar",
        code="""
        @grad
        def loss(w: Array, x: NoDiff[Array]) -> Array:
            return (w * x) ** 2

        loss(jnp.ones(3), jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w, x: (w * x) ** 2)(jnp.ones(3), jnp.ones(3))
        """,
        error="TypeError",
        names=("train.loss()",),
        says="""
        train.loss(): grad needs a function that returns one scalar.
          got  an output of shape (3,)
          fix  return a scalar, as by jnp.mean; mark what comes beside it Aux, `-> tuple[Array, Aux[Metrics]]`; or take annotax.jacrev
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A loss that returns metrics that are not marked",
        code="""
        @grad
        def loss(w: Array, x: NoDiff[Array]):
            error = w * x
            return jnp.mean(error**2), error

        loss(jnp.ones(3), jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w, x: (jnp.mean(w * x), w * x))(jnp.ones(3), jnp.ones(3))
        """,
        error="TypeError",
        names=("train.loss()",),
        says="""
        train.loss(): grad needs a function that returns one scalar.
          got  a tuple
          fix  return a scalar, as by jnp.mean; mark what comes beside it Aux, `-> tuple[Array, Aux[Metrics]]`; or take annotax.jacrev
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A loss that is an integer",
        code="""
        @grad
        def loss(w: Array) -> Array:
            return jnp.sum(w > 0)

        loss(jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w: jnp.sum(w > 0))(jnp.ones(3))
        """,
        error="TypeError",
        names=("train.loss()",),
        says="""
        train.loss(): grad needs a function that returns a real floating-point scalar.
          got  int32
          fix  return a float, as by .astype(float); of whole numbers there is no gradient
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A gradient that is not what `grad[...]` states",
        code="""
        @grad[Array]
        def loss(w: Array, b: Array) -> Array:
            return jnp.sum(w * b)

        loss(jnp.ones(3), jnp.ones(3))
        """,
        names=("train.loss()", "gradient"),
        says="""
        train.loss(): the gradient is not what grad[...] states.
          expected  Array
          got       tuple of 2
          fix       state what it is, in place of grad[Array]
        """,
    ),
    Mistake(
        DERIVATIVES,
        "Two types in `grad[...]`",
        code="""
        gradients = grad[Array, Array]
        """,
        error="TypeError",
        names=("grad[...]", "Array"),
        says="""
        grad[...] takes one type, the gradient's.
          got  (Array, Array)
          fix  write grad[tuple[Array, Array]]
        """,
    ),
    Mistake(
        DERIVATIVES,
        "The gradient of integers",
        code="""
        @grad
        def loss(w: Array, x: NoDiff[Array]) -> Array:
            return jnp.sum(w * x)

        loss(jnp.arange(3), jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w, x: jnp.sum(w * x))(jnp.arange(3), jnp.ones(3))
        """,
        names=("train.loss()", "argument w"),
        says="""
        train.loss(): grad finds nothing to differentiate in argument w.
          got       int32[3]
          expected  a floating-point array or number, or a pytree that holds one
          because   no argument holds one
          fix       pass floats, or mark the parameter NoDiff
        """,
    ),
    Mistake(
        DERIVATIVES,
        "`wrt=` at a path that does not exist",
        code="""
        @grad(wrt="model['layers'][2]")
        def loss(model, x: NoDiff[Array]) -> Array:
            return jnp.sum(model["layers"][1] @ x)

        loss({"layers": [jnp.ones((2, 3)), jnp.ones((2, 3))]}, jnp.ones(3))
        """,
        names=("train.loss()", "grad(wrt=...)", "model['layers'][2]"),
        says="""
        train.loss(): grad(wrt=...) names model['layers'][2], which does not exist.
          got      there is no [2] in ['layers']
          nearest  "model['layers'][1]", "model['layers'][0]"
          fix      name a leaf or a subtree that exists
        """,
    ),
    Mistake(
        DERIVATIVES,
        "`wrt=` at a path without a gradient",
        code="""
        @grad(wrt="model['steps']")
        def loss(model) -> Array:
            return jnp.sum(model["w"])

        loss({"w": jnp.ones(3), "steps": jnp.array(7)})
        """,
        names=("train.loss()", "model['steps']"),
        says="""
        train.loss(): grad finds nothing to differentiate in argument model['steps'].
          got       int32[]
          expected  a floating-point array or number, or a pytree that holds one
          because   asked for by wrt=
          fix       pass floats, or mark the parameter NoDiff
        """,
    ),
    Mistake(
        DERIVATIVES,
        "Tangents that are not those of the parameters",
        code="""
        def scale(x: Array, by: Array, n: Static[int] = 1) -> Array:
            return n * by * x

        annotax.jvp(scale, {"x": jnp.ones(3), "by": 2.0}, {"x": jnp.ones(3), "n": 1.0})
        """,
        jax="""
        jax.jvp(lambda x, by: by * x, (jnp.ones(3), 2.0), (jnp.ones(3),))
        """,
        names=("train.scale()", "'n'", "x, by"),
        says="""
        train.scale(): the tangents of jvp are not those of its differentiable parameters.
          got       a value for 'n'
          expected  differentiable parameters x, by
          fix       give a tuple in the order of the signature, or a dict by name
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A tangent that is missing",
        code="""
        def scale(x: Array, by: Array) -> Array:
            return by * x

        annotax.jvp(scale, (jnp.ones(3), 2.0), {"x": jnp.ones(3)})
        """,
        jax="""
        jax.jvp(lambda x, by: by * x, (jnp.ones(3), 2.0), (jnp.ones(3), None))
        """,
        names=("train.scale()", "parameter by"),
        says="""
        train.scale(): the tangents of jvp are not those of its differentiable parameters.
          got       no tangent for parameter by
          expected  differentiable parameters x, by
          fix       give a tuple in the order of the signature, or a dict by name
        """,
    ),
    Mistake(
        DERIVATIVES,
        "More primals than parameters",
        code="""
        def double(x: Array) -> Array:
            return 2 * x

        annotax.jvp(double, (jnp.ones(3), 2.0), (jnp.ones(3),))
        """,
        jax="""
        jax.jvp(lambda x: 2 * x, (jnp.ones(3), 2.0), (jnp.ones(3),))
        """,
        names=("train.double()", "parameters x"),
        says="""
        train.double(): the primals of jvp are not those of its parameters.
          got       2 values
          expected  parameters x
          fix       give a tuple in the order of the signature, or a dict by name
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A `custom_vjp` without rules",
        code="""
        @custom_vjp
        def sine(x: Array) -> Array:
            return jnp.sin(x)

        annotax.grad(sine)(1.0)
        """,
        jax="""
        jax.grad(jax.custom_vjp(jnp.sin))(1.0)
        """,
        names=("train.sine()", "custom_vjp"),
        says="""
        train.sine(): custom_vjp has no rule yet.
          fix  set one below the definition: sine.defvjp(...)
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A rule that returns too few cotangents",
        code="""
        @custom_vjp
        def scale(x: Array, by: Array, n: Static[int]) -> Array:
            return n * by * x

        def forward(x, by, n):
            return n * by * x, by

        def backward(by, cotangent, *, n):
            return (n * by * cotangent,)

        scale.defvjp(forward, backward)
        annotax.grad(scale)(2.0, 3.0, 4)
        """,
        jax="""
        scale = jax.custom_vjp(lambda x, by, n: n * by * x, nondiff_argnums=2)
        scale.defvjp(lambda x, by, n: (n * by * x, by), lambda n, by, cotangent: (n * by * cotangent,))
        jax.grad(scale)(2.0, 3.0, 4)
        """,
        names=("train.scale()", "custom_vjp", "x, by"),
        says="""
        train.scale(): the rule of custom_vjp returned the wrong number of cotangents.
          got       1 of them
          expected  a tuple of 2, for the differentiable parameters x, by
          fix       leave out static and NoDiff parameters, and keep the order of the signature
        """,
    ),
    Mistake(
        DERIVATIVES,
        "`partition` at a path that does not exist",
        code="""
        annotax.partition({"encoder": jnp.ones(3), "decoder": jnp.ones(3)}, wrt="['encode']")
        """,
        names=("annotax.partition()", "['encode']"),
        says="""
        annotax.partition(): partition(wrt=...) names ['encode'], which does not exist.
          got      there is no ['encode'] in it
          nearest  "['encoder']", "['decoder']"
          fix      name a leaf or a subtree that exists
        """,
    ),
    Mistake(
        DERIVATIVES,
        "`combine` of trees that do not belong together",
        code="""
        trained, rest = annotax.partition({"w": jnp.ones(3), "steps": 7})
        annotax.combine(trained, {"steps": 7})
        """,
        names=("annotax.combine()",),
        says="""
        annotax.combine(): the trees are not of one structure.
          got  Dict key mismatch; expected keys: ['steps', 'w']; present keys: ['steps'].
          fix  pass what annotax.partition made of one tree
        """,
    ),
    Mistake(
        DERIVATIVES,
        "The update of a model that is not trained as a whole",
        code="""
        @grad
        def loss(model) -> Array:
            return jnp.sum(model["w"]) * model["steps"]

        model = {"w": jnp.ones(3), "steps": jnp.array(7)}
        optimizer = optax.sgd(0.1)
        updates, state = optimizer.update(loss(model), optimizer.init(model))
        optax.apply_updates(model, updates)
        """,
        jax="""
        def loss(model):
            return jnp.sum(model["w"]) * model["steps"]

        model = {"w": jnp.ones(3), "steps": jnp.array(7)}
        jax.grad(loss)(model)
        """,
        error="TypeError",
        advice="""
        A gradient is `None` where there is none, and optax adds it to the parameter all the same: a `TypeError` of `+`.
        Hand it what is trained alone.
        """,
        instead="""
        @grad
        def loss(model) -> Array:
            return jnp.sum(model["w"]) * model["steps"]

        model = {"w": jnp.ones(3), "steps": jnp.array(7)}
        optimizer = optax.sgd(0.1)
        trained, rest = annotax.partition(model)
        updates, state = optimizer.update(loss(model), optimizer.init(trained))
        model = annotax.combine(optax.apply_updates(trained, updates), rest)
        assert model["steps"] == 7
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A loss that returns nothing",
        code="""
        @grad
        def loss(w: Array):
            jnp.sum(w)

        loss(jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w: None)(jnp.ones(3))
        """,
        error="TypeError",
        names=("train.loss()",),
        says="""
        train.loss(): grad needs a function that returns one scalar.
          got  None
          fix  return a scalar, as by jnp.mean; mark what comes beside it Aux, `-> tuple[Array, Aux[Metrics]]`; or take annotax.jacrev
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A complex loss",
        code="""
        @grad
        def loss(w: Array) -> Array:
            return jnp.sum(w) * 1j

        loss(jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w: jnp.sum(w) * 1j)(jnp.ones(3))
        """,
        error="TypeError",
        names=("train.loss()",),
        says="""
        train.loss(): grad needs a function that returns a real floating-point scalar.
          got  complex64
          fix  return a real number, as by jnp.abs, or pass holomorphic=True
        """,
    ),
    Mistake(
        DERIVATIVES,
        "What is no path",
        code="""
        annotax.mask({"w": jnp.ones(3)}, wrt="w(0)")
        """,
        names=("annotax.mask()", "'w(0)'"),
        says="""
        annotax.mask(): mask(wrt=...) takes paths.
          got  'w(0)' is no path such as 'layers[0].bias'
          fix  write one as 'layers[0].bias'
        """,
    ),
    Mistake(
        DERIVATIVES,
        "`has_aux=` for a loss that returns no pair",
        code="""
        @grad(has_aux=True)
        def loss(w):
            return jnp.sum(w), jnp.mean(w), jnp.max(w)

        loss(jnp.ones(3))
        """,
        jax="""
        jax.grad(lambda w: (jnp.sum(w), jnp.mean(w), jnp.max(w)), has_aux=True)(jnp.ones(3))
        """,
        names=("train.loss()", "grad(has_aux=True)"),
        says="""
        train.loss(): grad(has_aux=True) needs a function that returns a pair.
          got       tuple of 3
          expected  (value, aux)
          fix       return a tuple, or drop has_aux
        """,
    ),
    Mistake(
        DERIVATIVES,
        "A tangent of another shape",
        code="""
        def scale(x: Array, by: Array) -> Array:
            return by * x

        annotax.jvp(scale, (jnp.ones(3), 2.0), (jnp.ones(4), 1.0))
        """,
        jax="""
        jax.jvp(lambda x, by: by * x, (jnp.ones(3), 2.0), (jnp.ones(4), 1.0))
        """,
        names=("train.scale()", "x"),
        says="""
        train.scale(): the tangent of x does not fit.
          got       float32[4]
          expected  float32[3]
          fix       give a tangent of the shape of its argument
        """,
    ),
]

TRACING = "Traced values where Python needs a value"

MISTAKES += [
    Mistake(
        TRACING,
        "A condition on a traced value",
        code="""
        @jit
        def norm(x: Array, squared: bool = False) -> Array:
            total = jnp.sum(x**2)
            return total if squared else jnp.sqrt(total)

        norm(jnp.ones(3), squared=True)
        """,
        jax="""
        jax.jit(lambda x, squared: x if squared else 2 * x)(jnp.ones(3), True)
        """,
        error="TracerBoolConversionError",
        names=("train.norm()", "argument squared"),
        says="""
        train.norm(): the traced argument squared is used where Python needs a value.
          fix  mark `squared: Static[bool]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A loop over a traced number",
        code="""
        @jit
        def power(x: Array, n: int) -> Array:
            result = 1.0
            for _ in range(n):
                result = result * x
            return result

        power(jnp.ones(3), 2)
        """,
        jax="""
        jax.jit(lambda x, n: sum(x for _ in range(n)))(jnp.ones(3), 2)
        """,
        error="TracerIntegerConversionError",
        names=("train.power()", "argument n"),
        says="""
        train.power(): the traced argument n is used where Python needs a value.
          fix  mark `n: Static[int]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A traced shape",
        code="""
        @jit
        def zeros(n: int) -> Array:
            return jnp.zeros(n)

        zeros(3)
        """,
        jax="""
        jax.jit(lambda n: jnp.zeros(n))(3)
        """,
        error="TypeError",
        names=("train.zeros()", "argument n"),
        says="""
        train.zeros(): the traced argument n is used where Python needs a value.
          fix  mark `n: Static[int]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A traced shape inside a gradient",
        code="""
        @transform(jit, grad)
        def loss(w: Array, n: int) -> Array:
            return jnp.sum(w.reshape(n, -1)[0])

        loss(jnp.ones(4), 2)
        """,
        jax="""
        jax.jit(jax.grad(lambda w, n: jnp.sum(w.reshape(n, -1)[0])))(jnp.ones(4), 2)
        """,
        error="TypeError",
        names=("train.loss()", "argument n"),
        says="""
        train.loss(): the traced argument n is used where Python needs a value.
          fix  mark `n: Static[int]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A condition on a mapped value",
        code="""
        @vmap
        def clip(x: Array, low: bool) -> Array:
            return jnp.maximum(x, 0) if low else x

        clip(jnp.ones(4), jnp.ones(4, bool))
        """,
        jax="""
        jax.vmap(lambda x, low: jnp.maximum(x, 0) if low else x)(jnp.ones(4), jnp.ones(4, bool))
        """,
        error="TracerBoolConversionError",
        names=("train.clip()", "argument low"),
        says="""
        train.clip(): the traced argument low is used where Python needs a value.
          fix  choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A traced index into a list",
        code="""
        @jit
        def pick(x: Array, i: int) -> Array:
            return [x, 2 * x][i]

        pick(jnp.ones(3), 1)
        """,
        jax="""
        jax.jit(lambda x, i: [x, 2 * x][i])(jnp.ones(3), 1)
        """,
        error="TracerIntegerConversionError",
        names=("train.pick()", "argument i"),
        says="""
        train.pick(): the traced argument i is used where Python needs a value.
          fix  mark `i: Static[int]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A traced value made a Python number",
        code="""
        @jit
        def scale(x: Array, by: float) -> Array:
            return x * float(by)

        scale(jnp.ones(3), 2.0)
        """,
        jax="""
        jax.jit(lambda x, by: x * float(by))(jnp.ones(3), 2.0)
        """,
        error="ConcretizationTypeError",
        names=("train.scale()", "argument by"),
        says="""
        train.scale(): the traced argument by is used where Python needs a value.
          fix  choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "NumPy on a traced array",
        code="""
        @jit
        def wave(x: Array) -> Array:
            return np.sin(x)

        wave(jnp.ones(3))
        """,
        jax="""
        jax.jit(lambda x: np.sin(x))(jnp.ones(3))
        """,
        error="TracerArrayConversionError",
        names=("train.wave()", "argument x"),
        says="""
        train.wave(): the traced argument x is used where Python needs a value.
          fix  choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A tuple of traced sizes",
        code="""
        @jit
        def fold(x: Array, shape: tuple[int, int]) -> Array:
            return x.reshape(shape)

        fold(jnp.ones(4), (2, 2))
        """,
        jax="""
        jax.jit(lambda x, shape: x.reshape(shape))(jnp.ones(4), (2, 2))
        """,
        error="TypeError",
        names=("train.fold()", "argument shape"),
        says="""
        train.fold(): the traced argument shape is used where Python needs a value.
          fix  mark `shape: Static[tuple[int, int]]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A traced axis",
        code="""
        @jit
        def total(x: Array, axis: int) -> Array:
            return jnp.sum(x, axis=axis)

        total(jnp.ones((2, 2)), 0)
        """,
        jax="""
        jax.jit(lambda x, axis: jnp.sum(x, axis=axis))(jnp.ones((2, 2)), 0)
        """,
        error="ConcretizationTypeError|TypeError|TracerIntegerConversionError",
        names=("train.total()", "argument axis"),
        says="""
        train.total(): the traced argument axis is used where Python needs a value.
          fix  mark `axis: Static[int]`, which compiles once for each value; or choose by jnp.where or jax.lax.cond, loop by jax.lax.fori_loop
        """,
    ),
    Mistake(
        TRACING,
        "A mask that chooses how many",
        code="""
        @jit
        def positive(x: Array) -> Array:
            return x[x > 0]

        positive(jnp.ones(4))
        """,
        jax="""
        jax.jit(lambda x: x[x > 0])(jnp.ones(4))
        """,
        error="NonConcreteBooleanIndexError",
        names=("train.positive()", "mask"),
        says="""
        train.positive(): the size of a traced array would depend on the values of a mask.
          fix  keep the size, by jnp.where(mask, x, 0), or give it, by x[jnp.where(mask, size=n)]
        """,
    ),
]

DONATION = "Donation"

MISTAKES += [
    Mistake(
        DONATION,
        "Use after donation",
        code="""
        @jit
        def step(state: Donate[dict[str, Array]], x: Array) -> dict[str, Array]:
            return {"w": state["w"] + x, "b": state["b"]}

        state = {"w": jnp.ones(3), "b": jnp.ones(())}
        step(state, jnp.ones(3))
        step(state, jnp.ones(3))
        """,
        jax="""
        step = jax.jit(lambda state, x: {"w": state["w"] + x}, donate_argnums=0)
        state = {"w": jnp.ones(3)}
        step(state, jnp.ones(3))
        step(state, jnp.ones(3))
        """,
        error="RuntimeError|ValueError",
        names=("train.step()", "state['w']"),
        says="""
        train.step(): deleted before this call, by a donation it seems: state['b'], state['w'].
          fix  use what that call returned, or drop Donate there
        """,
    ),
    Mistake(
        DONATION,
        "Donated, but not usable",
        code="""
        @jit
        def total(x: Donate[Array]) -> Array:
            return jnp.sum(x)

        total(jnp.ones(7))
        """,
        jax="""
        jax.jit(lambda x: jnp.sum(x), donate_argnums=0)(jnp.ones(7))
        """,
        error="UserWarning",
        names=("train.total()", "x (float32[7])"),
        says="""
        Some donated buffers were not usable: train.total(): no result can take the buffer of x (float32[7]).
          because  a buffer is reused for a result of the same shape and dtype, or of the same size; one for each
          fix      return an array of that shape, or drop Donate: the argument is deleted for nothing
        """,
    ),
    Mistake(
        DONATION,
        "One array donated twice",
        code="""
        @jit
        def add(x: Donate[Array], y: Donate[Array]) -> tuple[Array, Array]:
            return x + y, x - y

        x = jnp.ones(3)
        add(x, x)
        """,
        jax="""
        x = jnp.ones(3)
        jax.jit(lambda x, y: (x + y, x - y), donate_argnums=(0, 1))(x, x)
        """,
        error="JaxRuntimeError|XlaRuntimeError|ValueError",
        names=("train.add()", "x", "y"),
        says="""
        train.add(): one array is donated twice, as x and y.
          fix  pass a copy, jnp.copy(x), or drop Donate from all but one
        """,
    ),
]

TRACES = "Traces"

MISTAKES += [
    Mistake(
        TRACES,
        "More traces than are allowed",
        code="""
        @jit(max_traces=1)
        def double(x: Array) -> Array:
            return 2 * x

        double(jnp.ones(3))
        double(jnp.ones(4))
        """,
        jax="""
        double = jax.jit(lambda x: 2 * x)
        double(jnp.ones(3))
        double(jnp.ones(4))
        """,
        silently="compiles anew",
        names=("train.double()", "x: float32[3] -> float32[4]"),
        says="""
        train.double(): traced once more, though max_traces=1.
          because   x: float32[3] -> float32[4]
          expected  1 trace; every other call has the shapes, dtypes and static values of one of them
          fix       pad to one shape, trace what changes instead of marking it Static, or raise max_traces
        """,
    ),
    Mistake(
        TRACES,
        "A static value that changes at each call",
        code="""
        @jit(max_traces=2)
        def scale(x: Array, rate: Static[float]) -> Array:
            return rate * x

        for step in range(3):
            scale(jnp.ones(3), 0.1 * step)
        """,
        jax="""
        scale = jax.jit(lambda x, rate: rate * x, static_argnames="rate")
        for step in range(3):
            scale(jnp.ones(3), 0.1 * step)
        """,
        silently="compiles anew at each call",
        names=("train.scale()", "rate: "),
        says="""
        train.scale(): traced once more, though max_traces=2.
          because   rate: 0.1 -> 0.2
          expected  2 traces; every other call has the shapes, dtypes and static values of one of them
          fix       pad to one shape, trace what changes instead of marking it Static, or raise max_traces
        """,
    ),
]
