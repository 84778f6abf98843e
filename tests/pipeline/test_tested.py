"""What `musicrec tested` knows of runs on the test users."""

from __future__ import annotations

import shutil

import pytest

from musicrec.review.tested import scored_on_test
from musicrec.storage.files import write_json
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


def test_settings_that_the_original_report_scored_are_known(clone: Clone) -> None:
    known = len(scored_on_test(clone.folder))
    folder = clone.folder / "data/original"
    row = {"k": 500, "map": 0.1, "ndcg": 0.2, "recall": 0.3, "precision": 0.4}
    for split in ("test", "validation"):
        about = {"split": split, "als": {"rank": 5}, "feedback": {"min_count": 1}}
        record = {"about": about, "result": {"ranking": row, "spark": row}}
        write_json(folder / f"{split}.json", record)
    try:
        found = scored_on_test(clone.folder)
        assert len(found) == known + 1
        assert found[-1].figures == {"map@500": 0.1, "ndcg@500": 0.2, "recall@500": 0.3}
        assert " original " in clone.run("musicrec", "tested").stdout
    finally:
        shutil.rmtree(folder)
