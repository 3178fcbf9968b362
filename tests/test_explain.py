"""`explain`: what each transform hands to JAX, by parameter name, and what was inferred and why."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import Array

import annotax
from annotax import Aux, Diff, Donate, NoDiff, Static, explain, grad, jit, transform, value_and_grad
from annotax.__main__ import main


def rows(explanation: annotax.Explanation) -> dict[str, str]:
    """The rows of parameters and options by their first column, the others joined."""
    return {row[0]: " ".join(" ".join(row[1:]).split()) for row in explanation.rows if row[0]}


def text(explanation: annotax.Explanation) -> str:
    """The whole text, with runs of blanks made one."""
    return " ".join(str(explanation).split())


def _loss(params: dict[str, Array], x: NoDiff[Array], name: str, *, depth: Static[int] = 2) -> tuple[Array, Aux[Array]]:
    return x, x


def test_it_prints_what_it_returns(capsys):
    explanation = explain(jit(_loss))
    assert capsys.readouterr().out == f"{explanation}\n"


def test_the_title_shows_the_call_and_where_the_function_is_defined():
    line = _loss.__code__.co_firstlineno
    assert str(explain(jit(_loss))).startswith(
        f"_loss(params, x, name, *, depth=2), defined at test_explain.py:{line}\n"
    )


def test_a_compiled_function_shows_what_is_static_by_index_and_by_name():
    assert "jit static_argnums=(2, 3) name, depth" in text(explain(jit(_loss)))


def test_a_compiled_function_shows_what_is_donated_by_index_and_by_name():
    def f(x, state: Donate[Array]):
        return state

    assert "donate_argnums=(1,) state" in text(explain(jit(f)))


def test_a_gradient_shows_what_is_differentiated_by_index_and_by_name():
    def f(a: Diff[Array], b: Array, c: Diff[Array]):
        return a

    assert "grad argnums=(0, 2) a, c" in text(explain(grad(f)))


def test_a_gradient_shows_that_there_is_aux():
    assert "value_and_grad argnums=0 params has_aux=True" in text(explain(value_and_grad(_loss)))


def test_a_pipeline_shows_its_transforms_from_the_outside_in():
    found = text(explain(transform(jit, value_and_grad)(_loss)))
    assert 0 <= found.index("jit static_argnums") < found.index("value_and_grad argnums")


def test_options_that_are_passed_on_are_shown():
    found = text(explain(transform(jit(inline=True, keep_unused=True), grad(holomorphic=True, wrt="params"))(_loss)))
    assert "inline=True" in found
    assert "keep_unused=True" in found
    assert "holomorphic=True" in found


def test_what_is_shown_is_what_jax_is_given(monkeypatch):
    given = {}
    real = jax.jit

    def spy(function, **options):
        given.update(options)
        return real(function, **options)

    monkeypatch.setattr(jax, "jit", spy)
    f = jit(lambda x, y, n: y + 1, static=-1, donate="y", keep_unused=True)
    f(1.0, jnp.ones(2), 2)
    found = text(explain(f))
    assert given
    assert all(f"{name}={value!r}" in found for name, value in given.items())


def test_a_parameter_is_shown_with_its_hint_and_its_markers():
    found = rows(explain(jit(_loss)))
    assert found["params"] == "dict[str, Array] traced"
    assert found["x"] == "Array NoDiff"
    assert found["depth"] == "int Static"


def test_what_was_inferred_is_shown_with_its_reason():
    def f(x, name: str, flag: bool, activation=jnp.tanh):
        return x

    found = rows(explain(transform(jit, grad)(f)))
    assert found["name"] == "str Static, inferred: str can never be traced"
    assert found["flag"] == "bool NoDiff, inferred: bool can never be differentiated"
    assert found["activation"].startswith("no hint Static, inferred: its default, the function")


def test_an_override_is_shown_as_the_reason():
    found = rows(explain(jit(lambda x, n: x, static="n")))
    assert found["n"] == "no hint Static, named by jit(static=...)"


def test_an_auxiliary_component_of_the_result_is_shown():
    assert rows(explain(value_and_grad(_loss)))["result[1]"] == "Array Aux"


def test_what_a_call_has_shown_to_be_static_is_listed():
    f = jit(lambda layer, x: x)
    assert "kind" not in text(explain(f))
    f({"w": 1.0, "kind": "relu"}, 1.0)
    assert "layer['kind'] Static, inferred: 'relu' can never be traced" in text(explain(f))


def test_explaining_runs_and_traces_nothing():
    runs = []

    @transform(jit, grad)
    def f(x):
        runs.append(1)
        return x

    assert str(explain(f)) == str(explain(f))
    assert runs == []


def test_an_array_for_a_default_is_not_printed():
    def f(x, y=None):
        return x

    f.__defaults__ = (jnp.full(3, 12345.0),)
    assert "12345" not in str(explain(jit(f)))


def test_a_transform_of_ones_own_is_listed_by_name():
    @dataclass(frozen=True)
    class Scaled(annotax.Transform):
        factor: float

        def apply(self, core, contract):
            return lambda *slots: self.factor * core(*slots), contract

    found = text(explain(transform(jit, Scaled(2.0), grad)(lambda x: x)))
    assert 0 <= found.index("jit static_argnums") < found.index("Scaled") < found.index("grad argnums=0 x")


def test_a_transform_of_ones_own_says_what_it_gives_to_jax():
    class Mapped(annotax.Transform):
        def apply(self, core, contract):
            return jax.vmap(core), contract

        def given(self, contract):
            return {"in_axes": (0,) * len(contract.parameters)}

    assert "in_axes=(0, 0)" in text(explain(Mapped()(lambda x, y: x)))


def test_a_method_is_explained_through_its_class_and_through_an_object():
    class Model:
        @jit
        def step(self: Static[Any], x: Array, name: str):
            return x

    assert "static_argnums=(0, 2) self, name" in text(explain(Model.step))
    assert "static_argnums=(1,) name" in text(explain(Model().step))


def test_a_hint_that_could_not_be_read_yet_is_read():
    namespace = {"annotax": annotax, "__name__": "written_by_a_test"}
    exec("@annotax.jit\ndef f(n: 'Later'): ...\nLater = annotax.Static[int]\n", namespace)
    assert rows(explain(namespace["f"]))["n"] == "int Static"


def test_an_explanation_is_short_in_a_notebook_that_shows_it_again():
    assert repr(explain(jit(_loss))).startswith("<annotax.Explanation of _loss(")


@pytest.mark.parametrize("function", [_loss, jax.jit(_loss), print], ids=["plain", "jax.jit", "builtin"])
def test_a_function_without_transforms_raises_and_says_what_to_do(function):
    with pytest.raises(annotax.AnnotaxError, match=r"(?s)explain\(\): .*annotax\.explain\(annotax\.jit\(f\)\)"):
        explain(function)


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path):
    """A file with decorated functions, which would print if it were run as a program."""
    path = tmp_path / "model.py"
    path.write_text(
        textwrap.dedent("""
            from __future__ import annotations
            import annotax
            from annotax import NoDiff, Static, jit, value_and_grad

            Size = Static[int]

            @annotax.transform(jit, value_and_grad)
            def loss(w: Weights, x: NoDiff[float], *, n: Size = 2) -> float:
                return w

            class Weights: ...

            class Model:
                @jit
                def step(self, x, n: Static[int]):
                    return x

            def plain(x):
                return x

            if __name__ == "__main__":
                raise SystemExit("was run")
        """)
    )
    return path


def test_the_command_prints_the_explanation(script, capsys):
    assert main(["explain", f"{script}:loss"]) == 0
    found = " ".join(capsys.readouterr().out.split())
    assert found.startswith("loss(w, x, *, n=2), defined at model.py:8")
    assert "jit static_argnums=(2,) n" in found
    assert "value_and_grad argnums=0 w" in found


def test_the_command_explains_a_method(script, capsys):
    assert main(["explain", f"{script}:Model.step"]) == 0
    assert "static_argnums=(2,)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("{script}:nothing", "nothing"),
        ("{script}:Model.nothing", "Model.nothing"),
        ("{script}:plain", "no annotax transforms"),
        ("{script}", "path/to/file.py:function"),
        ("{script}.missing:loss", "no file"),
    ],
    ids=["function", "method", "undecorated", "no function", "file"],
)
def test_the_command_says_in_a_line_what_is_wrong_with_its_target(script, capsys, target, problem):
    assert main(["explain", target.format(script=script)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("annotax: ")
    assert problem in captured.err


def test_the_module_is_a_command(script):
    done = subprocess.run(
        [sys.executable, "-m", "annotax", "explain", f"{script}:loss"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("loss(w, x, *, n=2)")
