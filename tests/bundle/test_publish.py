"""A published bundle is the exported one with its revision, metrics and card."""

from __future__ import annotations

import json
import shutil

import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.publish import publish
from musicrec.cli import main
from musicrec.errors import MusicRecError, UsageError
from musicrec.storage.files import write_json
from tests.support.plays import contents
from tests.support.project import Project

INTERVALS = [
    {"model": model, "metric": "map@10", "value": value}
    | {"low": round(value - 0.01, 6), "high": round(value + 0.01, 6)}
    for model, value in (("als", 0.1), ("popularity", 0.05), ("neighbours", 0.2))
]
DIFFERENCES = [
    {"against": name, "metric": "map@10", "baseline": 0.1, "difference": middle}
    | {"low": middle - 0.01, "high": middle + 0.01, "shown_higher": middle > 0.01}
    for name, middle in (("popularity", 0.05), ("neighbours", -0.1))
]


DAG = """
stages:
  export:
    cmd: cp -r exported data/bundle
    params: [als]
    deps: [exported]
    outs: [data/bundle]
  evaluate:
    cmd: cp -r judged plots/evaluate
    deps: [judged]
    outs: [plots/evaluate]
"""
PARAMS = """
als: {rank: 8}
data: {source: "https://me:secret@host/plays", protocol: holdout, seed: 1}
downsample: {fraction: 0.5}
evaluate: {split: validation}
"""


@pytest.fixture(scope="module")
def made(project, tmp_path_factory):
    """A project of DVC whose stages only copy the bundle and what evaluate would have written."""
    made = Project(tmp_path_factory.mktemp("made") / "checkout")
    root = made.folder
    shutil.copytree(project / "bundle", root / "exported")
    write_json(root / "judged/intervals.json", INTERVALS)
    write_json(root / "judged/differences.json", DIFFERENCES)
    write_json(root / "metrics/data.json", {"train_plays": 240})
    write_json(root / "metrics/evaluate.json", {"users": 1500})
    (root / "dvc.yaml").write_text(DAG)
    (root / "params.yaml").write_text(PARAMS)
    (root / "data").mkdir()
    (root / "plots").mkdir()
    made.init()
    made.dvc("init", "-q")
    made.dvc("repro", "-q")
    made.commit("first")
    return root


@pytest.fixture
def checkout(made, tmp_path):
    return shutil.copytree(made, tmp_path / "checkout")


def test_the_copy_answers_alike_and_says_where_it_is_from(checkout, tmp_path, capsys):
    exported = checkout / "data/bundle"
    words = ["--bundle", str(exported), "--project", str(checkout)]
    assert main(["publish", *words, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == (
        "warning: the model is not shown to beat neighbours; its card says how it stands\n"
    )
    copy, source = load_bundle(tmp_path / "out"), load_bundle(exported)
    assert copy.recommend("user-3", 5) == source.recommend("user-3", 5)
    told = copy.manifest.published
    assert told is not None and source.manifest.published is None
    assert told["revision"] == Project(checkout).git("rev-parse", "HEAD").strip()
    assert told["uncommitted_changes"] is False
    assert told["intervals"] == INTERVALS
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    for line in (
        f"Git revision `{told['revision']}` of {told['committed']}.",
        "240 training plays of 30 users and 40 tracks.",
        "| data.source | `https://me:***@host/plays` |",
        "| downsample.fraction | `0.5` |",
        "On the held-out plays of 1,500 validation users, with 95 % bootstrap",
        "| ALS | map@10 | 0.1000 (0.0900 to 0.1100) |",
        "| popularity | map@10 | +0.0500 (+0.0400 to +0.0600) | better |",
        "| neighbours | map@10 | -0.1000 (-0.1100 to -0.0900) | worse |",
        "| feedback.transform | `log1p` |",
    ):
        assert line in card
    assert "secret" not in card and "data.seed" not in card
    publish(exported, checkout, tmp_path / "again")
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


def test_only_a_published_folder_is_replaced(checkout, tmp_path):
    exported, out = checkout / "data/bundle", tmp_path / "out"
    for _ in range(2):
        publish(exported, checkout, out)
    before = contents(exported)
    with pytest.raises(UsageError, match="was not written by musicrec"):
        publish(exported, checkout, exported)  # which DVC wrote
    (out / "notes.txt").touch()
    with pytest.raises(UsageError, match="was not written by musicrec"):
        publish(exported, checkout, out)
    assert (out / "notes.txt").exists() and load_bundle(exported)
    assert contents(exported) == before


def test_uncommitted_changes_and_listeners_left_out_are_told(checkout, tmp_path, capsys):
    (checkout / "metrics/data.json").write_text('{"train_plays": 241}')
    counts = {"users_dropped": 22, "users_kept": 78}
    write_json(checkout / "metrics/downsample.json", counts)
    (checkout / "params.yaml").write_text(PARAMS.replace("holdout", "temporal, test_users: 0.1"))
    publish(checkout / "data/bundle", checkout, tmp_path / "out")
    assert "warning: 22 % of the listeners are unknown to the bundle" in capsys.readouterr().err
    assert "data.test_users" not in (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "with uncommitted changes" in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_a_bundle_of_other_parameters_or_another_commit_is_not_published(checkout, tmp_path):
    """Its card would name a revision that it is not of."""
    out = tmp_path / "out"

    def refused(why: str) -> None:
        with pytest.raises(MusicRecError, match=why):
            publish(checkout / "data/bundle", checkout, out)
        assert not out.exists()

    (checkout / "params.yaml").write_text(PARAMS.replace("rank: 8", "rank: 9"))
    refused(r"nothing to publish: .* export \(als\.rank is 9 and was 8\); run `dvc repro`")
    Project(checkout).commit("a change that nobody ran")
    refused("als.rank is 9 and was 8")
    Project(checkout).git("reset", "-q", "--hard", "HEAD~1")
    write_json(checkout / "plots/evaluate/intervals.json", INTERVALS[:1])
    refused("plots/evaluate is modified.*or `dvc checkout`")
    shutil.rmtree(checkout / "plots/evaluate")
    Project(checkout).dvc("checkout", "-q")
    publish(checkout / "data/bundle", checkout, out)


def test_what_does_not_belong_together_is_not_published(checkout, tmp_path):
    source, out = checkout / "data/bundle", tmp_path / "out"
    with pytest.raises(MusicRecError, match=r"(?i)not a git repository"):
        shutil.copytree(checkout, tmp_path / "bare", ignore=shutil.ignore_patterns(".git"))
        publish(source, tmp_path / "bare", out)
    other = shutil.copytree(source, tmp_path / "other")
    publish(other, checkout, out)  # a copy is the same bundle
    shutil.rmtree(out)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["als"] |= {"max_iter": 99}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MusicRecError, match=r"not the bundle that .* exported"):
        publish(other, checkout, out)
    (checkout / "metrics/evaluate.json").unlink()
    with pytest.raises(MusicRecError, match=r"evaluate\.json: missing; run dvc repro evaluate"):
        publish(source, checkout, out)
    assert not out.exists()
