"""What the commands take from the process: environment, home, clock; nothing below reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from mempalace_toolkit.config import Configuration, read_configuration
from mempalace_toolkit.palace.location import PalaceLocation, locate_palace

NAME = "mempalace-toolkit"
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"  # else onnxruntime keeps a database in the home, and sends


_FOLDERS = ("MEMPALACE_CONFIG_DIR", "MEMPALACE_SOURCE_DIR")


def _absolute(environment: Mapping[str, str]) -> dict[str, str]:
    """MemPalace's folders that are named from here; its processes run elsewhere."""
    named = {name: environment.get(name, "").strip() for name in _FOLDERS}
    return {
        name: str(Path(path).absolute()) for name, path in named.items() if path[:1] not in "~/"
    }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The user's places and settings. `now_ms` is the time at which the command began."""

    environment: Mapping[str, str]
    home: Path
    data: Path
    state: Path
    configuration_file: Path
    now_ms: int

    @classmethod
    def of_process(cls) -> Surroundings:
        """The surroundings of this process."""
        return cls(
            environment={_NO_TELEMETRY: "1", **os.environ, **_absolute(os.environ)},
            home=Path.home(),
            data=platformdirs.user_data_path(NAME).resolve(),  # as MemPalace records it
            state=platformdirs.user_state_path(NAME),
            configuration_file=platformdirs.user_config_path(NAME) / "config.toml",
            now_ms=time.time_ns() // 1_000_000,
        )

    @property
    def stamp(self) -> str:
        """The moment as YYYYMMDD-HHMMSS where the user is, as MemPalace names what it keeps."""
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(self.now_ms / 1000))

    @property
    def ledger(self) -> Path:
        """The ledger's file, as a run's request names it."""
        return self.data / "ledger.sqlite3"

    @property
    def spool(self) -> Path:
        """The folder of pages, likewise."""
        return self.data / "spool"

    def configuration(self) -> Configuration:
        """The configuration file's content. Raises ConfigurationError."""
        read = read_configuration(self.configuration_file)
        return replace(
            read,
            mempalace=self._expanded(read.mempalace) if read.mempalace else None,
            wings={self._expanded(folder): wing for folder, wing in read.wings.items()},
        )

    def _expanded(self, place: str) -> str:
        """A path with the home in the place of `~`."""
        return str(self.home / place[2:]) if place.startswith("~/") or place == "~" else place

    def palace(self, chosen: Path | None, configuration: Configuration) -> PalaceLocation:
        """The palace: named on the command line, else configured, else MemPalace's own."""
        configured = Path(configuration.palace).expanduser() if configuration.palace else None
        return locate_palace(self.environment, self.home, chosen or configured)

    def xdg_data_home(self) -> Path:
        """Where opencode keeps its data: it follows XDG on macOS too."""
        named = self.environment.get("XDG_DATA_HOME", "")
        return Path(named) if named.startswith("/") else self.home / ".local" / "share"

    def get(self, variable: str) -> str | None:
        """An environment variable, None where it is unset or empty."""
        return self.environment.get(variable) or None
