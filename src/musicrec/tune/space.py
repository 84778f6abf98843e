"""The space of a search: parameters and their ranges, typed as Hydra's sweeps.

The grammar is that of `dvc exp run -S` and of Hydra's Optuna sweeper, in so far as it says ranges:

    NAME=VALUE                          one value in every trial
    NAME=VALUE,VALUE,...                these values, as choice(VALUE,...)
    NAME=range(START,STOP[,STEP])       START, START + STEP, ... below STOP
    NAME=interval(LOW,HIGH)             any number between; int(interval(...)): whole ones
    NAME=tag(log,interval(LOW,HIGH))    by the logarithm
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial
from pydantic import ValidationError

from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, Block, FeedbackParams, allowed
from musicrec.tune.study import ALPHA, TRANSFORM, Setting

MODELS: dict[str, type[Block]] = {"als": ALSParams, "feedback": FeedbackParams}
EXAMPLE = "als.reg_param=tag(log,interval(0.01,10))"
DIGITS = 3  # significant ones of a suggested number: enough, and a line of params.yaml stays short
NEAR = 0.05  # of a range: a best value so near to an end lies on the border
WIDER = 0.5  # of a range: how far `widened` goes beyond an end
RANGE = re.compile(
    r"(?P<log>tag\(log,\s*)?(?P<int>int\()?(?P<of>interval|range|choice)\((?P<values>[^()]*)\)"
    r"(?(int)\))(?(log)\))"
)
Numbers = FloatDistribution | IntDistribution
Kind = Numbers | CategoricalDistribution


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes
    ----------
    fixed : dict
        Parameters that differ from params.yaml in every trial.
    swept : dict
        Full name -> distribution.
    """

    fixed: Setting = field(default_factory=dict)
    swept: Mapping[str, Kind] = field(default_factory=dict)

    def suggest(self, trial: BaseTrial) -> Setting:
        """Let Optuna choose a setting; numbers are rounded to three significant digits.

        Alpha multiplies what the transform leaves of a count, so it is another parameter under
        each transform.
        """
        setting: Setting = {}
        for name in sorted(self.swept, key=lambda name: name != TRANSFORM):
            kind, key = self.swept[name], self.key(name, setting)
            if isinstance(kind, CategoricalDistribution):
                setting[name] = trial.suggest_categorical(key, kind.choices)
            elif isinstance(kind, IntDistribution):
                setting[name] = trial.suggest_int(key, kind.low, kind.high, log=kind.log)
            else:
                value = trial.suggest_float(key, kind.low, kind.high, log=kind.log)
                setting[name] = min(max(_rounded(value), kind.low), kind.high)
        return setting

    def key(self, name: str, setting: Setting) -> str:
        """Optuna's name of a parameter in a setting: alpha's holds the transform."""
        under = name == ALPHA and TRANSFORM in self.swept
        return f"{name} ({setting[TRANSFORM]})" if under else name

    def holds(self, setting: Setting) -> bool:
        """Whether every value of a setting lies in its range."""
        return all(
            setting[name] in kind.choices
            if isinstance(kind, CategoricalDistribution)
            else kind.low <= setting[name] <= kind.high
            for name, kind in self.swept.items()
        )

    def on_border(self, setting: Setting) -> dict[str, str]:
        """Numeric parameters whose value lies at an end of the range: name -> `low` or `high`.

        An end that the parameter itself has, such as 0 of a share, is no border.
        """
        found = {}
        for name, kind in self.swept.items():
            if (ends := _ends(kind)) is None:
                continue
            low, high, log = ends
            by, value = math.log if log else float, max(setting[name], low)
            at = (by(value) - by(low)) / (by(high) - by(low))
            end = "low" if at <= NEAR else "high" if at >= 1 - NEAR else ""
            if end and _valid(name, _beyond(kind, end)):
                found[name] = end
        return found

    def widened(self, borders: Mapping[str, str]) -> Space:
        """Go half a range beyond each of some ends; lists of values stay as they are."""
        swept = dict(self.swept)
        for name, end in borders.items():
            kind = swept[name]
            if isinstance(kind, Numbers):
                ends = {"low": kind.low, "high": kind.high, end: _beyond(kind, end)}
                swept[name] = type(kind)(**ends, log=kind.log)
        return Space(self.fixed, swept)


