"""Runs the child that embeds pages before the palace is held."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mempalace_toolkit.children import CHILD_FOLDER, own_command, settled

_MARK = b"@vectors "


@dataclass(frozen=True, slots=True)
class AheadSetting:
    """What to embed ahead, for which palace, where the vectors are kept, and who is told.

    `stall_seconds` without a step end the child. `on_total` and `on_step` take numbers of texts.
    """

    pages: Sequence[Path]
    palace: Path
    vectors: Path
    environment: Mapping[str, str]
    log: IO[bytes]
    stall_seconds: float
    on_total: Callable[[int], None]
    on_step: Callable[[int], None]


def embed_pages(setting: AheadSetting) -> bool:
    """Embed the pages' drawers; whether the child came to its end.

    Nothing depends on it: what has no vector is embedded while it is mined.
    """
    try:
        child = subprocess.Popen(
            own_command("mining.child_vectors"),
            cwd=CHILD_FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=settled(setting.environment),
            start_new_session=True,
        )
    except OSError as error:
        setting.log.write(f"vectors are not computed in advance: {error}\n".encode())
        return False
    try:
        _hand_over(child, setting)
        finished = _watch(child, setting)
        return finished and child.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # what it has kept stands
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]


def _hand_over(child: subprocess.Popen[bytes], setting: AheadSetting) -> None:
    task = {
        "pages": [str(page) for page in setting.pages],
        "palace": str(setting.palace),
        "folder": str(setting.vectors),
    }
    with suppress(BrokenPipeError), child.stdin:  # type: ignore[union-attr]
        child.stdin.write(json.dumps(task).encode())  # type: ignore[union-attr]


def _watch(child: subprocess.Popen[bytes], setting: AheadSetting) -> bool:
    """Pass on what the child says, to its end; False where it stood still."""
    output, rest = child.stdout.fileno(), b""  # type: ignore[union-attr]
    moved = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while time.monotonic() - moved < setting.stall_seconds:
            if not selector.select(timeout=min(5.0, setting.stall_seconds)):
                continue
            moved = time.monotonic()
            chunk = os.read(output, 65536)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                _pass_on(line, setting)
            if not chunk:
                return True
    setting.log.write(b"vectors are not computed in advance any further: the child stood still\n")
    return False


def _pass_on(line: bytes, setting: AheadSetting) -> None:
    if not line.startswith(_MARK):
        setting.log.write(line + b"\n")
        return
    told: dict[str, int] = json.loads(line.removeprefix(_MARK))
    if "total" in told:
        setting.on_total(told["total"])
    else:
        setting.on_step(told["done"])
