"""What a person reads while `ingest` runs."""

from __future__ import annotations

from musicrec.ingest.figures import sentence


def test_what_was_left_out_is_said_with_the_reasons():
    summary = {
        "source": {
            "rows": 1300,
            "rejected_rows": 3,
            "rejected": {"count_negative": 2, "user_missing": 1},
        },
        "train": {"rows": 1200, "users": 90, "tracks": 1000},
        "validation": {"users": 5},
        "test": {"users": 4},
    }
    assert sentence(summary) == (
        "1,300 rows read; 1,200 plays of 90 users and 1,000 tracks to train on; 5 validation and "
        "4 test users; 3 bad rows left out: count negative in 2, user missing in 1"
    )
