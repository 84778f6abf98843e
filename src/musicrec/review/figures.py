"""What is known of a revision: its model beside the baselines, rows of plots, provenance."""

from __future__ import annotations

import hashlib
import textwrap
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from musicrec import project
from musicrec.errors import MusicRecError
from musicrec.metrics.definitions import split_figures
from musicrec.page.charts import Rows, Series
from musicrec.project import JudgedLists, Revision, UnavailableError
from musicrec.review.compare import Compare, compare
from musicrec.review.result import Result
from musicrec.review.tables import Champion, has_champion, outdated

ROWS = {
    "counts": "plots/data/counts.json",
    "loss": "plots/train/loss.json",
    "metrics": "plots/evaluate/metrics.json",
    "differences": "plots/evaluate/differences.json",
    "by_history": "plots/evaluate/by_history.json",
    "by_popularity": "plots/evaluate/by_popularity.json",
    "tradeoff": "plots/ann_bench/tradeoff.json",
}
MACHINE = "plots/ann_bench/machine.json"


class BesideBaseline(NamedTuple):
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
    model, others = (
        split_figures(revision.read_json(path)) for path in (project.EVALUATION, project.BASELINES)
    )
    metric = next((key for key in sorted(model) if key.startswith("map@")), "")
    found = []
    for key in sorted(model):
        if key.startswith("beats_"):
            baseline = key.removeprefix("beats_")
            value = {**others, **model}.get(f"{baseline}_{metric}")
            over = model[metric] / value - 1 if metric and value else None
            found.append(BesideBaseline(baseline, model[key], over))
    return found


class Figures:
    """What the page shows of one revision, compared with `base` where one is given.

    `series` is its line of a legend; `rows` are by the names of `ROWS`, empty where it has none;
    `missing` are sentences on files out of reach; `machine` is where the search was timed, with
    library versions; `result` compares with the base, or with the champion where that cannot be;
    `no_verdict` says why it is not compared with the base, `outdated` why its figures are not those
    of its code, parameters and data.
    """

    def __init__(
        self,
        revision: Revision,
        colour: str,
        base: Revision | None = None,
        as_asked: Compare = compare,
    ) -> None:
        """Read everything, and compare."""
        self.name, self.outdated = revision.name, outdated(revision)
        self.series = Series(self.name, colour)
        self.params: dict[str, Any] = revision.read_yaml(project.PARAMS)
        self.baselines = beside_baselines(revision)
        self.provenance = _provenance(revision)
        self.missing: list[str] = []
        content: dict[str, Any] = {}
        out_of_reach = []
        for path in (*ROWS.values(), MACHINE):
            try:
                content[path] = revision.read_json(path)
            except UnavailableError as error:
                out_of_reach.append(path)
                self.missing = [f"{UnavailableError(revision, out_of_reach, error.reason)}."]
        absent = [path for path, found in content.items() if not found]
        if absent and not isinstance(revision, JudgedLists):  # lists alone have no training
            self.missing.append(f"{self.name} has no {', '.join(absent)}; run `dvc repro` there.")
        self.rows: dict[str, Rows] = {name: content.get(p) or [] for name, p in ROWS.items()}
        self.machine: dict[str, Any] = content.get(MACHINE) or {}
        self.result: Result | None = None
        self.no_verdict = ""
        if base is not None:
            try:
                self.result = as_asked(base, revision)
            except MusicRecError as error:
                self.no_verdict = str(error)
                if has_champion(revision):
                    with suppress(MusicRecError):
                        self.result = as_asked(Champion(revision), revision, starts=1)


def _provenance(revision: Revision) -> dict[str, str]:
    lock = revision.read(project.LOCK)
    words = ("log", "-1", "--no-show-signature", "--format=%H%n%ct%n%s", revision.commit or "HEAD")
    commit, when, message = revision.git(*words).split("\n", 2)
    hashes = {
        "dvc.lock (SHA-256)": hashlib.sha256(lock).hexdigest() if lock else None,
        **{f"{path} (MD5)": revision.output_hash(path) for path in (project.DATA, project.TABLE)},
    }
    return {
        "commit": commit[:12] + ("" if revision.commit else " and the workspace on it"),
        "committed": f"{datetime.fromtimestamp(int(when), UTC):%Y-%m-%d %H:%M} UTC",
        "message": textwrap.shorten(message, 60, placeholder=" …"),
        **{name: digest[:12] if digest else "none" for name, digest in hashes.items()},
    }
