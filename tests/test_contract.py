"""The contract: what is read from whatever a user may hand to a decorator.

Hints here are objects, or strings where a test writes them so; `test_contract_postponed` holds what
`from __future__ import annotations` turns into strings.
"""

import dataclasses
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import Diff, Donate, MarkerError, NoDiff, Static
from annotax._contract import without_first

T = TypeVar("T")
Count = Static[int]


def fill(x: Array, n: Static[int] = 2) -> Array:
    """A function whose result shows whether `n` was static: only then it can be a shape."""
    return jnp.full((n,), x)


# --- the records -----------------------------------------------------------------------------------------------------


def test_the_contract_has_one_record_a_parameter_in_the_order_of_the_signature(contract_of):
    def f(a, /, b: NoDiff[Array], *c: Array, d: Static[int] = 3, **e: Array) -> Array: ...

    contract = contract_of(f)
    assert contract.names == ("a", "b", "c", "d", "e")
    assert [p.kind for p in contract] == [p.kind for p in inspect.signature(f).parameters.values()]
    assert [p.default for p in contract] == [inspect.Parameter.empty] * 3 + [3, inspect.Parameter.empty]


def test_a_role_says_that_it_was_marked(contract_of):
    def f(n: Static[int]): ...

    (role,) = contract_of(f).parameters[0].roles
    assert (role.marker, role.inferred) == (Static, False)
    assert "marked Static" in role.why


def test_a_role_says_that_it_was_inferred_and_why(contract_of):
    def f(name: str): ...

    (role,) = contract_of(f).parameters[0].roles
    assert (role.marker, role.inferred) == (Static, True)
    assert "str can never be traced" in role.why


def test_the_records_are_frozen(contract_of):
    def f(n: Static[int]): ...

    contract = contract_of(f)
    for record in (contract, contract.parameters[0], contract.parameters[0].roles[0], contract.result):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)


def test_the_contract_names_the_function_and_its_place(contract_of):
    def f(x): ...

    contract = contract_of(f)
    assert contract.where == f"{__name__}.f"
    assert contract.source == f"test_contract.py:{f.__code__.co_firstlineno}"


def test_layouts_are_imposed_by_jit_and_by_nothing_else(contract_of):
    assert not contract_of(fill).is_laid_out
    assert not contract_of(annotax.grad(fill)).is_laid_out
    assert contract_of(annotax.jit(fill)).is_laid_out
    assert contract_of(annotax.grad(annotax.jit(fill))).is_laid_out


def test_a_component_of_a_returned_tuple_is_auxiliary_where_it_is_marked(contract_of):
    def f(x) -> tuple[Array, annotax.Aux[dict[str, Array]], int]: ...

    result = contract_of(f).result
    assert [component.is_aux for component in result.components] == [False, True, False]


def test_a_hint_is_read_once_a_function(contract_of):
    reads = []

    def f(n: "reads.append(1) or Static[int]"): ...

    annotax.jit(f)
    annotax.jit(static=[0])(f)
    contract_of(f)
    assert reads == [1]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ((), ()),
        (("x",), ("x",)),
        (("x.weights[0]",), ("x.weights[0]",)),
        ((1, 2), (0, 1)),
        ((-1, "x"), (-1, "x")),
        ((0,), None),
        ((-3,), None),
        (("self",), None),
        (("self.weights",), None),
        (("self[0].bias",), None),
        (("x", 0), None),
    ],
    ids=str,
)
def test_selectors_of_a_method_are_those_of_the_bound_method_one_parameter_further(given, left):
    assert without_first(given, ("self", "x", "n")) == left


def test_without_parameters_there_is_no_first_one_to_leave_out():
    assert without_first((), ()) is None


# --- strings, and names that are hard to find ------------------------------------------------------------------------


def test_a_string_hint_is_read(markers_of):
    def f(n: "Static[int]", x: "Annotated[Array, 'doc', NoDiff]", y: Donate["Array"]): ...

    assert markers_of(f) == {"n": [Static], "x": [NoDiff], "y": [Donate]}


def test_an_alias_local_to_the_enclosing_function_is_read(markers_of):
    Local = Static[int]

    def f(n: "Local"): ...

    assert Local
    assert markers_of(f) == {"n": [Static]}


def test_a_name_of_an_outer_enclosing_function_is_read(markers_of):
    Outermost = NoDiff[int]

    def outer():
        def inner():
            def f(n: "Outermost"): ...

            return markers_of(f)

        return inner()

    assert Outermost
    assert outer() == {"n": [NoDiff]}


