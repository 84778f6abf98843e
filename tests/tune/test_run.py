"""`musicrec tune` on small plays: the same trials every time, and the best one trained again."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest
import yaml

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.metrics.ranking import headline_metrics
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams, load_block
from musicrec.tune import tell
from musicrec.tune.run import Request, newest_study, tune
from musicrec.tune.trial import Trials
from tests.support.browser import chromium
from tests.support.indexed_data import make_plays, write_indexed

PARAMS = {
    "als": ALSParams(rank=3, max_iter=5, alpha=2.0).model_dump(),
    "feedback": FeedbackParams().model_dump(),
    "evaluate": {"k": [5, 20], "split": "test"},  # test users choose nothing: never looked at
}
SPACE = ("als.rank=2,4,6", "als.max_iter=5", "als.reg_param=tag(log,interval(0.003,1))")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("tune")
    write_indexed(root / "data/indexed", make_plays())
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    return root


@pytest.fixture(scope="module")
def request_(project):
    return Request(
        params=project / "params.yaml",
        indexed=project / "data/indexed",
        overrides=SPACE,
        n_trials=24,
        folder=project / "data/tune",
        workers=2,
    )


@pytest.fixture(scope="module")
def study(request_):
    return tune(request_)


def without_time(study):
    return [replace(trial, seconds=0.0) for trial in study.trials]


def test_the_first_trial_is_the_setting_of_params_yaml(study):
    first = study.trials[0].setting
    assert first["als.rank"] == 3 and first["als.alpha"] == 2.0
    assert study.changes(study.trials[0]) == {}
    assert study.n_users == 104  # of the validation split
    assert study.best.value >= study.trials[0].value


def test_a_killed_search_goes_on_and_ends_the_same(request_, study, tmp_path):
    again = replace(request_, folder=tmp_path, workers=1)
    ran = []

    def stop(number, total, trial, best):
        ran.append(trial)
        if number == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(again, stop)
    kept = newest_study(tmp_path)
    assert len(kept.trials) == 9
    whole = tune(again)
    assert without_time(whole) == without_time(study)
    assert whole.trials[:9] == kept.trials  # their times too: they were not run again
    assert tune(again).trials == whole.trials
    (path,) = tmp_path.glob("*.json")
    path.write_text('{"trials": [')
    with pytest.raises(MusicRecError, match=r"is damaged; remove it"):
        tune(again)


def test_more_trials_start_with_those_there_are(request_, study):
    more = tune(replace(request_, n_trials=28))
    assert more.trials[:24] == study.trials and len(more.trials) == 28
    assert tune(request_).trials == study.trials


def test_other_plays_or_parameters_are_another_search(request_, study, tmp_path):
    other = tmp_path / "params.yaml"
    other.write_text(yaml.safe_dump({**PARAMS, "als": {**PARAMS["als"], "seed": 7}}))
    paths = set(request_.folder.iterdir())
    tune(replace(request_, params=other, n_trials=4))
    assert len(set(request_.folder.iterdir()) - paths) == 1


def test_the_command_trains_the_best_byte_for_byte(project, study, tmp_path):
    from dvc.utils.hydra import apply_overrides

    words = shlex.split(tell.command(study))
    assert words[:3] == ["dvc", "exp", "run"]
    changed = tmp_path / "params.yaml"
    changed.write_text((project / "params.yaml").read_text())
    apply_overrides(changed, words[4::2])
    als, feedback = load_block(changed, ALSParams), load_block(changed, FeedbackParams)
    judged = EvaluateParams(k=(5, 20), split="validation")
    trials = Trials(project / "data/indexed", judged)
    model = trials.fit(als, feedback)
    assert trials.headline(model) == study.best.figures
    assert study.best.figures.keys() == set(headline_metrics((5, 20)))


def test_beyond_goes_over_the_border(request_, tmp_path):
    narrow = replace(
        request_,
        overrides=(
            "als.rank=4,5",
            "als.alpha=tag(log,interval(0.01,0.02))",
            "als.nonnegative=false",
        ),
        folder=tmp_path,
        n_trials=16,
    )
    short = tune(narrow)
    borders = short.space.on_border(short.best.setting)
    assert borders and any("--beyond goes on" in note for note in tell.notes(short))
    wider = tune(replace(narrow, beyond=True))
    assert len(wider.trials) > len(short.trials)
    assert wider.space != short.space and wider.best.value >= short.best.value


def test_the_command_line_prints_a_table_and_writes_a_page(
    project, study, monkeypatch, capsys, tmp_path_factory
):
    monkeypatch.chdir(project)
    assert main(["tune", "--trials", "24", *(w for text in SPACE for w in ("-S", text))]) == 0
    out, err = capsys.readouterr()
    first, *lines = err.splitlines()
    assert "ndcg" in first and len(lines) == 24
    assert "params.yaml" in out and tell.command(study) in out
    assert "to judge it once, on the test users" in out
    page = (project / "tune.html").read_text()
    assert "http://" not in page.split("<script")[0] and tell.command(study)[:20] in page
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(project / "tune.html")
        browser.wait_for("return document.documentElement.dataset.drawn")
        shown = browser.script("return charts['trials'].data('trials').length")
        assert shown == len([t for t in study.trials if t.value is not None])
        assert not browser.log() and len(browser.requests()) == 1  # the page itself


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--trials", "0"], "--trials must be at least 1"),
        (["--metric", "ndcg@7"], "tune knows no metric ndcg@7; it has map@20"),
        (["-S", "als.engine=mllib"], "no trial succeeded"),
        (["--indexed", "data/nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(project, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(project)
    assert main(["tune", "--trials", "2", *words]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and sentence in error


def test_the_file_holds_what_the_page_needs(request_, study):
    tune(request_)
    kept = newest_study(request_.folder)
    assert kept == study
    (path, *_) = request_.folder.glob("*.json")
    assert json.loads(path.read_text())["n_trials"] > 0
