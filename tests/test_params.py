"""Parameters: what is accepted, and the sentence for what is not."""

import runpy
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, DownsampleParams, load_block, load_params, trained_with

ROOT = Path(__file__).resolve().parents[1]


def load(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params(path)


@pytest.mark.parametrize(
    ("text", "value"), [("1e-05", 1e-5), ("1e-5", 1e-5), ("0.1", 0.1), ("10", 10.0), (".5", 0.5)]
)
def test_every_spelling_of_a_number(tmp_path, text, value):
    """DVC writes 1e-05 for `-S als.reg_param=1e-5`, which YAML 1.1 reads as a string."""
    loaded = load(tmp_path, f"als:\n  reg_param: {text}\n").als.reg_param
    assert loaded == value and isinstance(loaded, float)


def test_a_key_left_out_takes_its_default_and_a_scalar_is_a_list_of_one(tmp_path):
    assert load(tmp_path, "").als.rank == 20
    assert load(tmp_path, "als: {rank: 5}").als.alpha == 10.0
    assert load(tmp_path, "ann_bench: {n_trees: 5}").ann_bench.n_trees == (5,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("als: {rnk: 5}", ["unknown parameter als.rnk (did you mean als.rank?)", "alpha"]),
        ("alz: {rank: 5}", ["unknown parameter alz (did you mean als?)", "data"]),
        ("als: 5", ["als must be a block of keys", "5"]),
        ("als: {rank: many}", ["als.rank", "'many'", "a whole number >= 1"]),
        ("als: {rank: 0}", ["als.rank", "0", ">= 1"]),
        ("als: {rank: 2.5}", ["als.rank", "2.5", "a whole number"]),
        ("als: {rank: true}", ["als.rank", "True", "a whole number"]),
        ("als: {rank: 010}", ["als.rank = '010' is not allowed", "a whole number >= 1"]),
        ("als: {reg_param: 1:30.5}", ["als.reg_param = '1:30.5' is not allowed"]),
        ("als: {nonnegative: yes}", ["als.nonnegative = 'yes' is not allowed", "true or false"]),
        ("als: {reg_param: -1}", ["als.reg_param", "-1", "a number >= 0"]),
        ("als: {reg_param: .nan}", ["als.reg_param", "nan"]),
        ("als: {engine: gpu}", ["als.engine", "'gpu'", "native, mllib"]),
        ("downsample: {fraction: 1.5}", ["downsample.fraction", "1.5", "> 0 and <= 1"]),
        ("evaluate: {k: []}", ["evaluate.k", "empty list"]),
        ("evaluate: {k: [10, 10]}", ["evaluate.k", "twice"]),
        ("evaluate: {k: [10, x]}", ["evaluate.k", "'x'"]),
        ("data: {columns: {user: -1}}", ["data.columns.user", "-1"]),
        ("als: {init: random}", ["als.init is gone", "remove the line"]),
        ("als: [", ["not valid YAML"]),
        ("ann_bench: {arms: [exact]}", ["ann_bench.arms is now called ann_bench.methods"]),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(tmp_path, text, words):
    with pytest.raises(MusicRecError) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_model_trained_by_an_earlier_version_is_read():
    assert trained_with({"rank": 7, "init": "projection"}, ALSParams) == ALSParams(rank=7)
    with pytest.raises(ValueError, match="rnk"):
        trained_with({"rnk": 7}, ALSParams)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(MusicRecError, match="no such parameter file"):
        load_params(tmp_path / "params.yaml")


def test_what_the_schema_generates_is_up_to_date():
    """docs/parameters.md, and all keys in every params*.yaml, for `-S` and `dvc params diff`."""
    files = runpy.run_path(str(ROOT / "scripts" / "parameters.py"))["generated"]()
    assert {path.name for path in files} >= {"parameters.md", "params.yaml", "params.original.yaml"}
    assert {path: path.read_text() for path in files} == files, "run python scripts/parameters.py"


def test_a_stage_checks_the_whole_file(tmp_path):
    """So that the first stage stops, and not the last."""
    path = tmp_path / "params.yaml"
    path.write_text("downsample: {fraction: 0.5}\nals: {rank: 5}\n")
    assert load_block(path, DownsampleParams).fraction == 0.5
    path.write_text("downsample: {fraction: 0.5}\nals: {rank: many}\n")
    with pytest.raises(MusicRecError, match=r"als\.rank = 'many'"):
        load_block(path, DownsampleParams)
    path.write_text("evaluate: {champion: nowhere}\n")
    with pytest.raises(
        MusicRecError, match=r"evaluate\.champion = nowhere: no such folder; name a"
    ):
        load_block(path, DownsampleParams)


def test_a_changed_copy_is_checked_too():
    assert DownsampleParams().replace(fraction=0.5).fraction == 0.5
    with pytest.raises(ValueError, match="fraction"):
        DownsampleParams().replace(fraction=2.0)
