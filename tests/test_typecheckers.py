"""Type checkers of the user's own beside ours: decorators and import hooks of beartype and jaxtyping, typeguard."""

# ruff: noqa: F722, F821 - the strings in hints of jaxtyping name axes

import os
import subprocess
import sys
import textwrap
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import pytest
import typeguard
from beartype import beartype
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jaxtyping import Float, PyTree, jaxtyped

from annotax import CheckError, NoDiff, Static, checkpoint, grad, jit, shard_map, transform, value_and_grad, vmap

LAYERS = {
    "beartype": beartype,
    "jaxtyped": jaxtyped(typechecker=beartype),
    "jaxtyped without a checker": jaxtyped(typechecker=None),
    "jaxtyped twice": lambda f: jaxtyped(jaxtyped(f, typechecker=beartype), typechecker=beartype),
    "jaxtyped over beartype": lambda f: jaxtyped(beartype(f), typechecker=None),
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
decorators = pytest.mark.parametrize(
    "decorator", [jit, grad(wrt="w"), vmap, checkpoint], ids=lambda d: type(d).__name__
)


def batch(value: Any, decorator: Any) -> Any:
    """A value, or two examples of it where the decorator maps."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), value) if decorator is vmap else value


# --- a decorator of the user's own below ours ------------------------------------------------------------------------


@layers
@decorators
def test_a_layer_below_takes_tracers_for_numbers(decorator, layer):
    @decorator
    @layer
    def f(w: float, x: list[float], y: dict[str, int], z: complex = 1j, n: Static[int] = 2) -> float:
        return w

    assert jnp.all(f(batch(1.0, decorator), batch([1.0], decorator), batch({"a": 1}, decorator)) == 1.0)


@layers
@decorators
def test_a_misfit_above_a_layer_is_our_error_with_its_path(decorator, layer):
    @decorator
    @layer
    def f(w: float, x: list[float]) -> float:
        return w

    with pytest.raises(CheckError, match=r"f\(\): argument x\[1\] does not fit"):
        f(batch(1.0, decorator), batch([1.0, jnp.ones(2)], decorator))


@layers
def test_a_result_above_a_layer_is_our_error(layer):
    @jit
    @layer
    def f(x: float) -> int:
        return x

    with pytest.raises(CheckError, match="the result"):
        f(1.5)


@layers
def test_there_is_one_shape_context_above_a_layer(layer):
    @jit
    @layer
    def f(x: Float[Array, " a"], y: Float[Array, " a"], n: Static[int]) -> Float[Array, "{n}"]:
        return x[:n] * y[:n]

    assert f(jnp.ones(3), jnp.ones(3), 2).shape == (2,)
    with pytest.raises(CheckError, match="argument y"):
        f(jnp.ones(3), jnp.ones(4), 2)
    with pytest.raises(CheckError, match="the result"):
        f(jnp.ones(3), jnp.ones(3), 4)


@layers
def test_nothing_is_checked_twice_above_a_layer(layer):
    def count(decorate):
        asked = []

        class Meta(type):
            def __instancecheck__(cls, instance):
                asked.append(instance)
                return True

        class Anything(metaclass=Meta):
            """Takes every value, and counts them."""

        @jit
        @decorate
        def f(x: Anything):
            return 0

        f(1.0)
        f(2.0)
        return len(asked)

    assert count(layer) == count(lambda f: f) > 0


@layers
def test_methods_of_every_kind_take_tracers_above_a_layer(layer):
    class Owner:
        @jit
        @layer
        def method(self: Static[Any], x: float) -> float:
            return x

        @staticmethod
        @jit
        @layer
        def static(x: float) -> float:
            return x

        @jit
        @staticmethod
        @layer
        def static_below(x: float) -> float:
            return x

        @classmethod
        @jit
        @layer
        def of_class(cls, x: float) -> float:
            return x

    owner = Owner()
    assert [owner.method(1.0), Owner.static(2.0), owner.static_below(3.0), Owner.of_class(4.0)] == [1, 2, 3, 4]
    with pytest.raises(CheckError, match=r"Owner.method\(\): argument x"):
        owner.method(jnp.ones(2))


@layers
def test_a_layer_between_two_of_our_decorators_takes_tracers(layer):
    @jit
    @layer
    @jit
    def f(x: float) -> float:
        return x

    assert f(2.0) == 2.0


@layers
def test_checks_that_are_turned_off_are_off_above_a_layer_too(layer):
    @jit(typechecker=None)
    @layer
    def f(x: int) -> int:
        return x

    assert f(1.5) == 1.5


# --- a decorator of the user's own above ours ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorator", [jit, transform(jit, value_and_grad), grad, vmap], ids=["jit", "both", "grad", "vmap"]
)
def test_beartype_above_refuses_nothing_that_we_take(decorator):
    def loss(w: float) -> float:
        return w * w

    ours = decorator(loss)
    value = jnp.ones(2) if decorator is vmap else 3.0
    assert jnp.array_equal(jnp.array(beartype(ours)(value)), jnp.array(ours(value)))


def test_a_function_under_beartype_can_be_called_while_jax_traces():
    @beartype
    @jit
    def f(x: float) -> float:
        return x * 2

    assert jax.jit(lambda x: f(x))(2.0) == 4.0


def test_a_function_under_beartype_keeps_what_a_compiled_function_offers():
    @beartype
    @jit
    def f(x: float) -> float:
        return x * 2

    assert f.lower(2.0).compile()(2.0) == 4.0
    assert f(2.0) == 4.0
    assert len(f.traces) == 1


def test_a_misfit_below_beartype_names_the_parameter():
    @beartype
    @jit
    def f(x: float) -> float:
        return x * 2

    with pytest.raises(Exception, match=r"f\(\).*x"):
        f(jnp.ones(2))


def test_a_function_under_beartype_can_be_transformed_further():
    @beartype
    @jit
    def f(x: float, n: Static[int] = 2) -> float:
        return x * n

    assert grad(f)(3.0) == 2.0
    assert vmap(f)(jnp.ones(2)).tolist() == [2.0, 2.0]


def test_a_class_under_beartype_has_compiled_methods():
    @beartype
    class Owner:
        @jit
        def method(self: Static[Any], x: float) -> float:
            return x

        @staticmethod
        @jit
        def static(x: float) -> float:
            return x

        @classmethod
        @jit
        def of_class(cls, x: float) -> float:
            return x

    assert [Owner().method(1.0), Owner.static(2.0), Owner.of_class(3.0)] == [1, 2, 3]


@pytest.mark.parametrize("typechecker", [beartype, None], ids=["beartype", "none"])
def test_jaxtyped_above_refuses_no_arrays(typechecker):
    @jaxtyped(typechecker=typechecker)
    @jit
    def f(x: Float[Array, "a b"], y: Float[Array, " b"], n: Static[int] = 2) -> Float[Array, " a"]:
        return (x @ y) ** n

    assert f(jnp.ones((2, 3)), jnp.ones(3)).tolist() == [9.0, 9.0]
    with pytest.raises(TypeError, match="y"):
        f(jnp.ones((2, 3)), jnp.ones(2))


# --- import hooks ----------------------------------------------------------------------------------------------------

MODULE = """
import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float
from typing import Any

import annotax
from annotax import Aux, NoDiff, Static, checkpoint, grad, jit, transform, value_and_grad, vmap


def plain(x: float, n: Static[int] = 2) -> float:
    return x * n


@jit
def compiled(x: float, n: Static[int] = 2) -> float:
    return x * n


@transform(jit, value_and_grad)
def loss(w: Float[Array, " d"], x: NoDiff[Float[Array, "b d"]], *, power: Static[int] = 2) -> Float[Array, ""]:
    return jnp.sum((x @ w) ** power)


@jit
def of_containers(xs: list[float], **kw: dict[str, float]) -> list[float]:
    return xs


@vmap
def of_one_example(x: Float[Array, " d"], scale: float) -> float:
    return x.sum() * scale


@grad
def gradient(x: float) -> float:
    return x * x


@transform(jit, grad)
def with_aux(x: float) -> tuple[float, Aux[float]]:
    return x * x, x


@jit
@checkpoint
def stacked(x: float) -> float:
    return jnp.sin(x)


@annotax.pytree
class Tree:
    w: Float[Array, " a"]
    rate: float = 1.0  # JAX puts a tracer there
    size: Static[int] = 2

    @jit
    def __call__(self, x: Float[Array, " a"], scale: float) -> Float[Array, " a"]:
        return self.w * x * scale * self.rate


class Module(eqx.Module):
    w: Float[Array, " a"]
    rate: float

    @jit
    def __call__(self, x: Float[Array, " a"], scale: float) -> Float[Array, " a"]:
        return self.w * x * scale * self.rate


class Owner:
    @staticmethod
    @jit
    def static(x: float) -> float:
        return x

    @classmethod
    @jit
    def of_class(cls, x: float) -> float:
        return x

    @jit
    def method(self: Static[Any], x: float) -> float:
        return x
"""

SCRIPT = """
import jax
import jax.numpy as jnp
import annotax

ones, two = jnp.ones, jnp.array(2.0)
for m in modules:
    assert m.compiled(2.0) == 4.0
    assert m.compiled.lower(2.0).compile()(2.0) == 4.0
    assert len(m.compiled.traces) == 1
    assert jax.jit(lambda x: m.compiled(x))(2.0) == 4.0
    assert annotax.jit(m.plain)(2.0, n=3) == 6.0
    assert annotax.grad(m.compiled)(2.0) == 2.0
    assert annotax.vmap(m.compiled)(ones(2)).shape == (2,)
    assert m.loss(ones(3), x=ones((4, 3)))[0] == 36.0
    assert m.of_containers([1.0], a={"b": 2.0}) == [1.0]
    assert m.of_one_example(ones((2, 3)), 2.0).tolist() == [6.0, 6.0]
    assert m.gradient(3.0) == 6.0
    assert m.with_aux(3.0) == (6.0, 3.0)
    assert m.stacked(0.0) == 0.0
    assert m.Tree(ones(2))(ones(2), 2.0).tolist() == [2.0, 2.0]
    assert annotax.grad(lambda tree: tree.w.sum())(m.Tree(ones(2))).w.tolist() == [1.0, 1.0]
    assert m.Module(ones(2), 3.0)(ones(2), 2.0).tolist() == [6.0, 6.0]
    assert annotax.grad(lambda module: module.w.sum())(m.Module(ones(2), 3.0)).w.tolist() == [1.0, 1.0]
    assert [m.Owner.static(1.0), m.Owner.of_class(2.0), m.Owner().method(3.0)] == [1.0, 2.0, 3.0]

    def is_refused(call, name):
        try:
            call()
        except annotax.CheckError as error:
            return name in str(error)

    assert is_refused(lambda: m.compiled(ones(2)), "argument x does")
    assert is_refused(lambda: m.loss(ones(3), x=ones((4, 4))), "argument x does")
    assert is_refused(lambda: m.of_containers([1.0, ones(2)]), "argument xs[1] does")
    assert is_refused(lambda: m.of_one_example(ones((2, 3)), ones((2, 2))), "argument scale does")
    assert is_refused(lambda: m.Tree(ones(2))(ones((2, 2)), 1.0), "argument x does")
print("all is well")
"""

HOOKS = {
    "beartype's": "from beartype.claw import beartype_package\nbeartype_package('hooked')\n",
    "beartype's, below ours": (
        "from beartype import BeartypeConf, BeartypeDecorPlace\n"
        "from beartype.claw import beartype_package\n"
        "beartype_package('hooked', conf=BeartypeConf(claw_decor_place_func=BeartypeDecorPlace.FIRST))\n"
    ),
    "jaxtyping's with beartype": (
        "import jaxtyping\njaxtyping.install_import_hook('hooked', 'beartype.beartype')\n"
    ),
    "both": (
        "import jaxtyping\njaxtyping.install_import_hook('hooked', 'beartype.beartype')\n"
        "from beartype.claw import beartype_package\nbeartype_package('hooked')\n"
    ),
}  # fmt: skip


def run(code: str, *flags: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python on some code in a process of its own."""
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path, **environment},
    )


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_a_package_under_an_import_hook_works_and_is_checked(hook, tmp_path):
    package = tmp_path / "hooked"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plain.py").write_text(MODULE)
    (package / "postponed.py").write_text(f"from __future__ import annotations\n{MODULE}")
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{hook}"
    done = run(f"{start}import hooked.plain, hooked.postponed\nmodules = [hooked.plain, hooked.postponed]\n{SCRIPT}")
    assert done.stdout.strip() == "all is well", done.stderr[-3000:]


