"""Durations as people write them: 90s, 2m, 1h30m, 2d."""

import re

from molnet.training.errors import ConfigError, typed

SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text: str, key: str = "trainer.max_time") -> float:
    """Seconds of a duration: numbers with ``d``, ``h``, ``m`` and ``s``, or ``DD:HH:MM:SS``.

    >>> [parse_duration(text) for text in ("90s", "2m", "1h30m", "2d", "1.5h", "00:01:30:00")]
    [90.0, 120.0, 5400.0, 172800.0, 5400.0, 5400.0]

    Raises:
        ConfigError: the text is something else, or no time at all; names ``key``.
    """
    number = r"(\d+(?:\.\d+)?)"
    units = "".join(rf"(?:{number}\s*{unit}\s*)?" for unit in SECONDS)
    match = re.fullmatch(units, text.strip()) or re.fullmatch(
        r"(\d+):(\d\d):(\d\d):(\d\d)", text.strip()
    )
    amounts = [] if match is None else [float(amount or 0) for amount in match.groups()]
    seconds = sum(n * unit for n, unit in zip(amounts, SECONDS.values(), strict=False))
    if seconds <= 0:
        raise ConfigError(
            f"{key}={typed(text)}: expected a duration such as 90s, 2m, 1h30m or 2d "
            "(or DD:HH:MM:SS)"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """A duration in its largest unit and the next one.

    >>> [format_duration(seconds) for seconds in (0.3, 9.6, 90, 120, 5400, 86700, 180000)]
    ['0s', '10s', '1m30s', '2m', '1h30m', '1d', '2d2h']
    """
    left = round(seconds)
    units = list(SECONDS.items())
    place = next((place for place, (_, size) in enumerate(units) if left >= size), 3)
    parts = []
    for unit, size in units[place : place + 2]:
        amount, left = divmod(left, size)
        parts += [f"{amount}{unit}"] if amount else []
    return "".join(parts) or "0s"
