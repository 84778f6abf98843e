"""What every command that writes says of an output that cannot be meant; nothing is touched."""

import pytest

from musicrec.cli import main

FILES = {"report": ".html", "tune": ".html", "original": ".html", "recommend --all": ".parquet"}
TYPED = [  # more of them: tests/storage/test_outputs.py
    ("", "the name of the output is empty"),
    ("x.csv", "x.csv: the file is written as "),
    ("mine", "mine: this file was not written by musicrec"),
]


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize(("output", "said"), TYPED)
def test_an_output_file(command, output, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("mine")
    assert main([*command.split(), "--output", output]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("tune --trials 0", "--trials: '0' is not a whole number from 1 to"),
        ("tune --seed -1", "--seed: '-1' is not a whole number from 0 to 2147483647"),
        ("tune --seed 1.5", "--seed: '1.5' is not a whole number"),
        ("compare a b --margin nan", "--margin: 'nan' is not a number from 0 to 1"),
        ("review --margin -0.1", "--margin: '-0.1' is not a number from 0 to 1"),
    ],
)
def test_a_number_out_of_its_range(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    error = capsys.readouterr().err
    assert f"error: argument {said}" in error and error.count("\n") == 1
