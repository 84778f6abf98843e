"""The space of a search: what is read, suggested, at a border and beyond it."""

import optuna
import pytest

from musicrec.errors import MusicRecError
from musicrec.tune.space import read_space


def swept(text):
    (kind,) = read_space([text]).swept.values()
    return kind


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("als.rank=8, 16,32", (8, 16, 32)),
        ("feedback.transform=choice(none,'log1p')", ("none", "log1p")),
        ("als.nonnegative=true,false", (True, False)),
        ("als.reg_param=1e-5,2", (1e-5, 2)),
        ("als.rank=range(8,65,8)", (8, 16, 24, 32, 40, 48, 56, 64)),
        ("als.rank=range(4,6)", (4, 5)),
        ("als.reg_exponent=range(0.5,1,0.2)", (0.5, 0.7, 0.9)),
    ],
)
def test_lists(text, choices):
    assert swept(text).choices == choices


def test_ranges():
    log = swept("als.reg_param=tag(log,interval(0.01,10))")
    assert (log.low, log.high, log.log) == (0.01, 10.0, True)
    whole = swept("als.rank=tag(log, int(interval(4, 64)))")
    assert isinstance(whole, optuna.distributions.IntDistribution) and whole.log
    assert not swept("als.reg_exponent=interval(0.5,1)").log


def test_the_last_word_on_a_parameter_counts():
    space = read_space(
        ["als.rank=8,16", "als.alpha=1,2", "als.rank=12", "als.alpha=3", "als.alpha=4,5"]
    )
    assert space.fixed == {"als.rank": 12}
    assert list(space.swept) == ["als.alpha"] and space.swept["als.alpha"].choices == (4, 5)
    assert read_space(["als.warm_start=null"]).fixed == {"als.warm_start": None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("als.rnak=8,16", "tune knows no parameter als.rnak"),
        ("data.seed=1,2", "tune knows no parameter data.seed"),
        *((f"als.rank{rest}", "type it as in") for rest in ("", "=8,,9")),
        ("als.reg_param=tag(log,interval(1,2)", "type it as in"),
        ("als.reg_param=tag(ln,interval(1,2))", "it knows no tag but log, not ln"),
        ("als.rank=glob(*)", "is not allowed"),
        ("als.rank=", "als.rank = '' is not allowed"),
        ("als.rank=interval(0,8)", "als.rank = 0.0 is not allowed; it must be a whole number"),
        ("als.engine=native,gpu", "als.engine = 'gpu' is not allowed"),
        ("als.rank=8.5", "als.rank = 8.5 is not allowed"),
        ("als.rank=interval(1.5,8)", "als.rank = 1.5 is not allowed"),
        ("als.rank=interval(a,b)", "mismatch type"),
        ("als.reg_param=tag(log,interval(0,1))", "low"),
        ("als.reg_param=interval(2,1)", "low"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(text, words):
    with pytest.raises(MusicRecError) as error:
        read_space([text])
    assert words in str(error.value) and "\n" not in str(error.value)


def test_alpha_is_another_parameter_under_each_transform():
    space = read_space(["als.alpha=tag(log,interval(0.1,10))", "feedback.transform=none,log1p"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    names = set()
    for _ in range(10):
        trial = study.ask()
        setting = space.suggest(trial)
        assert setting.keys() == {"als.alpha", "feedback.transform"}
        assert setting["als.alpha"] == float(f"{setting['als.alpha']:.3g}")
        names |= trial.params.keys()
        study.tell(trial, 0.0)
    assert names == {"feedback.transform", "als.alpha (none)", "als.alpha (log1p)"}


def test_borders_are_of_the_space_and_not_of_the_parameter():
    log = "als.reg_param=tag(log,interval(0.01,1))"
    space = read_space(["als.reg_exponent=interval(0.5,1)", "als.rank=8,16,32", log])
    inside = {"als.reg_exponent": 0.7, "als.rank": 16, "als.reg_param": 0.1}
    for name, value, end in (
        ("als.rank", 16, ""),
        ("als.reg_exponent", 1.0, ""),  # the most there is
        ("als.reg_exponent", 0.51, "lower"),
        ("als.rank", 32, "upper"),
        ("als.reg_param", 0.95, "upper"),
        ("als.reg_param", 0.01, "lower"),
        ("als.reg_param", 0.0, ""),  # outside, as params.yaml's own may be
        ("als.rank", 128, ""),
    ):
        assert space.on_border(inside | {name: value}) == ({name: end} if end else {})
