"""`musicrec judge`: anybody's lists for the held-out users, judged by the code of evaluate.

What it writes stands for a revision: files named as in the project, among them the parameters and
the hashes in dvc.lock of the plays that they were judged by.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import yaml

from musicrec import project
from musicrec.baselines.lists import read_baselines
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import Lists, judge
from musicrec.evaluate.lists import read_lists, write_trec
from musicrec.evaluate.report import evaluation_metrics, plot_rows, sentence
from musicrec.interactions.held_out import read_held_out
from musicrec.params import load_params
from musicrec.project import Revision, why_stale
from musicrec.storage.files import write_json, write_text
from musicrec.storage.outputs import atomic_directory
from musicrec.storage.parquet import write_table

PLOTS = "plots/evaluate"
PLAYS = ("sample", "data", "downsample", "baselines", "evaluate")  # blocks that lists depend on
WRITTEN = {project.PARAMS, project.LOCK, "data", "metrics", "plots"}


def judge_lists(path: str | os.PathLike[str], name: str, trec: Path | None = None) -> list[str]:
    """Judge lists on the users of `evaluate.split`, and keep the figures below data/judged.

    Parameters
    ----------
    path : path
        See `musicrec.evaluate.lists.read_lists`.
    name : str
        What `musicrec compare` and `report` are to call them.
    trec : Path, optional
        Folder for `run.txt` and `qrels.txt`.

    Returns
    -------
    list of str
        What was wrong with the lists, and how they stand beside the baselines.
    """
    workspace = Revision(project.WORKSPACE)
    _require_free(name)
    if stale := why_stale(workspace, ["baselines"]):
        raise MusicRecError(f"nothing to judge by: {stale}")
    root = Path(workspace.root)
    params = load_params(root / project.PARAMS).evaluate
    held_out = read_held_out(root / "data/indexed", params.split, params.seen)
    lists, notes = read_lists(path, held_out, params)
    others = read_baselines(root / "data/baselines", len(held_out.users), params)
    evaluation = judge(held_out, Lists(lists, None, np.empty(0), others), params)
    plots = plot_rows(evaluation, params)
    figures = evaluation_metrics(evaluation, plots["differences"], params)
    if trec is not None:
        write_trec(trec, held_out, lists, name)
    with atomic_directory(
        root / project.JUDGED / name,
        lambda there: {path.name for path in there.iterdir()} <= WRITTEN,
    ) as folder:
        written = workspace.read_yaml(project.PARAMS)
        stages = {
            name: stage
            for name, stage in workspace.read_yaml(project.LOCK)["stages"].items()
            if {project.DATA, project.INDEXED} & {out["path"] for out in stage.get("outs", [])}
        }
        blocks = {block: written[block] for block in PLAYS if block in written}
        for file, content in ((project.PARAMS, blocks), (project.LOCK, {"stages": stages})):
            write_text(folder / file, yaml.safe_dump(content, sort_keys=False))
        write_table(folder / project.TABLE, evaluation.table)
        write_json(folder / project.EVALUATION, {params.split: figures})
        write_json(folder / project.BASELINES, workspace.read_json(project.BASELINES))
        for plot, rows in plots.items():
            write_json(folder / PLOTS / f"{plot}.json", rows)
    return [*notes, sentence(figures, plots["differences"], evaluation.table, params, name)]


def _require_free(name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise MusicRecError(f"--name {name!r} is not allowed; use letters, digits, ., - and _")
    try:
        Revision(name)
    except MusicRecError:
        return
    raise MusicRecError(f"--name {name} is a revision of this project; call the lists otherwise")
