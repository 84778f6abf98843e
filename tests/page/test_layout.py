"""Words, tables and fronts of the page."""

from datetime import date

import pytest

from musicrec.formatting import Table, number, parameter, share
from musicrec.metrics.definitions import metric_title
from musicrec.page.charts import Figure, with_front


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (number(None), "\N{EN DASH}"),
        (number(True), "yes"),
        (number(1234567), "1,234,567"),
        (number(0.1), "0.1000"),
        (number(1279589.825), "1,279,589.8"),
        (number("annoy"), "annoy"),
        (parameter(None), "null"),
        (parameter(False), "false"),
        (parameter(date(2026, 11, 2)), '"2026-11-02"'),  # as YAML reads a date by hand
        (metric_title("map@500"), "MAP@500"),
        (metric_title("ndcg@10"), "nDCG@10"),
        (share(0.0123), "+1.2 %"),
        (share(-0.5), "\N{MINUS SIGN}50.0 %"),
    ],
)
def test_values_in_words(written, text):
    assert written == text


def test_percentages_have_two_decimals():
    rows = [{"share": -0.51264, "plays": 0.5}, {"share": 12.0, "plays": 2000}]
    columns = {"share": "change, %", "plays": "plays"}
    assert Figure("key", "Title", rows, columns, []).table.rows == [
        ["-0.51", "0.5000"],
        ["12.00", "2,000"],
    ]


def test_columns_of_numbers_are_aligned_right():
    table = Table(["a", "b", "c"], [["1,000.5", "x1", "\N{EN DASH}"], ["2", "3", "-0.1"]])
    assert table.right == [True, False, True]
    numbers = ("-14.53 to -10.66 %", "< 0.0001", "+9.9 %", "0.0000†", "")
    assert Table("ab", [[number, "2nd"] for number in numbers]).right == [True, False]
    assert Table(["a"], []).right == [False]
    assert table.text() == "      a  b      c\n1,000.5  x1     \N{EN DASH}\n      2  3   -0.1"


def test_a_front_joins_what_no_other_setting_of_the_method_beats():
    settings = [("a", 0.5, 100), ("a", 0.9, 50), ("a", 0.4, 90), ("a", 0.9, 40), ("b", 0.1, 1)]
    rows = [
        {"series": "main", "method": m, "recall": r, "queries_per_second": q}
        for m, r, q in settings
    ]
    fronts = [row["front"] for row in with_front(rows)]
    assert fronts == [True, True, False, False, True]
