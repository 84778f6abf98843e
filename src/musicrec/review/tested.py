"""Which settings were ever scored on the test users, by the record that DVC keeps of every run.

Test users are there for one last figure. Whoever scores many settings on them and shows the best
one chooses by them, and the figure is no test any more. DVC's run cache holds every run of the
stage evaluate in this clone, committed or not (and those of others after `dvc pull --run-cache`);
`musicrec original` keeps a record of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from musicrec.interactions.factors import TRAINED_WITH
from musicrec.metrics.ranking import headline_metrics
from musicrec.original.plan import FOLDER as ORIGINAL
from musicrec.project.revisions import Revision, changes
from musicrec.reporting.markdown import text_table
from musicrec.review.compare import PARAMS, TABLE
from musicrec.storage.files import read_json

FACTORS, INDEXED = "data/factors", "data/indexed"
UNKNOWN = "no longer in the cache"


@dataclass(frozen=True)
class Tested:
    """One setting on one set of test users.

    Attributes
    ----------
    when : datetime
        Of the first run.
    factors, indexed : str
        DVC's hashes of the model and of the plays; of `musicrec original` the name of its record,
        and nothing.
    trained_with : dict, optional
        Blocks `als` and `feedback`; None if the cache has lost them.
    figures : dict
        Means of the headline metrics; empty if the cache has lost the per-user table.
    """

    when: datetime
    factors: str
    indexed: str
    trained_with: dict[str, Any] | None
    figures: dict[str, float]


def scored_on_test(folder: str | os.PathLike[str] = ".") -> list[Tested]:
    """Find every setting that the stage evaluate scored on test users, the first one first.

    Raises
    ------
    MusicRecError
        The folder is in no DVC project.
    """
    with Revision("workspace", folder).open() as repo:
        cache = Path(repo.cache.local.path)
        records = sorted(
            (path for path in Path(repo.stage_cache.cache_dir).glob("*/*/*") if path.is_file()),
            key=lambda path: (path.stat().st_mtime, path.name),
        )
        found: dict[tuple[str, str], Tested] = {}
        for path in records:
            for one in _of_record(path, cache):
                found.setdefault((one.factors, one.indexed), one)
        found |= {(one.factors, ""): one for one in _of_original(Path(folder) / ORIGINAL)}
        return sorted(found.values(), key=lambda one: one.when)


def _of_record(path: Path, cache: Path) -> Iterator[Tested]:
    """What a record of the run cache says, if it is of test users."""
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
        judged = record["params"][PARAMS]["evaluate"]
        deps = {dep["path"]: dep.get("md5", "") for dep in record["deps"]}
        outs = {out["path"]: out.get("md5", "") for out in record["outs"]}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return  # of another stage, or cut off
    if not isinstance(judged, Mapping) or judged.get("split") != "test" or TABLE not in outs:
        return
    yield Tested(
        when=datetime.fromtimestamp(path.stat().st_mtime),
        factors=deps.get(FACTORS, ""),
        indexed=deps.get(INDEXED, ""),
        trained_with=_trained_with(cache, deps.get(FACTORS, "")),
        figures=_figures(_cached(cache, outs[TABLE]), judged["k"]),
    )


def _of_original(folder: Path) -> Iterator[Tested]:
    """What `musicrec original` scored on test users."""
    for path in sorted(folder.glob("*.json")):
        record = read_json(path)
        about = record.get("about", {})
        if about.get("split") == "test":
            row = record["result"]["ranking"]
            yield Tested(
                when=datetime.fromtimestamp(path.stat().st_mtime),
                factors=path.stem,
                indexed="",
                trained_with={block: about[block] for block in ("als", "feedback")},
                figures={f"{name}@{row['k']}": row[name] for name in ("map", "ndcg", "recall")},
            )


def _cached(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _trained_with(cache: Path, folder: str) -> dict[str, Any] | None:
    """Parameters beside the factors of a folder in the cache, or None."""
    try:
        files = json.loads(_cached(cache, folder).read_text())
        (md5,) = (file["md5"] for file in files if file["relpath"] == TRAINED_WITH)
        return json.loads(_cached(cache, md5).read_text())
    except (OSError, ValueError):
        return None


def _figures(table: Path, k: Any) -> dict[str, float]:
    """Means of the headline metrics of a per-user table in the cache."""
    names = headline_metrics(k if isinstance(k, list) else [k])
    try:
        columns = pq.ParquetFile(table).read(columns=list(names), use_threads=False)
    except (OSError, pa.ArrowException):
        return {}
    return {name: float(columns.column(name).to_numpy().mean()) for name in columns.column_names}


def as_text(found: Sequence[Tested], params: Mapping[str, Any]) -> str:
    """A line a setting, and what to think of them.

    Parameters
    ----------
    params : mapping
        params.yaml as it is now: what of a setting differs from it is shown.
    """
    if not found:
        return "No setting was scored on test users in this clone."
    metrics = list(dict.fromkeys(name for one in found for name in one.figures))
    rows = [
        [
            f"{one.when:%Y-%m-%d %H:%M}",
            one.indexed[:8] or "original",
            *(f"{one.figures[m]:.4f}" if m in one.figures else "" for m in metrics),
            _setting(one.trained_with, params),
        ]
        for one in found
    ]
    header = ["first run", "plays", *metrics, "differs from params.yaml in"]
    return f"{text_table(header, rows, right=range(2, 2 + len(metrics)))}\n\n{sentence(found)}"


def _setting(trained_with: Mapping[str, Any] | None, params: Mapping[str, Any]) -> str:
    if trained_with is None:
        return UNKNOWN
    now = {block: params.get(block, {}) for block in trained_with}
    differing = changes(now, trained_with)
    words = [f"{name} = {json.dumps(values[1])}" for name, values in differing.items()]
    return ", ".join(words) or "nothing"


def sentence(found: Sequence[Tested]) -> str:
    """Say how often the test users were asked, and what follows."""
    if len(found) == 1:
        return "One setting was scored on test users in this clone, as it should be."
    return (
        f"{len(found)} settings were scored on test users in this clone. If the best of them is "
        "what you show, its figure is too good: the test users have helped to choose it."
    )
