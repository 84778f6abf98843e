"""One small bundle for all tests of serving; nobody may change it."""

import pytest

from musicrec.bundle import load_bundle
from tests.support.served import make_project


@pytest.fixture(scope="package")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="package")
def bundle(project):
    return load_bundle(project / "bundle")
