"""Remove the outputs of the stages, and nothing that no stage wrote.

An output goes when its bytes are those that dvc.lock names, so that `dvc checkout` brings it
back from the cache, or its stage writes it anew. One that holds anything else, such as someone's
own plays, stays, and so do the metrics, which Git tracks.
"""

from __future__ import annotations

import sys

from dvc.exceptions import DvcException
from dvc.repo import Repo


def main() -> int:
    """Remove what can be brought back; say what stays and why."""
    try:
        with Repo() as repo, repo.lock:
            for out in repo.index.outs:
                if not out.exists or not (out.use_cache or repo.scm.is_ignored(out.fs_path)):
                    continue
                if not out.hash_info or out.changed():
                    print(f"kept {out}: it is not what its stage last wrote", file=sys.stderr)
                else:
                    out.remove()
                    print(f"removed {out}")
    except DvcException as error:
        print(f"error: {error}; nothing more was removed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
