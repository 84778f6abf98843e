"""JSON in the forms that people have it in: every object read, or named as what it is."""

from __future__ import annotations

import json

import pytest

from tests.support.many_sources import Found, read_many, read_source
from tests.support.plays import HOLDOUT, PLAYS, data_params, write

NAMES = ("user_id", "track_id", "count")
OBJECTS = [dict(zip(NAMES, play, strict=True)) for play in PLAYS]
LINES = [json.dumps(one) for one in OBJECTS]
TEXT = "\n".join(LINES) + "\n"
FAR = TEXT + "\n" * 1000  # what follows is behind the lines that are looked into


def one(user='"a"', track='"b"', more="") -> str:
    return f'{{"user_id": {user}, "track_id": {track}, "count": 1{more}}}'


# name: (text, plays beside PLAYS, bad rows by reason)
READ: dict[str, tuple[str, list, dict]] = {
    "joined without a line end": (TEXT + one() + one(track='"c"') + "\n", [("a", "b", 1), ("a",
        "c", 1)], {}),
    "rubbish behind": (TEXT + one() + " rubbish\n", [], {"broken_json": 1}),
    "text sequence": ("".join(f"\x1e{line}\n" for line in LINES), [], {}),
    "a mark in the middle": (TEXT + "\ufeff" + one() + "\n", [("a", "b", 1)], {}),
    "arrays on lines": (TEXT + f"[{one()}, {one(track='2')}]\n[]\n",
                        [("a", "2", 1), ("a", "b", 1)], {}),
    "no objects": (TEXT + '3\nnull\n"text"\n[[1]]\n', [], {"broken_json": 4}),
    "a list as id": (FAR + one(track='["x", "y"]') + "\n", [], {"broken_json": 1}),
    "an object as id": (FAR + one(user='{"name": "x"}') + "\n", [], {"broken_json": 1}),
    "NaN, true": (TEXT + one("NaN") + "\n" + one("true") + "\n", [], {"broken_json": 2}),
    "numbers as they stand": (TEXT + "".join(one(track=n) + "\n" for n in ("1.10", "1.1", "-0",
        "0", "9" * 40)), [("a", n, 1) for n in ("1.10", "1.1", "-0", "0", "9" * 40)], {}),
    "half a pair": (TEXT + one(track='"a\\ud83c"') + "\n" + one(track='"\\udf00b"') + "\n", [],
                    {"track_not_text": 2}),
    "whole pairs, and none": (
        TEXT + one(track='"a\\ud83c\\udf00"') + "\n" + one(track='"\\\\ud83c"') + "\n",
        [("a", "a\U0001f300", 1), ("a", "\\ud83c", 1)], {},
    ),
    "a long first object": (json.dumps({"about": "x" * 200_000, "user_id": "a", "track_id": "b",
        "count": 1}) + "\n" + TEXT, [("a", "b", 1)], {}),
    "nested deeply": (TEXT + one(more=f', "x": {"[" * 2000}{"]" * 2000}') + "\n",
                      [("a", "b", 1)], {}),
    "concatenated": ("".join(LINES), [], {}),
}  # fmt: skip
# name: (text, what the sentence must hold)
REFUSED = {
    "Python dicts": ("".join(f"{o!r}\n" for o in OBJECTS), "such as Python dicts"),
    "JSON5": ("{user_id: 1, track_id: 2, count: 3}\n", "such as Python dicts"),
    "columns": (json.dumps({n: {str(i): i for i in range(9)} for n in NAMES}),
                "holds objects or lists; write an object a play, or"),
    "split": (json.dumps({"columns": NAMES, "index": [0], "data": [[1, 2, 3]]}),
              "no column 'user_id'; the file has: columns, index, data"),
    "a list on the way": ('{"a": [{"user_id": 3}]}\n', "set data.records=a"),
    "a list of plays": ('{"user_id": 1, "plays": [{"track_id": 2, "count": 3}]}\n' * 3,
                        "set data.records=plays"),
    "nested deeply, first": ("[" * 5000 + "]" * 5000, "nested too deeply"),
    "an empty array": ("[]", "has no rows"),
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Found]:
    folder = tmp_path_factory.mktemp("json")
    sources = {}
    for place, (name, case) in enumerate((READ | REFUSED).items()):
        path = write(folder / str(place) / "plays.json", case[0])
        sources[name] = data_params(path, **HOLDOUT, on_bad_rows="drop")
    shards = folder / "shards"
    write(shards / "a.json", TEXT)
    write(shards / "b.json", "[]")
    sources["shards"] = data_params(shards, **HOLDOUT)
    return read_many(sources)


@pytest.mark.parametrize("name", READ)
def test_every_object_is_read_or_a_bad_row(found, name):
    _, more, bad = READ[name]
    assert found[name].sentence == ""
    assert found[name].plays == sorted([*PLAYS, *more])
    assert found[name].bad == bad


@pytest.mark.parametrize("name", REFUSED)
def test_other_notations_are_named(found, name):
    assert REFUSED[name][1] in found[name].sentence


def test_an_empty_array_among_shards_is_left_out(found):
    assert found["shards"].plays == sorted(PLAYS)


def test_numbers_of_one_name_in_two_objects_are_not_confused(tmp_path):
    plays = [(user, track, 1 + user) for user in (7, 8, 0) for track in (0, 7, 1.5)]
    lines = [
        json.dumps({"user": {"id": user}, "track": {"id": track}, "count": count})
        for user, track, count in plays
    ]
    source = write(tmp_path / "plays.jsonl", "\n".join(lines) + "\n")
    columns = {"user": "user.id", "track": "track.id", "count": "count"}
    params = data_params(source, **(HOLDOUT | {"columns": columns}))
    found = read_source(params)
    assert found.sentence == ""
    assert found.plays == sorted((str(user), str(track), count) for user, track, count in plays)
