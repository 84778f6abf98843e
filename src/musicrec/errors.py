"""The one error a user is meant to read."""

from __future__ import annotations


class MusicRecError(Exception):
    """A mistake or a missing thing that a person can fix, in one sentence.

    The sentence says what is wrong, where (file, column, how many rows, the first bad
    value) and what to do. `musicrec.command` prints it without a stack trace.
    """
