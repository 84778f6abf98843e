"""A small table of plays, and files that hold it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.ingest.run import ingest
from musicrec.params import ColumnParams, DataParams
from musicrec.storage.parquet import plays_schema, read_table

HOLDOUT = {"protocol": "holdout", "validation_users": 0.3, "test_users": 0.3}
SPLITS = ("train", "validation", "test")
POSITIONS = {"user": 0, "track": 1, "count": 2}


def data_params(source: Path | str, columns: dict | None = None, **kwargs) -> DataParams:
    return DataParams(source=str(source), columns=ColumnParams(**(columns or {})), **kwargs)


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def write_parquet(path: Path, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


# 30 users with 1 to 6 tracks each, all ids and counts different enough to notice a mix-up.
PLAYS = [
    (str(100 + user), str(7 * track + user % 3), 1 + user * track)
    for user in range(30)
    for track in range(1 + user % 6)
]


def text_of(plays, separator=",", header="user_id,track_id,count", end="\n") -> str:
    lines = [header.replace(",", separator)] if header else []
    lines += [separator.join(map(str, row)) for row in plays]
    return end.join(lines) + end


# The same plays in the forms and by the parameters that several tests use.
CSV, TSV, BARE = text_of(PLAYS), text_of(PLAYS, "\t"), text_of(PLAYS, header="")
PAIRS = [play[:2] for play in PLAYS]
USERS, TRACKS, COUNTS = map(list, zip(*PLAYS, strict=True))
HEADER, TWO, TIMES = "user_id,track_id,count\n", "user_id,track_id\n", "user_id,track_id,at\n"
LOG: dict = {"columns": {"user": "user_id", "track": "track_id", "count": None}}
PLACES = {"columns": {"user": 0, "track": 1, "count": None}}
TIMED = {"columns": LOG["columns"] | {"timestamp": "at"}}
COUNTED = {"columns": POSITIONS}


def run(source, tmp_path, judged="validation", **kwargs):
    """Ingest; returns the summary and the folder of the splits."""
    folder = tmp_path / "ingested"
    folder.mkdir(parents=True)
    return ingest(data_params(source, **kwargs), folder, judged), folder


def rows(folder: Path, split: str) -> list[tuple[str, str, int]]:
    table = read_table(folder / split)
    assert table.schema in (plays_schema(timed=False), plays_schema(timed=True))
    table = table.select(["user_id", "track_id", "count"])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def all_rows(folder: Path) -> dict[str, list[tuple[str, str, int]]]:
    return {split: sorted(rows(folder, split)) for split in SPLITS}


def together(folder: Path) -> list[tuple[str, str, int]]:
    return [row for split in all_rows(folder).values() for row in split]


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def lines(form: str, header: str = "", plays=PLAYS) -> str:
    """A line for each play, of a form such as `{u},"{t}, The",{c}`."""
    return header + "".join(form.format(u=u, t=t, c=c) + "\n" for u, t, c in plays)


def titled(form: str, plays=PLAYS, count: int | None = None) -> list[tuple[str, str, int]]:
    """Plays whose tracks are called as a form says."""
    return [(u, form.format(u=u, t=t), count or c) for u, t, c in plays]


def zipped(**members: str | bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def parquet(plays: list | None = PLAYS, **columns) -> bytes:
    """A Parquet file of plays, some of whose columns are others."""
    names = ("user_id", "track_id", "count")
    table = dict(zip(names, map(list, zip(*plays or (), strict=True)), strict=bool(plays)))
    packed = io.BytesIO()
    pq.write_table(pa.table(table | columns), packed)
    return packed.getvalue()


def written(folder: Path, content: str | bytes | dict[str, str | bytes]) -> Path:
    """Write `plays.csv`, or files by name; returns the file, or the folder `s` that they are in."""
    files = content if isinstance(content, dict) else {"plays.csv": content}
    for name, data in files.items():
        write(folder / name, data)
    return folder / ("s" if all(name.startswith("s/") for name in files) else name)
