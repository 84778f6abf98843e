import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import column_position
from musicrec.ingest.formats.text_layout import TextLayout, text_layout
from musicrec.params import ColumnParams, DataParams

NAMES = DataParams()
POSITIONS = DataParams(columns=ColumnParams(user=0, track=1, count=2))
LOG = DataParams(columns=ColumnParams(user=0, track=1, count=None))
TIMED = DataParams(columns=ColumnParams(user=0, track=1, count=None, timestamp=2))


def layout(head: bytes, params: DataParams, *, whole: bool = True) -> TextLayout:
    return text_layout(head, params, "f", whole=whole)


@pytest.mark.parametrize(
    "line, params, expected",
    [
        ("user_id,track_id,count", NAMES, (",", True)),
        ("user_id\ttrack_id,x\tcount", NAMES, ("\t", True)),
        ("user_id track_id count", NAMES, (" ", True)),
        ('"user_id";"track_id";"count"', NAMES, (";", True)),
        ("b80344d063b5ccb3212f76538f3d9e43\tSOAKIMP12A8C130995\t1", POSITIONS, ("\t", False)),
        ("user,song,plays", POSITIONS, (",", True)),
        ("u,s,3.2466e+05", POSITIONS, (",", False)),
        ("u,s,nan", POSITIONS, (",", False)),
        ("u,s,", POSITIONS, (",", False)),  # a blank count is a bad row and not a name
        ("user,song", LOG, (",", True)),
        ("anna,song", LOG, (",", False)),
        ("user,song,played at", TIMED, (",", True)),
        ("u,s,2009-05-04T23:08:57Z", TIMED, (",", False)),
    ],
)
def test_separator_and_header(line, params, expected):
    found = layout((line + "\n").encode(), params)
    assert (found.dialect.separator, found.named) == expected


def test_a_head_may_end_within_a_character():
    head = "user_id,track_id,count\nü,x,1\n".encode()[:24]
    assert layout(head, NAMES, whole=False).fields == ("user_id", "track_id", "count")


def test_a_header_is_what_the_user_says():
    params = DataParams(header=False, columns=POSITIONS.columns)
    assert not layout(b"user,song,plays\n", params).named
    with pytest.raises(MusicRecError, match="no column 'user_id'; the file has: 3 columns and no"):
        column_position("user_id", "user", ("", "", ""), named=False, file="f")


def test_a_position_beyond_the_last_column():
    with pytest.raises(MusicRecError, match=r"^f: no column 3 \(data.columns.count, counted fr"):
        column_position(3, "count", ("a", "b", "c"), named=True, file="f")


@pytest.mark.parametrize("params", [NAMES, POSITIONS])
def test_aligned_columns_are_named_as_such(params: DataParams) -> None:
    rows = [("user_id", "track_id", "count"), *((f"u{i}", f"t{i}", str(i)) for i in range(20))]
    text = "".join(f"{u:<12}{t:<12}{c:>6}\n" for u, t, c in rows[params is POSITIONS :])
    with pytest.raises(MusicRecError, match="aligned by runs of blanks; write one separator"):
        layout(text.encode(), params)
    single = text.replace("  ", " ")
    while "  " in single:
        single = single.replace("  ", " ")
    assert layout(single.encode(), params).dialect.separator == " "
