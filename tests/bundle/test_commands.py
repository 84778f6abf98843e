"""The command line answers people and machines, whatever an id looks like."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest

from musicrec.cli import main
from tests.support.served import HARD_IDS, LONE_USER, N_ITEMS, name_of

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(project, capsys):
    """Run a command on the bundle; gives exit code, output and noted."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main([words[0], "--bundle", str(project / "bundle"), *words[1:]])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def listed(say):
    """Run a command that succeeds; gives the ids of its tracks."""

    def run(*words: str) -> list[str]:
        status, printed, _ = say(*words, "--json")
        assert status == 0
        return [row["track_id"] for row in json.loads(printed)["tracks"]]

    return run


def test_a_table_for_people(say, bundle, tmp_path):
    labels = tmp_path / "names.tsv"
    names = {name_of("item", item): f"Song № {item}" for item in range(N_ITEMS)}
    rows = "".join(f"{key}\t{name}\thttp://x\r\n" for key, name in names.items())
    labels.write_text("id\tname\turl\r\n" + rows, encoding="utf-8")
    status, printed, noted = say(
        "recommend", "--user", "user-3", "-k", "4", "--labels", str(labels)
    )
    lines = printed.splitlines()
    assert status == 0 and noted == ""
    assert lines[0].split() == ["track", "name", "score"]
    for line, found in zip(lines[1:], bundle.recommend("user-3", 4), strict=True):
        assert found.track_id in line and names[found.track_id] in line
        assert line.endswith(f"{found.score:.4f}")


def test_names_stand_for_ids(say, listed, bundle, tmp_path):
    labels = tmp_path / "names.csv"
    tracks = [name_of("item", item) for item in range(20)]
    names = [f"Song {min(item, 18)}" for item in range(20)]  # the last two alike
    labels.write_text("".join(map("{},{}\n".format, tracks, names)))
    words = ["--labels", str(labels), "-k", "3"]
    expected = bundle.recommend_for_plays({tracks[0]: 3, tracks[1]: 2}, 3).track_ids
    assert listed("recommend", "--plays", "Song 0=3", f"{tracks[1]}=2", *words) == expected
    near = [listed("similar", "--track", track, *words) for track in ("Song 0", tracks[0])]
    assert near[0] == near[1]
    chosen = ["--candidates", "Song 0", tracks[1]]
    assert set(listed("recommend", "--user", "user-3", *chosen, *words)) <= {*tracks[:2]}
    for name, sentence in (("Song 18", "is the name of 2 tracks"), ("Nobody's", "nobody played")):
        status, _, noted = say("similar", "--track", name, *words)
        assert status == 1 and sentence in noted


@pytest.mark.parametrize("name", HARD_IDS)
def test_hard_ids(listed, bundle, name):
    user, plays, counts = ["--user", name], [f"{name}=3", "item-2=4"], {name: 3, "item-2": 4}
    if name == "--json":  # an option's own name is an id only behind an equals sign
        user, plays, counts = [f"--user={name}"], [], {name: 3}
    given = ["--plays", *plays] if plays else [f"--plays={name}=3"]
    assert listed("recommend", *user, "-k3") == bundle.recommend(name, 3).track_ids
    expected = bundle.recommend_for_plays(counts, 3).track_ids
    assert listed("recommend", *given, "-k3") == expected
    near = [one.id for one in bundle.similar_tracks(name, 2)]
    assert listed("similar", f"--track={name}", "-k", "2") == near


def test_plays_from_a_file_and_from_standard_input(listed, bundle, tmp_path, monkeypatch):
    content = "item-1\t3\r\n-dash\t2\n\nwith=sign\nSigur Rós\t4".encode()
    plays = {"item-1": 3, "-dash": 2, "with=sign": 1, "Sigur Rós": 4}
    expected = bundle.recommend_for_plays(plays, 5).track_ids
    path = tmp_path / "plays.tsv"
    path.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "ascii"))
    for source in (str(path), "-"):
        assert listed("recommend", "--plays-from", source, "-k5") == expected


