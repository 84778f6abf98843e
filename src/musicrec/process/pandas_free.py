"""Arrow without pandas, whose import takes a short stage a fifth of its time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _NoPandas:
    """Lets no import find pandas."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def leave_pandas_out() -> None:
    """Let Arrow believe that pandas is not installed, where neither has been used so far.

    Arrow looks for pandas at the first array it makes of anything, in case that is a data frame,
    and once a process. Stages have no data frames. Afterwards `import pandas` works as before.
    """
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is None or "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        arrow.array([])
    finally:
        sys.meta_path.remove(_NoPandas)
