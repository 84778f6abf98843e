import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import mapping_of
from musicrec.ingest.read.layout import TextLayout, text_layout
from musicrec.params import ColumnParams, DataParams

NAMES = DataParams()
POSITIONS = DataParams(columns=ColumnParams(user=0, track=1, count=2))
LOG = DataParams(columns=ColumnParams(user=0, track=1, count=None))
TIMED = DataParams(columns=ColumnParams(user=0, track=1, count=None, timestamp=2))


def layout(head: bytes, params: DataParams, *, whole: bool = True) -> TextLayout:
    return text_layout(head, mapping_of(params, ["f"]), "f", whole=whole)


@pytest.mark.parametrize(
    "line, params, expected",
    [
        ("user_id,track_id,count", NAMES, (",", True)),
        ("user_id track_id count", NAMES, (" ", True)),
        ('"user_id";"track_id";"count"', NAMES, (";", True)),
        ("b80344d063b5ccb3212f76538f3d9e43\tSOAKIMP12A8C130995\t1", POSITIONS, ("\t", False)),
        ("user,song,plays", POSITIONS, (",", True)),
        ("u,s,3.2466e+05", POSITIONS, (",", False)),
        ("u,s,nan", POSITIONS, (",", False)),
        ("u,s,", POSITIONS, (",", False)),  # a blank count is a bad row and not a name
        ("user,song", LOG, (",", True)),
        ("user,song,played at", TIMED, (",", True)),
        ("u,s,2009-05-04T23:08:57Z", TIMED, (",", False)),
    ],
)
def test_separator_and_header(line, params, expected):
    found = layout((line + "\n").encode(), params)
    assert (found.dialect.separator, found.start > 0) == expected


def test_a_head_may_end_within_a_character():
    head = "user_id,track_id,count\nü,x,1\n".encode()[:24]
    assert layout(head, NAMES, whole=False).places == {"user_id": 0, "track_id": 1, "count": 2}


@pytest.mark.parametrize("line", ["listener,medium", "anna,song"])
def test_a_first_line_that_may_be_names_or_a_play_is_asked_about(line):
    with pytest.raises(MusicRecError, match=r"may be column names or a play; set data\.header"):
        layout(f"{line}\nu1,t1\n".encode(), LOG)
