"""The words of a comparison; `musicrec.metrics.intervals.compare_paired` says when each holds."""

from __future__ import annotations

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
