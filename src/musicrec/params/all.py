"""The whole of params.yaml."""

from __future__ import annotations

import os
from dataclasses import dataclass

from musicrec.params.als import ALSParams
from musicrec.params.ann_bench import AnnBenchParams
from musicrec.params.baselines import BaselinesParams
from musicrec.params.data import DataParams
from musicrec.params.downsample import DownsampleParams
from musicrec.params.evaluate import EvaluateParams
from musicrec.params.export import ExportParams
from musicrec.params.feedback import FeedbackParams
from musicrec.params.load import Block, check_block, read_blocks
from musicrec.params.sample import SampleParams


@dataclass(frozen=True)
class Params:
    """All blocks of params.yaml."""

    sample: SampleParams
    data: DataParams
    downsample: DownsampleParams
    feedback: FeedbackParams
    als: ALSParams
    baselines: BaselinesParams
    evaluate: EvaluateParams
    export: ExportParams
    ann_bench: AnnBenchParams


MODELS: tuple[type[Block], ...] = (
    SampleParams,
    DataParams,
    DownsampleParams,
    FeedbackParams,
    ALSParams,
    BaselinesParams,
    EvaluateParams,
    ExportParams,
    AnnBenchParams,
)


def load_params(path: str | os.PathLike[str] = "params.yaml") -> Params:
    """Read and check every block; raises as `musicrec.params.load.load_block` does."""
    content = read_blocks(path)
    return Params(**{model.block: check_block(content, model, path) for model in MODELS})  # type: ignore[arg-type]