def test_the_inner_of_two_enclosing_names_is_read(markers_of):
    Local = NoDiff[int]

    def outer():
        Local = Static[int]

        def f(n: "Local"): ...

        assert Local
        return markers_of(f)

    assert Local
    assert outer() == {"n": [Static]}


def test_a_local_name_shadows_a_global_one(markers_of):
    Count = NoDiff[int]

    def f(n: "Count"): ...

    assert Count
    assert markers_of(f) == {"n": [NoDiff]}


def test_a_global_name_that_an_enclosing_function_uses_too_is_read_at_decoration(markers_of):
    assert Static[int] == Count

    def f(x: Array, n: "Count"): ...

    assert markers_of(f) == {"x": [], "n": [Static]}


def test_a_closed_over_name_is_read_after_the_enclosing_function_has_returned(markers_of):
    def outer():
        Local = Static[int]

        def f(n: "Local"):
            return Local

        return f

    assert markers_of(outer()) == {"n": [Static]}


def test_a_local_name_that_is_gone_raises_at_the_first_call_for_it_may_hide_a_marker():
    def outer():
        Local = Static[int]

        def f(n: "Local"):
            return n

        assert Local
        return f

    f = annotax.jit(outer())
    with pytest.raises(MarkerError, match=r"(?s)hint 'Local' of parameter n.*Local.*may hide a marker"):
        f(1)


def test_an_alias_in_the_body_of_a_class_is_read_by_its_methods():
    class Model:
        Size = Static[int]

        @staticmethod
        @annotax.jit
        def fill(x: Array, n: "Size"):
            return jnp.full((n,), x)

    assert Model.fill(1.0, 3).shape == (3,)


class Outer:
    """Its methods have hints that only its body and that of the class inside give a meaning."""

    Size = Static[int]

    def fill(x: Array, n: "Size"):
        return jnp.full((n,), x)

    class Inner:
        Length = Static[int]

        def fill(x: Array, n: "Length"):
            return jnp.full((n,), x)


@pytest.mark.parametrize("owner", [Outer, Outer.Inner])
def test_an_alias_in_the_body_of_a_class_is_read_when_its_method_is_decorated_later(owner):
    assert annotax.jit(owner.fill)(1.0, 3).shape == (3,)


def test_a_name_defined_after_the_decorator_is_read_at_the_first_call():
    module = _run("""
        @annotax.jit
        def fill(x, n: "Later"):
            return jnp.full((n,), x)

        Later = Static[int]
    """)
    assert module["fill"](1.0, 3).shape == (3,)


def test_a_name_that_is_defined_only_after_a_failed_call_is_read_at_the_next():
    module = _run("""
        @annotax.jit
        def fill(x, n: "Later"):
            return jnp.full((n,), x)
    """)
    with pytest.raises(MarkerError, match="Later"):
        module["fill"](1.0, 3)
    module["Later"] = Static[int]
    assert module["fill"](1.0, 3).shape == (3,)


def test_a_name_that_turns_out_to_be_something_else_leaves_its_hint_open():
    module = _run("""
        @annotax.jit
        def first(x: list["Later.Part"]) -> list["Later.Part"]:
            return [2.0 * x[0]]

        class Later:
            pass
    """)
    assert module["first"]([1.0]) == [2.0]


def test_a_contradiction_in_a_forward_reference_is_found_at_the_first_call():
    module = _run("""
        @annotax.jit
        def f(x, n: "Later"):
            return x

        Later = Static[Donate[int]]
    """)
    with pytest.raises(MarkerError, match="parameter n is both Static and Donate"):
        module["f"](1.0, 3)


def test_a_type_known_only_to_the_type_checker_leaves_its_marker_readable(markers_of):
    def f(x: "NoDiff[OnlyForTheChecker]", y: NoDiff["OnlyForTheChecker"], n: "Static[mod.Thing | None]"): ...  # noqa: F821

    assert markers_of(f) == {"x": [NoDiff], "y": [NoDiff], "n": [Static]}


def test_a_value_of_a_type_known_only_to_the_type_checker_is_not_checked():
    @annotax.jit
    def f(x: "NoDiff[OnlyForTheChecker]", y: "list[OnlyForTheChecker]"):  # noqa: F821
        return x

    assert f(1.0, [2.0]) == 1.0


def test_the_container_around_an_unknown_type_is_still_checked():
    @annotax.jit
    def f(x: "list[OnlyForTheChecker]"):  # noqa: F821
        return x

    with pytest.raises(annotax.CheckError, match="argument x"):
        f(1.0)


