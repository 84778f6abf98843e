"""The original project's whole report, computed anew on the indexed plays, and kept as it grows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.ann_bench.measure import describe_machine
from musicrec.ann_bench.run import catalogue_of, run_benchmark, setting_rows
from musicrec.errors import MusicRecError
from musicrec.original import plan
from musicrec.original.plan import Point
from musicrec.params import ALSParams, AnnBenchParams, EvaluateParams, load_block
from musicrec.storage.checksums import CHECKSUMS
from musicrec.storage.files import read_json, write_json
from musicrec.tune.trial import Model, Trials, code_digest

KS = (10, plan.K)
Figures = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """All that the page shows; figures as `Work.judge` gives them.

    Attributes
    ----------
    grid : list of (Point, figures)
        On the validation users.
    best : Point
        Of the grid, by MAP@500 in the `spark` protocol; the first of equals.
    variants, tests : dict of str to figures
        By name: of the best point with other feedback, on validation users and on test users.
    beyond : dict of str to (Point, figures)
        One step out of the grid, by axis.
    matched : (Point, figures)
        Log compression with alpha scaled so that the mean confidence is that of the best point.
    log_alphas : list of (Point, figures)
        Log compression of the best point at every alpha of the grid.
    seen : dict of str to float
        Share of the best model's lists that users have played already, by length.
    search, counts : list of dict
        Rows of ann-bench, and of the table of play counts.
    machine : dict
    """

    grid: list[tuple[Point, Figures]]
    best: Point
    variants: dict[str, Figures]
    tests: dict[str, Figures]
    beyond: dict[str, tuple[Point, Figures]]
    matched: tuple[Point, Figures]
    log_alphas: list[tuple[Point, Figures]]
    seen: dict[str, float]
    search: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    machine: dict[str, Any]


class Work:
    """Fits and judges what no earlier run has left in `folder`, one file a result.

    A result's name is a hash of the plays, the code and the setting, so that another table of plays
    or an edit of the solver starts anew. Plays are read only when something is to be computed.
    """

    def __init__(
        self, indexed: Path, folder: Path, on_step: Callable[[str], None] = lambda step: None
    ) -> None:
        """Take the folder of the index stage and that of the results."""
        if not (indexed / CHECKSUMS).is_file():
            raise MusicRecError(f"{indexed} holds no indexed plays; run dvc repro index")
        self.indexed, self.folder, self.on_step = indexed, folder, on_step
        self.computed = 0
        self._last: tuple[Point, Model] | None = None

    def kept(self, about: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Read a result, or compute and write it."""
        known = {"inputs": self._inputs, "about": about}
        name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{name}.json"
        if not path.exists():
            self.on_step(", ".join(f"{key} {value}" for key, value in about.items()))
            write_json(path, {"about": about, "result": compute()})
            self.computed += 1
        return read_json(path)["result"]

    @cached_property
    def _inputs(self) -> str:
        """Hash of the plays, by the checksums beside them, and of the code."""
        whole = hashlib.sha256(code_digest().encode())
        for path in sorted(self.indexed.rglob(CHECKSUMS)):
            whole.update(path.read_bytes())
        return whole.hexdigest()

    @cached_property
    def _trials(self) -> dict[str, Trials]:
        return {}

    def trials(self, split: str) -> Trials:
        """Plays of a split's users, read once."""
        if split not in self._trials:
            params = EvaluateParams(split=split, k=KS)  # type: ignore[arg-type]
            self._trials[split] = Trials(self.indexed, params)
        return self._trials[split]

    def model(self, setting: Point) -> Model:
        """Fit, or take what was fitted last."""
        if self._last is None or self._last[0] != setting:
            self._last = (setting, self.trials("validation").fit(*setting))
        return self._last[1]

    def judge(self, setting: Point, split: str = "validation") -> Figures:
        """Rows `spark` and `ranking` at k = 500, as the evaluate stage writes them.

        `zero`: all factors are 0, so that nothing is recommended to anybody.
        """

        def compute() -> Figures:
            model = self.model(setting)
            judged = self.trials(split).judge(model)
            zero = not model.factors.users.any() or not model.factors.items.any()
            return {"spark": judged.spark[-1], "ranking": judged.ranking[-1], "zero": zero}

        return self.kept({"split": split} | described(setting), compute)

    def seen(self, setting: Point) -> dict[str, float]:
        """Share of the positions of unfiltered lists that hold a track of the user's history."""

        def compute() -> dict[str, float]:
            trials = self.trials("validation")
            lists = trials.lists_with_seen(self.model(setting))
            history = trials.held_out.history
            known = np.zeros(lists.shape, bool)
            for user, items in enumerate(lists):
                known[user] = np.isin(items, history.row(user))
            filled = lists >= 0
            return {str(k): float(known[:, :k].sum() / max(1, filled[:, :k].sum())) for k in KS}

        return self.kept({"what": "seen"} | described(setting), compute)

    def search(self, setting: Point) -> dict[str, Any]:
        """Rows of ann-bench for the model, with brute force and Annoy, and the machine."""
        params = AnnBenchParams(
            k=plan.K, methods=("exact_argsort", "exact", "annoy_dot"), n_trees=plan.TREES
        )

        def compute() -> dict[str, Any]:
            trials, model = self.trials("validation"), self.model(setting)
            catalogue = catalogue_of(
                trials.held_out, trials.queries(model), model.factors.items, params
            )
            measured = run_benchmark(catalogue, params, self.on_step)
            return {"rows": setting_rows(measured), "machine": describe_machine()}

        about = {"what": "search", **params.model_dump(mode="json")}
        return self.kept(about | described(setting), compute)

    def matched_alpha(self, setting: Point) -> float:
        """Alpha of log compression that leaves the mean of alpha r as it is with counts."""

        def compute() -> float:
            train = self.trials("validation").held_out.train
            means = [
                float(training_ratings(train, feedback).counts.mean(dtype=np.float64))
                for feedback in (setting.feedback, plan.VARIANTS[plan.LOG])
            ]
            return setting.als.alpha * means[0] / means[1]

        return self.kept({"what": "matched alpha"} | described(setting), compute)


