"""`musicrec tune` on small plays: the same trials every time, and the best one trained again."""

import json
import shlex
from dataclasses import replace

import pytest
import yaml
from optuna.trial import TrialState, create_trial

from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.metrics.definitions import headline_metrics
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams, load_block
from musicrec.tune.pages import command, first_name, notes, trials_table
from musicrec.tune.run import Request, Study, importance, tune
from musicrec.tune.space import read_space
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
    )


@pytest.fixture(scope="module")
def study(request_):
    return tune(request_)


def without_time(study):
    return [(t.state, t.value, t.user_attrs | {"seconds": 0}) for t in study.trials]


def test_the_first_trial_is_the_setting_of_params_yaml(study):
    first = study.trials[0].user_attrs["setting"]
    assert first["als.rank"] == 3 and first["als.alpha"] == 2.0
    assert study.changes(study.trials[0]) == {}
    assert study.n_users == 104  # of the validation split
    assert study.best.value >= study.trials[0].value


def test_a_killed_search_goes_on_and_ends_the_same(request_, study, tmp_path, monkeypatch):
    """Killed between two trials, and in the middle of one."""
    again = replace(request_, folder=tmp_path)
    ran = []

    def stop(number, total, trial, best):
        ran.append(trial)
        if number == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(again, stop)
    (kept,) = tmp_path.glob("*.json")
    assert len(json.loads(kept.read_text())["trials"]) == 9

    def killed(*_, **__):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("musicrec.tune.trial.fit_native", killed)
        with pytest.raises(SystemExit):
            tune(again)
    whole = tune(again)
    assert without_time(whole) == without_time(study)
    assert whole.trials[:10] == ran  # their times too: they were not run again
    assert tune(again).trials == whole.trials
    (path,) = tmp_path.glob("*.log")
    path.write_text("[]\n" + path.read_text())
    with pytest.raises(MusicRecError, match=r"is damaged; remove it"):
        tune(again)


def test_trials_below_the_median_are_given_up(study):
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert pruned and all(trial.value < study.best.value for trial in pruned)
    assert all(trial.last_step in (2, 4) for trial in pruned)


def test_importance_is_of_the_space_and_not_of_the_trials():
    """A search that soon tries the better transform alone still says that it decides."""
    space = read_space(["feedback.transform=none,log1p", "als.alpha=interval(1,2)"])
    trials = [
        create_trial(
            value=value + 37 * i % 60 / 1e4,
            user_attrs={"setting": {"feedback.transform": kind, "als.alpha": 1 + i / 60}},
        )
        for i, (kind, value) in enumerate([("none", 0.4)] * 4 + [("log1p", 0.55)] * 56)
    ]
    shares = importance(Study("map@20", {}, space, 0, trials))
    assert shares["feedback.transform"] > 0.3 and sum(shares.values()) == pytest.approx(1)


def test_more_trials_start_with_those_there_are(request_, study):
    more = tune(replace(request_, n_trials=28))
    assert more.trials[:24] == study.trials and len(more.trials) == 28
    assert tune(request_) == study


def test_another_code_or_setting_is_another_search(request_, study, tmp_path, monkeypatch):
    """An edit anywhere in the package, that of the training too."""
    names = set(request_.folder.glob("*.log"))
    with monkeypatch.context() as patch:
        patch.setattr("musicrec.tune.run.code_digest", lambda: "edited")
        tune(replace(request_, n_trials=1))
    other = tmp_path / "params.yaml"
    other.write_text(yaml.safe_dump({**PARAMS, "als": {**PARAMS["als"], "seed": 7}}))
    tune(replace(request_, params=other, n_trials=1))
    assert len(set(request_.folder.glob("*.log")) - names) == 2


def test_the_command_trains_the_best_byte_for_byte(project, study, tmp_path):
    from dvc.utils.hydra import apply_overrides

    words = shlex.split(command(study))
    assert words[:3] == ["dvc", "exp", "run"]
    changed = tmp_path / "params.yaml"
    changed.write_text((project / "params.yaml").read_text())
    apply_overrides(changed, words[4::2])
    als, feedback = load_block(changed, ALSParams), load_block(changed, FeedbackParams)
    judged = EvaluateParams(k=(5, 20), split="validation")
    trials = Trials(project / "data/indexed", judged)
    model = trials.fit(als, feedback)
    assert trials.figures(model) == study.best.user_attrs["figures"]
    assert study.best.user_attrs["figures"].keys() == set(headline_metrics((5, 20)))


def test_a_best_value_on_the_border_is_said(request_, tmp_path):
    narrow = (*SPACE, "als.alpha=tag(log,interval(2,4))", "als.rank=int(interval(3,4))")
    study = tune(replace(request_, overrides=narrow, folder=tmp_path, n_trials=8))
    (name, end), *_ = study.space.on_border(study.best.user_attrs["setting"]).items()
    said = f"lies on the {end} border of the space; better may lie beyond it: search again with"
    assert any(said in note and f"-S '{name}=...'" in note for note in notes(study))


def test_a_fixed_parameter_makes_the_first_trial_another_setting(request_, tmp_path):
    fixed = ("als.rank=2", "als.max_iter=1", "feedback.transform=none", "als.alpha=2.0,2.5")
    study = tune(replace(request_, overrides=(*SPACE, *fixed), folder=tmp_path, n_trials=1))
    assert first_name(study) == "params.yaml, rank 2, max_iter 1"
    (row,) = trials_table(study).rows
    assert row[0] == first_name(study)
    assert command(study) == "dvc exp run -S als.max_iter=1 -S als.rank=2"
    assert f"No trial beats the first, {row[0]}; params.yaml was not tried." in notes(study)


def test_the_command_line_prints_a_table_and_writes_a_page(
    project, study, monkeypatch, capsys, tmp_path_factory
):
    monkeypatch.chdir(project)
    assert main(["tune", "--trials", "24", *(w for text in SPACE for w in ("-S", text))]) == 0
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 24
    assert "params.yaml" in out and command(study) in out
    assert "to judge it once, on the test users" in out
    page = (project / "tune.html").read_text()
    assert "http://" not in page.split("<script")[0] and command(study)[:20] in page
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(project / "tune.html")
        browser.wait_for("return document.documentElement.dataset.drawn")
        shown = browser.script("return charts['trials'].data('trials').length")
        assert shown == len([t for t in study.trials if t.value is not None])
        assert not browser.log() and len(browser.requests()) == 1  # the page itself


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--metric", "ndcg@7"], "tune knows no metric ndcg@7; it has map@20"),
        (["-S", "als.engine=mllib"], "no trial succeeded"),
        (["--indexed", "data/nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(project, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(project)
    assert main(["tune", "--trials", "2", *words])
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and sentence in error
