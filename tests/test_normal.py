"""The normal form: every kind of parameter, every spelling of a call, and a face that looks like the function."""

import builtins
import copy
import functools
import inspect
import itertools
import keyword
import linecache
import traceback

import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import NoDiff, Static, grad, jit, transform

DECORATORS = [jit, grad(wrt=0), transform(jit, grad(wrt=0)), transform()]
NAMES = ["jit", "grad", "jit of grad", "nothing"]


# --- one meaning however it is called --------------------------------------------------------------------------------


def _every_kind(a, /, b, c=3.0, *args, d, e: Static[int] = 5, **kwargs):
    return (a, b, c, args, d, e, kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "slots"),
    [
        ((1.0, 2.0), {"d": 4.0}, (1.0, 2.0, 3.0, (), 4.0, 5, {})),
        ((1.0,), {"b": 2.0, "d": 4.0}, (1.0, 2.0, 3.0, (), 4.0, 5, {})),
        ((1.0,), {"d": 4.0, "c": 6.0, "b": 2.0}, (1.0, 2.0, 6.0, (), 4.0, 5, {})),
        ((1.0, 2.0, 6.0), {"d": 4.0, "e": 7}, (1.0, 2.0, 6.0, (), 4.0, 7, {})),
        ((1.0, 2.0, 6.0, 8.0, 9.0), {"d": 4.0}, (1.0, 2.0, 6.0, (8.0, 9.0), 4.0, 5, {})),
        ((1.0, 2.0), {"d": 4.0, "f": 8.0}, (1.0, 2.0, 3.0, (), 4.0, 5, {"f": 8.0})),
        ((1.0, 2.0), {"d": 4.0, "a": 8.0}, (1.0, 2.0, 3.0, (), 4.0, 5, {"a": 8.0})),
    ],
)
def test_every_kind_of_parameter_receives_its_argument(args, kwargs, slots):
    assert _every_kind(*args, **kwargs) == slots
    assert jit(_every_kind)(*args, **kwargs) == slots


def test_all_spellings_of_a_call_give_the_same_gradient():
    @grad
    def f(w, x: NoDiff[Array], *, n: Static[int] = 2):
        return jnp.sum(w * x) ** n

    w, x = jnp.ones(2), jnp.ones(2)
    for gradient in (f(w, x), f(w, x=x), f(x=x, w=w), f(w, x, n=2), f(n=2, x=x, w=w)):
        assert gradient.tolist() == [4.0, 4.0]


def test_all_spellings_of_a_call_share_one_trace():
    traces = []

    @jit
    def f(w, x, /, y=1.0, *, n: Static[int] = 2, z=3.0):
        traces.append(1)
        return w + x + y + n + z

    f(1.0, 1.0)
    f(1.0, 1.0, 1.0)
    f(1.0, 1.0, y=1.0)
    f(1.0, 1.0, n=2)
    f(1.0, 1.0, z=3.0, n=2, y=1.0)
    assert len(traces) == 1


def test_the_order_of_keywords_in_a_variadic_parameter_shares_one_trace():
    traces = []

    @jit
    def f(**kwargs):
        traces.append(1)
        return kwargs["a"] - kwargs["b"]

    assert f(a=3.0, b=1.0) == f(b=1.0, a=3.0) == 2.0
    assert len(traces) == 1


def test_a_default_is_the_very_object_that_was_written():
    default = {"a": 1.0}

    def f(x, more=default, *, again=default):
        return x

    assert jit(f).__defaults__[0] is default
    assert jit(f).__kwdefaults__["again"] is default


@pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)
@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "missing 1 required positional argument: 'a'"),
        ((1.0, 2.0, 3.0), {}, "takes from 1 to 2 positional arguments but 3 were given"),
        ((1.0,), {"nothing": 1.0}, "got an unexpected keyword argument 'nothing'"),
        ((1.0,), {"a": 1.0}, "got multiple values for argument 'a'"),
    ],
)
def test_python_itself_refuses_a_wrong_call_with_its_own_message(decorator, args, kwargs, text):
    @decorator
    def step(a, b=2.0, *, c=3.0):
        return a

    with pytest.raises(TypeError, match=rf"step\(\) {text}"):
        step(*args, **kwargs)


def test_a_positional_only_parameter_refuses_a_keyword():
    @jit
    def step(a, /):
        return a

    with pytest.raises(TypeError, match="positional-only"):
        step(a=1.0)


# --- variadic parameters with markers --------------------------------------------------------------------------------


def test_every_element_of_marked_args_has_the_role():
    @jit
    def f(x, *sizes: Static[int]):
        return jnp.full(sizes, x)

    assert f(1.0, 2, 3).shape == (2, 3)
    assert f(1.0).shape == ()


def test_every_value_of_marked_kwargs_has_the_role():
    @jit
    def f(x, **sizes: Static[int]):
        return jnp.full((sizes["rows"], sizes["columns"]), x)

    assert f(1.0, columns=3, rows=2).shape == (2, 3)


def test_static_kwargs_in_another_order_share_one_trace():
    traces = []

    @jit
    def f(x, **sizes: Static[int]):
        traces.append(1)
        return x

    f(1.0, a=1, b=2)
    f(1.0, b=2, a=1)
    assert len(traces) == 1
    f(1.0, a=2, b=1)
    assert len(traces) == 2


def test_static_args_retrace_for_another_value():
    @jit
    def f(x, *sizes: Static[int]):
        return jnp.full(sizes, x)

    assert [f(1.0, n).shape for n in (1, 2, 1)] == [(1,), (2,), (1,)]


def test_args_that_are_not_differentiated_are_left_out_of_the_gradient():
    @grad
    def f(w, *xs: NoDiff[Array], **ys: NoDiff[Array]):
        return w * sum(xs) * sum(ys.values())

    assert f(*map(jnp.array, (1.0, 2.0, 3.0)), a=jnp.array(4.0)) == 20.0


def test_donated_args_are_deleted():
    @jit
    def f(*xs: annotax.Donate[Array]):
        return tuple(x + 1 for x in xs)

    xs = jnp.ones(2), jnp.ones(2)
    f(*xs)
    assert all(x.is_deleted() for x in xs)


# --- the face looks like the function --------------------------------------------------------------------------------

SIGNATURES = {
    "nothing": "()",
    "positional": "(a, b)",
    "positional only": "(a, b=1.0, /)",
    "positional only and more": "(a, /, b, *, c)",
    "defaults": "(a, b=1.0, c=2.0)",
    "keyword only": "(*, a, b=1.0)",
    "a keyword-only default before one without": "(*, a=1.0, b)",
    "args": "(*args)",
    "args and keyword only": "(a, *args, b, c=1.0)",
    "kwargs": "(a, **kwargs)",
    "all": "(a, /, b, c=1.0, *args, d, e=2.0, **kwargs)",
    "positional only and args": "(a, /, *args)",
    "positional only and kwargs": "(a, /, **kwargs)",
}


