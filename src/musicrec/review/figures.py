"""What is known of a revision: its model beside the baselines, rows of plots, provenance."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from musicrec.errors import MusicRecError
from musicrec.metrics.definitions import MARGIN, split_figures
from musicrec.project.revisions import Judged, Revision, UnavailableError
from musicrec.review.champion import Champion
from musicrec.review.compare import DATA, Result, compare, outdated
from musicrec.review.tested import PARAMS, TABLE

Rows = list[dict[str, Any]]

ROWS = {
    "counts": "plots/data/counts.json",
    "loss": "plots/train/loss.json",
    "metrics": "plots/evaluate/metrics.json",
    "differences": "plots/evaluate/differences.json",
    "by_history": "plots/evaluate/by_history.json",
    "by_popularity": "plots/evaluate/by_popularity.json",
    "tradeoff": "plots/ann_bench/tradeoff.json",
}
EVALUATION = "metrics/evaluate.json"
BASELINES = "metrics/baselines.json"
MACHINE = "plots/ann_bench/machine.json"
LOCK = "dvc.lock"
MODEL = "als"


@dataclass(frozen=True)
class BesideBaseline:
    """Whether the model is shown to beat a baseline, and by what share of its MAP (0.1: 10 %)."""

    baseline: str
    beats: bool
    over: float | None

    @property
    def unsure(self) -> bool:
        """Ahead, but not by enough to be shown."""
        return not self.beats and self.over is not None and self.over > 0


def beside_baselines(revision: Revision) -> list[BesideBaseline]:
    """One for each baseline; none where the revision has no metrics of `evaluate`."""
    model, others = (split_figures(revision.read_json(path)) for path in (EVALUATION, BASELINES))
    metric = next((key for key in sorted(model) if key.startswith("map@")), "")
    found = []
    for key in sorted(model):
        if key.startswith("beats_"):
            baseline = key.removeprefix("beats_")
            value = {**others, **model}.get(f"{baseline}_{metric}")
            over = model[metric] / value - 1 if metric and value else None
            found.append(BesideBaseline(baseline, model[key], over))
    return found


@dataclass(frozen=True)
class Figures:
    """What is known of one revision.

    Attributes
    ----------
    name : str
    params : dict
        Content of params.yaml.
    baselines : list of BesideBaseline
    rows : dict of str to list of dict
        By the names of `ROWS`; empty where the revision has none.
    missing : list of str
        Sentences that say which of them are out of reach.
    machine : dict
        Where the search was timed, with library versions.
    provenance : dict of str to str
        Commit and hashes.
    result : Result or None
        The comparison with the base, or with the champion where that cannot be; None for the base
        itself and where there is no verdict.
    no_verdict : str
        Why it is not compared with the base.
    outdated : str
        Why the figures are not those of the revision's code, parameters and data; mostly empty.
    """

    name: str
    params: dict[str, Any]
    baselines: list[BesideBaseline]
    rows: dict[str, Rows]
    missing: list[str]
    machine: dict[str, Any]
    provenance: dict[str, str]
    result: Result | None = None
    no_verdict: str = ""
    outdated: str = ""


@dataclass
class _Reader:
    """Reads files of a revision, and remembers what was out of reach."""

    revision: Revision
    absent: list[str] = field(default_factory=list)
    out_of_reach: dict[str, UnavailableError] = field(default_factory=dict)

    def read(self, path: str) -> Any:
        try:
            content = self.revision.read_json(path)
        except UnavailableError as error:
            self.out_of_reach[path] = error
            return {}
        if not content:
            self.absent.append(path)
        return content

    def missing(self) -> list[str]:
        """Say it, in a sentence for those out of reach and one for those that do not exist."""
        name, sentences = self.revision.name, []
        if self.out_of_reach:
            reason = next(iter(self.out_of_reach.values())).reason
            sentences.append(f"{UnavailableError(self.revision, list(self.out_of_reach), reason)}.")
        if self.absent and not isinstance(self.revision, Judged):  # lists alone have no training
            paths = ", ".join(self.absent)
            sentences.append(f"{name} has no {paths}; run `dvc repro` there.")
        return sentences


def read_figures(
    revision: Revision,
    base: Revision | None = None,
    margin: float = MARGIN,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] = (),
    starts: int = 1,
) -> Figures:
    """Read what the page shows of a revision, and compare it with `base` where one is given."""
    reader = _Reader(revision)
    rows = {name: reader.read(path) or [] for name, path in ROWS.items()}
    params = revision.read_yaml(PARAMS)
    result, reason = None, ""
    if base is not None:
        try:
            result = compare(base, revision, metrics, margin, by, starts)
        except MusicRecError as error:
            reason = str(error)
            if (params.get("evaluate") or {}).get("champion"):
                with suppress(MusicRecError):
                    result = compare(Champion(revision), revision, metrics, margin, by)
    return Figures(
        name=revision.name,
        params=params,
        baselines=beside_baselines(revision),
        rows=rows,
        machine=reader.read(MACHINE),
        missing=reader.missing(),
        provenance=_provenance(revision),
        result=result,
        no_verdict=reason,
        outdated=outdated(revision),
    )


def _provenance(revision: Revision) -> dict[str, str]:
    lock = revision.read(LOCK)
    commit = revision.commit_of()
    when = datetime.fromtimestamp(commit.commit_time, UTC)
    return {
        "commit": _short(commit.hexsha) + ("" if revision.commit else " and the workspace on it"),
        "committed": f"{when:%Y-%m-%d %H:%M} UTC",
        "message": textwrap.shorten(commit.message.partition("\n")[0], 60, placeholder=" …"),
        "dvc.lock (SHA-256)": _short(hashlib.sha256(lock).hexdigest() if lock else None),
        f"{DATA} (MD5)": _short(revision.output_hash(DATA)),
        f"{TABLE} (MD5)": _short(revision.output_hash(TABLE)),
    }


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
