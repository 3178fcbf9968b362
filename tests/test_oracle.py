"""annotax agrees with plain JAX on drawn functions, calls and pipelines; `tests.oracle` says how they are drawn."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import annotax
from tests.oracle import PIPELINES, agree, cases, contradict, contradictions, explore

ON_DEVICES = ["jit", "jit value_and_grad", "shard_map", "pmap"]


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have XLA compile equal programs once: most of those of annotax are equal to those of plain JAX."""
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.parametrize("kinds", PIPELINES, ids=lambda kinds: "-".join(kind.name for kind in kinds))
def test_every_spelling_of_a_call_gives_what_plain_jax_gives_and_shares_its_trace(kinds):
    explore(cases(kinds), agree, examples=4 if len(kinds) == 1 else 3, seed=PIPELINES.index(kinds))


def test_contradictory_markers_raise_at_decoration_and_the_message_names_the_parameter():
    explore(contradictions(), contradict, examples=150, seed=0)


def test_the_same_holds_on_two_devices_where_results_are_laid_out_as_those_of_plain_jax():
    command = [sys.executable, "-m", "tests.oracle", "--examples", "24", "--seed", "0", "--only", *ON_DEVICES]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "24  cases in" in run.stdout
    assert "mismatches: 0" in run.stdout


@pytest.mark.parametrize("depth", [1, 3])
def test_every_transform_is_drawn_alone_and_in_pipelines_of_three(depth):
    exported = {name for name in annotax.__all__ if isinstance(getattr(annotax, name), annotax.Transform)}
    called = {"vjp", "jvp", "linearize", "eval_shape"}
    drawn = {kind.name for kinds in PIPELINES if len(kinds) == depth for kind in kinds}
    assert drawn == (exported | called) - {"remat", "jacobian"}  # drawn as other names
