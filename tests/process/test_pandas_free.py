"""Arrow leaves pandas alone in a stage, and finds it again where someone imports it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
import numpy as np
import pyarrow as pa
from musicrec.process.pandas_free import leave_pandas_out
leave_pandas_out()
table = pa.table({"a": pa.array([1, None, 3]), "b": np.arange(3), "c": ["x", "y", None]})
assert table.column("b").to_numpy().tolist() == [0, 1, 2]
assert table.column("a").to_pylist() == [1, None, 3]
print("pandas" in sys.modules)
import pandas
print(len(table.to_pandas()))
leave_pandas_out()
print("pandas" in sys.modules)
"""


def test_arrow_does_not_import_pandas_and_works_with_it_later():
    pytest.importorskip("pandas")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "3", "True"]


def test_a_process_without_arrow_is_left_alone():
    code = (
        "import sys\n"
        "from musicrec.process.pandas_free import leave_pandas_out\n"
        "leave_pandas_out()\n"
        "print('pyarrow' in sys.modules)\n"
        "import pandas\n"
    )
    pytest.importorskip("pandas")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
