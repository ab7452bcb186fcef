"""Jobs as units of the user's systemd: written, enabled, shown, removed."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mempalace_toolkit.errors import ExitCode
from mempalace_toolkit.schedule.calendar import from_on_calendar
from mempalace_toolkit.schedule.container import container_of
from mempalace_toolkit.schedule.job import JobSetting
from mempalace_toolkit.schedule.job_state import LastRun, RunResult, SchedulerState
from mempalace_toolkit.schedule.programs import Account, call
from mempalace_toolkit.schedule.schedulers.systemd.units import (
    render_units,
    service_name,
    shipped,
    timer_name,
)
from mempalace_toolkit.schedule.steps import DropFolders, Plan, Run, Step, WriteFile
from mempalace_toolkit.schedule.templates import (
    is_edited,
    is_foreign,
    refuse_edited,
    values_of,
)

NAME = "systemd"
_RELOAD = Run(("systemctl", "--user", "daemon-reload"))
_TIMER_FACTS = "UnitFileState,ActiveState,NeedDaemonReload,NextElapseUSecRealtime,TimersCalendar"
_SERVICE_FACTS = (
    "Result,ConditionResult,ConditionTimestamp,ExecMainStartTimestampMonotonic,ExecMainStatus,"
    "ExecMainExitTimestamp,ExecMainExitTimestampMonotonic,InactiveEnterTimestamp,Environment"
)


def answers(account: Account) -> bool:
    """Whether a systemd of this user is there to talk to."""
    asked = call(("systemctl", "--user", "show", "--property=Version"), account, seconds=20)
    return not account.macos and asked.code == 0


def render(setting: JobSetting, account: Account) -> dict[Path, bytes]:
    """Each file and its content."""
    return {_folder(account) / name: content for name, content in render_units(setting).items()}


def plan_install(setting: JobSetting, account: Account, force: bool, adopt: bool = False) -> Plan:
    """What makes the job run. Raises UsageError where a unit was changed by hand."""
    timer = timer_name(setting.stem)
    steps: list[Step] = []
    for path, content in render(setting, account).items():
        there = _content(path)
        accepted = force or (adopt and there is not None and is_foreign(there))
        if there is not None and there != content and not accepted:
            _refuse_if_edited(path, there, setting.stem)
        if there != content:
            steps.append(WriteFile(path, content))
    written = {step.path.name for step in steps if isinstance(step, WriteFile)}
    facts = _show(timer, _TIMER_FACTS, account)
    if steps or facts.get("NeedDaemonReload") == "yes":
        steps.append(_RELOAD)
    if not _runs(facts):
        undo = Run(("systemctl", "--user", "disable", "--now", timer))
        steps.append(Run(("systemctl", "--user", "enable", "--now", timer), undo=undo))
    elif timer in written or facts.get("NeedDaemonReload") == "yes":
        steps.append(Run(("systemctl", "--user", "restart", timer)))
    return Plan(NAME, setting.stem, tuple(steps), (_RELOAD,))


def plan_remove(stem: str, account: Account, force: bool) -> Plan:
    """What leaves nothing of the job; a run that goes on is let end. Raises UsageError."""
    folder, timer, service = _folder(account), timer_name(stem), service_name(stem)
    stamp = account.data / "systemd" / "timers" / f"stamp-{timer}"
    link = folder / "timers.target.wants" / timer
    for path in (folder / timer, folder / service):
        there = _content(path)
        if there is not None and not force:
            _refuse_if_edited(path, there, stem)
    files = [path for path in (folder / timer, folder / service) if path.exists()]
    left = [path for path in (link, stamp, *files) if path.exists() or path.is_symlink()]
    if not left:
        return Plan(NAME, stem, ())
    steps: list[Step] = []
    running, known = answers(account), folder / timer in files
    if running:
        back = Run(("systemctl", "--user", "enable", "--now", timer), may_fail=not known)
        off = ("systemctl", "--user", "disable", "--now", timer)
        steps.append(Run(off, undo=back, may_fail=not known))
    steps += [WriteFile(path, None) for path in (*files, link, stamp)]
    if running:
        forget = ("systemctl", "--user", "reset-failed", timer, service)
        steps += [_RELOAD, Run(forget, may_fail=True)]
    steps += [
        DropFolders(link.parent, account.home),
        DropFolders(stamp.parent, account.home),
    ]
    return Plan(NAME, stem, tuple(steps), (_RELOAD,) if running else ())


def status(stem: str, account: Account) -> SchedulerState:
    """What is known of the job in this user's systemd."""
    folder, timer, service = _folder(account), timer_name(stem), service_name(stem)
    there = {path: _content(path) for path in (folder / service, folder / timer)}
    contents = {path: content for path, content in there.items() if content is not None}
    facts = {**_show(timer, _TIMER_FACTS, account)} if contents else {}
    run = _show(service, _SERVICE_FACTS, account) if contents else {}
    written = values_of(contents.get(folder / timer, b"").decode(errors="replace"), "OnCalendar")
    calendars = re.findall(r"OnCalendar=(.*?) ;", facts.get("TimersCalendar", "")) or written
    when = from_on_calendar(calendars[0]) if len(calendars) == 1 else None
    link = folder / "timers.target.wants" / timer
    return SchedulerState(
        scheduler=NAME,
        job=stem,
        scope="user",
        installed=bool(contents),
        enabled=_runs(facts) if facts else bool(contents) and link.is_symlink(),
        edited=any(is_edited(content, shipped(path.name)) for path, content in contents.items()),
        files=tuple(map(str, contents)),
        when=str(when or ""),
        next_run_ms=_moment(facts.get("NextElapseUSecRealtime", "")),
        last=_last(run),
        log_folder="",
        log_folder_there=False,
        linger=_linger(account) if contents else None,
        container=container_of(_settings(run, contents.get(folder / service, b"")), account),
        foreign=any(map(is_foreign, contents.values())),
    )


