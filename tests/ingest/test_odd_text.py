"""Text that one could take for another table: read right, or a sentence that says how."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.run import ingest
from musicrec.params import DataParams
from tests.support.many_sources import Found, read_many, read_source
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    POSITIONS,
    data_params,
    text_of,
    write,
)

NAMED = [(f"u{user}", f"t{track}", count) for user, track, count in PLAYS]
PAIRS = [play[:2] for play in NAMED]
EVENTS = [(*pair, 1) for pair in PAIRS]
LOG = {"columns": {"user": "user_id", "track": "track_id", "count": None}}
PLACES = {"columns": {"user": 0, "track": 1, "count": None}}
COUNTED = {"columns": POSITIONS}
HEADER = "user_id,track_id\n"
BARE = text_of(NAMED, header="")
LINES = text_of(PAIRS, header="")
LARGE = [(f"u{i % 50}", f"t{i}", 1 + i % 4) for i in range(6000)]  # more than is looked at first


def quoted(rows, separator=",", quoting=csv.QUOTE_ALL) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)
    return text.getvalue()


def excel(plays) -> str:
    """`Text (tab delimited)`: quotes around what holds a comma or a quote."""
    return "".join(
        "\t".join(
            '"' + word.replace('"', '""') + '"' if set(word) & {",", '"'} else word
            for word in map(str, play)
        )
        + "\n"
        for play in plays
    )


def renamed(name: Callable[[int, str], str], count: int | None = None) -> list[tuple]:
    return [(u, name(i, t), count or c) for i, (u, t, c) in enumerate(NAMED)]


THE = renamed(lambda i, t: f"{t}, The" if i % 7 == 0 else f'{t} 12"' if i % 11 == 0 else t)
COMPOSERS = renamed(lambda i, t: f"{t}, Johann Sebastian", 1)
LATE = [(u, f'Half "{t}"' if i >= 3000 else t, c) for i, (u, t, c) in enumerate(LARGE)]
EARLY = [("u1", f'x "{t}"', c) for _, t, c in LARGE[:40]]
TITLES = [("u1", '"Heroes"', 3)]
OTHERS = [("u2", '"Heroes"', 2), ("u2", "Heroes", 1), ("u3", '12" mix', 2), *NAMED]
BACKSLASHES = "user_id,track_id,count\n" + "".join(
    f'"{u}","{t} \\"x\\" y\\\\",{c}\n' for u, t, c in NAMED
)
NAMES = ("user_id", "track_id", "count")
Content = str | dict[str, str]

# name: (text, or the texts of several files; parameters; plays)
RIGHT: dict[str, tuple[Content, dict, list]] = {
    "an escaped backslash": (BACKSLASHES, {}, renamed(lambda _, t: f'{t} "x" y\\')),
    "one file that another separator fits": (
        {"a": text_of(PAIRS, ";", ""), "b": "u77;Beatles, The\n"}, PLACES,
        [*EVENTS, ("u77", "Beatles, The", 1)],
    ),
    "names before semicolons": (text_of([p[:2] for p in COMPOSERS], ";", ""), PLACES, COMPOSERS),
    "names before pipes": (
        text_of([(u, "A, B, C", t) for u, t in PAIRS], "|", ""),
        {"columns": {"user": 0, "track": 2, "count": None}}, EVENTS,
    ),
    "lists after pipes": (
        text_of([(u, f"{t}; a; b") for u, t in PAIRS], "|", ""), PLACES,
        [(u, f"{t}; a; b", 1) for u, t in PAIRS],
    ),
    "tab before quotes": (
        text_of([(u, f'\t"{t}, The"', f"\t{c}") for u, t, c in NAMED]), {},
        renamed(lambda _, t: f"{t}, The"),
    ),
    "header of other words": (text_of(PAIRS, header="member_id,media_id"), PLACES, EVENTS),
    "a rule under the header": (HEADER + "-------,--------\n" + LINES, LOG, EVENTS),
    "types under the header": (HEADER + "varchar(20),string\n" + LINES, LOG, EVENTS),
    "header again, in capitals": (text_of(PAIRS[:40], header="user_id,track_id") + HEADER.upper()
                                  + text_of(PAIRS[40:], header=""), LOG, EVENTS),
    "header again, behind U+00A0": (text_of(PAIRS[:40], header="user_id,track_id") + "\u00a0"
                                    + HEADER + text_of(PAIRS[40:], header=""), LOG, EVENTS),
    "header with U+200B": ("user_id,\u200btrack_id,count\n" + BARE, {}, NAMED),
    "percent signs": ("% bip, unweighted\n% 12, 20\n" + LINES, PLACES, EVENTS),
    "slashes": ("// plays, of 2020\n" + LINES, PLACES, EVENTS),
    "title and tabs": ("My plays\t\t\t\n" + text_of(NAMED, "\t"), {}, NAMED),
    "rows of separators": (text_of(NAMED) + ",,\n" * 3, {}, NAMED),
    "no count in the first row": (
        "u1\tt1\tNULL\n" + text_of(NAMED, "\t", ""), COUNTED | {"on_bad_rows": "drop"}, NAMED,
    ),
}  # fmt: skip
# What stops, and is read where what the sentence says is typed:
# name: (text, parameters, part of the sentence, what is typed, plays)
DROP, ENCLOSE, TEXT = {"on_bad_rows": "drop"}, {"quote": '"'}, {"quote": "none"}
ASKED = "set data.quote to none, or to '\"' if they enclose"
AMID = "no play but a comment, a header, a rule or a line above the header"
ADVISED: dict[str, tuple[Content, dict, str, dict, list]] = {
    "plays above the header": (
        text_of(NAMED[:9], header="") + text_of(NAMED[9:]), {}, AMID, DROP, NAMED[9:],
    ),
    "of an event log": (
        text_of(PAIRS[:3], header="") + HEADER + text_of(PAIRS[3:], header=""), LOG, AMID, DROP,
        EVENTS[3:],
    ),
    "a header at the end": (LINES + HEADER, PLACES, AMID, DROP, EVENTS),
    "a comment": (LINES + "# exported, nightly\n", PLACES, AMID, DROP, EVENTS),
    "titles in quotes": (
        {"a": text_of(TITLES, "\t"), "b": text_of(OTHERS, "\t")}, {}, ASKED, TEXT,
        TITLES + OTHERS,
    ),
    "quotes that enclose": (
        {name: quoted([NAMES, *plays], "\t", csv.QUOTE_MINIMAL)
         for name, plays in (("a", LATE), ("b", EARLY))},
        {}, ASKED, ENCLOSE, LATE + EARLY,
    ),
    "quotes far below": (quoted(LATE, "\t", csv.QUOTE_MINIMAL), COUNTED, ASKED, ENCLOSE, LATE),
    "Excel's tabs": (excel(THE), COUNTED, ASKED, ENCLOSE, THE),
    "comma and tab": (text_of(PAIRS, ",\t", ""), PLACES, "set data.separator", {"separator": ",\t"},
                      EVENTS),
    "a lone quote": (text_of([(u, f'12" {t}', c) for u, t, c in NAMED]), {},
                     "none, if quotes are part of the text", TEXT,
                     renamed(lambda _, t: f'12" {t}')),
    "names in another form": (
        "listener,medium\n" + LINES, PLACES, "set data.header to true or false", {"header": True},
        EVENTS,
    ),
    "separators that differ": (
        {"a": text_of(PAIRS[:40], header=""), "b": text_of(PAIRS[40:], "\t", "")}, PLACES,
        "their separators seem to be", {"files": "a*", "separator": "comma"}, EVENTS[:40],
    ),
    "fractions": (
        text_of([(u, t, c + 0.5) for u, t, c in NAMED]), {}, "100.0% of the rows have fractions",
        {"fractions": "one"}, [(u, t, 1) for u, t, _ in NAMED],
    ),
}  # fmt: skip
NOTES = [[u, t, c, "fine" if i != 30 else "so\nx,y,3,z"] for i, (u, t, c) in enumerate(NAMED)]
# name: (text, parameters, how many bad lines, how many plays remain)
RAGGED: dict[str, tuple[str, dict, int, int]] = {
    "one broken quote": (quoted(NAMED) + '"u98","12" vinyl","3"\n', COUNTED, 1, len(NAMED)),
    "one quote not closed": (quoted(NAMED).rstrip()[:-1], COUNTED, 1, len(NAMED) - 1),
    "both halves of a note": (
        quoted([("user_id", "track_id", "count", "note"), *NOTES], ",", csv.QUOTE_MINIMAL),
        {}, 2, len(NAMED) - 1,
    ),
}  # fmt: skip
# name: (text or texts, parameters, part of the sentence)
REFUSED: dict[str, tuple[Content, dict, str]] = {
    "two separators": (
        text_of([(u, f"a;{t}") for u, t in PAIRS], header=""), PLACES,
        "',' and ';' cut its lines into as many fields each",
    ),
    "another order amid": (text_of(PAIRS[:40], header="user_id,track_id") + "track_id,user_id\n"
                           + text_of([p[::-1] for p in PAIRS[40:]], header=""), LOG,
                           "names the columns in another order"),
    "header in one of two files": (
        {"a": text_of(NAMED[:40]), "b": text_of(NAMED[40:], header="")},
        COUNTED | {"header": True}, "give all files the same header or none",
    ),
    "row names or users": (
        HEADER + "".join(f"{i + 1},{100 + i % 7},{i % 3}\n" for i in range(100)), LOG,
        "set data.header=true data.columns.user=1 data.columns.track=2",
    ),
    "no separator": (text_of(NAMED), {"separator": ""}, "data.separator = '' is not allowed"),
    "a comma in counts": (text_of([(u, t, f"{c},00") for u, t, c in NAMED], ";"), {},
                          "set data.decimal to point or comma"),
    "0,500": (text_of([(u, t, "0,500") for u, t, _ in NAMED], ";"), {"decimal": "point"},
              "is text where a number is expected"),
    "0.500": (text_of([(u, t, "0.500") for u, t, _ in NAMED]), {"decimal": "comma"},
              "is text where a number is expected"),
    "nearly three": (text_of([(u, t, "2.9999999999999999999") for u, t, _ in NAMED]), {},
                     "is not a whole number"),
    "a first line without end": ("user_id,track_id,count," + ",".join(map(str, range(30_000))), {},
                                 "the first line is longer than"),
}  # fmt: skip


def source(folder: Path, content: Content) -> Path:
    if isinstance(content, str):
        return write(folder / "plays.csv", content)
    for name, text in content.items():
        write(folder / "source" / f"{name}.csv", text)
    return folder / "source"


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, DataParams]:
    folder = tmp_path_factory.mktemp("odd-text")
    drop = {name: (*case[:1], case[1] | {"on_bad_rows": "drop"}) for name, case in RAGGED.items()}
    cases = {**RIGHT, **drop, **REFUSED}
    assert len(cases) == len(RIGHT) + len(RAGGED) + len(REFUSED)
    return {
        name: data_params(source(folder / str(place), content), **(HOLDOUT | kwargs))
        for place, (name, (content, kwargs, *_)) in enumerate(cases.items())
    }


@pytest.fixture(scope="module")
def found(sources, tmp_path_factory) -> dict[str, Found]:
    read = {name: params for name, params in sources.items() if name not in REFUSED}
    return read_many(read)


def summed(plays: list) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for user, track, count in plays:
        sums[user, track] = sums.get((user, track), 0) + count
    return sums


@pytest.mark.parametrize("name", RIGHT)
def test_right(found, name):
    here = found[name]
    assert here.sentence == ""
    assert summed(here.plays) == summed(RIGHT[name][2])


@pytest.mark.parametrize("name", RAGGED)
def test_flawed_quotes_are_bad_rows(found, name):
    _, _, bad, good = RAGGED[name]
    assert found[name].sentence == ""
    assert dict(found[name].bad) == {"ragged_line": bad}
    assert len(found[name].plays) == good


@pytest.mark.parametrize("name", ADVISED)
def test_what_the_sentence_says_reads_it(tmp_path, name):
    content, kwargs, words, typed, plays = ADVISED[name]
    path = source(tmp_path, content)
    with pytest.raises(MusicRecError) as raised:
        ingest(data_params(path, **(HOLDOUT | kwargs)), tmp_path)
    assert words in str(raised.value)
    found = read_source(data_params(path, **(HOLDOUT | kwargs | typed)))
    assert found.sentence == "" and summed(found.plays) == summed(plays)
    assert not found.bad or typed is DROP


@pytest.mark.parametrize("name", REFUSED)
def test_refused(sources, tmp_path, name):

    with pytest.raises(MusicRecError) as raised:
        ingest(sources[name], tmp_path)
    assert REFUSED[name][2] in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("header", ["auto", True])
def test_a_column_of_a_folder_beside_positions(tmp_path, header):
    for user in ("anna", "berta"):
        rows = "".join(f"t{i},{i + 1}\n" for i in range(9))
        write(tmp_path / f"plays/user={user}/plays.csv", "name,plays\n" * (header is True) + rows)
    columns = {"user": "user", "track": 0, "count": 1}
    params = data_params(tmp_path / "plays", **(HOLDOUT | {"columns": columns, "header": header}))
    found = read_source(params)
    assert found.sentence == "" and len(found.plays) == 18