def _ends(kind: Kind) -> tuple[float, float, bool] | None:
    """Ends of a range or list of numbers, and whether their logarithm counts; None if no two."""
    if isinstance(kind, Numbers):
        return (kind.low, kind.high, kind.log) if kind.low < kind.high else None
    values: Any = kind.choices
    if len(set(values)) < 2 or not all(type(value) in (int, float) for value in values):
        return None
    return min(values), max(values), min(values) > 0


def _beyond(kind: Kind, end: str) -> Any:
    """The value half a range beyond an end."""
    low, high, log = _ends(kind) or (0, 0, False)
    sign, start = (-1, low) if end == "low" else (1, high)
    far = start * (high / low) ** (sign * WIDER) if log else start + sign * WIDER * (high - low)
    if not type(low) is type(high) is int:
        return _rounded(far)
    return math.floor(round(far, 9)) if end == "low" else math.ceil(round(far, 9))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def read_space(texts: Iterable[str]) -> Space:
    """Read overrides; the last of a parameter counts.

    Raises
    ------
    MusicRecError
        A text is none, names no parameter of als or feedback, or holds a value out of range.
    """
    fixed: Setting = {}
    swept: dict[str, Kind] = {}
    known = [f"{block}.{key}" for block, model in MODELS.items() for key in model.model_fields]
    for text in texts:
        name, is_one, values = (part.strip() for part in text.partition("="))
        if is_one and name not in known:
            raise MusicRecError(
                f"{text!r}: tune knows no parameter {name}; it has {', '.join(known)}"
            )
        fixed.pop(name, None)
        swept.pop(name, None)
        kind = RANGE.fullmatch(values)
        if not is_one or not values or (not kind and re.search(r"\w\(", values)):
            raise MusicRecError(f"{text!r} is not NAME=VALUES, as in {EXAMPLE!r}")
        listed = [_value(part) for part in (kind["values"] if kind else values).split(",")]
        try:
            if kind and kind["of"] == "interval":
                swept[name] = _interval(name, *listed, log=kind["log"] is not None)
                continue
            if kind and kind["of"] == "range":
                listed = _stepped(*listed)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise MusicRecError(f"{text!r}: {error}; type it as in {EXAMPLE!r}") from None
        for value in listed:
            _require_valid(name, value)
        if kind or len(listed) > 1:
            swept[name] = CategoricalDistribution(listed)
        else:
            fixed[name] = listed[0]
    return Space(fixed, swept)


def _interval(name: str, low: Any, high: Any, *, log: bool) -> Kind:
    block, _, key = name.partition(".")
    whole = type(MODELS[block].model_fields[key].default) is int
    for end in (low, high):
        _require_valid(name, end)
    return IntDistribution(low, high, log) if whole else FloatDistribution(low, high, log)


def _stepped(start: Any, stop: Any, step: Any = 1) -> list[Any]:
    """Numbers from `start` below `stop`."""
    count = max(1, math.ceil(round((stop - start) / step, 9)))
    numbers = [start + i * step for i in range(count)]
    return [number if isinstance(number, int) else round(number, 9) for number in numbers]


def _value(text: str) -> Any:
    """A value as YAML has it; unlike in YAML 1.1, `1e-5` is a number."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text.strip()


def _valid(name: str, value: Any) -> bool:
    block, _, key = name.partition(".")
    try:
        MODELS[block].model_validate({key: value})
    except ValidationError:
        return False
    return True


def _require_valid(name: str, value: Any) -> None:
    block, _, key = name.partition(".")
    if not _valid(name, value):
        must = allowed(MODELS[block].model_fields[key])
        raise MusicRecError(f"{name} = {value!r} is not allowed; it must be {must}")
