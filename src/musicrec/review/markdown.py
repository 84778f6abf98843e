"""`musicrec review`: what a change does, as one Markdown report for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.errors import MusicRecError
from musicrec.formatting import markdown_table, parameter
from musicrec.metrics.definitions import MARGIN
from musicrec.project.revisions import Revision, UnavailableError, changes
from musicrec.project.staleness import stale_stages
from musicrec.review.champion import Champion
from musicrec.review.compare import as_markdown, compare, outdated, percent
from musicrec.review.figures import EVALUATION, beside_baselines
from musicrec.review.tested import PARAMS

DATA = ("metrics/data.json", "metrics/downsample.json", "metrics/index.json")
SEARCH = "metrics/ann_bench.json"
SPEED_UP = "plots/ann_bench/speed_up.json"
RECALL = 0.9  # at which speeds are shown; the page and the plots have all of them
NOT_REACHED = "not reached"
FILES = 6  # named in one row
ROWS = 25  # of one table; a report is read by a person


def review(
    base: Revision,
    head: Revision,
    margin: float = MARGIN,
    gate: str | None = None,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] = (),
) -> str:
    """Report what differs between two revisions, in Markdown.

    Parameters in `params.yaml`, the code of each stage, the data as counted by its metrics,
    ranking metrics with verdicts, how the model stands beside the baselines, search, and the
    stages of `head` whose outputs are older than what they depend on. A section that cannot be
    given says why. With a `gate` (a key of `metrics.definitions.GATES`) it says whether the
    change passes.
    """
    sections = [
        ("Parameters", _diff(base, head, (PARAMS,))),
        ("Code", _code(base, head)),
        ("Data", _diff(base, head, DATA)),
        ("Metrics", _metrics(base, head, gate, metrics, margin, by)),
        *of_champion(head, gate, metrics, margin, by),
        ("Beside the baselines", _baselines(base, head)),
        ("Search", _search(base, head)),
        ("Stale stages", _stale(head)),
    ]
    blocks = [f"# {head.name} against {base.name}"]
    blocks += [f"## {title}\n\n{text}" for title, text in sections]
    return "\n\n".join(blocks) + "\n"


def _code(base: Revision, head: Revision) -> str:
    """The stages whose files in Git differ, and which; stages of the same files in one row."""
    stages = head.read_yaml("dvc.yaml").get("stages") or {}
    reads = {
        name: [path for path in stage.get("deps") or [] if isinstance(path, str)]
        for name, stage in stages.items()
    }
    below = sorted({path for paths in reads.values() for path in paths if "$" not in path})
    changed = head.changed_files(base, below)
    rows: dict[str, list[str]] = {}
    for name, paths in reads.items():
        files = [file for file in changed if any(f"{file}/".startswith(f"{p}/") for p in paths)]
        if files:
            more = f" and {len(files) - FILES} more" if len(files) > FILES else ""
            listed = ", ".join(f"`{file}`" for file in files[:FILES]) + more
            rows.setdefault(listed, []).append(name)
    if not rows:
        return "No change."
    cells = [[", ".join(names), listed] for listed, names in rows.items()]
    return markdown_table(["stages", "files that changed"], cells)


def _metrics(base: Revision, head: Revision, gate: str | None, *asked: Any) -> str:
    """Verdicts; where the revisions cannot be compared, the reason and the bare figures."""
    reasons = [outdated(base), outdated(head)]
    blocks = [f"**Beware: {reason}.**" for reason in reasons if reason]
    try:
        result = compare(base, head, *asked)
    except MusicRecError as error:
        old, new = (revision.read_json(EVALUATION) for revision in (base, head))
        return "\n\n".join(
            [*blocks, f"No verdict: {error}", _change_table(base, head, changes(old, new))]
        )
    if gate is not None:
        judged = "Gate: nothing to judge." if reasons[1] else result.gate_sentence(gate)
        blocks.append(f"**{judged}**")
    return "\n\n".join([*blocks, as_markdown(result)])


def of_champion(head: Revision, gate: str | None, *asked: Any) -> list[tuple[str, str]]:
    """The verdict against `evaluate.champion`, where the revision was judged beside one."""
    if not (head.read_yaml(PARAMS).get("evaluate") or {}).get("champion"):
        return []
    try:
        text = _metrics(Champion(head), head, gate, *asked)
    except MusicRecError as error:
        text = f"No verdict: {error}"
    return [("Against the champion", text)]


def _baselines(base: Revision, head: Revision) -> str:
    """Whether each revision's model beats the baselines, and by what share of their MAP."""
    rows = [
        [
            revision.name,
            model_title(one.baseline),
            "" if one.over is None else percent(one.over),
            "yes" if one.beats else "not shown" if one.unsure else "**NO**",
        ]
        for revision in (base, head)
        for one in beside_baselines(revision)
    ]
    if not rows:
        return f"Neither revision has {EVALUATION}."
    return markdown_table(["revision", "baseline", "MAP over it", "beats it"], rows, right=[2])