def test_a_forward_reference_to_the_class_being_defined_is_read_at_the_first_call():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Model:
        w: Array

        @annotax.jit
        def plus(self, other: "Model") -> "Model":
            return Model(self.w + other.w)

    assert Model(jnp.ones(2)).plus(Model(jnp.ones(2))).w.tolist() == [2.0, 2.0]


def test_a_marker_around_the_class_being_defined_is_read():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Model:
        w: Array

        @annotax.grad
        def loss(self, target: NoDiff["Model"]) -> Array:
            return jnp.sum((self.w - target.w) ** 2)

    assert Model(jnp.ones(2)).loss(Model(jnp.zeros(2))).w.tolist() == [2.0, 2.0]


def test_self_is_read_as_the_class():
    @dataclasses.dataclass(frozen=True)
    class Model:
        n: int

        @annotax.jit
        def fill(self: Static[Self], x: Array) -> Array:
            return jnp.full((self.n,), x)

        @annotax.jit
        def chosen(self: "Static[Self]", other: "Static[Self]", x: Array) -> Array:
            return jnp.full((self.n + other.n,), x)

    assert Model(3).fill(1.0).shape == (3,)
    assert Model(3).chosen(Model(2), 1.0).shape == (5,)


# --- callables of every sort -----------------------------------------------------------------------------------------


def test_a_lambda_is_a_function():
    assert annotax.jit(lambda x, n=2: x * n)(3.0) == 6.0


def test_a_partial_keeps_the_markers_of_the_parameters_that_are_left(markers_of):
    def f(x: NoDiff[Array], y: Donate[Array], n: Static[int]): ...

    assert markers_of(functools.partial(f, 1.0)) == {"y": [Donate], "n": [Static]}


def test_a_keyword_of_a_partial_is_a_default_with_its_marker():
    filled = annotax.jit(functools.partial(fill, n=3))
    assert filled(1.0).shape == (3,)
    assert filled(1.0, n=4).shape == (4,)


def test_a_positional_argument_of_a_partial_is_a_constant():
    def f(n, x):
        return jnp.full((n,), x)

    assert annotax.jit(functools.partial(f, 3))(1.0).shape == (3,)


def test_a_partial_of_a_partial_keeps_its_markers():
    assert annotax.jit(functools.partial(functools.partial(fill, n=2), n=3))(1.0).shape == (3,)


def test_a_partial_of_a_decorated_function_can_be_decorated():
    assert annotax.jit(functools.partial(annotax.jit(fill), n=3))(1.0).shape == (3,)


def test_a_callable_object_has_the_markers_of_its_call():
    class Filling:
        def __call__(self, x: Array, n: Static[int]) -> Array:
            return jnp.full((n,), x)

    assert annotax.jit(Filling())(1.0, 3).shape == (3,)


def test_a_callable_object_is_a_constant():
    class Power:
        def __init__(self, n):
            self.n = n

        def __call__(self, x: Array) -> Array:
            return x**self.n

    assert annotax.grad(Power(3))(2.0) == 12.0


def test_a_module_of_equinox_is_a_callable_object():
    layer = eqx.nn.Linear(2, 3, key=jax.random.key(0))
    assert annotax.jit(layer)(jnp.ones(2)).shape == (3,)


def test_a_method_of_a_module_of_equinox_traces_the_module():
    class Model(eqx.Module):
        w: Array

        @annotax.jit
        def scaled(self, x: Array, *, n: Static[int]) -> Array:
            return jnp.full((n,), self.w * x)

    assert Model(jnp.array(2.0)).scaled(3.0, n=2).tolist() == [6.0, 6.0]


def test_a_bound_method_of_a_module_of_equinox_can_be_decorated():
    class Model(eqx.Module):
        w: Array

        def scaled(self, x: Array, *, n: Static[int]) -> Array:
            return jnp.full((n,), self.w * x)

    assert annotax.jit(Model(jnp.array(2.0)).scaled)(3.0, n=2).tolist() == [6.0, 6.0]


def test_a_class_can_be_decorated_where_its_instances_are_pytrees():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Model:
        w: Array

    assert annotax.jit(Model)(1.0).w == 1.0


def test_a_wrapper_that_takes_anything_has_the_markers_of_what_it_wraps(markers_of):
    @logged
    @logged
    def f(x: NoDiff[Array], *, n: Static[int]): ...

    assert markers_of(f) == {"x": [NoDiff], "n": [Static]}


