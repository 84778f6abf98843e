"""The page of `musicrec original`: the original project's report with our figures and its own."""

from __future__ import annotations

from musicrec.formatting import NOTHING, number, text_table
from musicrec.interactions.factors import SMALLEST_SCORE
from musicrec.page.charts import COLOURS, Axis, Figure, Rows, Series, Table, lines
from musicrec.page.layout import Section, render
from musicrec.page.shared import counts_table, speed_by_recall
from musicrec.tune.original import (
    AXES,
    BASELINE,
    KS,
    LOG,
    LOG_FEEDBACK,
    PUBLISHED,
    PUBLISHED_TEST,
    Figures,
    Point,
    Work,
    beyond,
)

MARK = (
    "* Figures that the original project published, measured on other data (the Million Song "
    "Dataset): compare their order, not their size."
)
ZERO = "\N{DAGGER}"
WHY_ZERO = (
    f"{ZERO} No score is above {SMALLEST_SCORE:g}, where 1 stands for played: at this reg_param "
    "and alpha the regularisation outweighs the plays. Lower reg_param or raise alpha."
)
UNSEEN = "MAP, seen left out"
HEADER = ["MAP@500", "published MAP*", "P@500", "published P@500*", UNSEEN]


def original_page(work: Work, counts: Rows) -> str:
    """Lay the report out as one HTML file; `counts` are rows of `plots/data/counts.json`."""
    card = {
        "name": "MAP@500 of the grid's best point, validation users",
        "colour": COLOURS[1],
        "word": number(work.judge(work.best)["spark"]["map"]),
        "sign": ("▲", "calm"),
        "sentence": f"{work.best}; published best: rank 20, reg_param 0.1, alpha 10.",
        "users": MARK,
    }
    sections = [
        _grid(work, "map", "MAP@500"),
        _grid(work, "precision", "Precision@500"),
        _variants(work),
        _tests(work),
        _corner(work),
        _confounded(work),
        _seen(work),
        _counts(counts),
        _search(work),
    ]
    return render("The original project's report", "musicrec original", sections, cards=[card])


def summary(work: Work) -> str:
    """The variants as a table for the terminal; MAP and precision at 500."""
    cells = _variant_cells(work)
    table = text_table(["validation users", *HEADER], cells, right=range(1, 6))
    maps = {name: work.judge(point)["spark"]["map"] for name, point in work.variants.items()}
    best = max(maps, key=maps.__getitem__)
    note = (
        f"Best of the grid: {work.best}. Best of these rows: {best}, MAP@500 {number(maps[best])}."
    )
    return "\n".join([table, "", note, *_why_zero(cells)])


def _why_zero(cells: list[list[str]]) -> list[str]:
    return [WHY_ZERO] if any(ZERO in cell for row in cells for cell in row) else []


def _own(figures: Figures) -> list[str]:
    """MAP, precision, and MAP without seen tracks."""
    spark = figures["spark"]
    zero = ZERO if figures["zero"] else ""
    unseen = number(figures["ranking"]["map"])
    return [number(spark["map"]) + zero, number(spark["precision"]), unseen]


def _beside(figures: Figures, published: tuple[float, float]) -> list[str]:
    own, theirs = _own(figures), [number(value) for value in published]
    return [own[0], theirs[0], own[1], theirs[1], own[2]]


def _section(key: str, title: str, text: str, header: list[str], cells: list[list[str]]) -> Section:
    """A table and what it says; with it, what a dagger in a cell means."""
    text = " ".join([text, *_why_zero(cells)])
    return Section(key, title, text, table=Table(key, header, cells))


def _grid(work: Work, metric: str, title: str) -> Section:
    figures = {point: work.judge(point)["spark"][metric] for point in work.grid}
    series = [Series(f"rank {r}", c) for r, c in zip(AXES["rank"], COLOURS, strict=False)]
    y = Axis(metric, title, zero=True, domain=(0.0, 1.05 * max(figures.values())))
    drawn: list[Figure] = []
    for reg_param in AXES["reg_param"]:
        rows = [
            {"series": f"rank {point.als.rank}", "alpha": point.als.alpha, metric: value}
            for point, value in figures.items()
            if point.als.reg_param == reg_param
        ]
        columns = {"series": "rank", "alpha": "alpha", metric: title}
        key = f"{metric}_reg_{reg_param:g}".replace(".", "_")
        figure = Figure(key, f"{title}, reg_param {reg_param:g}", rows, columns, series)
        drawn += lines(figure, Axis("alpha", "alpha", each=True), y)
    text = (
        "Validation users, by the original's protocol: tracks that a user has played may be "
        f"recommended. Best by MAP@500 here: {work.best}; published best: rank 20, "
        "reg_param 0.1, alpha 10."
    )
    return Section(f"grid_{metric}", f"The grid: {title}", text, drawn)


