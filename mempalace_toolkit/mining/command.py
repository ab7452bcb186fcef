"""Calls MemPalace's commands, in children; nothing else in the project does.

A child that exits, dies by a signal or stands still is a result, not an exception.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mempalace_toolkit.children import CHILD_FOLDER, own_command
from mempalace_toolkit.mining.program import MempalaceCommand
from mempalace_toolkit.mining.watched_child import ChildSetting, WatchedChild


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
        child = WatchedChild(argv, b"", setting)
        code, hung = child.watch()
        results.append(JobResult(job, code, hung, child.cause()))
    return results


def _run_batch(jobs: Sequence[MempalaceJob], setting: ChildSetting) -> list[JobResult]:
    """All calls in one child; the call that was under way when it died is the crashed one."""
    reader, writer = os.pipe()
    vectors = str(setting.vectors or "")
    argv = own_command("mining.child", str(writer), vectors)
    calls = [{"arguments": job.arguments(setting.palace), "pages": job.pages} for job in jobs]
    task = json.dumps(calls).encode()
    try:
        child = WatchedChild(argv, task, setting, (writer,), CHILD_FOLDER)
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
