"""Whose jobs are scheduled, where their files lie, and how the schedulers' programs are called."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NO_PROGRAM, _TIMED_OUT = 127, 124
_PLAIN = {"LC_ALL": "C", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


@dataclass(frozen=True, slots=True)
class Account:
    """The user and the machine. `root` is where the machine's own files begin."""

    name: str
    uid: int
    home: Path
    config: Path
    data: Path
    environment: Mapping[str, str]
    now_ms: int
    macos: bool = False
    root: Path = Path("/")

    @property
    def log_folder(self) -> Path:
        """Where cron's entries keep their logs."""
        return self.home / ".cache" / "mempalace-session"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: 127 where there is none, 124 where it took too long."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """What it said on stdout."""
        return self.out.decode(errors="replace")


def call(
    command: Sequence[str], account: Account, feed: bytes | None = None, seconds: float = 60
) -> Ended:
    """Run an outside program to its end, in the user's environment, in English and UTC."""
    try:
        ended = subprocess.run(
            list(command),
            env={**account.environment, **_PLAIN},
            input=feed if feed is not None else b"",
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        return Ended(NO_PROGRAM, b"", f"{command[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Ended(_TIMED_OUT, b"", f"{command[0]} gave no answer in {seconds:g} s")
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace").strip())