# --- a class that is defined again, as in a notebook -----------------------------------------------------------------

CELL = """
import dataclasses
from typing import Generic, TypeVar

T = TypeVar("T")

@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Batch:
    x: Array

@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Box(Generic[T]):
    inside: T

class Options:
    pass

options, batch = Options(), Batch(jnp.ones(2))
"""


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ("Batch", "batch"),
        ("'Batch'", "batch"),
        ("list[Batch]", "[batch]"),
        ("dict[str, list[Batch]]", "{'a': [batch]}"),
        ("tuple[Batch, ...]", "(batch,)"),
        ("Batch | None", "batch"),
        ("Box[Batch]", "Box(batch)"),
        ("PyTree[Batch]", "[batch]"),
        ("Annotated[Batch, 'doc']", "batch"),
        ("type[Batch]", "Batch"),
        ("type[Batch] | None", "Batch"),
        ("Static[Options]", "options"),
        ("Static[tuple[Options, ...]]", "(options,)"),
        ("Static[frozenset[Options]]", "frozenset([options])"),
        ("Static[frozenset[type[Batch]]]", "frozenset([Batch])"),
    ],
)
def test_a_cell_that_runs_again_takes_values_of_its_own_classes(hint, value):
    for _ in range(3):
        namespace = {**globals(), "__name__": "__main__"}
        exec(f"{CELL}\n@jit\ndef f(x: {hint}):\n    return 0\n", namespace)
        assert eval(f"f({value})", namespace) == 0


