"""Small synthetic plays, factors and baselines, and how they are judged; nobody changes them."""

import pytest

from musicrec.evaluate.run import evaluate
from musicrec.params import EvaluateParams
from tests.support.indexed_data import make_plays, write_baselines, write_factors, write_indexed

PARAMS = EvaluateParams(k=(5, 10, 200), bootstrap_samples=200)


@pytest.fixture(scope="package")
def plays():
    return make_plays()


@pytest.fixture(scope="package")
def folder(tmp_path_factory, plays):
    folder = tmp_path_factory.mktemp("pipeline")
    write_indexed(folder / "indexed", plays)
    users, items = plays.users.copy(), plays.items.copy()
    users[7] = 0  # as if all of this user's plays had fallen to feedback.min_count
    items[5] = 0
    write_factors(folder / "factors", users, items)
    write_baselines(folder, PARAMS)
    return folder


@pytest.fixture(scope="package")
def evaluation(folder):
    return evaluate(folder / "indexed", folder / "factors", folder / "baselines", PARAMS)
