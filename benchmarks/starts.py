"""Simulate `musicrec compare --starts`: false alarms and coverage beside one start of each.

    python benchmarks/starts.py [--runs 2000]

Per-user values with many zeros and a long tail, multiplied for each start by a factor that is drawn
for the start and one for user and start. Columns: starts, standard deviation of a start's mean
(share of it), false alarms at 5 % of one start and of all, intervals that hold a true 2 % change.
"""

from __future__ import annotations

import argparse

import numpy as np

from musicrec.metrics.intervals import SIGNIFICANCE, compare_starts, paired_p_value

USERS, EACH = 550, 0.3  # users of the sample; how much a user's value moves from start to start


def main() -> None:
    """Print a row for each number of starts and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    print("| starts | spread of starts | false alarms, one start | with `--starts` | coverage |")
    print("|---:|---:|---:|---:|---:|")
    for starts in (2, 3, 5):
        for spread in (0.0, 0.01, 0.03):
            found = np.mean([one_run(rng, starts, spread) for _ in range(runs)], axis=0)
            alone, together, held = (f"{100 * share:.1f} %" for share in found)
            print(f"| {starts} | {100 * spread:g} % | {alone} | {together} | {held} |", flush=True)


def one_run(rng: np.random.Generator, starts: int, spread: float) -> tuple[bool, bool, bool]:
    """Whether one start and all raise a false alarm, and whether an interval holds the change."""
    base = rng.beta(0.4, 4.0, USERS) * (rng.random(USERS) < 0.7)

    def trained(change: float) -> np.ndarray:
        of_start = 1 + change + spread * rng.normal(size=(starts, 1))
        return base * of_start * (1 + EACH * rng.choice([-1.0, 1.0], (starts, USERS)))

    old, same, better = trained(0), trained(0), trained(0.02)
    alone = paired_p_value(same[0] - old[0]) < SIGNIFICANCE
    together = compare_starts({"m": old}, {"m": same})["m"].p_value < SIGNIFICANCE
    found = compare_starts({"m": old}, {"m": better})["m"]
    assert found.change_low is not None and found.change_high is not None
    return alone, together, found.change_low <= 0.02 <= found.change_high


if __name__ == "__main__":
    main()