def _search(base: Revision, head: Revision) -> str:
    """What the exported index finds and costs, and how many times faster than exact it is."""
    stable = _change_table(base, head, changes(base.read_json(SEARCH), head.read_json(SEARCH)))
    try:
        speeds = [_speed_ups(revision) for revision in (base, head)]
    except UnavailableError as error:
        return f"{stable}\n\nNo speeds: {error}"
    if not all(speeds):
        missing = base.name if not speeds[0] else head.name
        return f"{stable}\n\n{missing} has no {SPEED_UP}."
    header = [f"speed at recall {RECALL:g}, times the best exact method's", base.name, head.name]
    names = dict.fromkeys(name for side in speeds for name in side)
    rows = [[name, *(side.get(name, NOT_REACHED) for side in speeds)] for name in names]
    table = markdown_table(header, rows, right=[1, 2])
    return f"{stable}\n\n{table}\n\nSpeeds also differ between machines and between runs."


def _speed_ups(revision: Revision) -> dict[str, str]:
    """Times the best exact method's speed at `RECALL`, by method."""
    rows = [row for row in revision.read_json(SPEED_UP) or [] if row["recall"] == RECALL]
    times = {row["method"]: row["times_best_exact"] for row in rows}
    return {name: NOT_REACHED if t is None else _shown(t) for name, t in times.items()}


def _stale(head: Revision) -> str:
    stale = stale_stages(head)
    if not stale:
        return "None: every output is that of the current code, parameters and data."
    return "\n".join(f"- `{stage}`: {reason}" for stage, reason in stale.items())


def _diff(base: Revision, head: Revision, paths: tuple[str, ...]) -> str:
    found: dict[str, tuple[Any, Any]] = {}
    for path in paths:
        read = Revision.read_yaml if path.endswith(".yaml") else Revision.read_json
        prefix = f"{Path(path).stem}: " if len(paths) > 1 else ""
        differing = changes(read(base, path), read(head, path))
        found |= {prefix + name: pair for name, pair in differing.items()}
    return _change_table(base, head, found)


def _change_table(base: Revision, head: Revision, found: dict[str, tuple[Any, Any]]) -> str:
    if not found:
        return "No change."
    rows = [
        [f"`{name}`", _shown(old), _shown(new), _difference(old, new)]
        for name, (old, new) in list(found.items())[:ROWS]
    ]
    text = markdown_table(["", base.name, head.name, "change"], rows)
    more = len(found) - len(rows)
    return f"{text}\n\nand {more} more." if more else text


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,.6g}" if isinstance(value, float) else parameter(value)


def _difference(old: Any, new: Any) -> str:
    """Change of two numbers, with its share of the old one."""
    both = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (old, new))
    if not both:
        return ""
    share = f" ({(new - old) / abs(old):+.1%})" if old else ""
    return f"{new - old:+,.6g}{share}"