def test_a_wrapper_that_takes_anything_is_called():
    @annotax.jit
    @doubled
    def f(x: Array, *, n: Static[int]) -> Array:
        return jnp.full((n,), x)

    assert f(1.0, n=2).tolist() == [2.0, 2.0]


def test_a_wrapper_with_the_same_parameters_has_the_markers_of_what_it_wraps(markers_of):
    def f(x: NoDiff[Array], *, n: Static[int] = 1): ...

    @functools.wraps(f)
    def wrapper(x, *, n=1):
        return f(x, n=n)

    assert markers_of(wrapper) == {"x": [NoDiff], "n": [Static]}


def test_a_wrapper_without_wraps_has_its_own_markers(markers_of):
    def wrapper(x: NoDiff[Array], n: Static[int]):
        return fill(x, n)

    assert markers_of(wrapper) == {"x": [NoDiff], "n": [Static]}


def test_a_signature_attribute_is_believed(markers_of):
    def f(*args, **kwargs): ...

    f.__signature__ = inspect.Signature(
        [inspect.Parameter("n", inspect.Parameter.KEYWORD_ONLY, annotation=Static[int])]
    )
    assert markers_of(f) == {"n": [Static]}


def test_a_cached_function_has_the_markers_of_what_it_caches(markers_of):
    assert markers_of(functools.lru_cache(fill)) == {"x": [], "n": [Static]}


def test_a_type_variable_of_a_function_does_not_hide_a_marker(markers_of):
    def f(x: T, n: Static[T]) -> T: ...

    assert markers_of(f) == {"x": [], "n": [Static]}


# --- methods ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config:
    """A class whose objects are constants by value."""

    n: int

    @annotax.jit
    def method(self, x: Array) -> Array:
        return jnp.full((self.n,), x)

    @annotax.jit
    @staticmethod
    def static_inside(x: Array, n: Static[int] = 2) -> Array:
        return jnp.full((n,), x)

    @staticmethod
    @annotax.jit
    def static_outside(x: Array, n: Static[int] = 2) -> Array:
        return jnp.full((n,), x)

    @annotax.jit
    @classmethod
    def class_inside(cls, x: Array, n: Static[int] = 2) -> Array:
        return jnp.full((cls(n).n,), x)

    @classmethod
    @annotax.jit
    def class_outside(cls, x: Array, n: Static[int] = 2) -> Array:
        return jnp.full((cls(n).n,), x)

    @annotax.transform(annotax.jit, annotax.grad)
    def slope(self, x: Array, *, n: Static[int] = 2) -> Array:
        return x ** (n + self.n)