def test_what_is_not_ordinary_is_told(say, bundle):
    status, printed, noted = say("recommend", "--plays", "a stranger=5", "-k", "3", "--json")
    assert status == 0 and noted.count("note: ") == 2
    answer = json.loads(printed)
    assert answer["source"] == "popularity" and answer["unknown"] == ["a stranger"]
    status, printed, noted = say("recommend", "--user", name_of("user", LONE_USER))
    assert status == 0 and "listeners" in printed and "most popular" in noted


def test_explain_and_similar(say, bundle):
    why = bundle.explain("user-3", "item-5")
    status, printed, _ = say("explain", "--user", "user-3", "--track", "item-5", "-k", "2")
    lines = printed.splitlines()
    assert status == 0 and len(lines) == 5
    assert lines[1].startswith(why.plays[0].track_id) and "others" in lines[3]
    assert lines[4].startswith("score of item-5") and lines[4].endswith(f"{why.score:.4f}")
    words = ["--plays", "item-1=3", "--track", "item-5", "--json"]
    noted = json.loads(say("explain", *words)[1])
    parts = sum(play["part"] for play in noted["plays"]) + noted["remainder"]
    assert parts == pytest.approx(noted["score"])
    status, printed, _ = say("similar", "--user", "user-3", "-k", "2")
    assert status == 0 and [line.split()[1] for line in printed.splitlines()[1:]] == [
        one.id for one in bundle.similar_users("user-3", 2)
    ]


def test_verify(say, project, tmp_path):
    status, printed, _ = say("verify")
    assert status == 0 and "verified; 30 users, 40 tracks, rank 6, 240 plays" in printed
    assert main(["verify", "--bundle", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["recommend", "--user", "nobody"], "user 'nobody' is not in"),
        (["recommend", "--user", "user-1", "-k", "0"], "k is 0"),
        (["recommend", "--user", "user-1", "--candidates", "nobody"], "nothing is left"),
        (["recommend", "--plays", "item-2=x"], "item-2=x: play count 'x' is not a whole number"),
        (["recommend", "--plays", "item-2=" + "9" * 60], "from 1 to 10^18 - 1"),
        (["recommend", "--plays-from", "/nowhere"], "/nowhere: no such file"),
        (["recommend", "--plays-from", "/"], "a folder, where a file is needed"),
        (["recommend", "--user", "user-1", "--labels", "/dev/null"], "no names"),
        (["similar", "--user", name_of("user", LONE_USER)], "no user is like this one"),
    ],
)
def test_no_answer_is_one_sentence_and_exit_code_1(say, words, sentence):
    status, printed, noted = say(*words)
    assert status == 1 and printed == ""
    assert sentence in noted.splitlines()[-1] and noted.splitlines()[-1].startswith("error: ")


def test_a_file_of_plays_that_is_none(say, tmp_path):
    path = tmp_path / "plays.tsv"
    for content, sentence in (
        (b"item-1\t3\nitem-2\t-3\n", "line 2: play count '-3' is not a whole number"),
        (b"item-1\t\xff\n", "not UTF-8 (byte 7)"),
    ):
        path.write_bytes(content)
        status, _, noted = say("recommend", "--plays-from", str(path))
        assert status == 1 and sentence in noted


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["recommend", "--usr", "a"], "one of the arguments --user --plays"),
        (["recommend", "--user", "a", "--nonsense=3"], "unrecognized arguments: --nonsense=3"),
        (["recommend"], "one of the arguments --user --plays"),
        (["recommend", "--all"], "--all and --output FILE go together"),
        (["recommend", "--user", "a", "--output", "x"], "--all and --output FILE go together"),
        (["recommend", "--all", "--output", "x", "--search-k", "5"], "leave out --search-k"),
        (["recommed"], "argument COMMAND: invalid choice: 'recommed'"),
    ],
)
def test_wrong_usage_is_one_sentence(say, capsys, words, sentence):
    with pytest.raises(SystemExit) as left:
        say(*words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert sentence in said


def test_no_command_lists_them(capsys):
    assert main([]) == 2
    said = capsys.readouterr().err
    assert all(f"\n    {name}" in said for name in ("compare", "recommend", "publish"))
