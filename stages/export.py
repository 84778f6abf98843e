"""Pack a trained model into the bundle that a service loads.

Reads the indexed plays, the id maps and the factors; params export.
Writes data/bundle: factors, id maps, training plays, an Annoy index and a manifest.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from musicrec.bundle.write import export_bundle
from musicrec.params import ExportParams, load_block
from musicrec.storage.outputs import output_folder, stage_arguments


def main() -> None:
    """Export the bundle."""
    args = stage_arguments(__doc__, "params", "indexed", "factors", output=output_folder)
    params = load_block(args.params, ExportParams)
    export_bundle(args.indexed, args.factors, args.output, params)
