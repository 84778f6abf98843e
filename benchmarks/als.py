"""Time the native solver beside Spark MLlib, implicit, irspack and cmfrec on one matrix.

python benchmarks/als.py --plays FILE.parquet --rank 20 64 128 --iterations 10 --json OUT

FILE has the columns `user`, `item` (any ids) and `count`. Without --plays the matrix is a
synthetic one shaped like the original project's: a share of its users (--share), all its tracks.
Each fit runs in a process of its own. One function, `musicrec.als.fit.objective`, gives the loss
that every engine reached; implicit, irspack and cmfrec regularise each row by a constant instead of
reg_param times its plays (here reg_param times the mean number of plays of a row), so that they
minimise a neighbour of that objective. With --same-objective ours regularises by that constant too
(reg_exponent 0), and all but MLlib minimise one objective. cmfrec is in no lock, since it has to be
compiled (two minutes): pip install cmfrec. CPU seconds are of the whole process,
reading included; on a busy machine they say more than the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.als.fit import fit, objective
from musicrec.interactions.matrix import Interactions, from_triples, read_interactions
from musicrec.params import ALSParams
from musicrec.sample.plays import TRACKS, SampleSizes, generate_plays
from musicrec.storage.files import write_array, write_checksums, write_json
from musicrec.storage.parquet import parquet_parts, read_files, write_table

ORIGINAL_USERS = 1_055_000  # of which a share of 0.2 is the original project's training set: 211 K
NONNEGATIVE = ("native-nonnegative", "mllib-nonnegative")
ENGINES = (
    "native-cholesky",
    "native-cg",
    "native-nonnegative",
    "mllib",
    "mllib-nonnegative",
    "implicit-cg",
    "implicit-cholesky",
    "irspack-cg",
    "irspack-cholesky",
    "irspack-ialspp",
    "cmfrec-cg",
    "cmfrec-cholesky",
)
PACKAGES = {"mllib": "pyspark", "implicit": "implicit", "irspack": "irspack", "cmfrec": "cmfrec"}


def main() -> None:
    """Prepare the matrix, run every engine at every rank, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plays", type=Path, help="Parquet file: user, item, count")
    parser.add_argument("--share", type=float, default=0.2, help="share of its users")
    parser.add_argument("--rank", type=int, nargs="+", default=[20, 64, 128])
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--alpha", type=float, default=10.0)
    parser.add_argument("--reg", type=float, default=0.1)
    parser.add_argument("--reg-exponent", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--same-objective", action="store_true", help="constant regularisation")
    installed = [name for name in ENGINES if find_spec(PACKAGES.get(name.split("-")[0], "numpy"))]
    parser.add_argument("--engines", nargs="+", default=installed, choices=ENGINES)
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--worker", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        run_worker(args.worker[0], Path(args.worker[1]), params_of(args, args.rank[0]))
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-als-") as folder:
        report = run(args, Path(folder))
    if args.json:
        write_json(args.json, report)


def params_of(args: argparse.Namespace, rank: int) -> ALSParams:
    """Parameters of one fit."""
    return ALSParams(
        rank=rank,
        reg_param=args.reg,
        reg_exponent=args.reg_exponent,
        alpha=args.alpha,
        max_iter=args.iterations,
        num_blocks=4,
    )


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run everything on one matrix; print a table as it grows."""
    users, items, counts = read_plays(args.plays) if args.plays else generate(args.share)
    n_users, n_items = int(users.max()) + 1, int(items.max()) + 1
    if args.same_objective:
        args.reg, args.reg_exponent = args.reg * 2 * len(counts) / (n_users + n_items), 0.0
    table = pa.table({"user": users, "item": items, "count": counts})
    write_table(folder / "plays" / "part-00000.parquet", table)
    write_checksums(folder / "plays")
    write_json(folder / "sizes.json", {"n_users": n_users, "n_items": n_items})
    since = time.perf_counter()
    plays = read_interactions(folder / "plays", n_users, n_items)
    plays.transpose()
    setup = time.perf_counter() - since
    print(f"{len(counts)} plays, {n_users} users, {n_items} tracks, set-up {setup:.2f} s")
    report: dict[str, Any] = {
        "machine": {"cpu": cpu_name(), "cores": len(os.sched_getaffinity(0))},
        "data": {"plays": len(counts), "users": n_users, "items": n_items},
        "setup_seconds": setup,
        "iterations": args.iterations,
        "results": [],
    }
    for rank in args.rank:
        interactions = 12 * len(counts) + 8 * n_users
        model = interactions + 4 * rank * (n_users + n_items)
        native: dict[str, Any] = {}
        for engine in args.engines:
            row = run_engine(args, engine, rank, folder, plays)
            native = native or row
            row["seconds_over_native"] = row["seconds"] / native["seconds"]
            row["peak_over_native"] = row["peak_mb"] / native["peak_mb"]
            row["peak_over_data_and_factors"] = row["peak_mb"] * 2**20 / model
            report["results"].append(row)
            print(
                f"rank {rank:4d}  {engine:20s} {row['seconds']:8.2f} s "
                f"({row['seconds_over_native']:6.2f} x)  CPU {row['cpu_seconds']:7.1f} s  "
                f"{row['peak_mb']:7.0f} MB "
                f"({row['peak_over_data_and_factors']:5.2f} x data)  loss {row['loss']:.6g}",
                flush=True,
            )
    return report


def run_engine(
    args: argparse.Namespace, engine: str, rank: int, folder: Path, plays: Interactions
) -> dict[str, Any]:
    """Fit in a new process and judge what it leaves."""
    options = [
        *("--rank", str(rank), "--iterations", str(args.iterations)),
        *("--alpha", str(args.alpha), "--reg", str(args.reg)),
        *("--reg-exponent", str(args.reg_exponent)),
    ]
    command = [sys.executable, __file__, "--worker", engine, str(folder), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    measured = json.loads((folder / "measured.json").read_text())
    users, items = (np.load(folder / f"{name}.npy") for name in ("users", "items"))
    loss = objective(plays, users, items, params_of(args, rank))
    return {"engine": engine, "rank": rank, "loss": loss, **measured}


def read_plays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a file of plays and give its ids dense numbers."""
    table = read_files(parquet_parts(path), ["user", "item", "count"])
    codes = (
        pc.dictionary_encode(table.column(name).combine_chunks()).indices.to_numpy()
        for name in ("user", "item")
    )
    return *codes, table.column("count").to_numpy()


def generate(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw plays of a share of the original project's users, over all of its tracks."""
    sizes = SampleSizes(full=round(ORIGINAL_USERS * share), validation=0, test=0, tracks=TRACKS)
    chunks = list(generate_plays(42, sizes))
    users = np.concatenate([chunk.first_user + chunk.user for chunk in chunks]).astype(np.int32)
    items = np.concatenate([chunk.track for chunk in chunks]).astype(np.int32)
    counts = np.concatenate([chunk.count for chunk in chunks]).astype(np.int64)
    popularity = np.argsort(-np.bincount(items, minlength=TRACKS), kind="stable")
    rank_of = np.empty(TRACKS, np.int32)
    rank_of[popularity] = np.arange(TRACKS, dtype=np.int32)
    return users, rank_of[items], counts


def cpu_name() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.processor()


def run_worker(engine: str, folder: Path, params: ALSParams) -> None:
    """Fit with one engine; leave factors, seconds and peak memory in the folder."""
    sizes = json.loads((folder / "sizes.json").read_text())
    name, _, variant = engine.partition("-")
    if variant in ("cg", "cholesky") and name == "native":
        params = params.replace(solver=variant)
    params = params.replace(nonnegative=engine in NONNEGATIVE)
    fitters: dict[str, Callable[..., tuple[np.ndarray, np.ndarray, float, float]]] = {
        "native": native,
        "mllib": mllib,
        "implicit": implicit,
        "irspack": irspack,
        "cmfrec": cmfrec,
    }
    users, items, seconds, child_mb = fitters[name](folder, sizes, params, variant)
    write_array(folder / "users.npy", users)
    write_array(folder / "items.npy", items)
    peak = peak_mb(os.getpid()) + child_mb
    measured = {"seconds": seconds, "cpu_seconds": time.process_time(), "peak_mb": peak}
    write_json(folder / "measured.json", measured)


def peak_mb(process: int) -> float:
    """Peak resident memory of a running process."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def native(
    folder: Path, sizes: dict[str, int], params: ALSParams, variant: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Fit with `musicrec.als.fit`, its kernels compiled."""
    ones = np.ones(2, np.int32)
    fit(from_triples(ones - 1, np.arange(2), ones, 1, 2), params.replace(max_iter=1))
    plays = read_interactions(folder / "plays", **sizes)
    since = time.perf_counter()
    factors = fit(plays, params)
    return factors.users, factors.items, time.perf_counter() - since, 0.0


def mllib(
    folder: Path, sizes: dict[str, int], params: ALSParams, variant: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Fit with MLlib, the plays in Spark's memory and the session warm."""
    from musicrec.spark.session import spark_session
    from musicrec.train.mllib import fit_frame, plays_frame

    with spark_session("benchmark") as spark:
        plays = plays_frame(spark, read_interactions(folder / "plays", **sizes), folder).cache()
        plays.count()
        since = time.perf_counter()
        users, items = fit_frame(plays, sizes["n_users"], sizes["n_items"], params)
        seconds = time.perf_counter() - since
        java = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
        return users, items, seconds, peak_mb(java)


def scipy_plays(folder: Path, sizes: dict[str, int]) -> Any:
    """Plays as a SciPy matrix of counts."""
    from scipy.sparse import csr_matrix

    plays = read_interactions(folder / "plays", **sizes)
    arrays = (plays.counts, plays.indices, plays.indptr)
    return csr_matrix(arrays, shape=(plays.n_users, plays.n_items))


def constant_regularisation(plays: Any, params: ALSParams) -> float:
    """reg_param times the mean number of plays of a row, or as it is with --same-objective."""
    if params.reg_exponent == 0:
        return params.reg_param
    return params.reg_param * 2 * plays.nnz / sum(plays.shape)


def implicit(
    folder: Path, sizes: dict[str, int], params: ALSParams, variant: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Fit with implicit's AlternatingLeastSquares."""
    from implicit.cpu.als import AlternatingLeastSquares

    plays = scipy_plays(folder, sizes)
    regularization = constant_regularisation(plays, params)
    plays.data = 1 + params.alpha * plays.data
    model = AlternatingLeastSquares(
        factors=params.rank,
        regularization=regularization,
        use_cg=variant == "cg",
        iterations=params.max_iter,
        random_state=params.seed,
    )
    since = time.perf_counter()
    model.fit(plays, show_progress=False)
    return model.user_factors, model.item_factors, time.perf_counter() - since, 0.0


def irspack(
    folder: Path, sizes: dict[str, int], params: ALSParams, variant: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Fit with irspack's IALSRecommender: weight 1 + alpha r of a play, 1 of the rest."""
    from irspack.recommenders import IALSRecommender

    plays = scipy_plays(folder, sizes)
    regularization = constant_regularisation(plays, params)
    plays.data = params.alpha * plays.data
    model = IALSRecommender(
        plays,
        n_components=params.rank,
        alpha0=1.0,
        reg=regularization,
        nu=0.0,
        loss_type="ORIGINAL",
        solver_type=variant.upper(),
        train_epochs=params.max_iter,
        n_threads=len(os.sched_getaffinity(0)),
        random_seed=params.seed,
    )
    since = time.perf_counter()
    model.learn()
    seconds = time.perf_counter() - since
    return model.get_user_embedding(), model.get_item_embedding(), seconds, 0.0


def cmfrec(
    folder: Path, sizes: dict[str, int], params: ALSParams, variant: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Fit with cmfrec's CMF_implicit, in float32, without what only its predictions need."""
    from cmfrec import CMF_implicit

    plays = scipy_plays(folder, sizes)
    model = CMF_implicit(
        k=params.rank,
        lambda_=constant_regularisation(plays, params),
        alpha=params.alpha,
        niter=params.max_iter,
        use_cg=variant == "cg",
        use_float=True,
        precompute_for_predictions=False,
        verbose=False,
        random_state=params.seed,
        nthreads=len(os.sched_getaffinity(0)),
    )
    matrix = plays.tocoo()
    since = time.perf_counter()
    model.fit(matrix)
    return model.A_, model.B_, time.perf_counter() - since, 0.0


if __name__ == "__main__":
    main()
