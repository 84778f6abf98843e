"""Files appear whole or not at all, and the same content gives the same bytes."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.storage import parquet
from musicrec.storage.files import write_array, write_json
from musicrec.storage.parquet import parquet_parts, read_files, read_table, write_table


def test_json_is_sorted_rounded_and_plain(tmp_path):
    path = tmp_path / "m.json"
    write_json(
        path, {"b": np.float64(1 / 3), "a": {"y": np.int64(2), "x": [np.bool_(True), -1e-9]}}
    )
    assert path.read_text() == (
        '{\n  "a": {\n    "x": [\n      true,\n      0.0\n    ],\n    "y": 2\n  },\n'
        '  "b": 0.333333\n}\n'
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_not_finite_by_name(tmp_path, value):
    with pytest.raises(MusicRecError, match=r"ranking\.map@10"):
        write_json(tmp_path / "m.json", {"ranking": {"map@10": value}})
    assert list(tmp_path.iterdir()) == []


def test_same_table_same_bytes_and_parts_in_name_order(tmp_path):
    for name, values in (("part-00001", [3, 4]), ("part-00000", [1, 2])):
        write_table(tmp_path / f"{name}.parquet", pa.table({"item": values}))
    assert read_files(parquet_parts(tmp_path)).column("item").to_pylist() == [1, 2, 3, 4]
    first = (tmp_path / "part-00000.parquet").read_bytes()
    write_table(tmp_path / "part-00000.parquet", pa.table({"item": [1, 2]}))
    assert (tmp_path / "part-00000.parquet").read_bytes() == first


def test_reading_nothing_is_one_sentence(tmp_path):
    with pytest.raises(MusicRecError, match="no such file or folder; dvc checkout"):
        read_table(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MusicRecError, match="no Parquet file found"):
        parquet_parts(tmp_path / "empty")


def test_arrays_are_never_pickled(tmp_path):
    write_array(tmp_path / "a.npy", np.arange(6, dtype=np.float32).reshape(2, 3).T)
    loaded = np.load(tmp_path / "a.npy")
    assert loaded.flags.c_contiguous and loaded.shape == (3, 2)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        write_array(tmp_path / "b.npy", np.array([{}], dtype=object))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_the_bytes_of_rows_do_not_follow_the_tables_they_come_in(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROW_GROUP", 1000)
    table = pa.table({"id": [f"id {i % 700}" for i in range(3500)], "count": range(3500)})
    written = []
    for rows in (1, 7, 999, 1000, 3500):
        tables = (table.slice(start, rows) for start in range(0, len(table), rows))
        parquet.write_rows(tmp_path / "copy.parquet", tables, table.schema)
        written.append((tmp_path / "copy.parquet").read_bytes())
    assert len(set(written)) == 1
    assert pq.read_table(tmp_path / "copy.parquet").equals(table)
    metadata = pq.ParquetFile(tmp_path / "copy.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(4)] == [1000, 1000, 1000, 500]
    parquet.write_rows(tmp_path / "copy.parquet", [], table.schema)
    assert pq.read_table(tmp_path / "copy.parquet").equals(table.slice(0, 0))


def test_columns_come_in_the_order_asked_for_and_a_missing_one_is_one_sentence(tmp_path):
    table = pa.table({"a": [1, 2], "b": ["x", "y"], "c": [0.5, None]})
    write_table(tmp_path / "one.parquet", table)
    assert read_files([tmp_path / "one.parquet"]).equals(table)
    some = read_files([tmp_path / "one.parquet"] * 2, ["c", "a"])
    assert some.to_pydict() == {"c": [0.5, None] * 2, "a": [1, 2] * 2}
    with pytest.raises(MusicRecError, match=r"one.parquet: has no column 'd', only a, b, c"):
        read_files([tmp_path / "one.parquet"], ["a", "d"])
