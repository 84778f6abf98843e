"""Write the embedded default source: synthetic plays of the Taste Profile's shape.

Reads params.yaml (block `sample`). Writes a folder with `train.parquet`, `validation.parquet` and
`test.parquet` (`user_id`, `count`, `track_id`, `played_at`).
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from musicrec.params import SampleParams, load_block
from musicrec.sample.plays import write_sample
from musicrec.storage.outputs import local_path, stage_arguments


def main() -> None:
    """Run the stage."""
    args = stage_arguments(__doc__, "params", output=local_path)
    params = load_block(args.params, SampleParams)
    write_sample(params, args.output)
