"""The page of `musicrec original`: the original project's report with our figures and its own."""

from __future__ import annotations

from musicrec.original import plan
from musicrec.original.plan import BASELINE, LOG, Point, Published
from musicrec.original.run import Figures, Report
from musicrec.page.charts import COLOURS, Axis, Figure, Series, lines
from musicrec.page.layout import Section, Table, render
from musicrec.page.numbers import NOTHING, number
from musicrec.reporting.markdown import text_table

METRICS = {"map": "MAP@500", "precision": "Precision@500"}
MARK = (
    "* Figures that the original project published, measured on other data (the Million Song "
    "Dataset): compare their order, not their size."
)
UNSEEN = "MAP, seen left out"
ZERO = "\N{DAGGER}"
WHY_ZERO = (
    f"{ZERO} All factors are 0 and nothing is recommended: at this reg_param and alpha the "
    "regularisation outweighs every play. A lower reg_param or a higher alpha gives a model."
)
HEADER = ["MAP@500", "published MAP*", "P@500", "published P@500*", UNSEEN]


def original_page(report: Report) -> str:
    """Lay the report out as one HTML file that opens anywhere."""
    figures = report.variants[BASELINE]
    card = {
        "name": "MAP@500 of the grid's best point, validation users",
        "colour": COLOURS[1],
        "word": number(figures["spark"]["map"]),
        "sign": ("▲", "calm"),
        "sentence": f"{point(report.best)}; published best: rank 20, reg_param 0.1, alpha 10.",
        "words": [],
        "users": MARK,
    }
    sections = [
        *(_grid(report, metric, title) for metric, title in METRICS.items()),
        _variants(report),
        _tests(report),
        _corner(report),
        _confounded(report),
        _seen(report),
        _counts(report),
        _search(report),
    ]
    return render("The original project's report", "musicrec original", sections, cards=[card])


def summary(report: Report) -> str:
    """The variants as a table for the terminal; MAP and precision at 500."""
    cells = _variant_cells(report)
    table = text_table(["validation users", *HEADER], cells, right=range(1, 6))
    best = max(report.variants, key=lambda name: report.variants[name]["spark"]["map"])
    value = number(report.variants[best]["spark"]["map"])
    notes = [
        f"Best of the grid: {point(report.best)}. Best of these rows: {best}, MAP@500 {value}."
    ]
    return "\n".join([table, "", *notes, *_why_zero(cells)])


def _why_zero(cells: list[list[str]]) -> list[str]:
    return [WHY_ZERO] if any(ZERO in cell for row in cells for cell in row) else []


def point(setting: Point) -> str:
    """Name a point of the grid."""
    als = setting.als
    return f"rank {als.rank}, reg_param {als.reg_param:g}, alpha {als.alpha:.4g}"


def _cells(figures: Figures, published: Published | None) -> list[str]:
    theirs = published or Published(None, None)  # type: ignore[arg-type]
    spark = figures["spark"]
    return [
        _map(figures),
        number(theirs.map),
        number(spark["precision"]),
        number(theirs.precision),
        number(figures["ranking"]["map"]),
    ]


def _map(figures: Figures) -> str:
    return number(figures["spark"]["map"]) + (ZERO if figures["zero"] else "")


def _grid(report: Report, metric: str, title: str) -> Section:
    drawn = []
    most = 1.05 * max(figures["spark"][metric] for _, figures in report.grid)
    for reg_param in plan.REG_PARAMS:
        rows = [
            {"series": f"rank {s.als.rank}", "alpha": s.als.alpha, metric: f["spark"][metric]}
            for s, f in report.grid
            if s.als.reg_param == reg_param
        ]
        series = [Series(f"rank {r}", c) for r, c in zip(plan.RANKS, COLOURS, strict=False)]
        columns = {"series": "rank", "alpha": "alpha", metric: title}
        key = f"{metric}_reg_{reg_param:g}".replace(".", "_")
        figure = Figure(key, f"{title}, reg_param {reg_param:g}", rows, columns, series)
        x = Axis("alpha", "alpha", values=plan.ALPHAS)
        drawn.append(lines(figure, x, Axis(metric, title, zero=True, domain=(0.0, most))))
    text = (
        "Validation users, by the original's protocol: tracks that a user has played may be "
        f"recommended. Best by MAP@500 here: {point(report.best)}; published best: rank 20, "
        "reg_param 0.1, alpha 10."
    )
    return Section(f"grid_{metric}", f"The grid: {title}", text, drawn)


def _variant_cells(report: Report) -> list[list[str]]:
    return [
        [name, *_cells(figures, plan.VALIDATION[name])] for name, figures in report.variants.items()
    ]


def _variants(report: Report) -> Section:
    cells = _variant_cells(report)
    text = (
        f"The best point ({point(report.best)}) with log compression, r = log(1 + count), and with "
        f"training plays of few counts dropped; validation users. {MARK}"
    )
    text = " ".join([text, *_why_zero(cells)])
    table = Table("variants", ["variant", *HEADER], cells)
    return Section("variants", "Log compression and dropped counts", text, table=table)