def _variant_cells(work: Work) -> list[list[str]]:
    return [
        [name, *_beside(work.judge(point), PUBLISHED[name][1])]
        for name, point in work.variants.items()
    ]


def _variants(work: Work) -> Section:
    text = (
        f"The best point ({work.best}) with log compression, r = log(1 + count), and with "
        f"training plays of few counts dropped; validation users. {MARK}"
    )
    title, header = "Log compression and dropped counts", ["variant", *HEADER]
    return _section("variants", title, text, header, _variant_cells(work))


def _tests(work: Work) -> Section:
    cells = []
    for name in (BASELINE, LOG):
        point = work.variants[name]
        figures = _beside(work.judge(point, "test"), PUBLISHED_TEST[name])
        cells.append([name, _own(work.judge(point))[0], *figures])
    text = (
        "Chosen on the validation users, then scored once on the test users: the best point of the "
        f"grid and the same with log compression. No other setting was. {MARK}"
    )
    header = ["variant", "MAP@500 on validation", *HEADER]
    return _section("tests", "Do they generalise?", text, header, cells)


def _corner(work: Work) -> Section:
    steps = beyond(work.best.als)
    where = f"on the end of {' and '.join(steps)}" if steps else "inside on every axis"
    base = work.judge(work.best)
    cells = [["best of the grid", str(work.best), *_own(base), NOTHING]]
    for name, point in steps.items():
        if point is not None:
            figures, before = work.judge(point), base["spark"]["map"]
            gain = figures["spark"]["map"] / before - 1 if before else 0.0
            cells.append([f"further in {name}", str(point), *_own(figures), f"{gain:+.1%}"])
    text = (
        f"Here the best point lies {where}. The published best, rank 20, reg_param 0.1 and "
        "alpha 10, lies on the end of all three axes, which shows that the grid was too small, "
        "not that a best was found. One step further on each such axis:"
    )
    header = ["point", "setting", "MAP@500", "P@500", UNSEEN, "change of MAP"]
    return _section("corner", "The best point on the edge", text, header, cells)


def _confounded(work: Work) -> Section:
    best, matched = work.best, work.matched
    logs = [Point(best.als.replace(alpha=alpha), LOG_FEEDBACK) for alpha in AXES["alpha"]]
    rows = [("counts", best), *((LOG, point) for point in logs)]
    rows.append(("log, same mean of alpha r", matched))
    cells = [[name, f"{point.als.alpha:.4g}", *_own(work.judge(point))[:2]] for name, point in rows]
    text = (
        "The confidence of a play is 1 + alpha r. Log compression shrinks r, so that at the same "
        "alpha it is also a weaker alpha: the published gain of log may be either. At "
        f"alpha = {matched.als.alpha:.4g} the mean of alpha r is that of the best point with "
        "counts; the difference that is left there is the transform's own."
    )
    header = ["r", "alpha", "MAP@500", "P@500"]
    return _section("alpha", "Alpha and log compression, apart", text, header, cells)


def _seen(work: Work) -> Section:
    figures = work.judge(work.best)
    cells = [
        [lists, number(figures[protocol]["map"]), number(figures[protocol]["precision"])]
        for lists, protocol in (
            ("seen tracks may be recommended (the original's)", "spark"),
            ("seen tracks left out (ours)", "ranking"),
        )
    ]
    short, long = (work.seen()[str(k)] for k in KS)
    text = (
        "The original did not leave out what a user has played in training, and no held-out play "
        f"is such a track. Of the first 10 positions of a list {short:.0%} hold one, of 500 "
        f"{long:.1%}. No hit can be there: the more of the history stands at the head of a list, "
        "the lower its MAP, however good the rest."
    )
    header = ["lists", "MAP@500", "P@500"]
    return _section("seen", "Seen tracks in the lists", text, header, cells)


def _counts(counts: Rows) -> Section:
    text = "Play counts of the ingested splits, before downsampling."
    if not counts:
        text += " plots/data/counts.json is missing: run dvc repro ingest."
    return Section("counts", "The table of counts", text, table=counts_table(counts))


def _search(work: Work) -> Section:
    search = work.search()
    names = list(dict.fromkeys(row["method"] for row in search["rows"]))
    series = [Series(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)]
    figures, kinds = speed_by_recall([r | {"series": r["method"]} for r in search["rows"]], series)
    text = (
        "Queries of the best point's validation users, one at a time: Annoy with 1, 5, 10 and 30 "
        "trees, and brute force. exact_argsort is the original's brute force, exact is ours, "
        "annoy_dot is the metric of Annoy that it used. Measured on "
        f"{search['machine']['processor']}, one thread; other machines give other speeds."
    )
    return Section("search", "Recall against speed", text, figures, more_legend=kinds)