# --- switches --------------------------------------------------------------------------------------------------------


@decorators
def test_every_decorator_takes_no_checker(decorator):
    def f(w, x: int) -> float:
        return w

    decorated = transform(decorator, typechecker=None)(f)
    assert jnp.all(decorated(batch(1.0, decorator), batch(2.5, decorator)) == 1.0)


@decorators
def test_every_decorator_takes_a_checker_by_name(decorator):
    def f(w, x: int) -> float:
        return w

    with pytest.raises(CheckError, match="argument x"):
        transform(decorator, typechecker="beartype")(f)(batch(1.0, decorator), batch(2.5, decorator))


@decorators
def test_every_decorator_takes_a_checker_of_ones_own(decorator):
    def f(w, x: Float[Array, " a"]) -> Array:
        return w

    decorated = transform(decorator, typechecker=lambda value, hint: f"{value.ndim} dimensions")(f)
    with pytest.raises(CheckError, match=r"(?s)argument x does.*because\s+1 dimensions"):
        decorated(batch(1.0, decorator), batch(jnp.ones(2), decorator))


def test_an_error_of_a_checker_of_ones_own_passes_through():
    def check(value, hint):
        raise ZeroDivisionError("no luck")

    @jit(typechecker=check)
    def f(x: Array):
        return x

    with pytest.raises(ZeroDivisionError, match="no luck"):
        f(1.0)


