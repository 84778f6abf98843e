"""Factorise the training plays by alternating least squares on implicit feedback.

Reads the indexed plays and params `feedback` and `als`. Writes the user and item factors
(`user_factors.npy`, `item_factors.npy`), the parameters they were trained with, metrics, and rows
for plots: the loss of every iteration.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from musicrec.params import ALSParams, FeedbackParams, load_block
from musicrec.storage.outputs import output_file, output_folder, stage_arguments
from musicrec.train.run import train


def main() -> None:
    """Run the stage."""
    args = stage_arguments(
        __doc__, "params", "indexed", output=output_folder, metrics=output_file, plots=output_folder
    )
    als = load_block(args.params, ALSParams)
    feedback = load_block(args.params, FeedbackParams)
    train(args.indexed, args.output, args.metrics, args.plots, als, feedback)
