"""One table of plays in random forms: the same bytes out, or a refusal from a closed list."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from musicrec.errors import MusicRecError
from musicrec.ingest.in_process.run import ingest_in_process
from musicrec.params import DataParams
from tests.support.many_sources import read_many
from tests.support.plays import HOLDOUT, contents, data_params, run, small_jobs, write
from tests.support.plays import write_parquet as write_parquet_file

TITLES = ("Blue", "So, what?", "A; B", "C|D", 'Half "a" title', "Étude ü", "tab free", "#1", "x::y")
# Ids that need no quotes, and ids of signs that separate or enclose.
PLAIN = [(f"u{i % 7}", f"t{i}", 1 + i % 5) for i in range(24)]
ODD = [(f"user {i % 7}", f"{TITLES[i % len(TITLES)]} {i}", 1 + i % 5) for i in range(24)]
# What a form may be refused with: it says how to read it, or there is no way to.
CLOSED_LIST = (
    "set data.encoding",  # bytes that are no UTF-8 in an id
    "check data.separator and data.quote",  # a separator in a field without quotes around it
    "lines of . to . fields",
    "only one column found",
    "fields? (more|fewer) than the header",
)
PACKERS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
QUOTINGS = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL, "text": csv.QUOTE_NONNUMERIC}


@st.composite
def text_forms(draw) -> dict:
    return {
        "kind": "text",
        "odd": draw(st.booleans()),
        "separator": draw(st.sampled_from("\t,;|")),
        "quoting": draw(st.sampled_from([*QUOTINGS, "none"])),
        "header": draw(st.booleans()),
        "end": draw(st.sampled_from(["\n", "\r\n"])),
        "last": draw(st.booleans()),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])),
        "packed": draw(st.sampled_from(list(PACKERS))),
        "extra": draw(st.sampled_from(["", "left", "right"])),
        "told": draw(st.booleans()),
        "order": draw(st.integers(0, 5)),
    }


@st.composite
def other_forms(draw) -> dict:
    return {
        "kind": draw(st.sampled_from(["json", "array", "parquet"])),
        "odd": draw(st.booleans()),
        "packed": draw(st.sampled_from(list(PACKERS))),
        "ids": draw(st.sampled_from(["string", "large_string", "binary", "dictionary"])),
        "counts": draw(
            st.sampled_from(["int8", "uint64", "double", "float", "decimal128(9, 2)", "string"])
        ),
        "within": draw(st.booleans()),
        "order": draw(st.integers(0, 5)),
    }


def written(form: dict, folder: Path) -> DataParams:
    plays = ODD if form["odd"] else PLAIN
    plays = random.Random(form["order"]).sample(plays, len(plays))
    if form["kind"] == "text":
        return write_text(form, plays, folder)
    if form["kind"] == "parquet":
        return write_parquet(form, plays, folder)
    return write_json(form, plays, folder)


def write_text(form: dict, plays: list, folder: Path) -> DataParams:
    header, end, separator = ["user_id", "track_id", "count"], form["end"], form["separator"]
    table = [list(play) for play in plays]
    for row in [header, *table]:
        if form["extra"]:
            row.insert(0 if form["extra"] == "left" else 3, "note" if row is header else "x")
    rows = [header, *table] if form["header"] else table
    out = io.StringIO()
    if form["quoting"] == "none":
        out.writelines(separator.join(map(str, row)) + end for row in rows)
    else:
        writer = csv.writer(
            out, delimiter=separator, quoting=QUOTINGS[form["quoting"]], lineterminator=end
        )
        writer.writerows(rows)
    text = out.getvalue() if form["last"] else out.getvalue().removesuffix(end)
    data = PACKERS[form["packed"]](text.encode(form["encoding"]))
    told = {"quote": "none" if form["quoting"] == "none" else '"', "separator": separator}
    kwargs: dict = told if form["told"] else {}
    if form["encoding"] == "latin-1" and form["told"]:
        kwargs["encoding"] = "latin-1"
    if not form["header"]:
        first = 1 if form["extra"] == "left" else 0
        kwargs["columns"] = {"user": first, "track": first + 1, "count": first + 2}
    return data_params(write(folder / f"plays.txt{form['packed']}", data), **HOLDOUT, **kwargs)


def write_json(form: dict, plays: list, folder: Path) -> DataParams:
    records = [
        {"user_id": u, "meta": {"track": t}, "count": c}
        if form["within"]
        else {"count": str(c), "track": t, "user_id": u}
        for u, t, c in plays
    ]
    text = "".join(json.dumps(record, ensure_ascii=form["within"]) + "\n" for record in records)
    if form["kind"] == "array":
        text = json.dumps(records, indent=form["order"] or None)
    data = PACKERS[form["packed"]](text.encode())
    columns = {"track": "meta.track" if form["within"] else "track"}
    source = write(folder / f"plays.json{form['packed']}", data)
    return data_params(source, columns=columns, **HOLDOUT)


def write_parquet(form: dict, plays: list, folder: Path) -> DataParams:
    users, tracks, counts = map(list, zip(*plays, strict=True))

    def ids(values: list[str]) -> pa.Array:
        if form["ids"] == "dictionary":
            return pa.array(values).dictionary_encode()
        return pa.array(values).cast(form["ids"])

    kind = form["counts"]
    typed = pa.array(counts, pa.int64())
    typed = typed.cast(pa.decimal128(21, 2) if kind.startswith("decimal") else kind)
    source = write_parquet_file(
        folder / "plays", user_id=ids(users), count=typed, track_id=ids(tracks)
    )
    return data_params(source, **HOLDOUT)


@pytest.fixture(scope="module", autouse=True)
def small(spark):
    with small_jobs(spark):
        yield


def forms(number: int = 60) -> list[dict]:
    """The forms that hypothesis draws."""
    drawn: list[dict] = []

    @settings(
        max_examples=number, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.one_of(text_forms(), text_forms(), other_forms()))
    def draw(form: dict) -> None:
        if form not in drawn:
            drawn.append(form)

    draw()
    return drawn


def is_sure(form: dict) -> bool:
    """Whether nothing in the form can be taken for something else."""
    ambiguous = form["kind"] == "text" and form["quoting"] == "none" and form["odd"]
    told = form.get("told", True) or (form["encoding"] != "latin-1" and not form["odd"])
    return told and not ambiguous


def test_without_spark_right_or_left_to_spark(tmp_path):
    """The road without Spark reads a form right, refuses it from the same list, or passes."""
    expected = {}
    for odd in (False, True):
        folder = tmp_path / f"odd {odd}"
        form = {"kind": "parquet", "odd": odd, "order": 0, "ids": "string", "counts": "int64"}
        (folder / "out").mkdir(parents=True)
        assert ingest_in_process(written(form, folder), folder / "out") is not None
        expected[odd] = contents(folder / "out")
    drawn, read = forms(300), 0
    for place, form in enumerate(drawn):
        folder = tmp_path / str(place)
        (folder / "out").mkdir(parents=True)
        try:
            summary = ingest_in_process(written(form, folder), folder / "out")
        except MusicRecError as error:
            assert any(re.search(words, str(error)) for words in CLOSED_LIST), (form, error)
            assert not is_sure(form), (form, error)
            continue
        assert contents(folder / "out") == ({} if summary is None else expected[form["odd"]]), form
        read += summary is not None
    assert len(drawn) > 250 and read > len(drawn) / 6


def test_right_or_refused(spark, tmp_path):
    drawn = forms()
    assert len(drawn) > 40
    sources = {}
    for place, form in enumerate(drawn):
        (tmp_path / str(place)).mkdir()
        sources[str(place)] = written(form, tmp_path / str(place))
    found = read_many(spark, sources, tmp_path / "scratch")
    read = 0
    for place, form in enumerate(drawn):
        here = found[str(place)]
        if here.sentence or here.bad:
            from musicrec.ingest.rows.flaws import REASONS

            said = here.sentence or " ".join(REASONS[reason][2] for reason in here.bad)
            assert any(re.search(words, said) for words in CLOSED_LIST), (form, said)
            assert not is_sure(form), (form, said)
            continue
        assert here.plays == sorted(ODD if form["odd"] else PLAIN), form
        read += 1
    assert read > len(drawn) / 2


def test_same_bytes(spark, tmp_path):
    """What is read alike is written alike: three forms through the whole stage."""
    base = {"odd": True, "order": 1}
    chosen = [
        base | {"kind": "parquet", "ids": "dictionary", "counts": "double"},
        base | {"kind": "array", "packed": ".xz", "within": True, "order": 4},
        base
        | {
            "kind": "text", "separator": ";", "quoting": "all", "header": True, "end": "\r\n",
            "last": False, "encoding": "utf-16", "packed": ".gz", "extra": "left", "told": False,
        },
    ]  # fmt: skip
    outputs = []
    for place, form in enumerate(chosen):
        folder = tmp_path / str(place)
        folder.mkdir()
        params = written(form, folder)
        kwargs = {name: getattr(params, name) for name in ("encoding", "quote", "separator")}
        columns = params.columns.model_dump()
        _, out = run(spark, params.source, folder, columns=columns, **HOLDOUT, **kwargs)
        outputs.append(contents(out))
    assert outputs[0] and outputs[0] == outputs[1] == outputs[2]
