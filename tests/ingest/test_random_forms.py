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
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from musicrec.ingest.read.values import REASONS
from musicrec.params import DataParams
from tests.support.many_sources import read_source
from tests.support.plays import HOLDOUT, data_params, write
from tests.support.plays import write_parquet as write_parquet_file

TITLES = ("Blue", "So, what?", "A; B", "C|D", 'Half "a" title', "Étude ü", "tab free", "#1", "x::y")
# Ids that need no quotes, and ids of signs that separate or enclose.
PLAIN = [(f"u{i % 7}", f"t{i}", 1 + i % 5) for i in range(24)]
ODD = [(f"user {i % 7}", f"{TITLES[i % len(TITLES)]} {i}", 1 + i % 5) for i in range(24)]
# What a form may be refused with: it says how to read it, or there is no way to.
CLOSED_LIST = (
    "set data.encoding",  # bytes that are no UTF-8 in an id
    "set data.separator and data.columns",
    "set data.quote to none",
    "set data.quote: ",
    "check data.separator and data.quote",  # a separator in a field without quotes around it
    "lines of . and of . fields",
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
    asked = form.get("separator") == "\t" and form["quoting"] in ("all", "text")
    told = form.get("told", True) or not (form["encoding"] == "latin-1" or form["odd"] or asked)
    return told and not ambiguous


def test_right_or_refused(tmp_path):
    drawn, read = forms(300), 0
    for place, form in enumerate(drawn):
        (tmp_path / str(place)).mkdir()
        found = read_source(written(form, tmp_path / str(place)))
        if found.sentence or found.bad:
            said = found.sentence or " ".join(REASONS[reason][2] for reason in found.bad)
            assert any(re.search(words, said) for words in CLOSED_LIST), (form, said)
            assert not is_sure(form), (form, said)
            continue
        assert found.plays == sorted(ODD if form["odd"] else PLAIN), form
        read += 1
    assert len(drawn) > 250 and read > len(drawn) / 2
