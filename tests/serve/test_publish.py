"""A published bundle is the exported one with its revision, metrics and card."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.serve.bundle import load_bundle
from musicrec.serve.publishing.publish import publish
from musicrec.storage.files import write_json

INTERVALS = [
    {
        "model": model,
        "metric": "map@10",
        "value": value,
        "low": round(value - 0.01, 6),
        "high": round(value + 0.01, 6),
    }
    for model, value in (("als", 0.1), ("popularity", 0.05), ("neighbours", 0.2))
]
DIFFERENCES = [
    {"against": name, "metric": "map@10", "baseline": 0.1, "difference": middle}
    | {"low": middle - 0.01, "high": middle + 0.01, "shown_higher": middle > 0.01}
    for name, middle in (("popularity", 0.05), ("neighbours", -0.1))
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with what evaluate wrote."""
    root = tmp_path / "checkout"
    write_json(root / "plots/evaluate/intervals.json", INTERVALS)
    write_json(root / "plots/evaluate/differences.json", DIFFERENCES)
    write_json(root / "metrics/data.json", {"train_plays": 240})
    lock(root, "same", "same")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def lock(root: Path, exported: str, judged: str) -> None:
    stages = {
        stage: {"deps": [{"path": "data/factors", "md5": md5}]}
        for stage, md5 in (("export", exported), ("evaluate", judged))
    }
    (root / "dvc.lock").write_text(json.dumps({"stages": stages}))


def test_the_copy_answers_alike_and_says_where_it_is_from(
    project: Path, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--bundle", str(project / "bundle"), "--project", str(checkout)]
    assert main(["publish", *words, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == (
        "warning: the model is not shown to beat neighbours; its card says so\n"
    )
    copy, source = load_bundle(tmp_path / "out", verify=True), load_bundle(project / "bundle")
    assert copy.recommend("user-3", 5) == source.recommend("user-3", 5)
    told = copy.manifest.published
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True
    )
    assert told is not None and source.manifest.published is None
    assert told["revision"] == head.stdout.strip() and told["uncommitted_changes"] is False
    assert told["intervals"] == INTERVALS
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    for line in (
        "240 training plays of 30 users and 40 tracks.",
        "| ALS | 0.1000 (0.0900 to 0.1100) |",
        "| popularity | map@10 | +0.0500 (+0.0400 to +0.0600) | better |",
        "| neighbours | map@10 | -0.1000 (-0.1100 to -0.0900) | worse |",
        "| feedback.transform | `log1p` |",
    ):
        assert line in card
    publish(project / "bundle", checkout, tmp_path / "again")
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_uncommitted_changes_are_told(project: Path, checkout: Path, tmp_path: Path) -> None:
    (checkout / "metrics/data.json").write_text("{}")
    publish(project / "bundle", checkout, tmp_path / "out")
    assert "with uncommitted changes" in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_what_does_not_belong_together_is_not_published(
    project: Path, checkout: Path, tmp_path: Path
) -> None:
    source, out = project / "bundle", tmp_path / "out"
    with pytest.raises(MusicRecError, match="no git revision"):
        shutil.copytree(checkout, tmp_path / "bare", ignore=shutil.ignore_patterns(".git"))
        publish(source, tmp_path / "bare", out)
    lock(checkout, "one", "another")
    with pytest.raises(MusicRecError, match="evaluate judged other factors than export packed"):
        publish(source, checkout, out)
    (checkout / "dvc.lock").unlink()
    with pytest.raises(MusicRecError, match="does not say what export and evaluate read"):
        publish(source, checkout, out)
    lock(checkout, "same", "same")
    (checkout / "plots/evaluate/intervals.json").unlink()
    with pytest.raises(MusicRecError, match=r"intervals\.json: missing; run dvc repro evaluate"):
        publish(source, checkout, out)
    assert not out.exists()
