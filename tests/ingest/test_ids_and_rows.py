"""Ids and rows as logs have them: several columns, filters, fractions, files, lists, aliases."""

import json

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.read.keep import Condition
from musicrec.ingest.run import read_plays
from tests.support.many_sources import read_source
from tests.support.plays import HOLDOUT, PLAYS, data_params, run, text_of, write, write_parquet

LOG = {"columns": {"user": "u", "track": "t", "count": None}}
TIMED = {"columns": LOG["columns"] | {"timestamp": "at"}}


def rows_of(source, **kwargs):
    found = read_source(data_params(source, **(HOLDOUT | kwargs)))
    assert found.sentence == "" and not found.bad
    return found.plays


def test_columns_are_joined_without_collisions(tmp_path):
    pairs = [("a", "b / c"), ("a / b", "c"), ("x /", "y"), ("x", "/ y"), ("AC/DC", "T.N.T."),
             ("a", r"b \/ c"), ("a", r"b \\/ c"), (r"a \\/ b", "c")]  # fmt: skip
    artists, titles = zip(*pairs, strict=True)
    path = write_parquet(tmp_path / "a.parquet", u=["u"] * 8, artist=artists, title=titles)
    columns = {"user": "u", "track": ["artist", "title"], "count": None}
    tracks = [track for _, track, _ in rows_of(path, columns=columns)]
    assert len(set(tracks)) == 8 and "AC/DC / T.N.T." in tracks


def test_the_share_that_fell_back_is_said(tmp_path, capfd):
    rows = [(u, t if i % 4 else "", f"m{t}") for i, (u, t, _) in enumerate(PLAYS)]
    path = write(tmp_path / "a.csv", text_of(rows, header="u,t,other"))
    columns = LOG["columns"] | {"track_else": "other"}
    summary, _ = run(path, tmp_path, columns=columns, **HOLDOUT)
    assert summary["source"]["rows_of_track_else"] == 27
    assert "in 27 of 105 rows (25.7%), whose track is that of 'other'" in capfd.readouterr().err


KEEP = [
    ("n >= 2", {"b", "c", "d"}),
    ("n >= 2 and not flag == true", {"c", "d"}),
    ("flag is null or n < 2", {"a", "c"}),
    ("`a name` == 'x, y'", {"a"}),
    ("(flag != true) and n <= 3e0", {"a", "c"}),
    ("flag != True and flag != 'TRUE'", {"a", "c", "d"}),
    ("n == -1", set()),
]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("condition", "expected"), KEEP)
def test_keep(tmp_path, form, condition, expected):
    table = {"u": ["u"] * 4, "t": list("abcd"), "n": [1, 2, 3, 4],
             "flag": [False, True, None, False], "a name": ["x, y", "z", "z", "z"]}  # fmt: skip
    if form == "parquet":
        path = write_parquet(tmp_path / "a.parquet", **table)
    elif form == "jsonl":
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        path = write(tmp_path / "a.csv", 'u,t,n,flag,a name\nu,a,1,false,"x, y"\nu,b,2,true,z\n'
                     "u,c,3,,z\nu,d,4,False,z\n")  # fmt: skip
    assert {track for _, track, _ in rows_of(path, keep=condition, **LOG)} == expected


