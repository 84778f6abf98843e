"""What `musicrec tested` knows of runs on the test users."""

from __future__ import annotations

import pytest

from musicrec.review.tested import scored_on_test
from tests.pipeline.conftest import Clone

pytestmark = pytest.mark.pipeline


def test_every_setting_scored_on_test_users_is_known(clone: Clone) -> None:
    before = clone.run("musicrec", "tested").stdout
    assert "No setting was scored on test users" in before
    clone.dvc("exp", "run", "-S", "evaluate.split=test", "--name", "judged", "evaluate")
    (one,) = scored_on_test(clone.folder)
    assert one.trained_with and one.trained_with["als"]["rank"] == 4
    shown = clone.run("dvc", "metrics", "show", "--json", "metrics/evaluate.json").stdout
    for name, value in one.figures.items():
        assert f'"{name}": {round(value, 6)}' in shown
    clone.git("checkout", "--quiet", ".")
    clone.dvc("checkout")
    clone.dvc("exp", "remove", "judged")
    text = clone.run("musicrec", "tested").stdout
    assert "differs from params.yaml in\n" in text and " nothing\n" in text
    assert "One setting was scored" in text