def _tests(report: Report) -> Section:
    cells = [
        [name, *_cells(report.variants[name], plan.VALIDATION[name])[:1], *_cells(figures, theirs)]
        for name, theirs in plan.TEST.items()
        for figures in (report.tests[name],)
    ]
    header = ["variant", "MAP@500 on validation", *HEADER]
    text = (
        "Chosen on the validation users, then scored once on the test users: the best point of the "
        f"grid and the same with log compression. No other setting was. {MARK}"
    )
    table = Table("tests", header, cells)
    return Section("tests", "Do they generalise?", text, table=table)


def _corner(report: Report) -> Section:
    best = report.best.als
    ends = plan.on_border(best)
    inner = [name for name in plan.AXES if name not in ends]
    where = f"on the end of {' and '.join(ends)}" if ends else "inside on every axis"
    rest = f", inside on {' and '.join(inner)}" if ends and inner else ""
    base = report.variants[BASELINE]
    cells = [["best of the grid", point(report.best), *_cells(base, None)[::2], NOTHING]]
    for name, (setting, figures) in report.beyond.items():
        gain = figures["spark"]["map"] / base["spark"]["map"] - 1 if base["spark"]["map"] else 0.0
        cells.append(
            [f"further in {name}", point(setting), *_cells(figures, None)[::2], f"{gain:+.1%}"]
        )
    text = (
        f"Here the best point lies {where}{rest}. The published best, rank 20, reg_param 0.1 and "
        "alpha 10, lies on the end of all three axes, which shows that the grid was too small, "
        "not that a best was found. One step further on each such axis:"
    )
    header = ["point", "setting", "MAP@500", "P@500", UNSEEN, "change of MAP"]
    return Section(
        "corner", "The best point on the edge", text, table=Table("corner", header, cells)
    )


def _confounded(report: Report) -> Section:
    base, best = report.variants[BASELINE]["spark"], report.best
    matched, at_matched = report.matched
    cells = [["counts", f"{best.als.alpha:g}", number(base["map"]), number(base["precision"])]]
    cells += [
        [LOG, f"{s.als.alpha:.4g}", _map(f), number(f["spark"]["precision"])]
        for s, f in [*report.log_alphas, (matched, at_matched)]
    ]
    cells[-1][0] = "log, same mean of alpha r"
    why = " ".join(_why_zero(cells))
    text = (
        "The confidence of a play is 1 + alpha r. Log compression shrinks r, so that at the same "
        "alpha it is also a weaker alpha: the published gain of log may be either. At "
        f"alpha = {matched.als.alpha:.4g} the mean of alpha r is that of the best point with "
        f"counts; the difference that is left there is the transform's own. {why}"
    ).rstrip()
    header = ["r", "alpha", "MAP@500", "P@500"]
    title = "Alpha and log compression, apart"
    return Section("alpha", title, text, table=Table("alpha", header, cells))


def _seen(report: Report) -> Section:
    figures = report.variants[BASELINE]
    cells = [
        [name, number(row["map"]), number(row["precision"])]
        for name, row in (
            ("seen tracks may be recommended (the original's)", figures["spark"]),
            ("seen tracks left out (ours)", figures["ranking"]),
        )
    ]
    short, long = (report.seen[k] for k in sorted(report.seen, key=int))
    text = (
        "The original did not leave out what a user has played in training, and no held-out play "
        f"is such a track. Of the first 10 places of a list {short:.0%} hold one, of 500 "
        f"{long:.1%}. No hit can be there: the more of the history stands at the head of a list, "
        "the lower its MAP, however good the rest."
    )
    header = ["lists", "MAP@500", "P@500"]
    return Section("seen", "Seen tracks in the lists", text, table=Table("seen", header, cells))


COUNTS = ("split", "rows", "mean", "sd", "min", "p25", "median", "p75", "max", "share_of_count_1")


def _counts(report: Report) -> Section:
    cells = [[number(row.get(name)) for name in COUNTS] for row in report.counts]
    text = "Play counts of the ingested splits, before downsampling." + (
        "" if cells else " plots/data/counts.json is missing: run dvc repro ingest."
    )
    table = Table("counts", list(COUNTS), cells) if cells else None
    return Section("counts", "The table of counts", text, table=table)


def _search(report: Report) -> Section:
    names = list(dict.fromkeys(row["method"] for row in report.search))
    series = [Series(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)]
    rows = [row | {"series": row["method"]} for row in report.search]
    columns = {
        "series": "method",
        "setting": "setting",
        "recall": "recall",
        "queries_per_second": "queries per second",
        "build_seconds": "seconds to build",
    }
    title = "Annoy with 1, 5, 10 and 30 trees, and brute force"
    figure = Figure("search", title, rows, columns, series)
    speed = Axis("queries_per_second", "queries per second (log scale)", log=True)
    drawn = lines(figure, Axis("recall", "recall of the best 500"), speed)
    machine = f"{report.machine['processor']}, one thread"
    text = (
        "Queries of the best point's validation users, one at a time. exact_argsort is the "
        "original's brute force, exact is ours, annoy_dot is the metric of Annoy that it used. "
        f"Measured on {machine}; other machines give other speeds."
    )
    return Section("search", "Recall against speed", text, [drawn])
