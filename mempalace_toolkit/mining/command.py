"""The only caller of MemPalace: which one, its version, and its commands in a child process.

A child that exits, dies by a signal or stands still is a result, not an exception.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from mempalace_toolkit.errors import ConfigurationError, MempalaceError

LEAST_VERSION = (3, 11)

OWN_PYTHON = (sys.executable, "-P")
"""Our interpreter, without the current folder on its path: a `json.py` in a home is no module."""

_SETTLED = {"ANONYMIZED_TELEMETRY": "False", "PYTHONUNBUFFERED": "1"}
# Forwarded to a server, a mine would wait for the palace where we hold that for it.
_FORWARD = "MEMPALACE_HUB_FORWARD"
_FILED_LINE = re.compile(rb"^  [+=] \[", re.MULTILINE)
_CAUSE_LINE = re.compile(r"^mempalace: (.{1,300})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MempalaceCommand:
    """How MemPalace is called. `program` is None for the one in our own environment."""

    program: str | None
    version: str


@dataclass(frozen=True, slots=True)
class MempalaceJob:
    """One call: `mine` files a folder's pages into a wing, `sync` drops what it ignores.

    `pages` are the names of those to file, in this order, by our own MemPalace; without names
    it files all that are new. Another MemPalace does so in any case.
    """

    action: Literal["mine", "sync"]
    folder: Path
    wing: str
    label: str
    pages: tuple[str, ...] = ()

    def arguments(self, palace: Path) -> list[str]:
        """The command line after `mempalace`."""
        start = ["--palace", str(palace), self.action, str(self.folder)]
        if self.action == "sync":
            return [*start, "--apply", "--wing", self.wing]
        return [*start, "--mode", "convos", "--wing", self.wing, "--agent", self.label]


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a call ended. `code` is its exit status, negative for a signal, None for not run.

    `hung` tells that it was ended for standing still. `cause` is MemPalace's own error line.
    """

    job: MempalaceJob
    code: int | None
    hung: bool = False
    cause: str = ""

    @property
    def crashed(self) -> bool:
        """Whether the process died under the call."""
        return self.hung or (self.code is not None and self.code < 0)

    def describe(self) -> str:
        """What happened, as the end of a sentence."""
        if self.hung:
            return "made no progress for too long and was stopped"
        if self.code is None:
            return "was not run"
        if self.code < 0:
            known = {member.value: member.name for member in signal.Signals}
            return f"was ended by {known.get(-self.code, f'signal {-self.code}')}"
        return f"failed with exit status {self.code}" + (f": {self.cause}" if self.cause else "")


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


def find_mempalace(program: str | None) -> MempalaceCommand:
    """The MemPalace to use: the configured program, or the one installed with the toolkit.

    Raises MempalaceError where it is missing, does not answer, or is too old.
    """
    version = _own_version() if program is None else _asked_version(program)
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if numbers < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise MempalaceError(
            f"MemPalace {version} is too old: {least} or later is needed",
            "upgrade it: pip install --upgrade mempalace",
        )
    return MempalaceCommand(program, version)


def _own_version() -> str:
    try:
        return importlib.metadata.version("mempalace")
    except importlib.metadata.PackageNotFoundError as error:
        raise MempalaceError(
            "MemPalace is not installed beside the toolkit",
            f"{sys.executable} -m pip install 'mempalace>=3.11'",
        ) from error


def _asked_version(program: str) -> str:
    hint = "correct `mempalace = …` in the configuration, or remove it to use the toolkit's own"
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no MemPalace at {program}", hint) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise MempalaceError(f"{program} --version does not answer: {error}", hint) from error
    found = re.search(r"\d+\.\d+[\w.]*", answer.stdout)
    if not found:
        raise MempalaceError(f"{program} --version names no version", hint)
    return found[0]


def run_jobs(
    command: MempalaceCommand, jobs: Sequence[MempalaceJob], setting: ChildSetting
) -> list[JobResult]:
    """Run the calls in order until one takes its process down; a result for every job."""
    if not jobs:
        return []
    if command.program is None:
        return _run_batch(jobs, setting)
    results: list[JobResult] = []
    for job in jobs:
        if results and results[-1].crashed:
            results.append(JobResult(job, None))
            continue
        argv = [command.program, *job.arguments(setting.palace)]
        child = _Child(argv, b"", setting)
        code, hung = child.watch()
        results.append(JobResult(job, code, hung, child.cause()))
    return results


def _run_batch(jobs: Sequence[MempalaceJob], setting: ChildSetting) -> list[JobResult]:
    """All calls in one child; the call that was under way when it died is the crashed one."""
    reader, writer = os.pipe()
    vectors = str(setting.vectors or "")
    argv = [*OWN_PYTHON, "-m", "mempalace_toolkit.mining.child", str(writer), vectors]
    calls = [{"arguments": job.arguments(setting.palace), "pages": job.pages} for job in jobs]
    task = json.dumps(calls).encode()
    try:
        child = _Child(argv, task, setting, (writer,))
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        code, hung = child.watch()
        codes = [int(json.loads(line)["code"]) for line in lines]
    results = [
        JobResult(job, c, cause=child.cause() if c else "")
        for job, c in zip(jobs, codes, strict=False)
    ]
    for job in jobs[len(codes) :]:
        first = len(results) == len(codes)
        results.append(
            JobResult(job, code or 1, hung, child.cause()) if first else JobResult(job, None)
        )
    return results


class _Child:
    """A running child: its output goes to the log; standing still ends it."""

    def __init__(
        self, argv: list[str], task: bytes, setting: ChildSetting, keep: tuple[int, ...] = ()
    ) -> None:
        self._setting = setting
        self._tail = b""
        forwarded = "1" if setting.through_server else "0"
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**setting.environment, **_SETTLED, _FORWARD: forwarded},
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
