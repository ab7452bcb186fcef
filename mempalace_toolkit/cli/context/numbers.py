"""Numbers on the command line: read, and refused in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable

import typer


def whole_number(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `lowest` to `highest`, where there is one."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = lowest - 1
        if number < lowest or (highest is not None and number > highest):
            limits = f"{lowest} or more" if highest is None else f"from {lowest} to {highest}"
            raise typer.BadParameter(f"'{text}' is not a whole number ({limits})")
        return number

    return parse


def amount(text: str) -> float:
    """A number of 0 or more, with a fraction or without."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number >= 0 and math.isfinite(number)):
        raise typer.BadParameter(f"'{text}' is not a number of 0 or more")
    return number
