"""Factorise the training plays by alternating least squares on implicit feedback.

Reads the indexed plays and params `feedback` and `als`. Writes the user and item factors
(`user_factors.npy`, `item_factors.npy`), metrics/train.json and the loss of every iteration.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from musicrec.errors import command
from musicrec.params import load_params
from musicrec.train.run import train


@command
def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--indexed", type=Path, required=True, help="folder of the index stage")
    parser.add_argument("--output", type=Path, required=True, help="folder for the factors")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics file to write")
    parser.add_argument("--loss", type=Path, required=True, help="loss of every iteration, JSON")
    args = parser.parse_args()
    params = load_params(args.params)
    train(args.indexed, args.output, args.metrics, args.loss, params.als, params.feedback)


if __name__ == "__main__":
    sys.exit(main())
