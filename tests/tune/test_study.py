"""The search itself, on a function whose best is known."""

from __future__ import annotations

import math

import pytest

from musicrec.errors import MusicRecError
from musicrec.tune.space import read_space
from musicrec.tune.study import (
    BATCH,
    COMPLETE,
    FAILED,
    PRUNED,
    RANDOM_TRIALS,
    Pruned,
    Trial,
    ask,
    best_of,
    importance,
    run_batch,
)

SPACE = read_space(
    ["als.reg_param=tag(log,interval(0.001,10))", "als.alpha=tag(log,interval(0.1,10))"]
)


def hill(setting, pruning):
    """Highest at reg_param 0.1, whatever alpha; reached step by step."""
    top = -abs(math.log10(setting["als.reg_param"]) + 1)
    try:
        for step in (2, 4, 8):
            pruning.report(step, top - 1 / step)
    except Pruned:
        return Trial(setting, PRUNED, pruning.steps[step], {}, pruning.steps)
    return Trial(setting, COMPLETE, top, {"map@5": top}, pruning.steps)


def search(n_trials, workers, seed=1, known=(), objective=hill):
    trials = []
    while len(trials) < n_trials:
        settings = ask(trials, SPACE, seed, BATCH)
        batch = run_batch(settings, list(trials), [*trials, *known], SPACE, objective, workers)
        trials += batch
    return trials


def test_the_trials_do_not_depend_on_how_many_run_at_once():
    one = search(32, workers=1)
    assert one == search(32, workers=4)
    assert [t.setting for t in one] != [t.setting for t in search(32, workers=1, seed=2)]


def test_it_finds_the_top_and_gives_hopeless_trials_up():
    trials = search(60, workers=2)
    assert best_of(trials).value > -0.05
    assert not [t for t in trials[:RANDOM_TRIALS] if t.state == PRUNED]
    pruned = [t for t in trials if t.state == PRUNED]
    assert pruned and all(t.value < best_of(trials).value for t in pruned)
    late = [t.value for t in trials[40:] if t.state == COMPLETE]
    early = [t.value for t in trials[:RANDOM_TRIALS]]
    assert sum(late) / len(late) > sum(early) / len(early)
    shares = importance(trials, SPACE)
    assert shares["als.reg_param"] > 0.8 and sum(shares.values()) == pytest.approx(1)


def test_what_is_known_is_not_computed_again():
    whole = search(24, workers=2)
    asked = []

    def counted(setting, pruning):
        asked.append(setting)
        return hill(setting, pruning)

    assert search(24, workers=2, known=whole[:17], objective=counted) == whole
    assert len(asked) == 7


def test_no_success_is_one_sentence_with_the_reason():
    failed = Trial({"als.alpha": 1.0}, FAILED, reason="no plays are left")
    with pytest.raises(MusicRecError, match="no trial succeeded: no plays are left"):
        best_of([failed, failed])


def test_a_stop_ends_the_trials_that_run():
    seen = []

    def endless(setting, pruning):
        if not seen:
            seen.append(setting)
            raise RuntimeError("the first one breaks")
        while True:
            pruning.check()

    settings = ask([], SPACE, 1, BATCH)
    with pytest.raises(RuntimeError, match="breaks"):
        list(run_batch(settings, [], [], SPACE, endless, BATCH))


def test_trials_survive_json():
    trial = Trial({"als.alpha": 1.5}, PRUNED, 0.25, {}, {2: 0.125, 4: 0.25}, "", 0.5)
    assert Trial.from_json({**trial.as_json(), "steps": {"2": 0.125, "4": 0.25}}) == trial
