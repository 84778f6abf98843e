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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from musicrec import project
from musicrec.evaluate.judge import described
from musicrec.formatting import Table, parameter
from musicrec.interactions.factors import TRAINED_WITH
from musicrec.metrics.definitions import headline_metrics
from musicrec.params import EvaluateParams
from musicrec.project import Revision, changes, flatten
from musicrec.storage.files import read_json

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Tested(NamedTuple):
    """One setting on one set of held-out users, with the time of the first run.

    `factors` and `indexed` are DVC's hashes (of `musicrec original` the name of its record, and
    `original` with a hash); `trained_with` has the blocks als and feedback, `figures` the means of
    the headline metrics, both as far as the cache still has them.
    """

    when: datetime
    factors: str
    indexed: str
    trained_with: dict[str, Any] | None
    figures: dict[str, float]


def scored_on(split: str, folder: str | os.PathLike[str] = ".") -> list[Tested]:
    """Find every setting that was scored on the users of a split, the first one first."""
    with Revision("workspace", folder).open() as repo:
        cache, runs = Path(repo.cache.local.path), Path(repo.stage_cache.cache_dir)
        records = [path for path in runs.glob("*/*/*") if path.is_file()]
        originals = Path(repo.root_dir, project.ORIGINAL).glob("*.json")
        every = [one for path in records for one in _of_run(path, cache, split)]
        every += [one for path in originals for one in _of_original(path, split)]
    found: dict[tuple[str, str], Tested] = {}
    for one in sorted(every, key=lambda one: (one.when, one.factors)):
        found.setdefault((one.factors, one.indexed), one)
    return list(found.values())


def settings_judged(head: Revision, truth: str) -> int:
    """Count the settings that the validation users of a revision have judged in this clone.

    By runs of the stage evaluate on the same indexed plays, and by trials of `musicrec tune` on the
    same `truth` (of `truth_digest`) where one of them is the revision's setting.
    """
    indexed = head.output_hash(project.INDEXED)
    runs = [one for one in scored_on("validation", head.root) if one.indexed == indexed]
    known = [flatten(one.trained_with) for one in runs if one.trained_with]
    params = head.read_yaml(project.PARAMS)
    # A parameter that is left out there may be anything.
    mine = flatten({block: params.get(block) or {} for block in ("als", "feedback")})
    searched: list[dict[str, Any]] = []
    for path in sorted((Path(head.root) / project.TRIALS).glob("*.json")):
        search: Any = read_json(path)
        shared = search["base"] | search["fixed"]
        settings = [shared | trial["setting"] for trial in search["trials"]]
        same = search.get("truth", truth) == truth  # version 0.1 kept none
        if same and mine and any(mine.items() <= setting.items() for setting in settings):
            for setting in settings:
                if setting not in known and setting not in searched:
                    searched.append(setting)
    return len({one.factors for one in runs}) + len(searched)


def _of_run(path: Path, cache: Path, split: str) -> Iterator[Tested]:
    """What a record of the run cache says, if it is of users of the split."""
    try:
        content = path.read_bytes()
        if project.TABLE.encode() not in content:  # of another stage, and most are
            return
        record = _LOADER(content).get_single_data()
        asked = record["params"][project.PARAMS]["evaluate"].get("split", EvaluateParams().split)
        deps, outs = (
            {one["path"]: one.get("md5", "") for one in record[key]} for key in ("deps", "outs")
        )
        table = outs[project.TABLE]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return  # of another stage, or cut off
    if asked != split:
        return
    trained_with, figures, factors = None, {}, deps.get(project.FACTORS, "")
    try:
        files = json.loads(_cached(cache, factors).read_text())
        (md5,) = (file["md5"] for file in files if file["relpath"] == TRAINED_WITH)
        trained_with = json.loads(_cached(cache, md5).read_text())
        file = pq.ParquetFile(_cached(cache, table))
        names = headline_metrics(described(file.schema_arrow)["k"])
        columns = file.read(columns=names, use_threads=False)
        figures = {name: float(columns.column(name).to_numpy().mean()) for name in names}
    except (OSError, ValueError, KeyError, pa.ArrowException):
        pass  # the cache has lost them
    when = datetime.fromtimestamp(path.stat().st_mtime)
    yield Tested(when, factors, deps.get(project.INDEXED, ""), trained_with, figures)


def _of_original(path: Path, split: str) -> Iterator[Tested]:
    """What `musicrec original` scored on the users of a split."""
    record = read_json(path)
    about = record.get("about", {})
    if about.get("split") == split:
        row = record["result"]["ranking"]
        figures = {f"{name}@{row['k']}": row[name] for name in ("map", "ndcg", "recall")}
        trained_with = {block: about[block] for block in ("als", "feedback")}
        when = datetime.fromtimestamp(path.stat().st_mtime)
        plays = f"original {record.get('plays', '')[:8]}"
        yield Tested(when, path.stem, plays, trained_with, figures)


def _cached(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def as_text(found: Sequence[Tested], params: Mapping[str, Any]) -> str:
    """A line a setting with what differs from `params`, and what to think of them."""
    if not found:
        return "No setting was scored on test users in this clone."
    metrics = list(dict.fromkeys(name for one in found for name in one.figures))
    rows = []
    for one in found:
        setting = "no longer in the cache"
        if one.trained_with is not None:
            now = {block: params.get(block) or {} for block in one.trained_with}
            differing = changes(now, one.trained_with).items()
            setting = ", ".join(f"{name} = {parameter(value)}" for name, (_, value) in differing)
        figures = [f"{one.figures[m]:.4f}" if m in one.figures else "" for m in metrics]
        plays = one.indexed if one.indexed.startswith("original") else one.indexed[:8]
        rows.append([f"{one.when:%Y-%m-%d %H:%M}", plays, *figures, setting or "nothing"])
    header = ["first run", "plays", *metrics, "differs from params.yaml in"]
    return f"{Table(header, rows).text()}\n\n{sentence(found)}"


def sentence(found: Sequence[Tested]) -> str:
    """Say how often the test users were asked, and what follows."""
    most = max(Counter(one.indexed for one in found).values())
    if most == 1:
        return "One setting was scored on these test users in this clone, as it should be."
    return (
        f"{most} settings were scored on the same test users in this clone. If the best of them is "
        "what you show, its figure is too good: the test users have helped to choose it."
    )
