"""One table of plays in random forms: the same plays read, or a refusal from a closed list."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re

import pyarrow as pa

from musicrec.ingest.read.values import REASONS
from tests.support.many_sources import read_source
from tests.support.plays import HOLDOUT, data_params, parquet, write

TITLES = ("Blue", "So, what?", "A; B", "C|D", 'Half "a" title', "Étude ü", "tab free", "#1", "x::y")
# Ids that need no quotes, and ids of signs that separate or enclose.
PLAIN = [(f"u{i % 7}", f"t{i}", 1 + i % 5) for i in range(24)]
ODD = [(f"user {i % 7}", f"{TITLES[i % len(TITLES)]} {i}", 1 + i % 5) for i in range(24)]
# What a form may be refused with: it says how to read it, or there is no way to.
CLOSED_LIST = (
    "set data.encoding",  # bytes that are no UTF-8 in an id
    "set data.separator",
    "set data.quote to none",
    "check data.separator and data.quote",  # a separator in a field without quotes around it
    "lines of . and of . fields",
    "only one column found",
    "rows have . fields, the header",
)
PACKERS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
QUOTINGS = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL, "text": csv.QUOTE_NONNUMERIC}
BOTH = (False, True)
TEXT = {
    "separator": "\t,;|", "quoting": (*QUOTINGS, "none"), "header": BOTH, "end": ("\n", "\r\n"),
    "last": BOTH, "encoding": ("utf-8", "utf-8-sig", "utf-16", "latin-1"),
    "extra": ("", "left", "right"), "told": BOTH,
}  # fmt: skip
TYPED = {
    "ids": ("string", "large_string", "binary", "dictionary"), "within": BOTH,
    "counts": ("int8", "uint64", "double", "float", "decimal128", "string"),
}  # fmt: skip
KINDS = {"text": TEXT, "json": TYPED, "array": TYPED, "parquet": TYPED}


def drawn(number):
    """Forms, half of them of text."""
    rng, found = random.Random(5), []
    for kind in ["text"] * (number // 2) + rng.choices(["json", "array", "parquet"], k=number // 2):
        options = KINDS[kind] | {"odd": BOTH, "packed": list(PACKERS), "order": range(6)}
        found.append({"kind": kind} | {name: rng.choice(some) for name, some in options.items()})
    return found


def written(form, folder):
    plays = ODD if form["odd"] else PLAIN
    plays = random.Random(form["order"]).sample(plays, len(plays))
    kwargs: dict = {}
    if form["kind"] == "text":
        data, kwargs = text_of(form, plays)
    elif form["kind"] == "parquet":
        data, form = parquet(plays, **typed(form, plays)), form | {"packed": ""}
    else:
        records = [
            {"user_id": u, "meta": {"track": t}, "count": c}
            if form["within"]
            else {"count": str(c), "track": t, "user_id": u}
            for u, t, c in plays
        ]
        lines = [json.dumps(record, ensure_ascii=form["within"]) + "\n" for record in records]
        whole = json.dumps(records, indent=form["order"] or None)
        data = (whole if form["kind"] == "array" else "".join(lines)).encode()
        kwargs["columns"] = {"track": "meta.track" if form["within"] else "track"}
    source = write(folder / f"plays{form['packed']}", PACKERS[form["packed"]](data))
    return data_params(source, **HOLDOUT, **kwargs)


def text_of(form, plays):
    separator, header = form["separator"], ["user_id", "track_id", "count"]
    rows = [header, *map(list, plays)]
    for row in rows if form["extra"] else ():
        row.insert(0 if form["extra"] == "left" else 3, "note" if row is header else "x")
    rows = rows if form["header"] else rows[1:]
    out = io.StringIO()
    if form["quoting"] == "none":
        out.writelines(separator.join(map(str, row)) + form["end"] for row in rows)
    else:
        quoting = QUOTINGS[form["quoting"]]
        writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=form["end"])
        writer.writerows(rows)
    kwargs: dict = {}
    if form["told"]:
        kwargs = {"quote": "none" if form["quoting"] == "none" else '"', "separator": separator}
        kwargs |= {"encoding": "latin-1"} if form["encoding"] == "latin-1" else {}
    if not form["header"]:
        first = int(form["extra"] == "left")
        kwargs["columns"] = {"user": first, "track": first + 1, "count": first + 2}
    text = out.getvalue() if form["last"] else out.getvalue().removesuffix(form["end"])
    return text.encode(form["encoding"]), kwargs


def typed(form, plays):
    users, tracks, counts = map(list, zip(*plays, strict=True))

    def ids(values):
        array = pa.array(values)
        return array.dictionary_encode() if form["ids"] == "dictionary" else array.cast(form["ids"])

    kind = pa.decimal128(21, 2) if form["counts"] == "decimal128" else form["counts"]
    count = pa.array(counts, pa.int64()).cast(kind)
    return {"user_id": ids(users), "track_id": ids(tracks), "count": count}


def is_sure(form):
    """Whether nothing in the form can be taken for something else."""
    ambiguous = form["kind"] == "text" and form["quoting"] == "none" and form["odd"]
    asked = form.get("separator") == "\t" and form["quoting"] in ("all", "text")
    told = form.get("told", True) or not (form["encoding"] == "latin-1" or form["odd"] or asked)
    return told and not ambiguous


def test_right_or_refused(tmp_path):
    forms, read = drawn(300), 0
    for place, form in enumerate(forms):
        found = read_source(written(form, tmp_path / str(place)))
        if found.sentence or found.bad:
            said = found.sentence or " ".join(REASONS[reason][2] for reason in found.bad)
            assert any(re.search(words, said) for words in CLOSED_LIST), (form, said)
            assert not is_sure(form), (form, said)
            continue
        assert found.plays == sorted(ODD if form["odd"] else PLAIN), form
        read += 1
    assert read > len(forms) / 2
