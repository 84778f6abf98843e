"""One small bundle for all tests of serving; nobody may change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicrec.bundle import Bundle, load_bundle
from tests.support.served import make_project


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="package")
def bundle(project: Path) -> Bundle:
    return load_bundle(project / "bundle")
