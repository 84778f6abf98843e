"""Train a model on the indexed plays, with either engine, and write its factors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import Factors, fit, objective
from musicrec.als.fold_in import queries
from musicrec.als.half_step import HalfStep
from musicrec.errors import MusicRecError, warn
from musicrec.interactions.earlier import EarlierModel, read_earlier
from musicrec.interactions.factors import LARGEST_NORM, norms_of, warn_if_zero, write_factors
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.id_columns import read_ids, read_sizes
from musicrec.interactions.matrix import Interactions, read_ages, read_interactions
from musicrec.metrics.ranking import score_lists
from musicrec.params import ALSParams, FeedbackParams
from musicrec.runtime import progress
from musicrec.search.exact import ExactIndex
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory
from musicrec.storage.parquet import HISTORIES, SPLITS
from musicrec.train.mllib import fit_mllib

# Sums in float64 hold 16 digits: of an unobserved entry's weight, 1, beside this one 4 are left.
LARGEST_WEIGHT = 1e12
RISE = 1e-3  # of the loss: more is not rounding, since no half step raises it
ROUNDING = 1e-6  # of the loss that zero factors leave
ADVICE = "lower als.alpha, or set feedback.transform to log1p"
SCORED = 100  # length of the lists that early stopping judges
NATIVE_ONLY = (
    "solver",
    "reg_exponent",
    "reg_unobserved",
    "unobserved_weight",
    "early_stopping",
    "warm_start",
)


def train(
    indexed: Path,
    output: Path,
    metrics: Path,
    plots: Path,
    als: ALSParams,
    feedback: FeedbackParams,
) -> None:
    """Fit the indexed training plays; then write factors, metrics and rows for plots.

    Raises
    ------
    MusicRecError
        The parameters do not go together, or the data does not fit them.
    """
    for name in NATIVE_ONLY if als.engine == "mllib" else ():
        value, default = getattr(als, name), ALSParams.model_fields[name].default
        if value != default:
            raise MusicRecError(
                f"als.engine = mllib has no als.{name} (it is {value}); use als.engine = "
                f"native or set it to {json.dumps(default)}"
            )
    sizes = read_sizes(indexed / "sizes.json")
    shape = (sizes.n_users, sizes.n_items)
    plays = read_interactions(indexed / "train", *shape)
    ages = read_ages(indexed, "train", *shape).counts if feedback.half_life else None
    ratings = training_ratings(plays, feedback, ages)
    if als.engine == "mllib":
        check_feasible(ratings, als)
        users, items = fit_mllib(ratings, als, output.parent)
        factors = Factors(users, items, [objective(ratings, users, items, als)])
        require_usable(factors, als)
        require_falling(factors.losses, ratings, als)
        iterations = [als.max_iter]
    else:
        score = None
        if als.early_stopping:
            if not (indexed / "validation").exists():
                raise MusicRecError(
                    "als.early_stopping has no validation plays: with data.protocol: temporal and "
                    "evaluate.split: test they are trained on; set als.early_stopping to 0 and "
                    "als.max_iter to the iterations of the run with evaluate.split: validation"
                )
            score = ValidationScore(read_held_out(indexed, "validation"), als, feedback)
        factors = fit_native(indexed, ratings, als, score=score)
        iterations = list(range(1, len(factors.losses) + 1))
    warn_if_zero(factors.users, factors.items, als)
    trained_with = {"als": als.model_dump(), "feedback": feedback.model_dump(exclude_none=True)}
    write_factors(output, factors.users, factors.items, trained_with)
    sides = ("users", factors.users, ratings.lengths), ("tracks", factors.items, ratings.users_of())
    rows = [
        {
            "table": side,
            "rows": len(values),
            "with_plays": np.count_nonzero(n_plays),
            "zero_share": np.mean(values == 0),
        }
        for side, values, n_plays in sides
    ]
    figures: dict[str, float] = {"iterations": iterations[-1], "plays": len(ratings.indices)}
    if factors.scores:
        figures["early_stopping_ndcg@100"] = factors.scores[len(iterations) - 1]
    with atomic_directory(plots) as folder:
        write_json(folder / "loss.json", _loss_rows(iterations, factors))
        write_json(folder / "factors.json", rows)
    write_json(metrics, figures)


def _loss_rows(iterations: list[int], factors: Factors) -> list[dict[str, float]]:
    """Rows of plots/train/loss.json, one an iteration up to the one whose factors are kept."""
    columns = {"iteration": iterations, "loss": factors.losses}
    if factors.scores:
        columns["ndcg@100"] = factors.scores[: len(iterations)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def fit_native(
    indexed: Path,
    ratings: Interactions,
    als: ALSParams,
    *,
    score: Callable[[Factors], float] | None = None,
    on_iteration: Callable[[int, Factors], None] | None = None,
) -> Factors:
    """Fit with the native engine, from `als.warm_start` where there is one.

    Parameters
    ----------
    indexed : Path
        Folder of the index stage, whose ids a warm start is matched by.
    on_iteration : callable, optional
        As of `fit`; by default progress is shown to whoever watches.
    """
    check_feasible(ratings, als)
    since = time.monotonic()
    start = None
    if als.warm_start is not None:
        start = warm_factors(Path(als.warm_start), indexed, ratings, als)

    def report(iteration: int, factors: Factors) -> None:
        text = f"iteration {iteration}/{als.max_iter}  loss {factors.losses[-1]:.7g}"
        if factors.scores:
            text += f"  validation nDCG@100 {factors.scores[-1]:.5f}"
        progress(f"{text}  {time.monotonic() - since:.1f} s")

    def look(iteration: int, factors: Factors) -> None:
        require_falling(factors.losses, ratings, als)
        (on_iteration or report)(iteration, factors)

    factors = fit(ratings, als, start=start, score=score, on_iteration=look)
    require_usable(factors, als)
    return factors


class ValidationScore:
    """Judges factors by nDCG@100 of the validation users, as the evaluate stage computes it.

    Held-out plays choose the number of iterations (`als.early_stopping`) and nothing else: a final
    figure for a model trained so should come from the test users (`evaluate.split`).
    """

    def __init__(self, held_out: HeldOut, als: ALSParams, feedback: FeedbackParams) -> None:
        """Take the validation users and the parameters of the training."""
        self._held_out = held_out
        self._trained_with = als, feedback
        # A user without history gets no recommendation, scores 0 and counts.
        self._judged = np.flatnonzero(held_out.history.lengths)
        self._truth = held_out.truth.rows(self._judged)
        self._seen = held_out.history.rows(self._judged)

    def __call__(self, factors: Factors) -> float:
        """Mean nDCG@100 over the users."""
        found = queries(self._held_out, factors, *self._trained_with)[self._judged]
        lists, _ = ExactIndex(factors.items).search(
            found, SCORED, (self._seen.indptr, self._seen.indices)
        )
        ndcg = score_lists(lists, self._truth, [SCORED])[f"ndcg@{SCORED}"]
        return float(ndcg.sum()) / len(self._held_out.users)


def check_feasible(ratings: Interactions, als: ALSParams) -> None:
    """Refuse weights that no number holds and a rank beyond users and tracks; warn beyond one."""
    if als.alpha * float(ratings.counts.max()) > LARGEST_WEIGHT:
        raise MusicRecError(f"{_weight(ratings, als)}, too large to train with; {ADVICE}")
    users = int(np.count_nonzero(ratings.lengths))
    tracks = int(np.count_nonzero(ratings.users_of()))
    fewer = min(users, tracks)
    if als.rank > max(users, tracks):
        raise MusicRecError(
            f"als.rank = {als.rank} is more than the {users:,} users and the {tracks:,} tracks "
            f"with plays; set als.rank to {fewer} or less"
        )
    if als.rank > fewer:
        warn(
            f"als.rank = {als.rank} is more than the {fewer:,} "
            f"{'users' if users < tracks else 'tracks'} with plays; no rank above that fits better"
        )


def require_falling(losses: Sequence[float], ratings: Interactions, als: ALSParams) -> None:
    """Stop unless the last loss is a number, not negative, and no more than the one before."""
    last, before = losses[-1], losses[-2] if len(losses) > 1 else np.inf
    at_zero = len(ratings.counts) + als.alpha * float(ratings.counts.sum(dtype=np.float64))
    slack = ROUNDING * at_zero
    if not np.isfinite(last):
        what = f"is {last}"
    elif last < -slack:
        what = f"is negative ({last:.6g})"
    elif last > before + RISE * abs(before) + slack:
        what = f"rises from {before:.6g} to {last:.6g}"
    else:
        return
    raise MusicRecError(
        f"the loss {what} at iteration {len(losses)}: {_weight(ratings, als)}, and als.reg_param = "
        f"{als.reg_param:g}, are beyond what the solver's numbers hold; {ADVICE}"
    )


def require_usable(factors: Factors, als: ALSParams) -> None:
    """Stop where a factor is no number or too large to search."""
    for side, values in (("user", factors.users), ("track", factors.items)):
        rows = int(np.count_nonzero(~(norms_of(values) <= LARGEST_NORM)))  # or not a number
        if rows:
            raise MusicRecError(
                f"{rows:,} {side} factors are not finite, or longer than {LARGEST_NORM:.2g}, whose "
                f"square 32-bit numbers do not hold, at als.alpha = {als.alpha:g} and "
                f"als.reg_param = {als.reg_param:g}; raise als.reg_param, or {ADVICE}"
            )


def _weight(ratings: Interactions, als: ALSParams) -> str:
    largest = float(ratings.counts.max())
    return (
        f"als.alpha = {als.alpha:g} times the largest count of {largest:g} (after feedback) is "
        f"{als.alpha * largest:.3g}"
    )


def warm_factors(bundle: Path, indexed: Path, plays: Interactions, params: ALSParams) -> Factors:
    """Carry the factors of an exported bundle over to the index of new training data.

    Tracks and users are matched by id. New tracks start at zero; then all users are solved given
    the known tracks, so that new users start where their plays put them. `plays` come from the
    folder `indexed` of the index stage.

    Raises
    ------
    MusicRecError
        The bundle is missing or damaged, has another rank, shares no track with the training
        data, or was trained on held-out plays, or on users whom data.protocol =
        strong_generalization holds out.
    """
    earlier = read_earlier(bundle, f"als.warm_start = {bundle}")
    if any((indexed / history).is_dir() for history in HISTORIES):
        held_out = read_ids(indexed, "user").slice(plays.n_users)
        known = np.sum(earlier.positions("user", held_out) >= 0)
        if known:
            raise MusicRecError(
                f"{earlier.said}: it was trained on plays of {known:,} users who are held "
                "out here, so that its factors know their answers; use a bundle of the same "
                "data.protocol and data.seed, or set als.warm_start to null"
            )
    for split in SPLITS[1:]:
        earlier.refuse_learned(indexed, split)
    items = _carry(earlier, indexed, "item", plays.n_items, params)
    users = _carry(earlier, indexed, "user", plays.n_users, params)
    if not items.any():
        raise MusicRecError(
            f"{earlier.said}: none of its tracks is in the training data; "
            "use a bundle of the same catalogue or set als.warm_start to null"
        )
    items[plays.users_of() == 0] = 0
    HalfStep(plays, params).solve(items, users)
    return Factors(users, items)


def _carry(
    earlier: EarlierModel, indexed: Path, kind: str, n: int, params: ALSParams
) -> np.ndarray:
    """Factors of the bundle in the order of the new ids, zero where the bundle has none."""
    factors = earlier.array(f"{kind}_factors.npy")
    if factors.shape[1] != params.rank:
        raise MusicRecError(
            f"{earlier.said}: its rank is {factors.shape[1]}, not als.rank = "
            f"{params.rank}; train with als.rank={factors.shape[1]} or start anew"
        )
    position = earlier.positions(kind, read_ids(indexed, kind).slice(0, n))
    carried = np.zeros((n, params.rank), np.float32)
    known = np.flatnonzero(position >= 0)
    carried[known] = factors[position[known]]
    return carried
