"""The space of a search: parameters and their ranges, typed as Hydra's sweeps.

Hydra parses them, as for `dvc exp run -S`, and they mean what they mean to its Optuna sweeper:

    NAME=VALUE                          one value in every trial
    NAME=VALUE,VALUE,...                these values, as choice(VALUE,...)
    NAME=range(START,STOP[,STEP])       START, START + STEP, ... below STOP
    NAME=interval(LOW,HIGH)             any number between; int(interval(...)): whole ones
    NAME=tag(log,interval(LOW,HIGH))    by the logarithm
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Sweep
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial
from pydantic import ValidationError

from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, Block, FeedbackParams, allowed

BLOCKS: tuple[type[Block], ...] = (ALSParams, FeedbackParams)
PARAMETERS = {f"{one.block}.{key}": (one, key) for one in BLOCKS for key in one.model_fields}
EXAMPLE = "als.reg_param=tag(log,interval(0.01,10))"
DIGITS = 3  # significant ones of a suggested number: enough, and a line of params.yaml stays short
NEAR = 0.05  # of a range: a best value so near to an end lies on the border
ALPHA, TRANSFORM = "als.alpha", "feedback.transform"
Setting = dict[str, Any]  # full name of a parameter -> value
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

    fixed: Setting
    swept: Mapping[str, Kind]

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
                rounded = float(f"{value:.{DIGITS}g}")
                setting[name] = min(max(rounded, kind.low), kind.high)
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
        """Numeric parameters whose value lies at an end of the range: name -> `lower` or `upper`.

        An end that the parameter itself has, such as 0 of a share, is no border; a value outside
        the range, which only params.yaml's can be, lies at none.
        """
        found = {}
        for name, kind in self.swept.items():
            low, high, log = _ends(kind)
            if low < high and low <= setting[name] <= high:
                by = math.log if log else float
                at = (by(setting[name]) - by(low)) / (by(high) - by(low))
                half = (high - low) / 2
                lower, higher = (low / 2, high * 2) if log else (low - half, high + half)
                end, beyond = ("lower", lower) if at <= NEAR else ("upper", higher)
                beyond = math.floor(beyond) if type(low) is int else beyond
                if not NEAR < at < 1 - NEAR and _valid(name, beyond):
                    found[name] = end
        return found


def _ends(kind: Kind) -> tuple[float, float, bool]:
    """Ends of a range or list of numbers, and whether their logarithm counts; else of nothing."""
    if isinstance(kind, Numbers):
        return kind.low, kind.high, kind.log
    numbers: Any = [value for value in kind.choices if type(value) in (int, float)]
    if len(numbers) < len(kind.choices):
        return 0, 0, False
    return min(numbers), max(numbers), min(numbers) > 0


def read_space(texts: Iterable[str]) -> Space:
    """Read overrides; the last of a parameter counts.

    Raises
    ------
    MusicRecError
        A text is none, names no parameter of als or feedback, or holds a value out of range.
    """
    parser = OverridesParser.create()
    fixed: Setting = {}
    swept: dict[str, Kind] = {}
    for text in texts:
        try:
            override = parser.parse_override(text)
            name, value = override.key_or_group, override.value()
            if name not in PARAMETERS:
                raise MusicRecError(
                    f"{text!r}: tune knows no parameter {name}; it has {', '.join(PARAMETERS)}"
                )
            fixed.pop(name, None)
            swept.pop(name, None)
            if isinstance(value, Sweep) and value.tags - {"log"}:
                raise ValueError(f"it knows no tag but log, not {', '.join(value.tags)}")
            if isinstance(value, IntervalSweep):
                swept[name] = _interval(name, value)
            elif isinstance(value, Sweep):
                swept[name] = _list(name, list(override.sweep_iterator()))
            else:
                _require_valid(name, value)
                fixed[name] = value
        except (HydraException, TypeError, ValueError) as error:
            raise MusicRecError(f"{text!r}: {error}; type it as in {EXAMPLE!r}") from None
    return Space(fixed, swept)


def _interval(name: str, sweep: IntervalSweep) -> Numbers:
    low: Any = sweep.start
    high: Any = sweep.end
    _require_valid(name, low, high)
    block, key = PARAMETERS[name]
    log = "log" in sweep.tags
    if type(block.model_fields[key].default) is int:
        return IntDistribution(int(low), int(high), log)
    return FloatDistribution(low, high, log)


def _list(name: str, values: list[Any]) -> CategoricalDistribution:
    values = [round(value, 9) if isinstance(value, float) else value for value in values]
    _require_valid(name, *values)
    return CategoricalDistribution(values)


def _valid(name: str, value: Any) -> bool:
    block, key = PARAMETERS[name]
    try:
        block.model_validate({key: value})
    except ValidationError:
        return False
    return True


def _require_valid(name: str, *values: Any) -> None:
    for value in values:
        if not _valid(name, value):
            must = allowed(*PARAMETERS[name])
            raise MusicRecError(f"{name} = {value!r} is not allowed; it must be {must}")
