"""`musicrec review` and `compare` in a scratch project."""

import json
import os
import re
import shutil
import subprocess
import sys

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.project import Revision, stale_stages
from musicrec.review.compare import compare
from musicrec.review.markdown import review
from musicrec.review.report import page
from musicrec.review.tested import scored_on, settings_judged
from musicrec.storage.files import write_json
from tests.support.project import Project

HEADLINES = ("map@500", "ndcg@500", "recall@500", "precision@10")


def test_compares_branches_experiments_commits_and_the_workspace(project):
    main = project.revision("main")
    for name in ("noisy", "worse-exp"):
        result = compare(main, project.revision(name))
        assert result.metrics["map@100"].verdict == "worse", name
        assert result.metrics["map@100"].high < 0
    commit = project.git("rev-parse", "main").strip()
    for name in ("workspace", commit, commit[:10], "noisy~1"):
        result = compare(main, project.revision(name))
        assert {row.verdict for row in result.metrics.values()} == {"identical"}, name


def test_the_report_of_a_branch(project):
    report = review(project.revision("main"), project.revision("noisy"))
    titles = [line for line in report.splitlines() if line.startswith("## ")]
    wanted = "Parameters, Code, Data, Metrics, Beside the baselines, Search, Stale stages"
    assert titles == [f"## {title}" for title in wanted.split(", ")]
    section = dict(part.split("\n", 1) for part in report.split("## ")[1:])
    assert "| `als.reg_param` | 0 | 0.3 | +0.3 |" in section["Parameters"]
    assert "No change." in section["Data"] and "No change." in section["Code"]
    assert "| map@100 |" in section["Metrics"] and "**worse**" in section["Metrics"]
    assert re.search(
        r"\| main \| popularity \| \+\d+\.\d\d % \| yes \|", section["Beside the baselines"]
    )
    assert "| `ann_recall` | 0.9 | 0.6 | -0.3 (-33.3%) |" in section["Search"]
    assert "None: every output is that of" in section["Stale stages"]


@pytest.fixture
def edited(project):
    """The project on a branch `edited`, which goes again with all that was changed on it."""
    project.git("checkout", "-q", "-b", "edited")
    yield project
    project.git("checkout", "-q", "--force", "main")
    project.git("branch", "-q", "-D", "edited")
    project.dvc("checkout", "-q", "--force")


def test_other_data_is_refused_with_a_reason_and_the_bare_figures(project):
    main, other = project.revision("main"), project.revision("other-data")
    with pytest.raises(MusicRecError, match="main and other-data cannot be compared: their data"):
        compare(main, other)
    report = review(main, other)
    assert "| `data: train_plays` |" in report
    assert "No verdict: main and other-data cannot be compared" in report
    assert "| `validation.map@100` |" in report


def test_stale_stages_of_the_workspace(edited):
    def stale():
        return stale_stages(edited.revision("workspace"))

    def report():
        return review(edited.revision("main"), edited.revision("workspace"))

    assert stale() == {}
    edited.set("reg_param: 0.0", "reg_param: 0.7")
    assert stale() == {"train": "als.reg_param is 0.7 and was 0.0", "evaluate": "needs train"}
    assert "- `evaluate`: needs train" in report()
    dag = edited.folder / "dvc.yaml"
    new = "stages:\n  new: {cmd: ls, deps: [make.py]}"
    dag.write_text(dag.read_text().replace("stages:", new, 1))
    script = edited.folder / "make.py"
    script.write_text(script.read_text() + "# changed\n")
    found = stale()
    assert (found["new"], found["index"]) == ("has never run", "make.py is modified")
    assert found["train"].startswith("make.py is modified; als.reg_param is 0.7")
    assert found["evaluate"] == "needs baselines, index, train"
    assert "| new, index, train | `make.py` |" in report()


def test_a_clone_without_data(project, tmp_path):
    """It reads the remote and is not stale, unless a stage read what another did not write."""
    clone = project.clone_to(tmp_path / "clone")
    assert stale_stages(clone.revision("workspace")) == {}
    found = compare(clone.revision("origin/noisy"), clone.revision("workspace"))
    assert found.metrics["map@100"].verdict == "better"
    lock = clone.folder / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    (read,) = (d for d in content["stages"]["evaluate"]["deps"] if d["path"] == "data/factors")
    read["md5"] = f"{0:032x}.dir"
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    assert stale_stages(clone.revision("workspace")) == {"evaluate": "data/factors is modified"}


