"""Text that one could take for another table: read right on both roads, or a sentence."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.text_layout import text_layout
from musicrec.ingest.in_process.run import ingest_in_process
from musicrec.params import ColumnParams, DataParams
from tests.support.many_sources import Found, read_many
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    POSITIONS,
    data_params,
    small_jobs,
    text_of,
    together,
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
    "sorted": (text_of(NAMED[:9], header="") + text_of(NAMED[9:]), {}, NAMED),
    "sorted, in one of two files": (
        {"a": text_of(NAMED[:9], header="") + text_of(NAMED[9:40]), "b": text_of(NAMED[:9])},
        {}, NAMED[:40] + NAMED[:9],
    ),
    "sorted event log": (
        text_of(PAIRS[:3], header="") + HEADER + text_of(PAIRS[3:], header=""), LOG, EVENTS,
    ),
    "sorted event log, header last": (LINES + HEADER, PLACES, EVENTS),
    "quotes are text in all files": (
        {"a": text_of(TITLES, "\t"), "b": text_of(OTHERS, "\t")}, {}, TITLES + OTHERS,
    ),
    "quotes enclose in all files": (
        {name: quoted([NAMES, *plays], "\t", csv.QUOTE_MINIMAL)
         for name, plays in (("a", LATE), ("b", EARLY))},
        {}, LATE + EARLY,
    ),
    "Excel's tabs": (excel(THE), COUNTED, THE),
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
    "comma and tab": (text_of(PAIRS, ",\t", ""), PLACES, EVENTS),
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
NOTES = [[u, t, c, "fine" if i != 30 else "so\nx,y,3,z"] for i, (u, t, c) in enumerate(NAMED)]
# name: (text, parameters, how many bad lines, how many plays remain)
RAGGED: dict[str, tuple[str, dict, int, int]] = {
    "one broken quote": (quoted(NAMED) + '"u98","12" vinyl","3"\n', COUNTED, 1, len(NAMED)),
    "one quote not closed": (quoted(NAMED).rstrip()[:-1], COUNTED, 1, len(NAMED) - 1),
    "both halves of a note": (
        quoted([("user_id", "track_id", "count", "note"), *NOTES], ",", csv.QUOTE_MINIMAL),
        {}, 2, len(NAMED) - 1,
    ),
    "quoted later": (quoted(LATE, "\t", csv.QUOTE_MINIMAL), COUNTED, 3000, 3000),
}  # fmt: skip
# name: (text or texts, parameters, part of the sentence)
REFUSED: dict[str, tuple[Content, dict, str]] = {
    "two separators": (
        text_of([(u, f"a;{t}") for u, t in PAIRS], header=""), PLACES,
        "',' and ';' cut its lines into 2 fields alike",
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
        "the first field counts the rows, or is the first column",
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
def found(spark, sources, tmp_path_factory) -> dict[str, Found]:
    read = {name: params for name, params in sources.items() if name not in REFUSED}
    with small_jobs(spark):
        return read_many(spark, read, tmp_path_factory.mktemp("scratch"))


def summed(plays: list) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for user, track, count in plays:
        sums[user, track] = sums.get((user, track), 0) + count
    return sums


@pytest.mark.parametrize("name", RIGHT)
def test_right_on_both_roads(found, sources, tmp_path, name):
    here = found[name]
    assert here.sentence == ""
    assert summed(here.plays) == summed(RIGHT[name][2])
    if ingest_in_process(sources[name], tmp_path) is not None:
        assert not here.bad
        assert summed(together(tmp_path)) == summed(RIGHT[name][2])


@pytest.mark.parametrize("name", RAGGED)
def test_flawed_quotes_are_bad_rows(found, sources, tmp_path, name):
    _, _, bad, good = RAGGED[name]
    assert found[name].sentence == ""
    assert dict(found[name].bad) == {"ragged_line": bad}
    assert len(found[name].plays) == good
    assert ingest_in_process(sources[name], tmp_path) is None


@pytest.mark.parametrize("name", REFUSED)
def test_refused(spark, sources, tmp_path, name):
    from musicrec.ingest.on_spark import ingest_on_spark

    def read() -> None:
        if ingest_in_process(sources[name], tmp_path) is None:
            with small_jobs(spark):
                ingest_on_spark(spark, sources[name], tmp_path)

    with pytest.raises(MusicRecError) as raised:
        read()
    assert REFUSED[name][2] in str(raised.value)
    assert "\n" not in str(raised.value)


# Sorted files: the header stands behind plays, and the rows have one field more.
SORTED = text_of([(f"{i}", f"{i + 22}", 5) for i in range(9)], header="").replace("\n", ",\n")
LAYOUTS = {
    "a separator at the end": (
        SORTED + "user_id,track_id,count\n" + SORTED.replace("5,", "6,"), {}, 9, set(),
    ),
    "users that begin with a comment's sign": (
        "%a,b,1\n//c,d,2\n" + BARE, COUNTED, 0, set(),
    ),
    "a comment as wide as the rows": (
        "% a b\n" + BARE.replace(",", " "), COUNTED, 0, {"% a b"},
    ),
    "lines about an event log": (
        "Export,Listening history\nCreated,2020-01-01\n" + HEADER + LINES, LOG, 0,
        {"Export,Listening history", "Created,2020-01-01"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_lines_before_the_table(name):
    text, kwargs, plays, aside = LAYOUTS[name]
    params = data_params("plays.csv", **(HOLDOUT | kwargs))
    layout = text_layout(text.encode(), params, "plays.csv", whole=True)
    assert layout.aside == aside
    assert any(f"{plays} lines before" in said for said in layout.warnings) == bool(plays)


@pytest.mark.parametrize(("column", "said"), [("usr", "did you mean"), (7, "column 7")])
def test_a_wrong_column_of_a_file_with_row_names(tmp_path, column, said):
    rows = "".join(f"{i} u{i} t{i % 3} 4\n" for i in range(1, 20))
    source = write(tmp_path / "plays.txt", "user track n\n" + rows)
    columns = {"user": "user", "track": "track", "count": column}
    with pytest.raises(MusicRecError, match=said):
        ingest_in_process(data_params(source, **(HOLDOUT | {"columns": columns})), tmp_path / "out")


@pytest.mark.parametrize("header", ["auto", True])
def test_a_column_of_a_folder_beside_positions(spark, tmp_path, header):
    for user in ("anna", "berta"):
        rows = "".join(f"t{i},{i + 1}\n" for i in range(9))
        write(tmp_path / f"plays/user={user}/plays.csv", "name,plays\n" * (header is True) + rows)
    columns = {"user": "user", "track": 0, "count": 1}
    params = data_params(tmp_path / "plays", **(HOLDOUT | {"columns": columns, "header": header}))
    with small_jobs(spark):
        found = read_many(spark, {"plays": params}, tmp_path / "scratch")["plays"]
    assert found.sentence == "" and len(found.plays) == 18


@pytest.mark.parametrize(
    "head, kwargs, warned",
    [
        ("listener,medium\n" + LINES, PLACES, "'listener,medium', is a play"),
        ("Zuhörer,Werk\n" + LINES, PLACES, "'Zuhörer,Werk', is a play"),
        (LINES, PLACES, ""),
        ("anna,Low\nanna,Heroes\nbert,Low\n", PLACES, ""),
        ("Report,2020\n" + HEADER + LINES, LOG, "'Report | 2020', is left out"),
        (text_of(PAIRS[:2], header="") + HEADER + LINES, LOG, "2 lines before the header"),
    ],
)
def test_what_may_be_wrong_is_said(head, kwargs, warned):
    params = DataParams(columns=ColumnParams(**kwargs["columns"]))
    warnings = text_layout(head.encode(), params, "f", whole=True).warnings
    assert warned in "".join(warnings)
    assert bool(warned) == bool(warnings)