@pytest.mark.parametrize(
    "text", ["n >=", "n ~ 3", "n = 3", "n == m", "import os", "(n == 1", "n == 1)", "", "n is 3"]
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(MusicRecError, match=r"data.keep = .* cannot be read: "):
        Condition(text)


def test_an_unknown_column_and_nothing_kept_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", text_of(PLAYS))
    found = read_source(data_params(path, keep="m > 3", **HOLDOUT))
    assert "no column 'm'" in found.sentence
    with pytest.raises(MusicRecError, match="leaves out all rows"):
        run(path, tmp_path, keep="count < 0", **HOLDOUT)


def test_a_user_from_the_name_of_the_file(tmp_path):
    for user in ("anna", "berta"):
        write(tmp_path / f"s/{user}.txt.gz", "1\tt1\n2\tt2\n" + user[0] + "\tt3\n")
    (tmp_path / "s/anna.txt.gz").rename(tmp_path / "s/anna.tsv")
    (tmp_path / "s/berta.txt.gz").rename(tmp_path / "s/berta.tsv")
    columns = {"user": "@file", "track": 1, "count": None}
    found = rows_of(tmp_path / "s", columns=columns, header=False)
    assert {user for user, *_ in found} == {"anna", "berta"} and len(found) == 6
    (tmp_path / "s/user=u").mkdir()
    (tmp_path / "s/anna.tsv").rename(tmp_path / "s/user=u/t.tsv")
    (tmp_path / "s/berta.tsv").unlink()
    columns = {"user": "user", "track": "@file", "count": None}
    found = read_source(data_params(tmp_path / "s", columns=columns, **HOLDOUT))
    assert "names folders and files alone" in found.sentence


@pytest.mark.parametrize(
    ("choice", "counts"), [("round", [1, 1, 3]), ("ceil", [1, 2, 3]), ("one", [1, 1, 1])]
)
def test_fractions(tmp_path, choice, counts):
    path = write(tmp_path / "a.csv", "user_id,track_id,count\nu,a,0.5\nu,b,1.2\nu,c,3\n")
    assert [count for *_, count in rows_of(path, fractions=choice)] == counts
    typed = write_parquet(tmp_path / "a.parquet", user_id=["u"] * 3, track_id=list("abc"),
                          count=[0.5, 1.2, 3.0])  # fmt: skip
    assert [count for *_, count in rows_of(typed, fractions=choice)] == counts


def test_listens_sent_twice_are_counted_and_warned_of(tmp_path, capfd):
    rows = [(u, t, 1_600_000_000 + i) for i, (u, t, _) in enumerate(PLAYS)]
    path = write(tmp_path / "a.csv", text_of([*rows, *rows[:5]], header="u,t,at"))
    for name, said, total in ((None, True, 110), ("each", False, 110), ("once", False, 105)):
        folder = write(tmp_path / str(name) / "x", "").parent
        summary, _ = run(path, folder, same_listen=name, **TIMED, **HOLDOUT)
        assert summary["source"]["rows_same_listen"] == 5
        assert ("5 of 110 rows have user, track and time" in capfd.readouterr().err) == said
        splits = ("train", "validation", "test")
        assert sum(summary[s]["rows"] * summary[s]["count"]["mean"] for s in splits) == (
            pytest.approx(total)
        )


def test_lists_within_objects(tmp_path):
    plays = [{"u": "a", "t": str(i)} for i in range(3)]
    path = write(tmp_path / "a.json", json.dumps({"user": "a", "scrobbles": plays}, indent=1))
    found = read_source(data_params(path, **(HOLDOUT | LOG)))
    assert "data.records=scrobbles" in found.sentence
    assert len(rows_of(path, records="scrobbles", **LOG)) == 3
    lists = {"playlists": [{"tracks": plays[:2]}, {"tracks": plays[2:]}]}
    other = write(tmp_path / "b.json", json.dumps(lists))
    assert len(rows_of(other, records="playlists.tracks", **LOG)) == 3
    wrong = read_source(data_params(other, records="playlists.songs", **(HOLDOUT | LOG)))
    assert "there is no 'songs'; the object has: tracks" in wrong.sentence


def test_aliases(tmp_path):
    write(tmp_path / "s/plays.csv", text_of([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)]))
    write(tmp_path / "s/alias.txt", "a\tb\nb\tc\n\tz\n")
    found = rows_of(tmp_path / "s", aliases="alias.txt")
    assert found == [("u", "c", 1), ("u", "c", 2), ("u", "c", 3)]
    table = read_plays(data_params(tmp_path / "s", aliases="alias.txt", **HOLDOUT))
    assert table.to_pylist() == [{"user_id": "u", "track_id": "c", "count": 6}]
    write(tmp_path / "s/alias.txt", "a\tb\nb\ta\n")
    circle = read_source(data_params(tmp_path / "s", aliases="alias.txt", **HOLDOUT))
    assert "lead in a circle" in circle.sentence
    missing = read_source(data_params(tmp_path / "s", aliases="no.txt", **HOLDOUT))
    assert "no such file" in missing.sentence


def test_files_of_other_columns_stop_it(tmp_path):
    users, tracks, counts = map(list, zip(*PLAYS, strict=True))
    write_parquet(tmp_path / "s/plays-2.parquet", user_id=users, track_id=tracks, count=counts)
    write_parquet(tmp_path / "s/likes.parquet", user_id=users[:3], track_id=tracks[:3],
                  count=counts[:3], liked=[1, 1, 0])  # fmt: skip
    found = read_source(data_params(tmp_path / "s", **HOLDOUT))
    assert "have other columns" in found.sentence
    assert "data.files=plays-*.parquet, or all: data.files=*" in found.sentence
    assert len(rows_of(tmp_path / "s", files="plays-*.parquet")) == len(PLAYS)
    assert len(rows_of(tmp_path / "s", files="*")) == len(PLAYS) + 3


def test_a_document_is_bounded_and_lines_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr("musicrec.ingest.read.json_rows._LARGEST", 500)
    monkeypatch.setattr("musicrec.ingest.read.text.BLOCK", 300)
    lists = [{"plays": [{"u": f"u{i}", "t": str(j)} for j in range(3)]} for i in range(20)]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(one) + "\n" for one in lists))
    assert len(rows_of(path, records="plays", **LOG)) == 60
    path = write(tmp_path / "b.json", json.dumps(lists, indent=1))
    assert "write one object a line" in read_source(data_params(path, **HOLDOUT)).sentence
