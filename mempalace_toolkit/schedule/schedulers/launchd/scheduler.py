"""Jobs as agents of the user's launchd: written, loaded, shown, unloaded."""

from __future__ import annotations

import plistlib
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mempalace_toolkit.errors import ExitCode, UsageError, WriteUndoneError
from mempalace_toolkit.schedule.calendar import (
    calendar_interval,
    from_calendar_interval,
    next_runs,
)
from mempalace_toolkit.schedule.job import JobSetting
from mempalace_toolkit.schedule.job_state import LastRun, RunResult, SchedulerState
from mempalace_toolkit.schedule.programs import NO_PROGRAM, Account, call
from mempalace_toolkit.schedule.steps import DropFolders, MakeFolder, Plan, Run, Step, WriteFile
from mempalace_toolkit.schedule.templates import (
    is_edited,
    is_foreign,
    refuse_edited,
    signature,
    template,
)

NAME = "launchd"
_HOME = "/Users/USER"
_NOT_FOUND = 113
_IN_PROGRESS = (5, 37)


def answers(account: Account) -> bool:
    """Whether this machine has launchd."""
    return account.macos and call(("launchctl", "version"), account).code != NO_PROGRAM


def label_of(stem: str) -> str:
    """The name of a job in launchd."""
    return f"se.jordbo.mempalace-{stem}"


def render(setting: JobSetting, account: Account) -> dict[Path, bytes]:
    """The agent's file and its content. Raises UsageError for a job in a container."""
    if setting.container:
        raise UsageError(
            "launchd has no template for a container", "use --scheduler cron with --devbox"
        )
    values = _filled(plistlib.loads(_shipped(setting.stem)), str(account.home))
    values["ProgramArguments"] = [str(setting.program), *values["ProgramArguments"][1:]]
    values["StartCalendarInterval"] = calendar_interval(setting.when)
    values["EnvironmentVariables"] |= dict(setting.variables)
    content = plistlib.dumps(values, sort_keys=False)
    return {_file(setting.stem, account): content + f"<!-- {signature(content)} -->\n".encode()}


def plan_install(setting: JobSetting, account: Account, force: bool, adopt: bool = False) -> Plan:
    """What makes the job run. Raises UsageError where its file was changed by hand."""
    ((path, content),) = render(setting, account).items()
    there, loaded = _content(path), _print(setting.stem, account) is not None
    if there is not None and there != content and not (force or (adopt and is_foreign(there))):
        _refuse_if_edited(path, there, setting.stem, account)
    target = _target(setting.stem, account)
    load = _load(path, account)
    unload = Run(("launchctl", "bootout", target))
    logs = account.home / "Library" / "Logs"
    steps: list[Step] = [] if logs.is_dir() else [MakeFolder(logs)]
    if loaded and there != content:
        steps.append(Run(unload.command, undo=load))
    if there != content:
        steps.append(WriteFile(path, content))
    if _is_disabled(setting.stem, account):
        # Before it is loaded: a disabled agent is refused.
        disable = Run(("launchctl", "disable", target))
        steps.append(Run(("launchctl", "enable", target), undo=disable))
    if not loaded or there != content:
        steps.append(replace(load, undo=unload))
    return Plan(NAME, setting.stem, tuple(steps))


def plan_remove(stem: str, account: Account, force: bool) -> Plan:
    """What leaves nothing of the job but its logs. Raises UsageError."""
    path = _file(stem, account)
    there = _content(path)
    if there is not None and not force:
        _refuse_if_edited(path, there, stem, account)
    steps: list[Step] = []
    if _print(stem, account) is not None:
        off = ("launchctl", "bootout", _target(stem, account))
        steps.append(Run(off, undo=_load(path, account)))
    if there is not None:
        steps += [WriteFile(path, None), DropFolders(path.parent, account.home / "Library")]
    return Plan(NAME, stem, tuple(steps))


