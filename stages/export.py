"""Pack a trained model into the bundle that a service loads.

Reads the indexed plays, the id maps and the factors; params als, feedback and export.
Writes data/bundle: factors, id maps, training plays, an Annoy index and a manifest.
"""

from __future__ import annotations

import argparse
import sys

from musicrec.errors import command
from musicrec.params import load_params
from musicrec.serve.bundle import export_bundle


@command
def main() -> None:
    """Export the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--indexed", required=True, help="folder of the index stage")
    parser.add_argument("--factors", required=True, help="folder of the train stage")
    parser.add_argument("--output", required=True, help="folder to write")
    args = parser.parse_args()
    params = load_params(args.params)
    export_bundle(
        args.indexed, args.factors, args.output, params.als, params.feedback, params.export
    )


if __name__ == "__main__":
    sys.exit(main())
