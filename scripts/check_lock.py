"""Fail when dvc.lock is older than the code, the parameters or the DAG that it stands for."""

from __future__ import annotations

import sys

from musicrec.project import Revision, stale_stages


def main() -> int:
    """Name the stages that `dvc repro` would run, and why; data that is merely absent is fine."""
    stale = stale_stages(Revision("workspace"))
    for stage, reason in stale.items():
        print(f"{stage}: {reason}", file=sys.stderr)
    if stale:
        print("error: dvc.lock is out of date; run dvc repro and commit it", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