def described(setting: Point) -> dict[str, Any]:
    """A setting as JSON."""
    return {"als": setting.als.model_dump(), "feedback": setting.feedback.model_dump()}


def original(
    indexed: Path,
    params: Path,
    counts: Path,
    folder: Path = plan.FOLDER,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[Report, int]:
    """Compute the report, or what is missing of it.

    Parameters
    ----------
    indexed : Path
        Folder of the index stage.
    params : Path
        Parameter file of the original's setting; its block `als` is what the grid does not vary.
    counts : Path
        `plots/data/counts.json` of the ingest stage.
    folder : Path
        Where results are kept.

    Returns
    -------
    report : Report
    computed : int
        How many results were computed and not read.
    """
    base = load_block(params, ALSParams)
    work = Work(indexed, folder, on_step)
    grid = [(setting, work.judge(setting)) for setting in plan.grid(base)]
    best = max(grid, key=lambda point: point[1]["spark"]["map"])[0]
    log = Point(best.als, plan.VARIANTS[plan.LOG])
    tests = {name: work.judge(s, "test") for name, s in ((plan.LOG, log), (plan.BASELINE, best))}
    seen, search = work.seen(best), work.search(best)
    variants = {
        name: work.judge(Point(best.als, feedback)) for name, feedback in plan.VARIANTS.items()
    }
    matched = Point(best.als.replace(alpha=work.matched_alpha(best)), log.feedback)
    log_alphas = [Point(best.als.replace(alpha=a), log.feedback) for a in plan.ALPHAS]
    report = Report(
        grid=grid,
        best=best,
        variants=variants,
        tests=tests,
        beyond={name: (s, work.judge(s)) for name, s in plan.beyond(best.als).items()},
        matched=(matched, work.judge(matched)),
        log_alphas=[(s, work.judge(s)) for s in log_alphas],
        seen=seen,
        search=search["rows"],
        counts=json.loads(counts.read_text(encoding="utf-8")) if counts.is_file() else [],
        machine=search["machine"],
    )
    return report, work.computed
