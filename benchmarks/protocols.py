"""The same models under `holdout` and `temporal`, seen tracks excluded and kept: nDCG of each.

    python benchmarks/protocols.py
    python benchmarks/protocols.py --source plays.parquet --log user_id,track_id,listened_at

Without `--source` on the synthetic sample. `temporal` holds out the latest tenth of the rows,
`holdout` the half of their tracks that three users of ten played last. All training users are kept,
and models have the parameters of params.yaml. Means over the users, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from musicrec.baselines.run import recommend_baselines
from musicrec.index import index_splits
from musicrec.ingest.run import ingest
from musicrec.metrics.ranking import score_lists
from musicrec.params import ColumnParams, DataParams, load_params
from musicrec.runtime import command
from musicrec.sample.plays import write_sample
from musicrec.tune.trial import Trials

Figures = dict[str, dict[str, np.ndarray]]  # protocol and seen -> model -> nDCG of every user
PROTOCOLS = {"holdout": {"validation_users": 0.3}, "temporal": {"validation_from": 0.1}}


def judge(data: DataParams, scratch: Path, k: int) -> Figures:
    """NDCG of every model under one protocol, seen tracks excluded and kept."""
    params = load_params()
    ingested, indexed = (scratch / f"{data.protocol}-{stage}" for stage in ("ingested", "indexed"))
    ingested.mkdir()
    indexed.mkdir()
    ingest(data, ingested)
    splits = [name for name in ("train", "validation", "test") if (ingested / name).is_dir()]
    index_splits({name: ingested / name for name in splits}, indexed)
    figures = {}
    for seen in ("exclude", "keep"):
        trials = Trials(indexed, params.evaluate.replace(k=(k,), seen=seen))
        held_out, truth = trials.held_out, trials.held_out.truth
        lists = recommend_baselines(
            held_out, k, params.baselines, keep_seen=seen == "keep", half_life="30d"
        )
        for name, half_life in (("als", None), ("als, half-life 90d", "90d")):
            model = trials.fit(params.als, params.feedback.replace(half_life=half_life))
            lists[name] = trials.judge(model)[0].judged
        figures[f"{data.protocol}, {seen}"] = {
            name: score_lists(found, truth, [k])[f"ndcg@{k}"] for name, found in lists.items()
        }
    return figures


def table(figures: Figures) -> Iterator[str]:
    """Yield lines of Markdown: a row a model."""
    yield "| | " + " | ".join(figures) + " |"
    yield "|---" * (1 + len(figures)) + "|"
    sizes = [len(next(iter(found.values()))) for found in figures.values()]
    yield "| users | " + " | ".join(f"{n:,}" for n in sizes) + " |"
    for name in dict.fromkeys(name for found in figures.values() for name in found):
        cells = [_interval(found[name]) if name in found else "" for found in figures.values()]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _interval(scores: np.ndarray) -> str:
    return f"{scores.mean():.3f} ± {1.96 * scores.std() / len(scores) ** 0.5:.3f}"


@command
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="a log of plays with times")
    parser.add_argument("--log", help="its columns: user, track, time and, if it has one, count")
    parser.add_argument("--k", type=int, default=100)
    args = parser.parse_args()
    names = (args.log or "user_id,track_id,played_at,count").split(",")
    columns = dict(zip(("user", "track", "timestamp", "count"), names, strict=False))
    with tempfile.TemporaryDirectory() as folder:
        source = args.source or Path(folder) / "sample"
        if args.source is None:
            write_sample(load_params().sample, source)
        figures: Figures = {}
        for protocol, bounds in PROTOCOLS.items():
            data = {
                "source": str(source),
                "protocol": protocol,
                "columns": ColumnParams.model_validate({"count": None, **columns}),
                "same_listen": "each",
            }
            figures |= judge(DataParams.model_validate(data | bounds), Path(folder), args.k)
    print("\n".join(table(figures)))


if __name__ == "__main__":
    main()
