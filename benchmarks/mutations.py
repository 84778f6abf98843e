"""Do the tests catch a mistake? Put one at a time into a revision and run the tests near it.

Each of twenty mistakes is one line of code made wrong. It is looked for by its text, so that
revisions with other files can be compared. Tests that start Spark are left out: they take longest.

    python benchmarks/mutations.py --revision 0e2e518 --revision HEAD
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from musicrec.errors import MusicRecError

ROOT = Path(__file__).resolve().parents[1]


class Mutation(NamedTuple):
    """Text that stands once below src/musicrec, what to put there, and the tests near it."""

    what: str
    old: str
    new: str
    tests: tuple[str, ...]  # those that the revision has


MUTATIONS = (
    Mutation(
        "nDCG: discount shifted by one position",
        "np.arange(lengths[-1]) + 2.0",
        "np.arange(lengths[-1]) + 3.0",
        ("metrics/test_ranking.py",),
    ),
    Mutation(
        "average precision: divided by the truth alone",
        "row[0, column] = precision_sum / best",
        "row[0, column] = precision_sum / n_truth",
        ("metrics/test_ranking.py",),
    ),
    Mutation(
        "Holm: all p-values multiplied by their number",
        "(len(p_values) - rank) * p_values[i]",
        "len(p_values) * p_values[i]",
        ("metrics/test_intervals.py",),
    ),
    Mutation(
        "shown higher: by the upper end of the interval",
        "and interval.low > 0",
        "and interval.high > 0",
        ("metrics/test_intervals.py", "evaluate/test_report.py"),
    ),
    Mutation(
        "Gini: ranks from 0",
        "weights = 2 * np.arange(1, n + 1, dtype=np.int64) - n - 1",
        "weights = 2 * np.arange(n, dtype=np.int64) - n - 1",
        ("metrics/test_beyond_accuracy.py",),
    ),
    Mutation(
        "ALS: regularised by n, whatever the exponent",
        "np.where(n > 0, power(pairs, params.reg_exponent), 0.0)",
        "np.where(n > 0, pairs, 0.0)",
        ("als/test_fit.py",),
    ),
    Mutation(
        "feedback: a count equal to min_count is dropped",
        "keep = plays.counts >= params.min_count",
        "keep = plays.counts > params.min_count",
        ("als/test_feedback.py",),
    ),
    Mutation(
        "a rising loss is accepted",
        "last > before + RISE * abs(before) + slack",
        "last > 2 * before + slack",
        ("train/test_convergence.py", "train/test_run.py"),
    ),
    Mutation(
        "popularity: played tracks are recommended",
        "            if not seen[item]:\n                lists[user, found] = item",
        "            if seen[item] or not seen[item]:\n                lists[user, found] = item",
        ("baselines", "test_recommenders.py"),
    ),
    Mutation(
        "neighbours: a similarity is not divided by the item's listeners",
        "np.sqrt(nearest.similarities / own)",
        "np.sqrt(nearest.similarities)",
        ("baselines/test_neighbours.py", "test_recommenders.py"),
    ),
    Mutation(
        "search: the shortest vectors first",
        'return np.argsort(-norms, kind="stable")[: np.count_nonzero(norms)]',
        'return np.argsort(norms, kind="stable")[: np.count_nonzero(norms)]',
        ("search",),
    ),
    Mutation(
        "Annoy: the added dimension is lost",
        "np.sqrt(np.maximum(0.0, largest**2 - norms**2))",
        "np.maximum(0.0, largest - norms)",
        ("search",),
    ),
    Mutation(
        "downsample: held-out users are thinned, too",
        "kept = (kinds > 0) | (",
        "kept = (kinds > 9) | (",
        ("test_downsample.py",),
    ),
    Mutation(
        "index: the least frequent first",
        '("plays_sum", "descending")',
        '("plays_sum", "ascending")',
        ("index/test_run.py",),
    ),
    Mutation(
        "checksums: content is not compared",
        "    if found == expected:\n        return\n    wanted",
        '    if found["bytes"] == expected["bytes"]:\n        return\n    wanted',
        ("storage/test_checksums.py",),
    ),
    Mutation(
        "held-out tracks unknown to training are dropped one id late",
        "plays.filtered(plays.indices < n_items)",
        "plays.filtered(plays.indices <= n_items)",
        ("metrics/test_ranking.py", "interactions", "plays", "evaluate"),
    ),
    Mutation(
        "gate: the verdicts of another strictness",
        "verdict in GATES[gate]}",
        "verdict not in GATES[gate]}",
        ("review/test_compare.py",),
    ),
    Mutation(
        "bundle: a limit above the largest count is accepted",
        "if count > LARGEST_COUNT:",
        "if count < -LARGEST_COUNT:",
        ("bundle/test_bundle.py", "bundle/test_query.py", "serve/test_bundle.py", "serve"),
    ),
    Mutation(
        "explain: the shares of nonnegative factors count zeros",
        "free = np.flatnonzero(user > 0) if params.nonnegative",
        "free = np.flatnonzero(user >= 0) if params.nonnegative",
        ("bundle/test_bundle.py", "bundle/test_explain.py", "serve"),
    ),
    Mutation(
        "a rank beyond users and tracks is accepted",
        "if als.rank > max(users, tracks):",
        "if als.rank > users + tracks:",
        ("train/test_convergence.py", "train/test_run.py"),
    ),
)


def place(tree: Path, mutation: Mutation) -> Path:
    """Find the one module of a tree that holds the text of a mutation."""
    found = [p for p in (tree / "src").rglob("*.py") if mutation.old in p.read_text()]
    if len(found) != 1 or found[0].read_text().count(mutation.old) != 1:
        raise MusicRecError(f"{mutation.what}: stands in {len(found)} modules, not once in one")
    return found[0]


def near(tree: Path, mutation: Mutation) -> list[str]:
    """Tests of a mutation that a tree has."""
    tests = [f"tests/{name}" for name in mutation.tests if (tree / "tests" / name).exists()]
    if not tests:
        raise MusicRecError(f"{mutation.what}: the revision has none of {mutation.tests}")
    return tests


def is_caught(tree: Path, mutation: Mutation) -> bool:
    """Whether a test fails, with the mutation in place; the tree is left as it was."""
    path = place(tree, mutation)
    text = path.read_text()
    path.write_text(text.replace(mutation.old, mutation.new))
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    words += ["-k", "not spark and not mllib"]
    try:
        done = subprocess.run(
            [*words, *near(tree, mutation)],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
        )
    finally:
        path.write_text(text)
    if done.returncode not in (0, 1):
        raise MusicRecError(f"{mutation.what}: pytest ended with {done.returncode}: {done.stdout}")
    return done.returncode == 1


def main() -> None:
    """Print a row a mutation, with what each revision's tests say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--revision", action="append", required=True)
    parser.add_argument("--list", action="store_true", help="only look for the lines")
    arguments = parser.parse_args()
    caught = dict.fromkeys(arguments.revision, 0)
    print("| mutation | " + " | ".join(arguments.revision) + " |")
    print("|---" * (1 + len(arguments.revision)) + "|")
    with tempfile.TemporaryDirectory() as folder:
        trees = {}
        for number, revision in enumerate(arguments.revision):
            trees[revision] = Path(folder) / str(number)
            subprocess.run(["git", "clone", "-q", ROOT, trees[revision]], check=True)
            checkout = ["git", "-C", trees[revision], "checkout", "-q", "--detach", revision]
            subprocess.run(checkout, check=True)
        for mutation in MUTATIONS:
            cells = []
            for revision, tree in trees.items():
                if arguments.list:
                    cells.append(str(place(tree, mutation).relative_to(tree)))
                    near(tree, mutation)
                    continue
                start = time.perf_counter()
                found = is_caught(tree, mutation)
                caught[revision] += found
                word = "caught" if found else "MISSED"
                cells.append(f"{word}, {time.perf_counter() - start:.0f} s")
            print(f"| {mutation.what} | " + " | ".join(cells) + " |", flush=True)
    totals = [f"{n} of {len(MUTATIONS)}" for n in caught.values()]
    print("| caught | " + " | ".join(totals) + " |")


if __name__ == "__main__":
    main()
