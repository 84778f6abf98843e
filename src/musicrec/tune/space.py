"""The space of a search: parameters and their ranges, typed as Hydra's sweeps.

The grammar is that of `dvc exp run -S` and of Hydra's Optuna sweeper: `als.rank=8,16,32`,
`als.rank=range(8,65,8)`, `als.reg_param=tag(log,interval(0.01,10))`, or one value, which is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
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
Numbers = FloatDistribution | IntDistribution


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
    swept: Mapping[str, BaseDistribution] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """JSON that names the space."""
        swept = {name: distribution_to_json(kind) for name, kind in self.swept.items()}
        return {"fixed": self.fixed, "swept": swept}

    @property
    def logs(self) -> dict[str, bool]:
        """Parameters that are searched, and whether by the logarithm."""
        return {name: bool(getattr(kind, "log", False)) for name, kind in self.swept.items()}

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
                setting[name] = trial.suggest_int(
                    key, kind.low, kind.high, step=kind.step, log=kind.log
                )
            elif isinstance(kind, FloatDistribution):
                value = trial.suggest_float(key, kind.low, kind.high, step=kind.step, log=kind.log)
                short = min(max(_rounded(value), kind.low), kind.high)
                setting[name] = short if kind.step is None else value
        return setting

    def key(self, name: str, setting: Setting) -> str:
        """Optuna's name of a parameter in a setting: alpha's holds the transform.

        So does that of a list the number of its values, which Optuna wants to stay the same.
        """
        if name == ALPHA and TRANSFORM in self.swept:
            return f"{ALPHA} ({setting[TRANSFORM]})"
        kind = self.swept[name]
        return f"{name} of {len(_choices(kind))}" if _choices(kind) else name

    def keyed(self, setting: Setting) -> Setting:
        """Values of a setting by Optuna's names."""
        return {self.key(name, setting): setting[name] for name in self.swept}

    def holds(self, setting: Setting) -> bool:
        """Whether every value of a setting lies in its range."""
        return all(
            setting[name] in _choices(kind)
            if _choices(kind)
            else kind._contains(kind.to_internal_repr(setting[name]))
            for name, kind in self.swept.items()
        )

    def on_border(self, setting: Setting) -> dict[str, str]:
        """Numeric parameters whose value lies at an end of the range: name -> `low` or `high`.

        An end that the parameter itself has, such as 0 of a share, is no border.
        """
        found = {}
        for name, kind in self.swept.items():
            if (scale := _Scale.of(kind)) is None:
                continue
            at = scale.position(setting[name])
            end = "low" if at <= NEAR else "high" if at >= 1 - NEAR else ""
            if end and _valid(name, scale.beyond(end)):
                found[name] = end
        return found

    def around(self, setting: Setting) -> Space:
        """Widen ranges of numbers, but those with steps, until a setting lies within: to twice the
        value where it is a matter of scale, as far as the parameter allows.
        """
        swept = dict(self.swept)
        for name, kind in swept.items():
            value, factor = setting[name], 2 if getattr(kind, "log", False) else 1
            stepped = getattr(kind, "step", None) not in (None, 1)
            if not isinstance(kind, Numbers) or stepped or (factor == 2 and value <= 0):
                continue
            far = (type(value)(value / factor), value * factor)
            low, high = (end if _valid(name, end) else value for end in far)
            swept[name] = _with_ends(kind, min(kind.low, low), max(kind.high, high))
        return Space(self.fixed, swept)

    def widened(self, borders: Mapping[str, str]) -> Space:
        """Go half a range beyond each of some ends, or as far as the parameter allows."""
        swept = dict(self.swept)
        for name, end in borders.items():
            kind, scale = swept[name], _Scale.of(swept[name])
            assert scale is not None
            if isinstance(kind, Numbers):
                ends = {"low": kind.low, "high": kind.high, end: scale.beyond(end)}
                swept[name] = _with_ends(kind, **ends)
            else:
                swept[name] = CategoricalDistribution(sorted([*_choices(kind), scale.beyond(end)]))
        return Space(self.fixed, swept)


