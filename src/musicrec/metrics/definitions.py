"""The one list of metrics: definitions, directions, where each is shown; and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

# docs/review.md says when each verdict holds, `musicrec.metrics.intervals` finds out.
BETTER, WORSE, IDENTICAL = "better", "worse", "identical"
NO_WORSE, EQUIVALENT = "no worse than the margin", "equivalent within the margin"
HIGHER, LOWER = "higher", "lower"  # of metrics of which neither is better; no gate stops them
CANNOT_TELL, TOO_FEW = "cannot tell", "too few users"
# Which verdict on any of the metrics stops a change, by the word after --fail-on.
GATES = {
    "worse": (WORSE,),
    "cannot-tell": (WORSE, CANNOT_TELL, TOO_FEW),
    "not-better": (WORSE, CANNOT_TELL, TOO_FEW, NO_WORSE, EQUIVALENT, IDENTICAL),
}
MARGIN = 0.01  # the relative change that matters, unless another one is asked for


class Metric(NamedTuple):
    """A metric of top-k lists, with one value a user.

    Attributes
    ----------
    title : str
        As tables and charts write it.
    definition : str
        For one user, in Markdown; hits are positions of the list in the user's held-out tracks T.
    of : str
        What it follows from: the `hits` of a list, the tracks of the `list` whatever the truth, or
        `all` lists together (its value is the mean over users; see `beyond_accuracy.exposure`).
    better : str
        Which direction is: `higher`, `lower`, or `neither`, where a change is all there is to say.
    verdict_at : str
        Of a metric of hits, `longest` or `shortest`: a headline metric, by which `musicrec compare`
        judges at that k unless told otherwise.
    shown_at : str
        Stands in metrics/evaluate.json at that k, without a verdict.
    folded_in : bool
        In metrics/evaluate.json only where held-out users are folded in, and without a verdict.
    """

    title: str
    definition: str
    of: Literal["hits", "list", "all"] = "hits"
    better: Literal["higher", "lower", "neither"] = "higher"
    verdict_at: Literal["", "longest", "shortest"] = ""
    shown_at: Literal["", "longest", "shortest"] = ""
    folded_in: bool = False


# Headline metrics in their order. `ranking._set` has the formulas of those of `hits`, in the same
# order. A metric added to both is in the per-user tables, plots/evaluate/metrics.json and the page,
# and `musicrec compare --metrics` takes it.
METRICS: Mapping[str, Metric] = {
    "map": Metric(
        "MAP",
        "sum over the hits in the first k positions of (hits so far / position), / min(\\|T\\|, k)",
        verdict_at="longest",
    ),
    "ndcg": Metric(
        "nDCG",
        "sum over the hits in the first k positions of 1 / log2(position + 1), / the same sum if "
        "the first min(\\|T\\|, k) positions were hits",
        verdict_at="longest",
    ),
    "recall": Metric("Recall", "hits in the first k positions / \\|T\\|", verdict_at="longest"),
    "precision": Metric("Precision", "hits in the first k positions / k", verdict_at="shortest"),
    "calibrated_recall": Metric(
        "Calibrated recall",
        "hits in the first k positions / min(\\|T\\|, k), so that a list of k tracks can reach 1. "
        "RecPack's name (not Steck's calibration); Liang et al. (WWW 2018) and the tables that "
        "compare with theirs call it Recall@k",
        verdict_at="shortest",
        folded_in=True,
    ),
    "r_precision": Metric(
        "R-precision", "hits in the first \\|T\\| positions, and not beyond k, / \\|T\\|"
    ),
    "hit_rate": Metric("Hit rate", "1 if one of the first k positions is a hit, else 0"),
    "reciprocal_rank": Metric(
        "Reciprocal rank", "1 / position of the first hit in the first k positions, 0 without one"
    ),
    "popularity": Metric(
        "Popularity",
        "mean number of training users of the first k tracks (Yin et al., VLDB 2012)",
        of="list",
        better="neither",
        shown_at="shortest",
    ),
    "novelty": Metric(
        "Novelty",
        "mean self-information of the first k tracks, -log2(share of the training users who played "
        "the track), in bits (Vargas and Castells, RecSys 2011)",
        of="list",
        better="neither",
    ),
    "intra_list_distance": Metric(
        "Intra-list distance",
        "mean over the pairs of the first k tracks of 1 - cosine of their training users; up to "
        "k = 10 (Ziegler et al., WWW 2005)",
        of="list",
        better="neither",
    ),
    "coverage": Metric(
        "Coverage",
        "share of the tracks with training plays that stand in the first k of at least one list "
        "(Ge et al., RecSys 2010)",
        of="all",
        shown_at="shortest",
    ),
    "gini": Metric(
        "Gini",
        "Gini coefficient of the number of lists in whose first k a track stands: 0 if all are "
        "shown equally often, near 1 if a few get everything (Fleder and Hosanagar, 2009)",
        of="all",
        better="lower",
    ),
}
PAPERS = ("ndcg@10", "recall@20", "ndcg@100")  # what the field reads, beside the longest k
HITS = [name for name, metric in METRICS.items() if metric.of == "hits"]


def headline_metrics(k: Sequence[int], folded_in: bool = False) -> list[str]:
    """Name the metrics that get intervals and verdicts: few, so the correction costs little.

    Parameters
    ----------
    k : sequence of int
        List lengths.
    folded_in : bool
        Also those that stand in metrics/evaluate.json where held-out users are folded in.
    """
    ends = {"longest": max(k), "shortest": min(k)}
    return [
        f"{name}@{ends[metric.verdict_at]}"
        for name, metric in METRICS.items()
        if metric.verdict_at and (folded_in or not metric.folded_in)
    ]


def shown_metrics(k: Sequence[int], folded_in: bool = False) -> list[str]:
    """Name the metrics of metrics/evaluate.json: those with verdicts, and others."""
    ends = {"longest": max(k), "shortest": min(k)}
    more = [f"{name}@{ends[one.shown_at]}" for name, one in METRICS.items() if one.shown_at]
    return [*headline_metrics(k, folded_in), *more]


def direction(key: str) -> str:
    """Which direction of `map@10` is better: `higher`, `lower` or `neither`."""
    metric = METRICS.get(key.partition("@")[0])
    return metric.better if metric else "higher"


def split_figures(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Figures of metrics/evaluate.json or baselines.json, of whichever split they are.

    They stand below its name, so that `dvc metrics diff` never subtracts those of one split from
    those of another; revisions of older versions have no such name.
    """
    (first, *_) = (*content.values(), None)
    return first if isinstance(first, Mapping) else content


def metric_title(key: str) -> str:
    """`map@500` is MAP@500."""
    name, at, k = key.partition("@")
    return (METRICS[name].title if name in METRICS else name.capitalize()) + at + k


def metric_table() -> str:
    """The table of definitions in docs/metrics.md."""
    rows = [
        f"| `{name}@<k>` | {metric.definition} | {metric.better} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join(["| key | definition for one user | better |", "|---|---|---|", *rows])
