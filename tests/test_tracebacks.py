"""What a person sees of an error or a warning: their own frames alone, the parameter's name, and what to write."""

import gc
import os
import re
import sys
import textwrap
import traceback
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import (
    Donate,
    NoDiff,
    Static,
    checkpoint,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    linearize,
    transform,
    value_and_grad,
    vjp,
    vmap,
)

OURS = (os.path.dirname(annotax.__file__), os.path.dirname(jax.__file__), "<annotax")


def caught(call: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
    """The error that a call raises."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def files(error: BaseException) -> list[str]:
    """The files of the frames of an error, from the call inward."""
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


def shown(error: BaseException) -> str:
    """What Python prints for an error."""
    return "".join(traceback.format_exception(error))


def assert_ends_here(error: BaseException, line: str) -> None:
    """That the last frame is a line of this file, and no frame is of annotax or of JAX, not even in a chained error."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert last.filename == __file__
    assert line in (last.line or "")
    assert [file for file in files(error) if file.startswith(OURS)] == []
    text = shown(error)
    assert not re.search(rf'File "{re.escape(OURS[0])}', text), text
    assert "During handling" not in text


def notes(error: BaseException) -> str:
    """What annotax adds to an error of JAX."""
    return "\n".join(note for note in getattr(error, "__notes__", ()) if "  fix  " in note)


# --- errors of the user's function -----------------------------------------------------------------------------------


def _raises(x: Any, n: Any = 1) -> Any:
    y = x * n
    return y @ jnp.ones((7, 7))  # of the user


def _raises_by_hand(x: Any, n: Any = 1) -> Any:
    raise LookupError("by hand")  # of the user


def _custom_vjp_that_raises() -> Any:
    @custom_vjp
    def f(x: Array, *, n: Static[int] = 1) -> Array:
        return x

    def bwd(residuals, cotangent, *, n):
        raise LookupError("by hand")  # of the user

    f.defvjp(lambda x, *, n: (x, None), bwd)
    return grad(f)


def _custom_jvp_that_raises() -> Any:
    @custom_jvp
    def f(x: Array, *, n: Static[int] = 1) -> Array:
        return x

    @f.defjvp
    def rule(primals, tangents, *, n):
        raise LookupError("by hand")  # of the user

    return transform(jit, grad)(lambda x: f(x))


PIPELINES = {
    "jit": jit,
    "grad": grad,
    "value_and_grad": value_and_grad,
    "vmap": vmap,
    "checkpoint": checkpoint,
    "jacfwd": jacfwd,
    "jacrev": jacrev,
    "hessian": hessian,
    "custom_vjp": custom_vjp,
    "jit(grad)": transform(jit, grad),
    "grad(jit)": transform(grad, jit),
    "jit(vmap(value_and_grad))": transform(jit, vmap, value_and_grad),
    "jit(grad(checkpoint))": transform(jit, grad, checkpoint),
    "jit(grad(wrt))": transform(jit, grad(wrt="x")),
    "jit(static)": jit(static="n"),
}


@pytest.mark.parametrize("function", [_raises, _raises_by_hand], ids=["of JAX", "by hand"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_an_error_of_a_function_ends_at_the_line_of_the_user(pipeline, function):
    f = PIPELINES[pipeline](function)
    for _ in range(2):  # the first call builds, the second goes straight to JAX
        error = caught(f, jnp.ones(3))
        assert_ends_here(error, "# of the user")
        assert files(error).count(__file__) == len(files(error))


@pytest.mark.parametrize("make", [_custom_vjp_that_raises, _custom_jvp_that_raises])
def test_an_error_of_a_rule_ends_at_the_line_of_the_user(make):
    error = caught(make(), 1.0)
    assert isinstance(error, LookupError)
    assert_ends_here(error, "# of the user")


@pytest.mark.parametrize(
    "call",
    [
        lambda: vjp(_raises_by_hand, jnp.ones(3)),
        lambda: jvp(lambda x: _raises_by_hand(x), (jnp.ones(3),), (jnp.ones(3),)),
        lambda: linearize(_raises_by_hand, jnp.ones(3)),
        lambda: annotax.eval_shape(_raises_by_hand, jnp.ones(3)),
        lambda: annotax.make_jaxpr(_raises_by_hand)(jnp.ones(3)),
        lambda: jit(_raises_by_hand).lower(jnp.ones(3)),
        lambda: jit(_raises_by_hand).eval_shape(jnp.ones(3)),
    ],
    ids=["vjp", "jvp", "linearize", "eval_shape", "make_jaxpr", "lower", "jit.eval_shape"],
)
def test_an_error_under_a_function_that_calls_ends_at_the_line_of_the_user(call):
    error = caught(call)
    assert isinstance(error, LookupError)
    assert_ends_here(error, "# of the user")


def test_an_error_of_a_function_with_a_model_ends_at_the_line_of_the_user():
    @transform(jit, grad)
    def f(model, x: NoDiff[Array]):
        return jnp.sum(model(x)) + jnp.ones(3) @ jnp.ones(2)  # of the user

    for _ in range(2):
        assert_ends_here(caught(f, eqx.nn.MLP(2, 1, 2, 1, key=jax.random.key(0)), jnp.ones(2)), "# of the user")


def test_a_decorated_function_that_calls_another_shows_both_lines_of_the_user():
    inner = jit(_raises_by_hand)

    @jit
    def outer(x):
        return inner(x)  # outer line

    error = caught(outer, jnp.ones(3))
    assert_ends_here(error, "# of the user")
    assert any("# outer line" in (frame.line or "") for frame in traceback.extract_tb(error.__traceback__))


def test_the_error_itself_is_the_one_that_was_raised():
    raised = LookupError("by hand")

    @transform(jit, grad)
    def f(x):
        raise raised

    assert caught(f, 1.0) is raised


def test_an_error_of_a_function_has_no_error_of_annotax_behind_it():
    def f(tree):
        raise LookupError("by hand")  # of the user

    error = caught(jit(f), {"w": jnp.ones(2), "kind": "relu"})  # refused by the fast road first
    assert error.__context__ is None or error.__suppress_context__
    assert_ends_here(error, "# of the user")


# --- errors of annotax -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorate",
    [
        lambda: grad(lambda n: n, wrt="m"),  # decorated here
        lambda: jit(lambda n: n, static="m"),  # decorated here
        lambda: transform(jit, grad(wrt="m"))(lambda n: n),  # decorated here
        lambda: transform(jax.jit),  # decorated here
        lambda: vmap(lambda n: n, in_axes={"m": 0}),  # decorated here
        lambda: annotax.explain(lambda n: n),  # decorated here
        lambda: annotax.combine({"a": None}, {"b": None}),  # decorated here
        lambda: annotax.mask({"a": 1.0}, wrt="b"),  # decorated here
        lambda: _custom_vjp_without_statics(),
    ],
    ids=["grad", "jit", "transform", "transform of JAX", "vmap", "explain", "combine", "mask", "defvjp"],
)
def test_an_error_at_decoration_ends_at_the_line_of_the_user(decorate):
    error = caught(decorate)
    assert isinstance(error, annotax.AnnotaxError)
    assert_ends_here(error, "# decorated here")


def _custom_vjp_without_statics() -> None:
    @custom_vjp
    def f(x: Array, *, n: Static[int]) -> Array:
        return x

    f.defvjp(lambda x, *, n: (x, None), lambda residuals, cotangent: cotangent)  # decorated here


def _called(f: Any, *args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: f(*args, **kwargs)  # called here


@pytest.mark.parametrize(
    "call",
    [
        _called(jit(lambda x, *, n: x, static="n"), 1.0, n=[1]),
        _called(jit(lambda x, *, n: x, static="n"), 1.0, n=jnp.ones(2)),
        _called(transform(jit, grad)(lambda x: x), "text"),
        _called(grad(lambda x: x), 1),
        _called(grad(lambda x: x["a"], wrt="x['b']"), {"a": 1.0}),
        _called(vmap(lambda x, y: x), jnp.ones(2), jnp.ones(3)),
        _called(vmap(lambda x: x), 1.0),
        _called(jit(lambda x: x), object()),
        _called(jit(lambda x: object()), 1.0),
        _called(jit(lambda x: x["a"], static="x['b']"), {"a": 1.0}),
        _called(jit(lambda x: x).lower, object()),
        _called(vjp, lambda x: x, 1),
    ],
    ids=[
        "unhashable",
        "array",
        "text",
        "integer",
        "path",
        "sizes",
        "no axis",
        "object",
        "returned object",
        "static path",
        "lower",
        "vjp",
    ],
)
def test_an_error_at_a_call_ends_at_the_line_of_the_user(call):
    for _ in range(2):
        error = caught(call)
        assert isinstance(error, annotax.AnnotaxError)
        assert_ends_here(error, "# called here")


def test_a_value_that_does_not_fit_its_hint_ends_at_the_line_of_the_user():
    @transform(jit, grad)
    def f(x: float, y: NoDiff[dict[str, Array]]) -> float:
        return x

    error = caught(_called(f, 1.0, 3))
    assert isinstance(error, annotax.CheckError)
    assert_ends_here(error, "# called here")
    assert error.__cause__ is None


def test_one_trace_too_many_ends_at_the_line_of_the_user():
    f = jit(lambda x: x, max_traces=1)
    f(jnp.ones(2))
    error = caught(_called(f, jnp.ones(3)))
    assert isinstance(error, annotax.TraceError)
    assert_ends_here(error, "# called here")


def test_an_error_of_a_call_inside_a_traced_function_ends_at_that_line():
    inner = jit(lambda x, *, n: x, static="n")

    @transform(jit, grad)
    def outer(x):
        return inner(x, n=x)  # called here

    error = caught(outer, 1.0)
    assert isinstance(error, annotax.StaticValueError)
    assert_ends_here(error, "# called here")


def test_a_wrong_call_is_told_as_python_tells_it_at_the_line_of_the_user():
    error = caught(_called(jit(lambda x: x), 1.0, 2.0))
    assert isinstance(error, TypeError)
    assert files(error)[-1] == __file__


# --- nothing is hidden from those who ask for all --------------------------------------------------------------------


@pytest.fixture
def unfiltered():
    before = jax.config.jax_traceback_filtering
    jax.config.update("jax_traceback_filtering", "off")
    yield
    jax.config.update("jax_traceback_filtering", before)


@pytest.mark.usefixtures("unfiltered")
@pytest.mark.parametrize("pipeline", ["jit", "grad", "jit(grad)", "vmap"])
def test_without_filtering_all_frames_are_kept(pipeline):
    found = files(caught(PIPELINES[pipeline](_raises_by_hand), jnp.ones(3)))
    assert found[-1] == __file__
    assert any(file.startswith(OURS[0]) for file in found)
    assert any(file.startswith(OURS[1]) for file in found)


@pytest.mark.usefixtures("unfiltered")
def test_without_filtering_an_error_of_annotax_ends_in_annotax():
    assert files(caught(grad, lambda n: n, wrt="m"))[-1].startswith(OURS[0])


# --- IPython ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cell(capsys, monkeypatch, tmp_path):
    """A function that runs a cell of a notebook and returns what it prints, without colours."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # the shell puts its own there
    config = pytest.importorskip("traitlets.config").Config({"HistoryManager": {"enabled": False}})
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell(colors="nocolor", config=config)

    def cell(source: str) -> str:
        shell.run_cell(textwrap.dedent(source))
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)

    return cell


@pytest.mark.parametrize("pipeline", ["jit", "grad", "transform(jit, grad)", "vmap"])
def test_an_error_of_a_function_in_ipython_shows_the_cells_alone(cell, pipeline):
    shown = cell(f"""
        import jax.numpy as jnp
        from annotax import grad, jit, transform, vmap

        @{pipeline}
        def f(x):
            raise LookupError("by hand")

        f(jnp.ones(3))
    """)
    assert "LookupError: by hand" in shown
    assert "f(jnp.ones(3))" in shown
    assert not any(f"{folder}{os.sep}" in shown for folder in OURS[:2])
    assert "<annotax" not in shown


def test_an_error_of_annotax_in_ipython_shows_the_cell_alone(cell):
    shown = cell("""
        from annotax import jit

        f = jit(lambda x, *, n: x, static="n")
        f(1.0, n=[1])
    """)
    assert "StaticValueError" in shown
    assert not any(f"{folder}{os.sep}" in shown for folder in OURS[:2])
    assert "<annotax" not in shown


# --- nothing is kept alive -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", ["jit", "grad", "jit(grad)", "vmap", "checkpoint"])
@pytest.mark.parametrize("function", [_raises, _raises_by_hand], ids=["of JAX", "by hand"])
def test_an_error_that_is_gone_keeps_no_array(pipeline, function):
    f = PIPELINES[pipeline](function)
    x = jnp.arange(3.0)
    reference = weakref.ref(x)
    error = caught(f, x)
    del x, error
    gc.collect()
    assert reference() is None


def test_an_error_of_annotax_that_is_gone_keeps_no_array():
    f = jit(lambda x, *, n: x, static="n")
    x = jnp.arange(3.0)
    reference = weakref.ref(x)
    error = caught(f, x, n=[x])
    del x, error
    gc.collect()
    assert reference() is None


def test_a_tracer_of_a_trace_that_raised_is_gone_with_its_error():
    seen = []

    @transform(jit, grad)
    def f(x):
        y = x * 2
        seen.append(weakref.ref(y))
        raise LookupError("by hand")

    error = caught(f, 1.0)
    del error
    gc.collect()
    assert [reference() for reference in seen] == [None] * len(seen)


# --- notes -----------------------------------------------------------------------------------------------------------


def _as_bool(x: Array, n: int) -> Array:
    return x if n > 2 else -x


def _as_int(x: Array, n: int) -> Array:
    return sum((x for _ in range(n)), x)


def _as_shape(x: Array, n: int) -> Array:
    return x * jnp.ones((n,)).sum()


def _as_index(x: Array, n: int) -> Array:
    return x * [1.0, 2.0, 3.0][n]


@pytest.mark.parametrize("function", [_as_bool, _as_int, _as_shape, _as_index])
@pytest.mark.parametrize("pipeline", ["jit", "jit(grad)", "jit(vmap(value_and_grad))"])
def test_a_traced_value_that_python_needs_names_the_parameter_to_mark(pipeline, function):
    error = caught(PIPELINES[pipeline](function), jnp.ones(3) if "vmap" in pipeline else 1.0, 1)
    assert not isinstance(error, annotax.AnnotaxError)
    assert f"{function.__name__}(): the traced argument n is used where Python needs a value" in notes(error)
    assert "mark `n: Static[int]`" in notes(error)
    assert notes(error).count("  fix  ") == 1
    assert_ends_here(error, "n")


@pytest.mark.parametrize("function", [_as_bool, _as_int, _as_shape, _as_index])
@pytest.mark.parametrize("pipeline", ["vmap", "jit(vmap(value_and_grad))"])
def test_a_mapped_value_that_python_needs_is_named_and_not_to_be_marked(pipeline, function):
    error = caught(PIPELINES[pipeline](function), jnp.ones(3), jnp.ones(3, int))
    assert f"{function.__name__}(): the traced argument n is used where Python needs a value" in notes(error)
    assert "jnp.where" in notes(error)
    assert "Static" not in notes(error)  # it is another number for each example


def test_a_traced_tuple_of_sizes_names_the_parameter_to_mark():
    @jit
    def f(x: Array, shape: tuple[int, ...]) -> Array:
        return x.reshape(shape)

    error = caught(f, jnp.ones(4), (2, 2))
    assert "the traced argument shape is used where Python needs a value" in notes(error)
    assert "mark `shape: Static[tuple[int, ...]]`" in notes(error)


def test_two_traced_values_that_python_needs_are_both_named():
    @jit
    def f(x: Array, n: int, m: int) -> Array:
        return x if n > m else -x

    assert "the traced arguments n and m are used" in notes(caught(f, 1.0, 1, 2))


def test_a_traced_value_without_a_hint_is_named_as_well():
    assert "mark `n: Static[int]`" in notes(caught(jit(lambda x, n: x if n > 2 else -x), 1.0, 2))


def test_a_flag_is_to_be_marked_as_a_flag():
    @jit
    def f(x: Array, training: bool) -> Array:
        return x if training else -x

    assert "mark `training: Static[bool]`" in notes(caught(f, 1.0, True))


def test_an_array_that_python_needs_is_not_to_be_marked():
    error = caught(jit(lambda x: x if x > 0 else -x), 1.0)
    assert "the traced argument x is used" in notes(error)
    assert "jnp.where" in notes(error)
    assert "Static" not in notes(error)


def test_an_error_of_a_function_inside_names_the_parameter_of_that_one():
    inner = jit(_as_bool)

    @jit
    def outer(x, depth):
        return inner(x, depth)

    error = caught(outer, 1.0, 1)
    assert "_as_bool(): the traced argument n" in notes(error)
    assert notes(error).count("  fix  ") == 1


def test_a_loss_that_is_no_scalar_says_what_grad_needs():
    error = caught(grad(lambda x: x * 2), jnp.ones(3))
    assert isinstance(error, TypeError)
    assert "grad needs a function that returns one scalar" in notes(error)
    assert "an output of shape (3,)" in notes(error)
    assert "jnp.mean" in notes(error)


def test_a_pair_in_place_of_a_loss_says_to_mark_aux():
    error = caught(grad(lambda x: (x, x)), 1.0)
    assert "Aux" in notes(error)


def test_a_loss_of_whole_numbers_says_what_grad_needs():
    error = caught(transform(jit, grad)(lambda x: jnp.sum(x > 0)), jnp.ones(3))
    assert "grad needs a function that returns a real floating-point scalar" in notes(error)
    assert "int32" in notes(error)
    assert "float" in notes(error)


def test_a_complex_loss_says_what_grad_needs():
    error = caught(grad(lambda x: x * 1j), 1.0)
    assert "jnp.abs" in notes(error)
    assert "holomorphic=True" in notes(error)


def test_an_array_that_is_donated_twice_is_named_with_both_places():
    @jit
    def f(a: Donate[dict[str, Array]], b: Donate[Array]):
        return a["w"] + 1, b + 1

    x = jnp.ones(3)
    error = caught(f, {"w": x}, x)
    assert "one array is donated twice, as a['w'] and b" in notes(error)
    assert "jnp.copy(x)" in notes(error)


def test_an_array_that_was_donated_to_an_earlier_call_is_named_with_its_leaf():
    @jit
    def f(state: Donate[dict[str, Array]], x: Array):
        return {"w": state["w"] + x}

    state = {"w": jnp.ones(3)}
    f(state, x=jnp.ones(3))
    error = caught(f, state, jnp.ones(3))
    assert "deleted before this call, by a donation it seems: state['w']" in notes(error)


def test_an_array_that_was_donated_is_named_by_another_function_too():
    state = jnp.ones(3)
    jit(lambda state: state + 1, donate="state")(state)
    assert "deleted before this call, by a donation it seems: w" in notes(caught(jit(lambda w: w * 2), state))


@pytest.mark.parametrize("pipeline", ["jit", "vmap"])
def test_a_boolean_mask_says_how_to_keep_the_size(pipeline):
    error = caught(PIPELINES[pipeline](lambda x: x[x > 0]), jnp.ones((2, 3)))
    assert isinstance(error, jax.errors.NonConcreteBooleanIndexError)
    assert "jnp.where" in notes(error)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_an_error_that_annotax_knows_nothing_of_gets_no_note(pipeline):
    assert notes(caught(PIPELINES[pipeline](_raises_by_hand), jnp.ones(3))) == ""


def test_a_note_is_printed_with_the_error():
    assert "mark `n: Static[int]`" in shown(caught(jit(_as_bool), 1.0, 1))


# --- donated for nothing ---------------------------------------------------------------------------------------------


def test_a_donated_argument_that_no_result_can_take_is_named_at_the_line_of_the_call():
    @jit
    def f(state: Donate[dict[str, Array]], x: Array):
        return state["a"] + x + state["b"].sum()

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        f({"a": jnp.ones(3), "b": jnp.ones((2, 2), int)}, jnp.ones(3))  # called here
    ours = [warning for warning in found if "f()" in str(warning.message)]
    (warning,) = ours
    text = str(warning.message)
    assert text.startswith("Some donated buffers were not usable")
    assert "no result can take the buffer of state['b'] (int32[2,2])" in text
    assert "state['a']" not in text
    assert "drop Donate" in text
    assert warning.filename == __file__
    with open(__file__) as file:
        assert "# called here" in file.readlines()[warning.lineno - 1]


def test_a_donated_argument_is_named_once_a_trace():
    f = jit(lambda state, x: x + state[0], donate="state")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(3):
            f(jnp.ones(3), 1.0)
    assert len([warning for warning in found if "no result can take" in str(warning.message)]) == 1


def test_a_donation_that_a_result_takes_warns_of_nothing():
    jit(lambda state, x: {"state": state + x}, donate="state")(jnp.ones(3), 1.0)


@pytest.mark.parametrize(
    "function",
    [lambda x: x.reshape(3, 1) + 1, lambda x: x.astype(int), lambda x: (x, x), lambda x: x[:2], lambda x: jnp.ones(3)],
    ids=["another shape", "another dtype", "returned twice", "another size", "not used"],
)
def test_a_donation_is_warned_of_by_name_where_jax_warns_of_it(function):
    with warnings.catch_warnings(record=True) as of_jax:
        warnings.simplefilter("always")
        jax.jit(function, donate_argnums=0)(jnp.ones(3) + 1)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        jit(function, donate="x")(jnp.ones(3) + 1)
    named = [warning for warning in found if "buffer of x (float32[3])" in str(warning.message)]
    assert len(named) == len(of_jax)


def test_a_donated_argument_that_is_not_used_is_not_deleted_and_not_warned_of():
    x = jnp.ones(3)
    jit(lambda x, y: y, donate="x")(x, jnp.ones(4))
    assert not x.is_deleted()


def test_a_donation_inside_of_another_trace_is_not_warned_of():
    inner = jit(lambda x: jnp.sum(x), donate="x")
    jit(lambda x: inner(x * 2))(jnp.ones(3))
    transform(grad, jit(donate="x"))(lambda x: jnp.sum(x * x))


def test_what_silences_the_warning_of_jax_silences_ours():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        jit(lambda state, x: x + state[0], donate="state")(jnp.ones(3), 1.0)