@dataclass(frozen=True)
class _Scale:
    """Where numbers lie between a lowest and a highest one, by their logarithm if `log`.

    Attributes
    ----------
    step : float
        0, or what numbers are apart: 1 where they are whole ones of a list.
    """

    low: float
    high: float
    log: bool
    step: float

    @classmethod
    def of(cls, kind: BaseDistribution) -> _Scale | None:
        """Of a range or a list of two numbers and more; None for anything else."""
        if isinstance(kind, IntDistribution):
            return cls(kind.low, kind.high, kind.log, kind.step)
        if isinstance(kind, FloatDistribution):
            return cls(kind.low, kind.high, kind.log, 0)
        choices = _choices(kind)
        if len(choices) < 2 or not all(type(value) in (int, float) for value in choices):
            return None
        whole = all(type(value) is int for value in choices)
        return cls(min(choices), max(choices), min(choices) > 0, int(whole))

    def position(self, value: float) -> float:
        """0 at the lower end, 1 at the upper one."""
        if self.high <= self.low:
            return 0.5
        if self.log and value <= 0:
            return 0.0
        by = math.log if self.log else float
        return (by(value) - by(self.low)) / (by(self.high) - by(self.low))

    def beyond(self, end: str) -> Any:
        """Return the value half a range beyond an end."""
        sign = -1 if end == "low" else 1
        if self.log:
            value = getattr(self, end) * (self.high / self.low) ** (sign * WIDER)
        else:
            value = getattr(self, end) + sign * WIDER * (self.high - self.low)
        if not self.step:
            return _rounded(value)
        return round(self.low + self.step * math.ceil(round((value - self.low) / self.step, 9)))


def _choices(kind: BaseDistribution) -> tuple[Any, ...]:
    return tuple(kind.choices) if isinstance(kind, CategoricalDistribution) else ()


def _with_ends(kind: Numbers, low: Any, high: Any) -> BaseDistribution:
    kept: dict[str, Any] = {"log": kind.log, "step": kind.step}
    return type(kind)(low=low, high=high, **kept)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def read_space(texts: Iterable[str], within: Space = Space()) -> Space:
    """Read overrides on top of a space; the last of a parameter counts.

    Raises
    ------
    MusicRecError
        A text is none, names no parameter of als or feedback, or holds a value out of range.
    """
    parser = OverridesParser.create()
    fixed, swept = dict(within.fixed), dict(within.swept)
    for text in texts:
        try:
            override = parser.parse_override(text)
            value = override.value()
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise MusicRecError(
                f"{text!r} is not NAME=VALUES, as in {EXAMPLE!r}: {reason}"
            ) from None
        name = override.key_or_group
        known = [f"{block}.{key}" for block, model in MODELS.items() for key in model.model_fields]
        if name not in known:
            raise MusicRecError(
                f"{text!r}: tune knows no parameter {name}; it has {', '.join(known)}"
            )
        fixed.pop(name, None)
        swept.pop(name, None)
        if override.is_sweep_override():
            swept[name] = _distribution(name, value, text)
        else:
            fixed[name] = _unquoted(value)
            _require_valid(name, [fixed[name]])
    return Space(fixed, swept)


def _distribution(name: str, sweep: Any, text: str) -> BaseDistribution:
    block, _, key = name.partition(".")
    whole = type(MODELS[block].model_fields[key].default) is int
    number: Any = int if whole else float
    step: Any = None
    if isinstance(sweep, ChoiceSweep):
        choices: list[Any] = [_unquoted(value) for value in sweep.list]
        _require_valid(name, choices)
        return CategoricalDistribution(choices)
    if isinstance(sweep, IntervalSweep):
        ends: list[Any] = [sweep.start, sweep.end]
    elif isinstance(sweep, RangeSweep) and sweep.stop is not None:
        first, step = sweep.start or 0, sweep.step
        count = max(1, math.ceil((sweep.stop - first) / step))  # the stop is left out
        ends = [first, first + (count - 1) * step]
    else:
        raise MusicRecError(f"{text!r}: a range or a list of values is needed, as in {EXAMPLE!r}")
    low, high = map(number, ends)
    _require_valid(name, [low, high])
    log = "log" in sweep.tags
    try:
        if whole:
            return IntDistribution(low, high, log, int(step or 1))
        return FloatDistribution(low, high, log, step)
    except ValueError as error:
        raise MusicRecError(f"{text!r}: {error}") from None


def _unquoted(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value


def _valid(name: str, value: Any) -> bool:
    block, _, key = name.partition(".")
    try:
        MODELS[block].model_validate({key: value})
    except ValidationError:
        return False
    return True


def _require_valid(name: str, values: Iterable[Any]) -> None:
    block, _, key = name.partition(".")
    for value in values:
        if not _valid(name, value):
            must = allowed(MODELS[block].model_fields[key])
            raise MusicRecError(f"{name} = {value!r} is not allowed; it must be {must}")
