"""What a search may choose: values and intervals in Hydra's grammar, as distributions of Optuna."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from molnet.training.errors import ConfigError, typed
from molnet.training.overrides import readable

PYTHONS = {"True": "true", "False": "false", "None": "null"}
"""Words of Python, in which Hydra writes values, as one types them."""

Distributions = dict[str, BaseDistribution]


@dataclass
class Space:
    """What is given, and what is searched.

    Attributes:
        fixed: settings with one value, as on the command line.
        searched: by key, with the ``+`` or ``++`` of the command line.
        conditional: key and value on which others depend, and these.
    """

    fixed: list[str] = field(default_factory=list)
    searched: Distributions = field(default_factory=dict)
    conditional: list[tuple[str, str, "Space"]] = field(default_factory=list)

    def suggest(self, trial: Trial) -> list[str]:
        """Settings for a trial, as on the command line."""
        chosen = dict.fromkeys(self.searched, "")
        settings = [*self.fixed]
        for key, distribution in self.searched.items():
            chosen[key] = _text(_suggested(trial, key, distribution))
            settings.append(f"{key}={chosen[key]}")
        for key, value, space in self.conditional:
            if chosen.get(key) == value:
                settings += space.suggest(trial)
        return settings


def space_of(
    arguments: Sequence[str],
    params: Mapping[str, Any] | None = None,
    when: Mapping[str, Any] | None = None,
) -> Space:
    """The space of a search.

    Args:
        arguments: settings on the command line; ``KEY=A,B``, ``choice(A,B)``, ``range(1,9)``,
            ``interval(1,9)``, ``int(interval(1,9))`` and ``tag(log,interval(1e-4,1e-2))`` are
            searched.
        params: by key, values in the same grammar, which the command line replaces.
        when: by ``KEY=VALUE`` of something that is searched, ``params`` of which only such trials
            have a choice, and ``when`` again.

    Raises:
        ConfigError: one of them cannot be read, or nothing is searched.
    """
    space = _space({**(params or {})}, when or {}, _overrides(arguments))
    if not space.searched:
        raise ConfigError(
            "nothing is searched: give some setting several values, KEY=A,B, or an interval, "
            "'KEY=interval(A,B)' or 'KEY=tag(log,interval(A,B))'"
        )
    return space


def _space(params: Mapping[str, Any], when: Mapping[str, Any], given: Sequence[Override]) -> Space:
    last = {_key(override): override for override in given}  # which has precedence, as always
    texts = [readable(f"{key}={_typed(value)}") for key, value in params.items()]
    space = Space()
    for override in [*(o for o in _overrides(texts) if _key(o) not in last), *given]:
        if override.is_sweep_override():
            if last.get(_key(override), override) is not override:
                continue
            space.searched[_key(override)] = distribution_of(override)
        else:
            space.fixed.append(str(override.input_line))
    for condition, inner in when.items():
        key, is_condition, value = str(condition).partition("=")
        if not is_condition or not isinstance(inner, Mapping):
            raise ConfigError(
                f"hydra.sweeper.when.{condition}: expected KEY=VALUE, and the settings that are "
                "searched then: {KEY: interval(A,B)}"
            )
        choices = space.searched.get(key)
        if not isinstance(choices, CategoricalDistribution) or value not in choices.choices:
            raise ConfigError(
                f"hydra.sweeper.when.{condition}: {key} is not searched, or {value} is none of its "
                f"values{'' if choices is None else f': {choices}'}"
            )
        settings = dict(inner)
        deeper = settings.pop("when", None) or {}
        space.conditional.append((key, value, _space(settings, deeper, [])))
    return space


def distribution_of(override: Override) -> BaseDistribution:
    """What Optuna draws from, for one setting of the command line with several values.

    Raises:
        ConfigError: the interval is empty, or has no logarithm.
    """
    value = override.value()
    try:
        if isinstance(value, RangeSweep) and not value.shuffle:
            return _of_range(value)
        if isinstance(value, IntervalSweep):
            return _of_interval(value)
        choices = [PYTHONS.get(text, text) for text in override.sweep_string_iterator()]
        return CategoricalDistribution(choices)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{override.input_line}: {error}") from error


def _of_range(sweep: RangeSweep) -> BaseDistribution:
    """The numbers of Hydra's range, which does not contain its end."""
    numbers = list(sweep.range())
    low, high, step = numbers[0], numbers[-1], sweep.step
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return IntDistribution(low, high, step=step)
    return FloatDistribution(low, high, step=step)


def _of_interval(sweep: IntervalSweep) -> BaseDistribution:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None:
        raise ValueError("expected interval(LOWEST,HIGHEST)")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _suggested(trial: Trial, key: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(key, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(key, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=width, log=log):
            return trial.suggest_float(key, low, high, step=width, log=log)
    raise TypeError(f"unknown distribution {distribution}")


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, int | float) else str(value)


def _typed(value: Any) -> str:
    return ",".join(map(typed, value)) if isinstance(value, list) else typed(value)


def _key(override: Override) -> str:
    return str(override.get_key_element())


def _overrides(texts: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(texts))
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split())) from error
