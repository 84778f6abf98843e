"""`musicrec review`: what a change does, as one Markdown report for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.errors import MusicRecError
from musicrec.formatting import Table, parameter
from musicrec.project import EVALUATION, PARAMS, Revision, changes, stale_stages
from musicrec.review.compare import Compare, compare
from musicrec.review.figures import beside_baselines
from musicrec.review.result import as_markdown, percent
from musicrec.review.tables import Champion, has_champion, outdated

COUNTS = ("metrics/data.json", "metrics/downsample.json", "metrics/index.json")
SEARCH = "metrics/ann_bench.json"
FILES = 6  # named in one row
ROWS = 25  # of one table; a report is read by a person


def review(
    base: Revision, head: Revision, gate: str | None = None, as_asked: Compare = compare
) -> str:
    """Report what differs between two revisions, in Markdown.

    Parameters in `params.yaml`, the code of each stage, the data as counted by its metrics,
    ranking metrics with verdicts, how the model stands beside the baselines, search, and the
    stages of `head` whose outputs are older than what they depend on. A section that cannot be
    given says why. With a `gate` (a key of `metrics.definitions.GATES`) it says whether the
    change passes; `as_asked` is `compare` with the metrics, margin and slices that were asked for.
    """
    pair, stale = (base, head), stale_stages(head)
    counts = {
        f"{Path(path).stem}: {name}": values
        for path in COUNTS
        for name, values in _changed(pair, path).items()
    }
    sections = {
        "Parameters": _change_table(pair, changes(*(one.read_yaml(PARAMS) for one in pair))),
        "Code": _code(base, head),
        "Data": _change_table(pair, counts),
        "Metrics": _metrics(base, head, gate, as_asked),
        "Against the champion": against_champion(head, gate, as_asked),
        "Beside the baselines": _baselines(pair),
        "Search": _change_table(pair, _changed(pair, SEARCH)),
        "Stale stages": "\n".join(f"- `{stage}`: {reason}" for stage, reason in stale.items())
        or "None: every output is that of the current code, parameters and data.",
    }
    blocks = [f"# {head.name} against {base.name}"]
    blocks += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
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
    return Table(["stages", "files that changed"], cells).markdown()


def _metrics(base: Revision, head: Revision, gate: str | None, as_asked: Compare) -> str:
    """Verdicts; where the revisions cannot be compared, the reason and the bare figures."""
    reasons = [outdated(base), outdated(head)]
    blocks = [f"**Beware: {reason}.**" for reason in reasons if reason]
    try:
        result = as_asked(base, head)
    except MusicRecError as error:
        pair = (base, head)
        blocks += [f"No verdict: {error}", _change_table(pair, _changed(pair, EVALUATION))]
        return "\n\n".join(blocks)
    if gate is not None:
        judged = "Gate: nothing to judge." if reasons[1] else result.gate_sentence(gate)
        blocks.append(f"**{judged}**")
    return "\n\n".join([*blocks, as_markdown(result)])


def against_champion(head: Revision, gate: str | None, as_asked: Compare = compare) -> str:
    """The verdict against `evaluate.champion`; nothing where there is none."""
    if not has_champion(head):
        return ""
    try:
        return _metrics(Champion(head), head, gate, as_asked)
    except MusicRecError as error:
        return f"No verdict: {error}"


def _baselines(pair: Sequence[Revision]) -> str:
    """Whether each revision's model beats the baselines, and by what share of their MAP."""
    rows = [
        [
            revision.name,
            model_title(one.baseline),
            "" if one.over is None else percent(one.over),
            "yes" if one.beats else "not shown" if one.unsure else "**NO**",
        ]
        for revision in pair
        for one in beside_baselines(revision)
    ]
    if not rows:
        return f"Neither revision has {EVALUATION}."
    return Table(["revision", "baseline", "MAP over it", "beats it"], rows).markdown()


def _changed(pair: Sequence[Revision], path: str) -> dict[str, tuple[Any, Any]]:
    """What differs in a JSON file."""
    return changes(*(revision.read_json(path) for revision in pair))


def _change_table(pair: Sequence[Revision], found: dict[str, tuple[Any, Any]]) -> str:
    if not found:
        return "No change."
    rows = []
    for name, (old, new) in list(found.items())[:ROWS]:
        difference = ""
        if all(isinstance(x, int | float) and not isinstance(x, bool) for x in (old, new)):
            difference = f"{new - old:+,.6g}" + (f" ({(new - old) / abs(old):+.1%})" if old else "")
        rows.append([f"`{name}`", _shown(old), _shown(new), difference])
    text = Table(["", *(one.name for one in pair), "change"], rows).markdown()
    more = len(found) - len(rows)
    return f"{text}\n\nand {more} more." if more else text


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,.6g}" if isinstance(value, float) else parameter(value)
