"""The contract under `from __future__ import annotations`, where every hint is a string."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Annotated, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import Array
from typing_extensions import TypeAliasType

import annotax
from annotax import Aux, CheckError, Donate, MarkerError, NoDiff, Static

if TYPE_CHECKING:
    from somewhere import Params

Count = TypeAliasType("Count", Annotated[int, Static])


def test_markers_are_read(markers_of):
    def f(x: Annotated[Array, "doc", NoDiff], *, y: Donate[NoDiff[Array]], n: Static[int] = 2) -> Array: ...

    assert markers_of(f) == {"x": [NoDiff], "y": [NoDiff, Donate], "n": [Static]}


def test_an_alias_of_a_module_is_read(markers_of):
    def f(n: Count): ...

    assert markers_of(f) == {"n": [Static]}


def test_an_alias_local_to_the_enclosing_function_is_read(markers_of):
    S = Static

    def f(n: S[int]): ...

    assert markers_of(f) == {"n": [Static]}


def test_a_local_alias_is_read_by_a_decorator_in_place():
    S = Static

    @annotax.jit
    def fill(x: Array, n: S[int]) -> Array:
        return jnp.full((n,), x)

    assert fill(1.0, 3).shape == (3,)


def test_a_local_type_is_checked():
    class Batch(eqx.Module):
        x: Array

    @annotax.jit
    def f(batch: Batch) -> Array:
        return batch.x

    assert f(Batch(jnp.ones(()))) == 1.0
    with pytest.raises(CheckError, match="argument batch"):
        f(1.0)


def test_an_unknown_local_hint_of_a_function_whose_scope_is_gone_raises_at_the_first_call():
    def outer():
        S = Static

        def fill(x: Array, n: S[int]) -> Array:
            return jnp.full((n,), x)

        assert S
        return fill

    fill = annotax.jit(outer())
    with pytest.raises(MarkerError, match="parameter n"):
        fill(1.0, 3)


def test_a_name_for_the_type_checker_alone_leaves_markers_readable():
    @annotax.grad
    def loss(w: Array, params: NoDiff[Params], *, history: NoDiff[list[Params] | None] = None) -> Array:
        return w * params["scale"]

    assert loss(2.0, {"scale": 3.0}) == 3.0


def test_a_name_for_the_type_checker_alone_raises_where_it_may_hide_a_marker():
    @annotax.jit
    def f(params: Params) -> Array:
        return params

    with pytest.raises(MarkerError, match=r"(?s)hint 'Params' of parameter params.*fix.*NoDiff\['Name'\]"):
        f(1.0)


def test_a_result_for_the_type_checker_alone_raises_where_it_may_hide_aux():
    @annotax.value_and_grad
    def f(x: Array) -> Params:
        return x

    with pytest.raises(MarkerError, match="hint 'Params' of the result"):
        f(1.0)


def test_aux_is_read_in_the_result():
    @annotax.grad
    def f(x: Array) -> tuple[Array, Aux[dict[str, Array]]]:
        return x**2, {"x": x}

    gradient, aux = f(3.0)
    assert (gradient, aux["x"]) == (6.0, 3.0)


def test_methods_see_the_class_being_defined():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Model:
        w: Array

        @annotax.jit
        def plus(self, other: Model, *, n: Static[int] = 1) -> Model:
            return Model(self.w + n * other.w)

        @annotax.grad
        def loss(self, target: NoDiff[Model]) -> Array:
            return (self.w - target.w) ** 2

        @classmethod
        @annotax.jit
        def zeros(cls, n: Static[int]) -> Model:
            return cls(jnp.zeros(n))

    assert Model(1.0).plus(Model(2.0), n=2).w == 5.0
    assert Model(1.0).loss(Model(0.0)).w == 2.0
    assert Model.zeros(3).w.shape == (3,)


def test_self_is_read():
    @dataclasses.dataclass(frozen=True)
    class Config:
        n: int

        @annotax.jit
        def fill(self: Static[Self], x: Array) -> Array:
            return jnp.full((self.n,), x)

    assert Config(3).fill(1.0).shape == (3,)


def test_a_partial_and_a_wrapper_are_read(markers_of):
    def f(x: NoDiff[Array], n: Static[int]): ...

    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    assert markers_of(functools.partial(wrapper, n=2)) == {"x": [NoDiff], "n": [Static]}


def test_a_wrapper_from_a_module_that_does_not_know_the_names_is_read(markers_of):
    namespace = {"functools": functools}
    exec(
        "def logged(f):\n"
        "    @functools.wraps(f)\n"
        "    def wrapper(*args, **kwargs):\n"
        "        return f(*args, **kwargs)\n"
        "    return wrapper\n",
        namespace,
    )

    @namespace["logged"]
    def f(n: Static[int]): ...

    assert markers_of(f) == {"n": [Static]}


def test_a_callable_object_is_read():
    class Filling:
        def __call__(self, x: Array, n: Static[int]) -> Array:
            return jnp.full((n,), x)

    assert annotax.jit(Filling())(1.0, 3).shape == (3,)


def test_a_marker_inside_a_container_raises_at_decoration():
    def f(x: list[Static[int]]): ...

    with pytest.raises(MarkerError, match=r"parameter x has the marker Static"):
        annotax.jit(f)
