"""How a revision's model stands beside the baselines, from the metrics in Git."""

from __future__ import annotations

from dataclasses import dataclass

from musicrec.project.revisions import Revision

EVALUATION = "metrics/evaluate.json"
BASELINES = "metrics/baselines.json"


@dataclass(frozen=True)
class Standing:
    """Whether the model is shown to beat a baseline, and by what share of its MAP (0.1: 10 %)."""

    baseline: str
    beats: bool
    over: float | None

    @property
    def unsure(self) -> bool:
        """Ahead, but not by enough to be shown."""
        return not self.beats and self.over is not None and self.over > 0


def standings(revision: Revision) -> list[Standing]:
    """Read one for each baseline; none where the revision has no metrics of `evaluate`."""
    model, others = revision.read_json(EVALUATION), revision.read_json(BASELINES)
    metric = next((key for key in sorted(model) if key.startswith("map@")), "")
    found = []
    for key in sorted(model):
        if key.startswith("beats_"):
            baseline = key.removeprefix("beats_")
            value = others.get(f"{baseline}_{metric}")
            over = model[metric] / value - 1 if metric and value else None
            found.append(Standing(baseline, model[key], over))
    return found
