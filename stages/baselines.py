"""Recommend to the held-out users by popularity, item neighbours and EASE, which no model changes.

Reads the indexed plays and params `baselines`, `evaluate` and `feedback`. Writes a folder with the
lists of each baseline (int32, a row a held-out user by index: `popularity.npy`, `neighbours.npy`,
`ease.npy`; with `feedback.half_life` `popular_recent.npy`; where seen tracks are kept
`most_played.npy`, and of plays with times `most_recent.npy`), `baselines.json`, which says how they
were made, and, as metrics, their headline figures.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from musicrec.baselines.lists import write_baselines
from musicrec.baselines.run import baseline_metrics, describe, recommend_baselines
from musicrec.interactions.held_out import read_held_out
from musicrec.params import BaselinesParams, EvaluateParams, FeedbackParams, load_block
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory, output_file, output_folder, stage_arguments


def main() -> None:
    """Run the stage."""
    args = stage_arguments(__doc__, "params", "indexed", output=output_folder, metrics=output_file)
    baselines = load_block(args.params, BaselinesParams)
    judged = load_block(args.params, EvaluateParams)
    feedback = load_block(args.params, FeedbackParams)
    held_out = read_held_out(args.indexed, judged.split, judged.seen)
    keep = judged.seen == "keep"
    lists = recommend_baselines(
        held_out, max(judged.k), baselines, keep_seen=keep, half_life=feedback.half_life
    )
    with atomic_directory(args.output) as folder:
        write_baselines(folder, lists, describe(held_out, baselines))
        figures = baseline_metrics(held_out, lists, judged.k, baselines)
        write_json(args.metrics, {judged.split: figures})
