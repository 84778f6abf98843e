"""Judge a model's lists for every held-out user, beside the baselines: the per-user table.

The table holds one row a user and is the source of every mean that is reported; two of them,
from two configurations, are what `musicrec compare` compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.interactions.held_out import HeldOut, known_tracks
from musicrec.interactions.id_columns import id_arrays
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import fnv1a, kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.beyond_accuracy import beyond_accuracy, median_popularity
from musicrec.metrics.ranking import score_lists
from musicrec.params import EvaluateParams
from musicrec.search.exact import ExactIndex

TABLE_METADATA = b"musicrec"
_BLOCK = 1024  # users a block


@dataclass(frozen=True)
class Lists:
    """Recommended item ids of every held-out user: int32 arrays (n, length), padded with -1.

    Attributes
    ----------
    judged : the model's in the `ranking` protocol, as `evaluate.seen` says
    with_seen : the model's with the tracks of the user's history, for the `spark` protocol, which
        is left out where they are not known
    scores : float32 array (n, length), of `judged`
    baselines : those of each baseline by name, as `evaluate.seen` says
    champion : what `champion_lists` says of the one among them, if it is
    """

    judged: np.ndarray
    with_seen: np.ndarray | None
    scores: np.ndarray
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    champion: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Evaluation:
    """The per-user table, and the lists as rows where they are asked for.

    `folded_in`: none of the users is in training.
    """

    table: pa.Table
    folded_in: bool
    lists: pa.Table | None = None


def recommend(
    held_out: HeldOut, queries: np.ndarray, item_factors: np.ndarray, params: EvaluateParams
) -> Lists:
    """Make the model's lists, max(params.k) long.

    `queries`, float32 (n, rank), are the factors of the held-out users: zeros get no
    recommendations. `item_factors`: float32 (n_items, rank).
    """
    index = ExactIndex(item_factors)
    history, length = held_out.history, max(params.k)
    with_seen, scores = index.search(queries, length)
    judged = with_seen
    if params.seen != "keep":
        exclude = (history.indptr, history.indices)
        judged, scores = index.search(queries, length, exclude=exclude)
    return Lists(judged, with_seen, scores)


def judge(held_out: HeldOut, lists: Lists, params: EvaluateParams) -> Evaluation:
    """Judge the lists by the held-out plays.

    Columns of the table, one row a user, sorted by `user_id`:

    `user_id`, `history_length` (tracks in training or folded in), `held_out` (tracks held out),
    `held_out_unknown` (those unknown to training), `held_out_popularity` (median training users
    of a held-out track), `truth` (a hash of the held-out track ids), `recommended` (length of
    the model's list);
    `<metric>@<k>` of the model in the `ranking` protocol, for all of `METRICS`, null where a list
    is too short to have it, and `<baseline>_<metric>@<k>` of the baselines;
    `spark_<metric>@<k>` of the model in the `spark` protocol, null for users it drops.
    """
    train, truth = held_out.train, held_out.truth
    users_of = train.users_of()
    columns: dict[str, Any] = _describe(held_out, users_of)
    columns["recommended"] = np.count_nonzero(lists.judged >= 0, axis=1)
    by_item, n_users = train.transpose(), int(np.count_nonzero(train.lengths))
    for model, recommended in {"": lists.judged, **lists.baselines}.items():
        prefix = model and f"{model}_"
        scores = score_lists(recommended, truth, params.k)
        scores |= beyond_accuracy(recommended, by_item, n_users, params.k)
        columns |= {
            prefix + metric: pa.array(values, mask=np.isnan(values))
            for metric, values in scores.items()
        }
    if lists.with_seen is not None:
        columns |= _spark_protocol(lists.with_seen, held_out, params.k)
    table = pa.table({"user_id": held_out.user_ids, **columns})
    described: dict[str, Any] = {"split": held_out.split, "k": sorted(params.k)}
    if params.seen != "exclude":
        described["seen"] = params.seen
    if lists.champion:
        described["champion"] = lists.champion
    table = table.take(pc.sort_indices(held_out.user_ids))
    metadata = {TABLE_METADATA: json.dumps(described)}
    return Evaluation(table.replace_schema_metadata(metadata), held_out.folded_in)


def described(schema: pa.Schema) -> dict[str, Any]:
    """What a per-user table says of itself: `split`, `seen`, `k` in ascending order, `champion`."""
    return {"seen": "exclude"} | json.loads((schema.metadata or {})[TABLE_METADATA])


def _describe(held_out: HeldOut, users_of: np.ndarray) -> dict[str, np.ndarray]:
    """Columns that depend on the data alone."""
    truth = held_out.truth
    unknown = np.concatenate(([0], np.cumsum(truth.indices >= len(users_of))))
    return {
        "history_length": held_out.history.lengths,
        "held_out": truth.lengths,
        "held_out_unknown": np.diff(unknown[truth.indptr]),
        "held_out_popularity": median_popularity(truth, users_of),
        "truth": hash_rows(truth, held_out.track_ids),
    }


def hash_rows(truth: Interactions, track_ids: pa.Array) -> np.ndarray:
    """Hash each user's set of held-out track ids, whatever their indices (uint64)."""
    text, starts = id_arrays(track_ids)
    sums = np.zeros(truth.n_users, np.uint64)
    for_blocks(partial(_hash, truth, starts, text, sums), blocks(len(sums), _BLOCK))
    return sums


def truth_digest(hashes: np.ndarray) -> str:
    """Name what is held out of all users, by the column `truth` in whatever order."""
    return f"{np.sum(hashes, dtype=np.uint64):016x}"


def _spark_protocol(lists: np.ndarray, held_out: HeldOut, k: Sequence[int]) -> dict[str, pa.Array]:
    """Metrics in the `spark` protocol (see metrics/ranking.py), null for the users it drops.

    `map` is over the whole list, divided by the truth: MAP at a k that neither exceeds.
    """
    truth = known_tracks(held_out.truth, held_out.train.n_items)
    whole = max(lists.shape[1], int(truth.lengths.max()))
    columns = {"map": score_lists(lists, truth, [whole])[f"map@{whole}"]}
    columns |= score_lists(lists, truth, k)
    dropped = (truth.lengths == 0) | (lists[:, 0] < 0)
    return {f"spark_{name}": pa.array(values, mask=dropped) for name, values in columns.items()}


@kernel()
def _hash(truth, starts, characters, sums, start, stop):
    """Fill `sums[start:stop]`: modulo 2^64, of the hashes of a row's texts in whatever order.

    A text's hash is FNV-1a, mixed by the finalizer of MurmurHash3, because sums of plain FNV hashes
    collide too easily.
    """
    for row in range(start, stop):
        for text in truth.indices[truth.indptr[row] : truth.indptr[row + 1]]:
            value = fnv1a(characters, starts[text], starts[text + 1])
            value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
            value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
            sums[row] += value ^ (value >> np.uint64(33))
