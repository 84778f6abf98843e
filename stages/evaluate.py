"""Judge the top-k recommendations of every held-out user beside the baselines.

Reads the indexed plays, the factors and the lists of the baselines. Writes the per-user table and
the lists (Parquet), the headline metrics (JSON) and a folder of rows for plots and the report:
metrics at every k, intervals, slices of the users (JSON).
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from functools import partial

from musicrec.evaluate.lists import COLUMNS
from musicrec.evaluate.report import evaluation_metrics, plot_rows, sentence
from musicrec.evaluate.run import evaluate
from musicrec.params import EvaluateParams, load_block
from musicrec.runtime import progress
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory, output_file, output_folder, stage_arguments
from musicrec.storage.parquet import has_columns, write_table

FIRST_COLUMNS = ("user_id", "history_length", "held_out")  # of the per-user table


def main() -> None:
    """Run the stage."""
    table, lists = (
        partial(output_file, ending=".parquet", ours=partial(has_columns, names=names))
        for names in (FIRST_COLUMNS, COLUMNS)
    )
    args = stage_arguments(
        __doc__,
        "params",
        "indexed",
        "factors",
        "baselines",
        per_user=table,
        lists=lists,
        metrics=output_file,
        plots=output_folder,
    )
    params = load_block(args.params, EvaluateParams)
    evaluation = evaluate(args.indexed, args.factors, args.baselines, params, progress)
    plots = plot_rows(evaluation, params)
    figures = evaluation_metrics(evaluation, plots["differences"], params)
    with atomic_directory(args.plots) as folder:
        for name, rows in plots.items():
            write_json(folder / f"{name}.json", rows)
        write_table(args.per_user, evaluation.table)
        write_table(args.lists, evaluation.lists)
        write_json(args.metrics, {params.split: figures})
    print(sentence(figures, plots["differences"], evaluation.table, params))
