"""The builds of the kernel, for the tests that hold them to the same behaviour."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import app.forest


def plain(name: str) -> ModuleType:
    """A module of the application as plain Python, whether or not a compiled one stands beside it."""
    source = Path(app.forest.__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"plain_{name}", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def plain_kernel() -> ModuleType:
    """The kernel as plain Python."""
    return plain("forest")


@pytest.fixture(scope="session")
def plain_surface() -> ModuleType:
    """The price surface as plain Python."""
    return plain("surface")


@pytest.fixture(scope="session")
def plain_features() -> ModuleType:
    """The features as plain Python."""
    return plain("features")


@pytest.fixture(scope="session")
def compiled_kernel() -> ModuleType:
    """The kernel that a C compiler made of the same source."""
    if not app.forest.COMPILED:
        pytest.skip("app.forest is not compiled here; `make kernel` does it where there is a C compiler")
    return app.forest


@pytest.fixture(params=["plain", "compiled"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    """The kernel in each of its builds in turn."""
    build: ModuleType = request.getfixturevalue(f"{request.param}_kernel")
    return build
