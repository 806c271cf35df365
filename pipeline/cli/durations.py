"""Reads lengths of time as people write them (`90`, `60s`, `15m`, `26h`, `2d`), and puts them into words."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_MINUTE_S: Final = 60
_MINUTES: Final = 60
_WRITTEN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|h|d|)", re.ASCII).fullmatch


class Duration(click.ParamType[float]):
    """A number of seconds, with or without a unit: s, m, h or d."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Give seconds.

        Raises:
            click.BadParameter: It is not a number with one of the units.
        """
        if isinstance(value, (int, float)):
            return float(value)
        written = _WRITTEN(value.strip())
        if written is None:
            self.fail("write a number and a unit, such as 90s, 15m, 26h or 2d", param, ctx)
        return float(written[1]) * _UNITS_S[written[2]]


DURATION: Final = Duration()


def duration(seconds: float) -> str:
    """Give a length of time in words: `0.4 s`, `42 s`, `3 min`, `2 h 5 min`."""
    if 0 < seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    if round(seconds) < _MINUTE_S:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / _MINUTE_S), _MINUTES)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
