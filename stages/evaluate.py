"""Judge the top-k recommendations of every held-out user beside the baselines.

Reads the indexed plays, the factors and the lists of the baselines. Writes the per-user table
(Parquet), the headline metrics (JSON) and a folder of rows for plots and the report: metrics at
every k, intervals, slices of the users (JSON).
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.evaluate.report import headline, plot_rows, sentence
from musicrec.evaluate.run import evaluate
from musicrec.params import EvaluateParams, load_block
from musicrec.process.progress import progress
from musicrec.storage.files import atomic_directory, write_json
from musicrec.storage.parquet import write_table


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--indexed", type=Path, required=True, help="folder of indexed plays")
    parser.add_argument("--factors", type=Path, required=True, help="folder of factors")
    parser.add_argument("--baselines", type=Path, required=True, help="folder of their lists")
    parser.add_argument("--per-user", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder of plots to write")
    args = parser.parse_args()
    params = load_block(args.params, EvaluateParams)
    evaluation = evaluate(args.indexed, args.factors, args.baselines, params, progress)
    plots = plot_rows(evaluation, params)
    figures = headline(evaluation, plots["differences"], params)
    with atomic_directory(args.plots) as folder:
        for name, rows in plots.items():
            write_json(folder / f"{name}.json", rows)
        write_table(args.per_user, evaluation.table)
        write_json(args.metrics, figures)
    print(sentence(figures, evaluation.table, params))


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
