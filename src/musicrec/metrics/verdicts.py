"""The words of a comparison; `musicrec.metrics.intervals.compare_paired` says when each holds."""

from __future__ import annotations

BETTER, WORSE, IDENTICAL = "better", "worse", "identical"
NO_WORSE, EQUIVALENT = "no worse than the margin", "equivalent within the margin"
CANNOT_TELL, TOO_FEW = "cannot tell", "too few users"
MARGIN = 0.01  # the relative change that matters, unless another one is asked for
