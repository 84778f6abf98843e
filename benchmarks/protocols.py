"""The same models under `holdout` and `temporal`, seen tracks excluded and kept: nDCG of each.

    python benchmarks/protocols.py
    python benchmarks/protocols.py --source plays.parquet --log 'user_id,track_id,listened_at'

Without `--source` on a made-up log of a year: listeners mostly repeat, their tastes move from scene
to scene, and tracks come and go. The last tenth of the plays is the window of `temporal`; `holdout`
has the tracks that as many users played last. Half-lives are tried beside ALS without one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.baselines.run import recommend_baselines
from musicrec.index.run import index_splits
from musicrec.ingest.run import ingest
from musicrec.metrics.ranking import score_lists
from musicrec.params import ColumnParams, DataParams, load_params
from musicrec.runtime import command
from musicrec.tune.trial import Trials

DAY, YEAR, START = 86_400, 365, 1_600_000_000
REPEATS, MOVES = 0.6, 0.1  # share of plays that repeat; of scenes left for another one each month
Figures = dict[str, dict[str, np.ndarray]]  # protocol and seen -> model -> nDCG of every user
PROTOCOLS = {"holdout": {"validation_users": 0.3}, "temporal": {"validation_from": 0.1}}


def make_log(n_users: int, n_tracks: int, seed: int = 0) -> pa.Table:
    """Make plays of a year: `user_id`, `track_id`, `listened_at` (seconds UTC)."""
    rng = np.random.default_rng(seed)
    n_scenes = round(n_tracks**0.5)
    scene_of = rng.integers(0, n_scenes, n_tracks)
    weight = 1 / (rng.permutation(n_tracks) + 50.0)
    peak = rng.uniform(-YEAR, YEAR, n_tracks)  # the day of a track's release
    rows = []
    tastes = rng.integers(0, n_scenes, (n_users, 3))
    played: list[list[int]] = [[] for _ in range(n_users)]
    for month in range(12):
        age = 30.0 * month - peak
        popular = weight * np.where(age < 0, 1e-9, 0.15 + 2.0 ** (-age / 60))
        shares = [popular * (0.005 + (scene_of == scene)) for scene in range(n_scenes)]
        drawn = [np.cumsum(share) / share.sum() for share in shares]
        moves = rng.random(tastes.shape) < MOVES
        tastes[moves] = rng.integers(0, n_scenes, int(moves.sum()))
        for user, n in enumerate(rng.poisson(rng.lognormal(1.6, 0.8, n_users))):
            for scene, repeats, draw, day in zip(
                rng.choice(tastes[user], n), rng.random(n) < REPEATS, rng.random(n),
                np.sort(rng.integers(0, 30 * DAY, n)), strict=True,
            ):  # fmt: skip
                history = played[user]
                if repeats and history:  # the recent rather than the old
                    track = history[-1 - int(len(history) * draw**2)]
                else:
                    track = int(np.searchsorted(drawn[scene], draw))
                history.append(track)
                rows.append((user, track, START + 30 * DAY * month + int(day)))
    users, tracks, times = np.array(rows).T
    names = [f"u{user}" for user in users], [f"t{track}" for track in tracks]
    return pa.table([*names, times], names=["user_id", "track_id", "listened_at"])


def judge(source: Path, columns: list[str], protocol: str, scratch: Path, k: int) -> Figures:
    """NDCG of every model, seen tracks excluded and kept."""
    params = load_params()
    user, track, time = columns
    data = DataParams(
        source=str(source),
        protocol=protocol,  # type: ignore[arg-type]
        columns=ColumnParams(user=user, track=track, count=None, timestamp=time),
        same_listen="each",
        **PROTOCOLS[protocol],  # type: ignore[arg-type]
    )
    ingested, indexed = scratch / f"{protocol}-ingested", scratch / f"{protocol}-indexed"
    ingested.mkdir()
    indexed.mkdir()
    ingest(data, ingested)
    index_splits({path.name: path for path in sorted(ingested.iterdir(), key=_order)}, indexed)
    figures = {}
    for seen in ("exclude", "keep"):
        trials = Trials(indexed, params.evaluate.replace(k=(k,), seen=seen))
        held_out, truth = trials.held_out, trials.held_out.truth
        lists = recommend_baselines(
            held_out, k, params.baselines, keep_seen=seen == "keep", half_life="30d"
        )
        for name, half_life in (("als", None), ("als, half-life 90d", "90d")):
            model = trials.fit(params.als, params.feedback.replace(half_life=half_life))
            lists[name] = trials.lists(model, seen=seen == "keep")
        figures[f"{protocol}, {seen}, {truth.n_users:,} users"] = {
            name: score_lists(found, truth.indptr, truth.indices, [k])["ndcg"]
            for name, found in lists.items()
        }
    return figures


def table(figures: Figures) -> Iterator[str]:
    """Yield lines of Markdown: a row a model, means with 95 % intervals."""
    yield "| model | " + " | ".join(figures) + " |"
    yield "|---" * (1 + len(figures)) + "|"
    for name in dict.fromkeys(name for found in figures.values() for name in found):
        cells = []
        for found in figures.values():
            scores = found.get(name, np.zeros(0))
            half = 1.96 * float(scores.std()) / len(scores) ** 0.5 if len(scores) else 0.0
            cells.append(f"{float(scores.mean()):.4f} ± {half:.4f}" if len(scores) else "")
        yield f"| {name} | " + " | ".join(cells) + " |"


def _order(path: Path) -> int:
    return ["train", "validation", "test"].index(path.name)


@command
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="a log of plays with times")
    parser.add_argument("--log", default="user_id,track_id,listened_at", help="its columns")
    parser.add_argument("--users", type=int, default=3000)
    parser.add_argument("--tracks", type=int, default=4000)
    parser.add_argument("--k", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = args.source or Path(folder) / "log.parquet"
        if args.source is None:
            pq.write_table(make_log(args.users, args.tracks), source)
        figures: Figures = {}
        for protocol in PROTOCOLS:
            figures |= judge(source, args.log.split(","), protocol, Path(folder), args.k)
    print("\n".join(table(figures)))


if __name__ == "__main__":
    main()