def _folder(account: Account) -> Path:
    return account.config / "systemd" / "user"


def _content(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None


def _refuse_if_edited(path: Path, content: bytes, stem: str) -> None:
    if is_edited(content, shipped(path.name)):
        raise refuse_edited(str(path), stem, NAME, is_foreign(content))


def _show(unit: str, facts: str, account: Account) -> dict[str, str]:
    """A unit's properties; none where no manager answers."""
    command = ("systemctl", "--user", "show", unit, "--timestamp=unix", f"--property={facts}")
    ended = call(command, account, seconds=20)
    pairs = (line.split("=", 1) for line in ended.text.splitlines() if "=" in line)
    return dict(pairs) if ended.code == 0 else {}


def _runs(facts: dict[str, str]) -> bool:
    return facts.get("UnitFileState") == "enabled" and facts.get("ActiveState") == "active"


def _moment(text: str) -> int | None:
    """A time in milliseconds; systemd writes some of them as `Mon 2026-11-23 03:00:00 UTC`."""
    found = re.fullmatch(r"@(\d+)", text)
    with suppress(ValueError):
        moment = datetime.strptime(text.partition(" ")[2], "%Y-%m-%d %H:%M:%S UTC")
        return int(moment.replace(tzinfo=UTC).timestamp()) * 1000
    return int(found[1]) * 1000 if found and int(found[1]) else None


def _last(facts: dict[str, str]) -> LastRun | None:
    """The last run, or the last time that the conditions let none be."""
    ended = _moment(facts.get("ExecMainExitTimestamp", ""))
    asked = _moment(facts.get("ConditionTimestamp", ""))
    if facts.get("ConditionResult") == "no" and asked:
        return LastRun(asked, "skipped", None, None)
    result = facts.get("Result", "")
    if result == "exec-condition":
        return LastRun(_moment(facts.get("InactiveEnterTimestamp", "")), "skipped", None, None)
    if ended is None:
        return LastRun(asked, "failed", None, None) if asked and result != "success" else None
    begin, end = (
        int(facts.get(f"ExecMain{name}TimestampMonotonic") or 0) for name in ("Start", "Exit")
    )
    code = int(facts.get("ExecMainStatus") or 0)
    told: RunResult = "failed"
    if result == "success":
        told = "busy" if code == ExitCode.BUSY else "ok"
    elif result == "timeout":
        told = "timeout"
    return LastRun(ended, told, code, (end - begin) / 1e6 if end > begin else None)


def _settings(facts: dict[str, str], unit: bytes) -> dict[str, str]:
    """The container and its engine as set, drop-ins included where the manager answers."""
    with suppress(ValueError):
        words = shlex.split(facts.get("Environment", "")) or values_of(
            unit.decode(errors="replace"), "Environment"
        )
        return dict(word.split("=", 1) for word in words if "=" in word)
    return {}


def _linger(account: Account) -> bool | None:
    """Whether the user's systemd runs without a login; None where nobody knows."""
    asked = call(("loginctl", "show-user", account.name, "--property=Linger", "--value"), account)
    if asked.code == 0 and asked.text.strip() in ("yes", "no"):
        return asked.text.strip() == "yes"
    if (account.root / "run/systemd/system").is_dir():
        return (account.root / "var/lib/systemd/linger" / account.name).exists()
    return None
