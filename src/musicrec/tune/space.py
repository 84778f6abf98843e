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
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    QuotedString,
    RangeSweep,
)
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
DIGITS = 3  # significant ones of a suggested number: enough, and a line of params.yaml stays short
NEAR = 0.05  # of a range: a best value so near to an end lies on the border
WIDER = 0.5  # of a range: how far `widened` goes beyond an end


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
            distribution = self.swept[name]
            value = _suggest(trial, self.key(name, setting), distribution)
            setting[name] = rounded(value, distribution)
        return setting

    def key(self, name: str, setting: Setting) -> str:
        """Optuna's name of a parameter in a setting: alpha's holds the transform.

        So does that of a list the number of its values, which Optuna wants to stay the same.
        """
        if name == ALPHA and TRANSFORM in self.swept:
            return f"{ALPHA} ({setting[TRANSFORM]})"
        kind = self.swept[name]
        if isinstance(kind, CategoricalDistribution):
            return f"{name} of {len(kind.choices)}"
        return name

    def keyed(self, setting: Setting) -> Setting:
        """Values of a setting by Optuna's names."""
        return {self.key(name, setting): setting[name] for name in self.swept}

    def holds(self, setting: Setting) -> bool:
        """Whether every value of a setting lies in its range."""
        return all(
            name in setting and contains(distribution, setting[name])
            for name, distribution in self.swept.items()
        )

    def on_border(self, setting: Setting) -> dict[str, str]:
        """Numeric parameters whose value lies at an end of the range: name -> `low` or `high`.

        An end that the parameter itself has, such as 0 of a share, is no border.
        """
        found = {}
        for name, distribution in self.swept.items():
            if (ends := _ends(distribution)) is None:
                continue
            low, high, log = ends
            value = float(setting[name])
            place = _place(value, low, high, log)
            end = "low" if place <= NEAR else "high" if place >= 1 - NEAR else ""
            if end and _valid(name, _beyond(distribution, end)):
                found[name] = end
        return found

    def around(self, setting: Setting) -> Space:
        """Widen ranges of numbers, but those with steps, until a setting lies within: to twice the
        value where it is a matter of scale, as far as the parameter allows.
        """
        swept = dict(self.swept)
        for name, distribution in swept.items():
            value = setting[name]
            if not isinstance(distribution, FloatDistribution | IntDistribution):
                continue
            if distribution.step not in (None, 1):
                continue
            factor = 2 if distribution.log else 1
            if distribution.log and value <= 0:
                continue
            whole = isinstance(distribution, IntDistribution)
            far = (value // factor if whole else value / factor, value * factor)
            low, high = (end if _valid(name, end) else value for end in far)
            ends = {"low": min(distribution.low, low), "high": max(distribution.high, high)}
            kept: dict[str, Any] = {"log": distribution.log, "step": distribution.step}
            swept[name] = type(distribution)(**ends, **kept)
        return Space(self.fixed, swept)

    def widened(self, borders: Mapping[str, str]) -> Space:
        """Go half a range beyond each of some ends, or as far as the parameter allows."""
        swept = dict(self.swept)
        for name, end in borders.items():
            distribution = swept[name]
            beyond = _beyond(distribution, end)
            if isinstance(distribution, CategoricalDistribution):
                choices = (*distribution.choices, beyond)
                swept[name] = CategoricalDistribution(sorted(choices))
                continue
            assert isinstance(distribution, FloatDistribution | IntDistribution)
            ends: dict[str, Any] = {"low": distribution.low, "high": distribution.high}
            kept: dict[str, Any] = {"log": distribution.log, "step": distribution.step}
            swept[name] = type(distribution)(**(ends | {end: beyond}), **kept)
        return Space(self.fixed, swept)


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
        _require_known(name, text)
        fixed.pop(name, None)
        swept.pop(name, None)
        if override.is_sweep_override():
            swept[name] = _distribution(name, value, text)
        else:
            fixed[name] = _plain(value)
            _require_valid(name, fixed[name])
    return Space(fixed, swept)


EXAMPLE = "als.reg_param=tag(log,interval(0.01,10))"


def _require_known(name: str, text: str) -> None:
    block, _, key = name.partition(".")
    if block in MODELS and key in MODELS[block].model_fields:
        return
    known = [f"{b}.{key}" for b, model in MODELS.items() for key in model.model_fields]
    raise MusicRecError(f"{text!r}: tune knows no parameter {name}; it has {', '.join(known)}")


def _distribution(name: str, sweep: Any, text: str) -> BaseDistribution:
    whole = isinstance(_default(name), int) and not isinstance(_default(name), bool)
    log = "log" in getattr(sweep, "tags", ())
    if isinstance(sweep, IntervalSweep):
        ends: list[Any] = [sweep.start, sweep.end]
        step: Any = None
    elif isinstance(sweep, RangeSweep) and sweep.stop is not None:
        first, step = sweep.start or 0, sweep.step
        count = max(1, math.ceil((sweep.stop - first) / step))  # the stop is left out
        ends = [first, first + (count - 1) * step]
    elif isinstance(sweep, ChoiceSweep):
        choices: list[Any] = [_plain(value) for value in sweep.list]
        for value in choices:
            _require_valid(name, value)
        return CategoricalDistribution(choices)
    else:
        raise MusicRecError(f"{text!r}: a range or a list of values is needed, as in {EXAMPLE!r}")
    for value in ends:
        _require_valid(name, int(value) if whole else float(value))
    try:
        if whole:
            return IntDistribution(int(ends[0]), int(ends[1]), log, int(step or 1))
        return FloatDistribution(float(ends[0]), float(ends[1]), log, step)
    except ValueError as error:
        raise MusicRecError(f"{text!r}: {error}") from None


def _plain(value: Any) -> Any:
    """Take the quotes off a text."""
    return value.text if isinstance(value, QuotedString) else value


def _default(name: str) -> Any:
    block, _, key = name.partition(".")
    return MODELS[block].model_fields[key].default


def _valid(name: str, value: Any) -> bool:
    block, _, key = name.partition(".")
    try:
        MODELS[block].model_validate({key: value})
    except ValidationError:
        return False
    return True


def _require_valid(name: str, value: Any) -> None:
    if not _valid(name, value):
        block, _, key = name.partition(".")
        must = allowed(MODELS[block].model_fields[key])
        raise MusicRecError(f"{name} = {value!r} is not allowed; it must be {must}")


def _suggest(trial: BaseTrial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        ends = (distribution.low, distribution.high)
        return trial.suggest_float(key, *ends, log=distribution.log, step=distribution.step)
    if isinstance(distribution, IntDistribution):
        whole = (distribution.low, distribution.high)
        return trial.suggest_int(key, *whole, log=distribution.log, step=distribution.step)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(key, distribution.choices)


def rounded(value: Any, distribution: BaseDistribution) -> Any:
    """Round a suggested number to three significant digits, within its range."""
    if not isinstance(distribution, FloatDistribution) or distribution.step is not None:
        return value
    short = float(f"{value:.{DIGITS}g}")
    return min(max(short, distribution.low), distribution.high)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in the range, or is one of the choices."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return bool(distribution._contains(distribution.to_internal_repr(value)))


def _ends(distribution: BaseDistribution) -> tuple[float, float, bool] | None:
    """Lowest and highest value, and whether between them the logarithm counts."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return float(distribution.low), float(distribution.high), distribution.log
    assert isinstance(distribution, CategoricalDistribution)
    numbers: list[Any] = [c for c in distribution.choices if type(c) in (int, float)]
    if len(numbers) < max(2, len(distribution.choices)):
        return None
    return float(min(numbers)), float(max(numbers)), min(numbers) > 0


def _place(value: float, low: float, high: float, log: bool) -> float:
    """Where a value lies in its range: 0 at the lower end, 1 at the upper one."""
    if high <= low:
        return 0.5
    if log and value <= 0:
        return 0.0
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _beyond(distribution: BaseDistribution, end: str) -> Any:
    """Return the value half a range beyond an end."""
    ends = _ends(distribution)
    assert ends is not None
    low, high, log = ends
    if log:
        factor = (high / low) ** WIDER
        value = low / factor if end == "low" else high * factor
    else:
        value = low - WIDER * (high - low) if end == "low" else high + WIDER * (high - low)
    if isinstance(distribution, IntDistribution):
        step = distribution.step
        return distribution.low + step * math.ceil((value - distribution.low) / step)
    if isinstance(distribution, CategoricalDistribution) and all(
        type(choice) is int for choice in distribution.choices
    ):
        return round(value)
    return float(f"{value:.{DIGITS}g}")
