"""Pack a trained model into the bundle that a service loads.

Reads the indexed plays, the id maps and the factors; params export.
Writes data/bundle: factors, id maps, training plays, an Annoy index and a manifest.
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys

from musicrec.bundle.write import export_bundle
from musicrec.params import ExportParams, load_block


def main() -> None:
    """Export the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--indexed", required=True, help="folder of the index stage")
    parser.add_argument("--factors", required=True, help="folder of the train stage")
    parser.add_argument("--output", required=True, help="folder to write")
    args = parser.parse_args()
    params = load_block(args.params, ExportParams)
    export_bundle(args.indexed, args.factors, args.output, params)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
