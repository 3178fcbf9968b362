"""What several test modules share."""

import gc
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import annotax


def pytest_collection_finish() -> None:
    """Keep what is loaded by now out of the collections that many tests ask for: they would walk all of JAX."""
    gc.collect()
    gc.freeze()


class _Reading(annotax.Transform):
    """A transform that changes nothing and keeps the contract that it is shown."""

    def __init__(self) -> None:
        self.contract: annotax.Contract | None = None

    def check(self, contract: annotax.Contract) -> annotax.Contract:
        self.contract = contract
        return contract

    def apply(self, core: Any, contract: annotax.Contract) -> tuple[Any, annotax.Contract]:
        return core, self.check(contract)


@pytest.fixture(scope="session")
def script_of_docs() -> Callable[[str], ModuleType]:
    """A function that loads a script that writes pages of docs/, `generate_errors` for one."""

    def script_of_docs(name: str) -> ModuleType:
        path = Path(__file__).parent.parent / "docs" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where its dataclasses look up their hints
        spec.loader.exec_module(module)
        return module

    return script_of_docs


@pytest.fixture
def contract_of() -> Callable[[Any], annotax.Contract]:
    """A function that returns the contract of a function, as a transform is shown it at decoration."""

    def contract_of(function: Any) -> annotax.Contract:
        reading = _Reading()
        reading(function)
        assert reading.contract is not None, "a hint could not be read at decoration"
        return reading.contract

    return contract_of


@pytest.fixture
def markers_of(contract_of: Callable[[Any], annotax.Contract]) -> Callable[[Any], dict[str, list[Any]]]:
    """A function that returns the markers on each parameter of a function, those inferred left out."""

    def markers_of(function: Any) -> dict[str, list[Any]]:
        return {p.name: [role.marker for role in p.roles if not role.inferred] for p in contract_of(function)}

    return markers_of


@pytest.fixture
def inferred_of(contract_of: Callable[[Any], annotax.Contract]) -> Callable[[Any], dict[str, list[Any]]]:
    """A function that returns the markers that annotax inferred for each parameter of a function."""

    def inferred_of(function: Any) -> dict[str, list[Any]]:
        return {p.name: [role.marker for role in p.roles if role.inferred] for p in contract_of(function)}

    return inferred_of
