"""Both protocols, from files to splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.run import ingest
from musicrec.params import load_params
from tests.support.plays import all_rows, contents, rows, run, text_of, write

ROOT = Path(__file__).resolve().parents[3]


GIVEN = {
    "train": [("a", "x", 1), ("a", "y", 2), ("v", "x", 3), ("e", "y", 1), ("e", "y", 2)],
    "validation": [("v", "y", 3), ("w", "new", 1)],
    "test": [("e", "x", 4)],
}


def given(folder: Path, **changes) -> Path:
    for split, plays in (GIVEN | changes).items():
        write(folder / f"{split}.csv", text_of(plays))
    return folder


class TestGiven:
    def test_files(self, tmp_path):
        source = given(tmp_path / "s")
        write(source / "README.md", "not plays")
        summary, out = run(source, tmp_path)
        expected = {name: sorted(plays) for name, plays in GIVEN.items()}
        expected["train"] = [("a", "x", 1), ("a", "y", 2), ("e", "y", 3), ("v", "x", 3)]
        assert all_rows(out) == expected
        assert summary["train"]["merged_rows"] == summary["source"]["merged_rows"] == 1
        assert summary["validation"]["cold_users"] == 1
        assert summary["validation"]["cold_tracks"] == 1
        assert summary["validation"]["rejected_rows"] == 0

    def test_folders_and_longer_names(self, tmp_path):
        source = tmp_path / "the test of train"
        write(source / "cf_train.csv/part-0", text_of(GIVEN["train"][:2]))
        write(source / "cf_train.csv/part-1", text_of(GIVEN["train"][2:]))
        write(source / "cf_val-00000-of-00002.csv", text_of(GIVEN["validation"][:1]))
        write(source / "cf_val-00001-of-00002.csv", text_of(GIVEN["validation"][1:]))
        write(source / "CF_Test.tsv", text_of(GIVEN["test"], "\t"))
        _, out = run(source, tmp_path)
        _, plain = run(given(tmp_path / "s"), tmp_path / "o")
        assert contents(out) == contents(plain)

    def test_the_files_of_the_million_song_dataset_challenge(self, tmp_path, capsys):
        """Tabs, no header, and users unknown to training, half of whose plays are known."""
        plays = [
            (f"{user:040x}", f"SO{(user + 5 * n) % 12:016d}", 1 + n)
            for user in range(20)
            for n in range(6)
        ]
        files = {
            "train_triplets": plays[:72],
            "year1_valid_triplets_visible": plays[72:96:2],
            "year1_valid_triplets_hidden": plays[73:96:2],
            "year1_test_triplets_visible": plays[96::2],
            "year1_test_triplets_hidden": plays[97::2],
        }
        for name, part in files.items():
            write(tmp_path / f"s/{name}.txt", text_of(part, "\t", header=""))
        params = load_params(ROOT / "params.msd-challenge.yaml").data
        (tmp_path / "a").mkdir()
        ingest(params.replace(source=str(tmp_path / "s")), tmp_path / "a")
        names = ("train", *(f"{split}{end}" for split in ("validation", "test")
                            for end in ("_history", "")))  # fmt: skip
        for name, part in zip(names, files.values(), strict=True):
            assert sorted(rows(tmp_path / "a", name)) == sorted(part)
        assert not capsys.readouterr().err

        hidden = [*plays[73:96:2], ("stranger", plays[0][1], 1)]
        write(tmp_path / "s/year1_valid_triplets_hidden.txt", text_of(hidden, "\t", header=""))
        known = [*plays[96::2], (plays[0][0], "SO1", 1)]
        write(tmp_path / "s/year1_test_triplets_visible.txt", text_of(known, "\t", header=""))
        (tmp_path / "c").mkdir()
        with pytest.raises(
            MusicRecError, match="1 user is in both train and test_history, first '0"
        ):
            ingest(params.replace(source=str(tmp_path / "s")), tmp_path / "c")
        write(tmp_path / "s/year1_test_triplets_visible.txt", text_of(known[:-1], "\t", header=""))
        (tmp_path / "b").mkdir()
        ingest(params.replace(source=str(tmp_path / "s")), tmp_path / "b")
        assert "1 users of validation have no play in validation_history" in capsys.readouterr().err

    def test_a_user_in_validation_and_test(self, tmp_path):
        source = given(tmp_path / "s", test=[("w", "x", 1), ("v", "z", 1), ("e", "x", 1)])
        for choice in ("error", "drop"):
            with pytest.raises(MusicRecError, match=r"s: 2 users are in both .*first 'v' \(col"):
                run(source, tmp_path / choice, on_bad_rows=choice)

    @pytest.mark.parametrize(
        "spoil, sentence",
        [
            (lambda s: (s / "test.csv").unlink(), "s: no file or sub-folder for test (data.proto"),
            (lambda s: write(s / "train_test.csv", "x"), "'train_test.csv' stands for train and t"),
            (lambda s: write(s / "test.csv", "user_id,track_id,count\n"), "s: test has no rows"),
            (lambda s: write(s / "test.csv", ""), "s: no file or sub-folder for test (data.proto"),
        ],
    )
    def test_missing_parts(self, tmp_path, spoil, sentence):
        source = given(tmp_path / "s")
        spoil(source)
        with pytest.raises(MusicRecError) as raised:
            run(source, tmp_path)
        assert sentence in str(raised.value)