@pytest.mark.parametrize("text", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("decorator", [jit, transform()], ids=["jit", "nothing"])
def test_the_signature_is_the_functions_own(decorator, text):
    namespace = {}
    exec(f"def f{text.replace('*args', '*args: int').replace('**kwargs', '**kwargs: int')} -> float: ...", namespace)
    f = namespace["f"]
    face = decorator(f)
    assert inspect.signature(face) == inspect.signature(f)
    own = inspect.signature(face, follow_wrapped=False)
    assert [(p.name, p.kind, p.default) for p in own.parameters.values()] == [
        (p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()
    ]


def _documented(x: Array, n: Static[int] = 2, *, by: NoDiff[float] = 1.0) -> Array:
    """Do a thing.

    In two paragraphs.
    """
    return x


_documented.note = "kept"


@pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)
@pytest.mark.parametrize("attribute", ["__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "note"])
def test_the_face_has_the_functions_attributes(decorator, attribute):
    assert getattr(decorator(_documented), attribute) == getattr(_documented, attribute)


@pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)
@pytest.mark.parametrize("attribute", ["__name__", "__qualname__", "__module__"])
def test_the_face_of_a_local_function_or_a_lambda_has_its_names(decorator, attribute):
    def step(x: Array):
        return x

    for function in (step, lambda x: x):
        assert getattr(decorator(function), attribute) == getattr(function, attribute)


@pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)
def test_the_wrapped_function_is_the_users_own(decorator):
    assert decorator(_documented).__wrapped__ is _documented


def test_the_attributes_of_a_face_are_copied_to_a_plain_dict():
    copied = copy.copy(vars(jit(_documented)))
    assert type(copied) is dict
    assert copied["note"] == "kept"
    assert "lower" in copied


def test_the_wrapped_function_of_a_stack_of_decorators_is_the_users_own():
    assert jit(grad(_documented, wrt="x")).__wrapped__ is _documented


@pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)
def test_help_shows_the_signature_and_the_docstring(decorator, capsys):
    help(decorator(_documented))
    text = capsys.readouterr().out
    assert "_documented(" in text
    assert "Annotated[int, Static] = 2" in text
    assert "In two paragraphs." in text


def test_a_face_is_a_plain_function():
    assert inspect.isfunction(jit(_documented))


def test_the_function_itself_is_left_as_it_was():
    def f(x, *, n: Static[int] = 2):
        return x * n

    before = (f.__code__, f.__defaults__, dict(f.__kwdefaults__), dict(f.__annotations__), inspect.signature(f))
    jit(f)(1.0)
    assert (f.__code__, f.__defaults__, f.__kwdefaults__, f.__annotations__, inspect.signature(f)) == before
    assert f(2.0) == 4.0


def test_a_face_has_type_hints_of_its_own_to_read():
    assert inspect.get_annotations(jit(_documented)) == inspect.get_annotations(_documented)


def test_a_face_of_a_partial_has_the_signature_that_is_left():
    face = jit(functools.partial(_documented, n=3))
    assert str(inspect.signature(face)) == str(inspect.signature(functools.partial(_documented, n=3)))


# --- names that could collide ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "_annotax_", "_annotax_call", "__annotax_call", "_annotax_error", "_annotax_function", "function", "call",
        "slots", "self", "cls", "args", "kwargs", "core", "face", "Exception", "tuple", "type", "match", "case", "_",
        "__", "__name__", "print", "x1", "é", "变量", "step", "structures", "typechecker", "wrt",
    ],
)  # fmt: skip
@pytest.mark.parametrize("decorator", DECORATORS, ids=NAMES)
def test_a_parameter_of_any_name_works(decorator, name):
    namespace = {"Static": Static}
    exec(f"def step({name}, *, n: Static[int] = 2): return {name} ** n", namespace)
    face = decorator(namespace["step"])
    expected = {"jit": 9.0, "nothing": 9.0}.get(NAMES[DECORATORS.index(decorator)], 6.0)
    assert face(3.0) == expected
    assert face(**{name: 3.0}) == expected


@pytest.mark.parametrize("name", ["_annotax_call", "__annotax_call", "_annotax_error", "Exception", "tuple"])
def test_a_keyword_of_any_name_passes_through_kwargs(name):
    @jit
    def step(x, **kwargs):
        return x + kwargs[name]

    assert step(1.0, **{name: 2.0}) == 3.0


def test_a_keyword_named_like_a_positional_only_parameter_passes_through_kwargs():
    @jit
    def step(x, /, **kwargs):
        return x - kwargs["x"]

    assert step(3.0, x=2.0) == 1.0