METHODS = ["static_inside", "static_outside", "class_inside", "class_outside"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("owner", [Config, Config(1)], ids=["of the class", "of an object"])
def test_a_static_or_class_method_works_in_either_order_of_decorators(owner, name):
    assert getattr(owner, name)(1.0).shape == (2,)
    assert getattr(owner, name)(1.0, n=3).shape == (3,)


def test_a_method_is_called_on_its_object():
    assert Config(3).method(1.0).shape == (3,)
    assert Config(4).method(x=1.0).shape == (4,)


def test_a_method_is_called_through_its_class():
    assert Config.method(Config(3), 1.0).shape == (3,)


def test_an_object_that_is_a_constant_has_no_gradient():
    assert Config(1).slope(2.0, n=2) == (None, 12.0)


def test_a_bound_method_can_be_decorated_where_its_object_could_not_be_traced():
    class Trainer:
        def __init__(self):
            self.rate = 0.5

        def step(self, x: Array, *, n: Static[int]) -> Array:
            return jnp.full((n,), x * self.rate)

    assert annotax.jit(Trainer().step)(4.0, n=2).tolist() == [2.0, 2.0]


def test_an_inherited_method_is_called_on_the_object_of_the_subclass():
    class Wide(Config):
        pass

    assert Wide(5).method(1.0).shape == (5,)
    assert Wide.class_outside(1.0).shape == (2,)


def test_an_overriding_method_reaches_the_decorated_one_by_super():
    class Doubled(Config):
        @annotax.jit
        def method(self, x):
            return 2 * super().method(x)

    assert Doubled(2).method(1.0).tolist() == [2.0, 2.0]


def test_a_decorated_method_of_an_object_can_be_decorated_again():
    assert annotax.jit(Config(2).slope)(2.0, n=1) == 12.0


def test_a_method_in_slots_is_called():
    class Slotted:
        __slots__ = ("n",)

        def __init__(self, n):
            self.n = n

        def fill(self, x: Array) -> Array:
            return jnp.full((self.n,), x)

    assert annotax.jit(Slotted(3).fill)(1.0).shape == (3,)


# --- what JAX has transformed already --------------------------------------------------------------------------------


def test_a_vmapped_function_keeps_its_markers_and_is_not_checked():
    def f(x: float, n: Static[int]) -> float:
        return x * n

    mapped = annotax.jit(jax.vmap(f, in_axes=(0, None)))
    assert mapped(jnp.arange(3.0), 2).tolist() == [0.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "layer",
    [lambda f: jax.jit(f, static_argnums=1), lambda f: jax.checkpoint(f, static_argnums=1)],
    ids=["jit", "checkpoint"],
)
def test_a_function_that_jax_transformed_keeps_its_markers(layer):
    assert annotax.jit(layer(fill))(1.0, n=3).shape == (3,)


def test_a_function_that_jax_differentiated_keeps_its_markers():
    def f(x: Array, n: Static[int]) -> Array:
        return sum([x] * n)

    assert annotax.jit(jax.grad(f))(1.0, n=3) == 3.0


@pytest.mark.parametrize(
    "layer", [jax.jit, jax.grad, jax.vmap, jax.checkpoint, jax.custom_jvp, jax.custom_vjp], ids=lambda f: f.__name__
)
def test_the_hints_of_a_function_that_jax_transformed_do_not_describe_its_values(contract_of, layer):
    def f(x: float) -> float:
        return x

    assert contract_of(f).is_checked
    assert not contract_of(layer(f)).is_checked


def test_a_function_of_jax_numpy_can_be_compiled():
    assert annotax.jit(jnp.tanh)(0.0) == 0.0


def test_a_custom_derivative_rule_is_kept():
    @jax.custom_jvp
    def f(x: Array) -> Array:
        return x

    f.defjvp(lambda primals, tangents: (primals[0], 5.0 * tangents[0]))
    assert annotax.grad(f)(1.0) == 5.0


# --- newer Python ----------------------------------------------------------------------------------------------------

needs_312 = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="`type` statements and type parameters came with 3.12"
)
needs_314 = pytest.mark.skipif(sys.version_info < (3, 14), reason="deferred annotations (PEP 649) came with 3.14")


@needs_312
def test_a_type_statement_carries_its_marker():
    module = _run("""
        type Count = Annotated[int, Static]

        @annotax.jit
        def fill(x, n: Count):
            return jnp.full((n,), x)
    """)
    assert module["fill"](1.0, 3).shape == (3,)


@needs_312
def test_a_generic_type_statement_carries_its_marker():
    module = _run("""
        type Constant[T] = Annotated[T, Static]

        @annotax.jit
        def fill(x, n: Constant[int]):
            return jnp.full((n,), x)
    """)
    assert module["fill"](1.0, 3).shape == (3,)


@needs_312
def test_a_type_statement_may_name_what_is_defined_later():
    module = _run("""
        type Frozen = NoDiff[Later]

        @annotax.grad
        def f(x, y: Frozen):
            return x * y

        Later = float
    """)
    assert module["f"](2.0, 3.0) == 3.0


@needs_312
def test_a_type_parameter_of_the_function_is_known_in_its_string_hints(markers_of):
    module = _run("""
        def f[T](x: "NoDiff[T]", n: "Static[int]") -> "T":
            return x
    """)
    assert markers_of(module["f"]) == {"x": [NoDiff], "n": [Static]}


@needs_314
def test_a_deferred_annotation_that_names_what_is_defined_later_is_read_at_the_first_call():
    module = _run("""
        @annotax.jit
        def fill(x, n: Later):
            return jnp.full((n,), x)

        Later = Static[int]
    """)
    assert module["fill"](1.0, 3).shape == (3,)


@needs_314
def test_a_deferred_annotation_is_readable_around_a_type_known_only_to_the_type_checker(markers_of):
    module = _run("""
        def f(x: NoDiff[OnlyForTheChecker]):
            return x
    """)
    assert markers_of(module["f"]) == {"x": [NoDiff]}


# --- what the tests above use ----------------------------------------------------------------------------------------


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return 2 * function(*args, **kwargs)

    return wrapper


def _run(source: str) -> dict[str, Any]:
    """Run the source of a module and return its namespace."""
    namespace = {
        "__name__": "written_by_a_test", "annotax": annotax, "jnp": jnp, "Annotated": Annotated,
        "Static": Static, "NoDiff": NoDiff, "Donate": Donate, "Diff": Diff,
    }  # fmt: skip
    exec(textwrap.dedent(source), namespace)
    return namespace