SWITCHED = """
import jax.numpy as jnp
import annotax
from annotax import Static

@annotax.jit
def f(x: int, n: Static[int] = 1) -> int:
    return x

try:
    print(f(1.5))
except annotax.CheckError:
    print("refused")
try:
    f(1, jnp.ones(2))
except annotax.StaticValueError:
    print("no constant")
"""


@pytest.mark.parametrize(
    ("flags", "environment", "printed"),
    [
        ([], {}, "refused"),
        ([], {"ANNOTAX_TYPECHECK": "0"}, "1.5"),
        (["-O"], {}, "1.5"),
        (["-O"], {"ANNOTAX_TYPECHECK": "1"}, "1.5"),
    ],
)
def test_switches_of_a_process_turn_off_checks_but_not_what_a_constant_must_be(flags, environment, printed):
    done = run(SWITCHED, *flags, **environment)
    assert done.stdout.split("\n") == [printed, "no constant", ""], done.stderr


def test_no_type_check_turns_off_shapes_and_results_too():
    @jit
    @typing.no_type_check
    def f(x: Float[Array, " a"], y: Float[Array, " a"]) -> int:
        return y

    assert f(jnp.ones(2), jnp.ones(3)).shape == (3,)


def test_no_type_check_turns_checks_off_below_a_whole_pipeline():
    @transform(jit, value_and_grad)
    @typing.no_type_check
    def f(w: list[float], x: NoDiff[int]) -> str:
        return w * x

    assert f(2.0, 1.5) == (3.0, 1.5)


