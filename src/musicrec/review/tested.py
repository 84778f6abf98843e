"""Which settings were ever scored on some users, by the record that DVC keeps of every run.

Test users are there for one last figure. Whoever scores many settings on them and shows the best
one chooses by them, and the figure is no test any more. So it is with the validation users, which
are there to choose by: what they say of the setting they chose is too good.

DVC's run cache holds every run of the stage evaluate in this clone, committed or not (and those of
others after `dvc pull --run-cache`); `musicrec tune` and `original` keep records of their own.
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

from musicrec.evaluate.judge import described
from musicrec.formatting import text_table
from musicrec.interactions.factors import TRAINED_WITH
from musicrec.metrics.definitions import headline_metrics
from musicrec.params import EvaluateParams
from musicrec.project.revisions import Revision, changes, flatten
from musicrec.storage.files import read_json
from musicrec.tune.study import has_setting, read_study

PARAMS, TABLE = "params.yaml", "data/per_user.parquet"
FACTORS, INDEXED = "data/factors", "data/indexed"
ORIGINAL, TRIALS = "data/original", "data/tune"  # records of `musicrec original` and `tune`
UNKNOWN = "no longer in the cache"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Tested:
    """One setting on one set of held-out users.

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


def scored_on(split: str, folder: str | os.PathLike[str] = ".") -> list[Tested]:
    """Find every setting that was scored on the users of a split, the first one first.

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
            for one in _of_record(path, cache, split):
                found.setdefault((one.factors, one.indexed), one)
        root = Path(repo.root_dir)
        found |= {(one.factors, ""): one for one in _of_original(root / ORIGINAL, split)}
        return sorted(found.values(), key=lambda one: one.when)


def settings_judged(head: Revision) -> int:
    """Count the settings that the validation users of a revision have judged in this clone.

    By runs of the stage evaluate on the same indexed plays, and by trials of `musicrec tune` where
    one of them is the revision's setting.
    """
    indexed = head.output_hash(INDEXED)
    runs = [one for one in scored_on("validation", head.root) if one.indexed == indexed]
    known = [flatten(one.trained_with) for one in runs if one.trained_with]
    params = head.read_yaml(PARAMS)
    searched: list[dict[str, Any]] = []
    for path in sorted((Path(head.root) / TRIALS).glob("*.json")):
        study = read_study(path)
        if any(has_setting(study, trial, params) for trial in study.trials):
            for trial in study.trials:
                setting = study.base | study.fixed | trial.setting
                if setting not in known and setting not in searched:
                    searched.append(setting)
    return len({one.factors for one in runs}) + len(searched)


def _of_record(path: Path, cache: Path, split: str) -> Iterator[Tested]:
    """What a record of the run cache says, if it is of users of the split."""
    try:
        content = path.read_bytes()
        if TABLE.encode() not in content:  # of another stage, and most are
            return
        record = _LOADER(content).get_single_data()
        judged = record["params"][PARAMS]["evaluate"]
        deps = {dep["path"]: dep.get("md5", "") for dep in record["deps"]}
        outs = {out["path"]: out.get("md5", "") for out in record["outs"]}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return  # of another stage, or cut off
    if not isinstance(judged, Mapping) or TABLE not in outs:
        return
    if judged.get("split", EvaluateParams().split) != split:
        return
    yield Tested(
        when=datetime.fromtimestamp(path.stat().st_mtime),
        factors=deps.get(FACTORS, ""),
        indexed=deps.get(INDEXED, ""),
        trained_with=_trained_with(cache, deps.get(FACTORS, "")),
        figures=_figures(_cached(cache, outs[TABLE])),
    )


def _of_original(folder: Path, split: str) -> Iterator[Tested]:
    """What `musicrec original` scored on the users of a split."""
    for path in sorted(folder.glob("*.json")):
        record = read_json(path)
        about = record.get("about", {})
        if about.get("split") == split:
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


def _figures(table: Path) -> dict[str, float]:
    """Means of the headline metrics of a per-user table in the cache, by the k that it has."""
    try:
        file = pq.ParquetFile(table)
        names = headline_metrics(described(file.schema_arrow)["k"])
        columns = file.read(columns=list(names), use_threads=False)
    except (OSError, pa.ArrowException, KeyError):
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
    now = {block: params.get(block) or {} for block in trained_with}
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
