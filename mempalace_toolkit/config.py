"""The toolkit's own configuration file: what it may say, and what it says.

```toml
palace = "/srv/palace"            # default: MemPalace's own
mempalace = "/opt/mp/mempalace"   # default: the one installed with the toolkit
wait = 60                         # seconds to wait for the palace
stall = 900                       # seconds without progress that end a mine
include_subagents = false
quarantine_gigabytes = 2.0        # old indexes that may stay on the disk after a clean run
through_server = false            # file through `mempalace serve` where that holds the palace
[wings]
"/home/me/work/monorepo/api" = "api"
```
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mempalace_toolkit.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the file says, with the defaults for what it leaves out. Times are in seconds."""

    palace: str | None = None
    mempalace: str | None = None
    wait: float = 60.0
    stall: float = 900.0
    include_subagents: bool = False
    quarantine_gigabytes: float = 2.0
    through_server: bool = False
    wings: Mapping[str, str] = field(default_factory=dict)

    @property
    def quarantine_bytes(self) -> int:
        """How much disk old indexes may take; an infinite number of gigabytes is a large one."""
        return int(min(self.quarantine_gigabytes, 1e9) * 1e9)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "palace": (str,),
    "mempalace": (str,),
    "wait": (int, float),
    "stall": (int, float),
    "include_subagents": (bool,),
    "quarantine_gigabytes": (int, float),
    "through_server": (bool,),
    "wings": (dict,),
}
_EXPECTED: Mapping[type, tuple[str, str]] = {
    str: ("text in quotes", '"/path"'),
    int: ("a number", "600"),
    bool: ("true or false", "true"),
    dict: ("a table", '{ "/home/me/project" = "project" }'),
}
"""What a value must be, and an example of one, by the first type of its key."""


def read_configuration(file: Path) -> Configuration:
    """The configuration in `file`; the defaults where there is none.

    Raises ConfigurationError, naming the file and the key, for anything that is not meant.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Configuration()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}", "correct that file") from error
    for key, value in values.items():
        _check(file, key, value)
    return Configuration(**values)


def _check(file: Path, key: str, value: Any) -> None:
    kinds = _KINDS.get(key)
    if kinds is None:
        known = ", ".join(_KINDS)
        raise ConfigurationError(f"{file}: unknown key `{key}`", f"known keys: {known}")
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted, example = _EXPECTED[kinds[0]]
        raise ConfigurationError(
            f"{file}: `{key}` must be {wanted}", f"for example: {key} = {example}"
        )
    if isinstance(value, int | float) and not (value >= 0 and math.isfinite(value)):
        raise ConfigurationError(f"{file}: `{key}` must be 0 or more", f"for example: {key} = 600")
    if isinstance(value, dict) and not all(isinstance(name, str) for name in value.values()):
        raise ConfigurationError(
            f"{file}: each name in [wings] must be text in quotes",
            'for example: "/home/me/project" = "project"',
        )