# --- typeguard as the checker ----------------------------------------------------------------------------------------


def by_typeguard(value: Any, hint: Any) -> str | None:
    try:
        typeguard.check_type(value, hint)
    except typeguard.TypeCheckError as error:
        return str(error)
    return None


floats = jnp.ones((2, 3))


@pytest.mark.parametrize(
    ("hint", "fits", "misfit", "path"),
    [
        (float, 1.0, floats, "x"),
        (int | None, None, 1.5, "x"),
        (str, "a", b"a", "x"),
        (Array, floats, "a", "x"),
        (Array | None, None, "a", "x"),
        (Float[Array, "a b"], floats, jnp.ones(2), "x"),
        (list[Float[Array, " a"]], [jnp.ones(2)], [jnp.ones(2), jnp.ones(3)], r"x\[1\]"),
        (dict[str, float], {"a": 1.0}, {"a": floats}, r"x\['a'\]"),
        (PyTree[Float[Array, ""]], [1.0], [floats], "x"),
        (Literal["a", "b"], "a", "c", "x"),
        (Callable[[Array], Array], jnp.sin, "sin", "x"),
        (type[int], bool, str, "x"),
        (Annotated[float, "doc"], 1.0, floats, "x"),
        (Static[tuple[int, ...]], (1, 2), (1, "a"), r"x\[1\]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_typeguard_judges_where_it_is_the_checker(hint, fits, misfit, path):
    def f(x):
        return 0

    f.__annotations__["x"] = hint
    decorated = jit(f, typechecker=by_typeguard)
    assert decorated(fits) == 0
    with pytest.raises(CheckError, match=rf"f\(\): argument {path} does not fit"):
        decorated(misfit)


def test_the_words_of_typeguard_are_the_reason():
    @jit(typechecker=by_typeguard)
    def f(mode: Literal["a", "b"]):
        return 0

    with pytest.raises(CheckError, match=r"because\s+str is not any of"):
        f("c")


# --- shapes of one shard ---------------------------------------------------------------------------------------------


def test_shapes_under_shard_map_are_those_of_one_shard():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

    @shard_map(mesh=mesh)
    def f(
        x: Annotated[Float[Array, "n 3"], P("data")], scale: Float[Array, " n"], *, n: Static[int] = 2
    ) -> Annotated[Float[Array, "{n} 3"], P("data")]:
        return x * scale[:, None]

    assert f(jnp.ones((2, 3)), jnp.ones(2)).shape == (2, 3)
    with pytest.raises(CheckError, match="argument scale"):
        f(jnp.ones((2, 3)), jnp.ones(3))
    with pytest.raises(CheckError, match="argument x"):
        f(jnp.ones((2, 4)), jnp.ones(2))
    with pytest.raises(CheckError, match="the result"):
        f(jnp.ones((2, 3)), jnp.ones(2), n=3)


def test_shapes_of_one_shard_differ_from_those_of_the_whole():
    code = textwrap.dedent("""
        import jax, jax.numpy as jnp
        from typing import Annotated
        from jax import Array
        from jax.sharding import AxisType, PartitionSpec as P
        from jaxtyping import Float
        from annotax import CheckError, jit, shard_map

        mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))

        @jit
        @shard_map(mesh=mesh)
        def f(x: Annotated[Float[Array, "2 3"], P("data")]) -> Annotated[Float[Array, "2 3"], P("data")]:
            return x

        print(f(jnp.ones((4, 3))).shape)
        try:
            f(jnp.ones((2, 3)))
        except CheckError as error:
            print("argument x" in str(error), "float32[1,3]" in str(error))
    """)
    done = run(code, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert done.stdout.split("\n") == ["(4, 3)", "True True", ""], done.stderr
