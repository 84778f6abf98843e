"""Factorise the training plays by alternating least squares on implicit feedback.

Reads the indexed plays and params `feedback` and `als`. Writes the user and item factors
(`user_factors.npy`, `item_factors.npy`), the parameters they were trained with, metrics, and rows
for plots: the loss of every iteration.
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.params import ALSParams, FeedbackParams, load_block
from musicrec.train.run import train


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--indexed", type=Path, required=True, help="folder of the index stage")
    parser.add_argument("--output", type=Path, required=True, help="folder for the factors")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics file to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder of rows to write")
    args = parser.parse_args()
    als = load_block(args.params, ALSParams)
    feedback = load_block(args.params, FeedbackParams)
    train(args.indexed, args.output, args.metrics, args.plots, als, feedback)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
