"""`--fail-on`: whether the verdicts of a comparison let a change pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from musicrec.metrics.verdicts import (
    CANNOT_TELL,
    EQUIVALENT,
    IDENTICAL,
    NO_WORSE,
    TOO_FEW,
    WORSE,
)
from musicrec.project.staleness import why_stale

if TYPE_CHECKING:
    from musicrec.project.revisions import Revision
    from musicrec.review.compare import Result

# Which verdict on any of the metrics stops a change, by the word after --fail-on.
GATES: Mapping[str, tuple[str, ...]] = {
    "worse": (WORSE,),
    "cannot-tell": (WORSE, CANNOT_TELL, TOO_FEW),
    "not-better": (WORSE, CANNOT_TELL, TOO_FEW, NO_WORSE, EQUIVALENT, IDENTICAL),
}
STOPPED = 3  # exit status; 1 is an error, 2 a mistyped command
JUDGES = "evaluate"  # the stage whose figures a verdict rests on


def outdated(revision: Revision) -> str:
    """Say why the figures of a revision are not those of its code, parameters and data, if so."""
    return why_stale(revision, [JUDGES])


def stopping(result: Result, gate: str) -> dict[str, str]:
    """Verdicts, by metric, that stop the change; none if it passes."""
    return {name: row.verdict for name, row in result.metrics.items() if row.verdict in GATES[gate]}


def gate_sentence(result: Result, gate: str) -> str:
    """Say whether the change passes, and what stops it."""
    stops = stopping(result, gate)
    if not stops:
        return f"Gate: passed (--fail-on {gate})."
    reasons = ", ".join(f"{name}: {verdict}" for name, verdict in stops.items())
    return f"Gate: FAILED (--fail-on {gate}): {reasons}."
