"""`make faults`: hundreds of faults over all stages, and how they ended, by kind."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.faults import NEEDS_MOUNT, befall, can_mount, plan
from tests.faults.world import STAGES, World


def main() -> int:
    """Print a table, and every fault that did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=320)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", nargs="+", choices=STAGES, help="only these, in their order")
    parser.add_argument("--engine", choices=("native", "mllib"), default="native", help="of train")
    args = parser.parse_args()
    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="musicrec-faults-") as folder:
        world = World(Path(folder), args.stages or list(STAGES), args.engine)
        print(f"the stages undisturbed: {world.seconds}", flush=True)
        mounts = can_mount(Path(folder) / "data")
        done: Counter[str] = Counter()
        skipped: Counter[str] = Counter()
        wrong: list[tuple[str, str]] = []
        for place, (kind, stage) in enumerate(plan(args.seed, args.faults, world.stages)):
            if kind in NEEDS_MOUNT and not mounts:
                skipped[kind] += 1
                continue
            done[kind] += 1
            if problem := befall(world, place, kind, stage, args.seed):
                wrong.append((kind, stage))
                print(f"{place} {kind}, {stage}: {problem}", flush=True)
    for kind, number in sorted(done.items()):
        bad = sum(1 for other, _ in wrong if other == kind)
        print(f"{kind:14} {number:4} faults, {bad} not as they must end")
    for kind, number in skipped.items():
        print(f"{kind:14} {number:4} skipped: this user may not mount a file system")
    minutes = (time.monotonic() - since) / 60
    print(f"{sum(done.values())} faults, {len(wrong)} not as they must end, {minutes:.0f} minutes")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