def test_parameters_that_shadow_every_builtin_work():
    names = [
        name for name in dir(builtins) if name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"
    ]
    namespace = {}
    exec(f"def step({', '.join(names)}): return {names[0]} + {names[-1]}", namespace)
    assert jit(namespace["step"])(*range(len(names))) == len(names) - 1


@pytest.mark.parametrize("kind", ["positional", "keyword only"])
def test_a_function_of_255_parameters_works(kind):
    names = [f"p{i}" for i in range(255)]
    namespace = {}
    star = "*, " if kind == "keyword only" else ""
    exec(f"def step({star}{', '.join(names)}): return p0 + 2 * p254", namespace)
    face = jit(namespace["step"])
    assert face(**{name: float(i) for i, name in enumerate(names)}) == 508.0
    if kind == "positional":
        assert face(*map(float, range(255))) == 508.0
        assert grad(namespace["step"], wrt=-1)(*map(float, range(255))) == 2.0


def test_a_function_of_no_parameters_works():
    assert jit(lambda: jnp.ones(2))().shape == (2,)


def test_a_function_that_is_named_like_a_keyword_works():
    def f(x):
        return x

    f.__name__ = f.__qualname__ = "class"
    assert jit(f)(1.0) == 1.0


def test_a_function_whose_name_holds_a_quote_works():
    def f(x):
        return x

    f.__name__ = f.__qualname__ = "a'b\"c\n"
    assert jit(f)(1.0) == 1.0


# --- what JAX and Python say -----------------------------------------------------------------------------------------


def test_messages_of_jax_have_the_real_parameter_names():
    @jit
    def step(state, *, flag):
        return state if flag else -state

    with pytest.raises(jax.errors.TracerBoolConversionError, match="the argument flag"):
        step(1.0, flag=True)


def test_messages_of_jax_name_the_function_and_its_file():
    @jit
    def step(state, *, flag):
        return state if flag else -state

    with pytest.raises(jax.errors.TracerBoolConversionError, match=r"step at .*test_normal\.py:\d+"):
        step(1.0, flag=True)


def test_a_lowered_function_has_the_name_of_the_function():
    assert "jit__every_kind" in jit(_every_kind).lower(1.0, 2.0, d=3.0).as_text()


def test_generated_source_can_be_shown_in_a_traceback():
    @jit
    def step(x):
        raise ValueError("from the function")

    before = jax.config.jax_traceback_filtering
    jax.config.update("jax_traceback_filtering", "off")
    try:
        with pytest.raises(ValueError, match="from the function") as info:
            step(1.0)
    finally:
        jax.config.update("jax_traceback_filtering", before)
    generated = [
        frame for frame in traceback.extract_tb(info.value.__traceback__) if frame.filename.startswith("<annotax")
    ]
    assert generated
    assert all(frame.line for frame in generated)
    assert {frame.name for frame in generated} == {"step"}


def test_profilers_see_the_name_of_the_function():
    assert jit(_every_kind).__code__.co_name == "_every_kind"
    assert jit(lambda x: x).__code__.co_name == "function"


def test_an_error_of_the_function_passes_through_as_it_is():
    error = KeyError("mine")

    @transform(jit, grad)
    def step(x):
        raise error

    with pytest.raises(KeyError) as info:
        step(1.0)
    assert info.value is error
    assert info.value.__context__ is None


def test_making_a_face_many_times_does_not_grow_the_line_cache():
    def f(x):
        return x

    jit(f)
    before = len(linecache.cache)
    for _ in range(10):
        jit(f)
    assert len(linecache.cache) == before


def test_every_permutation_of_keywords_binds():
    @jit
    def f(a, b, c, *, d):
        return a + 10 * b + 100 * c + 1000 * d

    values = {"a": 1, "b": 2, "c": 3, "d": 4}
    for order in itertools.permutations(values):
        assert f(**{name: values[name] for name in order}) == 4321