def status(stem: str, account: Account) -> SchedulerState:
    """What is known of the job in this user's launchd."""
    path = _file(stem, account)
    content = _content(path)
    printed = _print(stem, account) if content is not None else None
    values = _parsed(content or b"")
    when = from_calendar_interval(values.get("StartCalendarInterval"))
    log = str(values.get("StandardOutPath", ""))
    return SchedulerState(
        scheduler=NAME,
        job=stem,
        scope="user",
        installed=content is not None,
        enabled=printed is not None and not _is_disabled(stem, account),
        edited=content is not None and is_edited(content, *_as_copied(stem, account)),
        files=(str(path),) if content is not None else (),
        when=str(when or ""),
        next_run_ms=next_runs(when, account.now_ms, 1)[0] if when else None,
        last=_last(printed or ""),
        log_folder=str(Path(log).parent) if log else "",
        log_folder_there=bool(log) and Path(log).parent.is_dir(),
        linger=None,
        container=None,
        foreign=content is not None and is_foreign(content),
    )


def _file(stem: str, account: Account) -> Path:
    return account.home / "Library" / "LaunchAgents" / f"{label_of(stem)}.plist"


def _shipped(stem: str) -> bytes:
    if stem.endswith("-devbox"):
        return b""
    return template(NAME, f"{label_of(stem)}.plist")


def _as_copied(stem: str, account: Account) -> tuple[bytes, ...]:
    """The template as someone may have copied it by hand."""
    shipped = _shipped(stem)
    return shipped, shipped.replace(_HOME.encode(), str(account.home).encode())


def _filled(value: Any, home: str) -> Any:
    """A template's values with the user's home."""
    if isinstance(value, str):
        return value.replace(_HOME, home)
    if isinstance(value, dict):
        return {key: _filled(one, home) for key, one in value.items()}
    return [_filled(one, home) for one in value] if isinstance(value, list) else value


def _parsed(content: bytes) -> dict[str, Any]:
    with suppress(plistlib.InvalidFileException, ValueError, LookupError):
        values = plistlib.loads(content)
        return values if isinstance(values, dict) else {}
    return {}


def _content(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None


def _refuse_if_edited(path: Path, content: bytes, stem: str, account: Account) -> None:
    if is_edited(content, *_as_copied(stem, account)):
        raise refuse_edited(str(path), stem, NAME, is_foreign(content))


def _load(path: Path, account: Account) -> Run:
    """Unloading goes on after `bootout` has ended; until then loading is refused."""
    return Run(("launchctl", "bootstrap", _domain(account), str(path)), not_yet=_IN_PROGRESS)


def _domain(account: Account) -> str:
    return f"gui/{account.uid}"


def _target(stem: str, account: Account) -> str:
    return f"{_domain(account)}/{label_of(stem)}"


def _print(stem: str, account: Account) -> str | None:
    """What launchd tells of a loaded agent, None where it is not loaded."""
    asked = call(("launchctl", "print", _target(stem, account)), account)
    if asked.code in (0, _NOT_FOUND, NO_PROGRAM):
        return asked.text if asked.code == 0 else None
    raise WriteUndoneError(
        f"`launchctl print {_target(stem, account)}` failed ({asked.code}): {asked.err}",
        "log in on the machine's own screen once, or use --scheduler cron",
    )


def _is_disabled(stem: str, account: Account) -> bool:
    asked = call(("launchctl", "print-disabled", _domain(account)), account)
    found = re.search(rf'"{re.escape(label_of(stem))}" => (\w+)', asked.text)
    return found is not None and found[1] in ("true", "disabled")


def _last(printed: str) -> LastRun | None:
    """The last run: launchd keeps its exit code, and no time."""
    found = re.search(r"last exit code = (\d+)", printed)
    if not found:
        return None
    results: dict[int, RunResult] = {0: "ok", ExitCode.BUSY: "busy"}
    code = int(found[1])
    return LastRun(None, results.get(code, "failed"), code, None)
