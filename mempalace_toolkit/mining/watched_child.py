"""A child that MemPalace runs in: its output goes to the log, and standing still ends it."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mempalace_toolkit.children import settled
from mempalace_toolkit.errors import MempalaceError

_FILED_LINE = re.compile(rb"^  [+=] \[", re.MULTILINE)
_CAUSE_LINE = re.compile(r"^mempalace: (.{1,300})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ChildSetting:
    """What a child runs in. `stall_seconds` without output and without a change in the palace
    folder end it; `lock` is inherited, so that the palace stays held until the child is gone.
    `vectors` is where vectors that were made ahead are kept. `through_server` has MemPalace send
    the calls to its server, which holds the palace.
    """

    palace: Path
    environment: Mapping[str, str]
    log: IO[bytes]
    lock: int
    stall_seconds: float
    on_page: Callable[[int], None]
    vectors: Path | None = None
    through_server: bool = False


class WatchedChild:
    """A running child: its output goes to the log; standing still ends it."""

    def __init__(
        self,
        argv: list[str],
        task: bytes,
        setting: ChildSetting,
        keep: tuple[int, ...] = (),
        folder: Path | None = None,
    ) -> None:
        self._setting = setting
        self._tail = b""
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=settled(setting.environment, forwarded=setting.through_server),
                pass_fds=(setting.lock, *keep),
                start_new_session=True,
            )
        except OSError as error:
            raise MempalaceError(
                f"{argv[0]} cannot be started: {error.strerror}", "install MemPalace again"
            ) from error
        with suppress(BrokenPipeError), self._process.stdin:  # type: ignore[union-attr]
            self._process.stdin.write(task)  # type: ignore[union-attr]

    def watch(self) -> tuple[int, bool]:
        """Wait for the end: the exit status, and whether it had to be ended for standing still."""
        output = self._process.stdout
        assert output is not None
        hung = False
        moved, state = time.monotonic(), _folder_state(self._setting.palace)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(output, selectors.EVENT_READ)
                while True:
                    if selector.select(timeout=min(5.0, self._setting.stall_seconds)):
                        chunk = os.read(output.fileno(), 65536)
                        if not chunk:
                            break
                        self._take(chunk)
                        moved = time.monotonic()
                    elif (now := _folder_state(self._setting.palace)) != state:
                        moved, state = time.monotonic(), now
                    elif time.monotonic() - moved > self._setting.stall_seconds:
                        hung = True
                        self._end()
                        break
            return self._process.wait(), hung
        finally:
            self._end()
            output.close()

    def cause(self) -> str:
        """MemPalace's last own error line."""
        found = _CAUSE_LINE.findall(self._tail.decode("utf-8", "replace"))
        return found[-1].strip() if found else ""

    def _take(self, chunk: bytes) -> None:
        self._setting.log.write(chunk)
        self._setting.log.flush()
        self._tail = (self._tail + chunk)[-4000:]
        if filed := len(_FILED_LINE.findall(chunk)):
            self._setting.on_page(filed)

    def _end(self) -> None:
        """End the child and what it started: asked first, then killed.

        What it started and left holds the lock as long as it lives, so it goes too.
        """
        if self._process.poll() is not None:
            return
        for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)


def _folder_state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files in a palace: it differs while one is written."""
    state = []
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118
                state.append((name, status.st_size, status.st_mtime_ns))
    return sorted(state)