def test_command_line_and_the_gate(project, monkeypatch, capsys):
    monkeypatch.chdir(project.folder / "metrics")  # any folder of the project
    assert main(["compare", "main", "noisy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["map@100"]["verdict"] == "worse"
    assert main(["compare", "main", "--md", "--metrics", "ndcg@10"]) == 0
    assert "| ndcg@10 |" in capsys.readouterr().out
    assert main(["review", "--base", "main", "--head", "noisy", "--gate", "worse"]) == 0
    assert "\n**Gate: FAILED (--fail-on worse): map@100: worse" in capsys.readouterr().out
    assert main(["review", "--base", "main"]) == 0
    assert capsys.readouterr().out.startswith("# workspace against main\n")
    for words, status, said in (
        ("no-such-branch", 1, "error: no-such-branch: no Git revision"),
        ("main noisy --fail-on worse", 3, "Gate: FAILED (--fail-on worse): map@100: worse"),
        ("noisy main --fail-on worse", 0, "Gate: passed (--fail-on worse).\n"),
        ("main main --fail-on not-better", 3, "FAILED"),
        ("main other-data --fail-on worse", 1, "cannot be compared"),
    ):
        assert main(["compare", *words.split()]) == status
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "main", "--fail-on", "bad"])


def test_lists_of_any_model_are_compared_like_a_revision(project, tmp_path, monkeypatch, capsys):
    """The model's own lists, read back, are identical to it; their first ten are not."""
    monkeypatch.chdir(project.folder)
    lists = pq.read_table("data/lists.parquet")
    few = tmp_path / "few.parquet"
    pq.write_table(lists.filter(pc.less_equal(lists.column("position"), 10)), few)
    try:
        assert main(["judge", "data/lists.parquet", "--name", "own"]) == 0
        assert main(["judge", str(few), "--name", "few", "--trec", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert "lists shorter than 100, the rest misses: " in told and "\nmap@100: few 0." in told
        assert (tmp_path / "qrels.txt").exists()
        assert main(["compare", "own", "main", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["metrics"]
        assert {row["verdict"] for row in found.values()} == {"identical"}
        assert main(["compare", "main", "own", "--metrics", "map@100"]) == 0
        told = capsys.readouterr().out
        assert "Holm" not in told and "--starts" not in told
        assert main(["compare", "main", "few", "--fail-on", "worse"]) == 3
        assert "recall@100: worse" in capsys.readouterr().err
        assert main(["report", "few", "--output", str(tmp_path / "page.html")]) == 0
        assert capsys.readouterr().out.startswith("few: worse")
        assert "run `dvc repro` there" not in (tmp_path / "page.html").read_text(encoding="utf-8")
        assert main(["compare", "main", "few", "--starts", "2"]) == 1
        assert (
            "--starts trains settings of revisions, and few is not a revision"
            in capsys.readouterr().err
        )
        assert main(["judge", str(few), "--name", "noisy"]) == 1
        assert "--name noisy is a revision of this project" in capsys.readouterr().err
    finally:
        shutil.rmtree("data/judged")


def test_starts_train_both_settings_anew(project, monkeypatch, capsys):
    monkeypatch.chdir(project.folder)
    words = ["compare", "main", "noisy", "--metrics", "ndcg@10", "--starts", "2"]
    assert main([*words, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["metrics"]["ndcg@10"]
    assert row["start_sd"] > 0 and row["low"] < row["difference"] < row["high"]
    assert main([*words, "--fail-on", "worse"]) in (0, 3)
    text = " ".join(capsys.readouterr().out.split())
    assert "t-test of users crossed with starts" in text
    assert "Another start moves ndcg@10 by" in text
    assert main(["compare", "main", "other-data", "--starts", "2"]) == 1
    assert "other-data has other plays; `git checkout`" in capsys.readouterr().err


def test_what_was_never_run_is_not_judged(edited, monkeypatch, capsys):
    """A change of params.yaml alone has the figures of the model before it."""
    monkeypatch.chdir(edited.folder)
    edited.set("reg_param: 0.0", "reg_param: 0.7")
    edited.commit("a change that nobody ran")
    edited.git("checkout", "-q", "main")
    why = (
        "the figures of edited are not those of its code, parameters and data: train "
        "(als.reg_param is 0.7 and was 0.0), and evaluate with it; run `dvc repro` there, and "
        "commit what it writes"
    )
    assert main(["compare", "main", "edited", "--fail-on", "worse"]) == 1
    assert capsys.readouterr().err == f"error: nothing to judge: {why}\n"
    assert main(["compare", "main", "edited"]) == 0
    assert capsys.readouterr().err == f"warning: {why}\n"
    report = review(Revision("main"), Revision("edited"), "worse")
    assert f"**Beware: {why}.**" in report and "**Gate: nothing to judge.**" in report
    html, verdicts = page(Revision("main"), [Revision("edited")])
    assert "Beware: the figures of edited are not those of its code" in html
    assert verdicts[-1] == f"warning: {why}"


def test_plays_that_are_on_another_machine_make_no_figure_stale(edited, tmp_path):
    """Git ignores them, DVC does not know them: in a commit, and in a clone, they are missing."""
    dag, mine, script = (edited.folder / name for name in ("dvc.yaml", "mine.csv", "make.py"))
    (edited.folder / ".gitignore").write_text("/mine.csv\n")
    mine.write_text("user,track\n")
    dag.write_text(dag.read_text().replace("deps: [make.py]", "deps: [make.py, mine.csv]", 1))
    edited.dvc("repro", "-q")
    edited.commit("plays of our own")
    assert stale_stages(edited.revision("edited")) == {}
    mine.unlink()
    assert stale_stages(edited.revision("workspace")) == {}
    mine.write_text("user,track\na,b\n")
    assert stale_stages(edited.revision("workspace"))["index"] == "mine.csv is modified"
    script.unlink()
    assert "make.py is deleted" in stale_stages(edited.revision("workspace"))["index"]
    mine.unlink()


def test_a_branch_without_its_data_is_not_judged_by_those_of_another(project, monkeypatch, capsys):
    monkeypatch.chdir(project.folder)
    project.git("checkout", "-q", "noisy")
    try:
        assert main(["compare", "main", "--fail-on", "worse"]) == 1
        told = capsys.readouterr().err
        assert "data/factors is modified" in told and "or `dvc checkout`, or `dvc pull`" in told
        project.dvc("checkout", "--quiet")
        assert main(["compare", "main", "--fail-on", "worse"]) == 3
    finally:
        project.git("checkout", "-q", "main")
        project.dvc("checkout", "--quiet")


def test_the_gate_where_the_tables_are_nowhere(without_remote, capsys):
    """One and the same table passes by its hash; a change that nobody pushed does not."""
    assert main(["compare", "origin/main", "--fail-on", "worse"]) == 0
    assert "have the same data/per_user.parquet" in capsys.readouterr().out
    assert "have the same data/per_user.parquet" in review(Revision("main"), Revision("workspace"))
    assert main(["compare", "origin/noisy", "--fail-on", "worse"]) == 1
    assert "neither in the cache nor in a remote" in capsys.readouterr().err


@pytest.fixture(scope="module")
def below(project, tmp_path_factory):
    """The same project in a subfolder of a larger Git repository; branch `noisy` is worse."""
    top = Project(tmp_path_factory.mktemp("a larger repository"))
    below = Project(top.folder / "models/music")
    ignored = shutil.ignore_patterns(".git", "tmp")
    shutil.copytree(project.folder, below.folder, ignore=ignored)
    top.init()
    top.commit("main")
    top.git("checkout", "-q", "-b", "noisy")
    for name in project.git("diff", "--name-only", "main", "noisy").splitlines():
        (below.folder / name).write_text(project.git("show", f"noisy:{name}"))
    top.commit("noisy")
    top.git("checkout", "-q", "main")
    return below


def test_in_a_subfolder_of_a_larger_repository(below):
    main, noisy = below.revision("main"), below.revision("noisy")
    for pair in ((main, noisy), (below.revision("workspace"), noisy)):
        assert compare(*pair).metrics["map@100"].verdict == "worse"
    report = review(main, noisy)
    assert "| `als.reg_param` | 0 | 0.3 | +0.3 |" in report and "**worse**" in report
    assert "No change." in report.split("## Data")[1].split("##")[0]
    assert stale_stages(noisy) == {}
    assert "params.yaml" not in review(main, below.revision("workspace"))


def test_a_revision_without_the_project_is_one_sentence(below):
    below.git("checkout", "-q", "--orphan", "empty")
    below.git("commit", "-q", "--allow-empty", "-m", "nothing of the project")
    below.git("rm", "-rq", "--cached", ".")
    below.git("commit", "-q", "--allow-empty", "-m", "nothing")
    below.git("checkout", "-q", "-f", "main")
    with pytest.raises(MusicRecError, match=r"empty has no DVC project in .*; name a"):
        below.revision("empty")


def test_a_reader_that_stops(project):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "musicrec", "compare", "main", "noisy"]
    where = {"cwd": project.folder, "env": project.environment}
    done = subprocess.run(words, **where, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_broken_file_is_one_sentence(project):
    path = project.folder / "metrics/ann_bench.json"
    intact = path.read_text()
    path.write_text("{")
    try:
        with pytest.raises(MusicRecError, match=r"ann_bench.json of workspace cannot be read"):
            review(project.revision("main"), project.revision("workspace"))
    finally:
        path.write_text(intact)


def test_a_search_on_the_validation_users_is_known(project):
    """By DVC's record of runs, and by that of `musicrec tune`."""
    noisy = project.revision("noisy")
    assert settings_judged(noisy, "t") == 2  # main's own and this one; other-data has other users
    folder = project.folder / "data/tune"
    folder.mkdir()
    trials = [{"setting": {"als.rank": rank}} for rank in (2, 4, 8, 4)]
    search = {
        "base": {"als.reg_param": 0.3, "als.rank": 2},
        "fixed": {},
        "trials": trials,
        "truth": "t",
    }
    (folder / "x.json").write_text(json.dumps(search))
    try:
        assert settings_judged(noisy, "t") == 5
        assert settings_judged(noisy, "of others") == 2
        assert (
            settings_judged(project.revision("main"), "t") == 2
        )  # reg_param 0: not of this search
    finally:
        shutil.rmtree(folder)


def test_every_setting_scored_on_test_users_is_known(edited, monkeypatch, capsys):
    """By DVC's record of runs, also of parameters without k, and by that of `make original`."""
    monkeypatch.chdir(edited.folder)
    assert main(["tested"]) == 0
    assert "No setting was scored on test users" in capsys.readouterr().out
    edited.set("evaluate: {split: validation, k: [10, 100], ", "evaluate: {split: test, ")
    edited.dvc("repro", "-q")
    edited.commit("test users")
    (one,) = scored_on("test")
    assert one.trained_with and one.trained_with["als"]["rank"] == 4
    shown = edited.revision("workspace").read_json("metrics/evaluate.json")["test"]
    assert one.figures == pytest.approx({name: shown[name] for name in HEADLINES}, abs=1e-6)
    assert main(["tested"]) == 0 and main(["compare", "edited"]) == 0
    assert "One setting was scored on these test users" in capsys.readouterr().err

    row = {"k": 500, "map": 0.1, "ndcg": 0.2, "recall": 0.3, "precision": 0.4}
    for split in ("test", "validation"):
        about = {"split": split, "als": {"rank": 5}, "feedback": {"min_count": 1}}
        record = {"about": about, "result": {"ranking": row, "spark": row}}
        write_json(edited.folder / f"data/original/{split}.json", record)
    first, last = scored_on("test")
    assert first == one
    assert last.figures == {"map@500": 0.1, "ndcg@500": 0.2, "recall@500": 0.3}
    assert main(["tested"]) == 0 and " original " in capsys.readouterr().out
    shutil.rmtree(edited.folder / "data/original")
