"""Judge the top-k recommendations of every held-out user beside the baselines.

Reads the indexed plays and the factors. Writes the per-user table (Parquet), the metrics (JSON)
and a folder of plots: metrics at k and slices of the users (JSON), and a picture (SVG).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from musicrec.evaluate.held_out import read_held_out, read_model
from musicrec.evaluate.judge import judge, recommend
from musicrec.evaluate.report import draw_slices, plot_rows, sentence, summarise
from musicrec.files import atomic_directory, write_json
from musicrec.params.evaluate import EvaluateParams
from musicrec.params.load import load_block
from musicrec.parquet import write_table


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--indexed", type=Path, required=True, help="folder of indexed plays")
    parser.add_argument("--factors", type=Path, required=True, help="folder of factors")
    parser.add_argument("--per-user", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder of plots to write")
    args = parser.parse_args()
    settings = load_block(args.params, EvaluateParams)
    held_out = read_held_out(args.indexed, settings.split)
    lists = recommend(held_out, *read_model(args.factors, held_out), settings, _say)
    evaluation = judge(held_out, lists, settings)
    summary = summarise(evaluation, settings)
    with atomic_directory(args.plots) as folder:
        plots = plot_rows(evaluation, settings)
        for name, rows in plots.items():
            write_json(folder / f"{name}.json", rows)
        draw_slices(plots, settings, folder / "slices.svg")
        write_table(args.per_user, evaluation.table)
        write_json(args.metrics, summary)
    print(sentence(summary, settings))


def _say(step: str) -> None:
    if sys.stderr.isatty():
        print(step, file=sys.stderr)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
