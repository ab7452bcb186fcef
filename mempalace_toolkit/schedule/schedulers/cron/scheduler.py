"""Jobs as marked blocks of the user's crontab: put in, shown, taken out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.schedule.calendar import from_cron_fields, next_runs
from mempalace_toolkit.schedule.container import container_of
from mempalace_toolkit.schedule.job import JobSetting, log_of
from mempalace_toolkit.schedule.job_state import LastRun, SchedulerState
from mempalace_toolkit.schedule.programs import Account, Ended, call
from mempalace_toolkit.schedule.schedulers.cron.crontab import (
    entry_of,
    find_block,
    render_block,
    shipped,
    unmarked_entries,
    with_block,
    without_block,
    without_unmarked,
)
from mempalace_toolkit.schedule.steps import DropFolders, MakeFolder, Plan, Run, Step
from mempalace_toolkit.schedule.templates import is_edited, is_foreign, refuse_edited

NAME = "cron"
CRONTAB = Path("crontab")
_DAEMONS = frozenset({"cron", "crond", "fcron", "dcron", "anacron", "systemd-cron", "busybox"})


def answers(account: Account) -> bool:
    """Whether the user may have a crontab."""
    ended = call(("crontab", "-l"), account)
    return ended.code == 0 or _has_none(ended)


def render(setting: JobSetting, account: Account) -> dict[Path, bytes]:
    """The job's block, under the name of the program that takes it."""
    return {CRONTAB: render_block(setting)}


def plan_install(setting: JobSetting, account: Account, force: bool, adopt: bool = False) -> Plan:
    """What makes the job run. Raises UsageError where the block was changed by hand."""
    crontab = read_crontab(account)
    (block,) = render(setting, account).values()
    found = find_block(crontab, setting.stem)
    accepted = force or (adopt and all(map(is_foreign, found.blocks)))
    if found.blocks != (block,) and not accepted:
        _refuse_if_edited(found.blocks, setting.stem)
    steps: list[Step] = []
    if not account.log_folder.is_dir():
        steps.append(MakeFolder(account.log_folder))
    wanted = with_block(crontab, setting.stem, block) if found.blocks != (block,) else crontab
    if adopt:
        wanted = without_unmarked(wanted, setting.stem)
    if wanted != crontab:
        steps += _replace(crontab, wanted, account)
    return Plan(NAME, setting.stem, tuple(steps))


def plan_remove(stem: str, account: Account, force: bool) -> Plan:
    """What takes the job out of the crontab; its logs stay. Raises UsageError."""
    if not answers(account):
        return Plan(NAME, stem, ())
    crontab = read_crontab(account)
    blocks = find_block(crontab, stem).blocks
    if not blocks:
        return Plan(NAME, stem, ())
    if not force:
        _refuse_if_edited(blocks, stem)
    return Plan(
        NAME,
        stem,
        (
            *_replace(crontab, without_block(crontab, stem), account),
            DropFolders(account.log_folder, account.home),
        ),
    )


def status(stem: str, account: Account) -> SchedulerState:
    """What is known of the job in this user's crontab."""
    crontab = read_crontab(account) if answers(account) else b""
    blocks = find_block(crontab, stem).blocks
    unmarked = unmarked_entries(crontab, stem)
    entry = entry_of(blocks[0]) if blocks else None
    timed = entry or (unmarked[0] if unmarked else None)
    when = from_cron_fields(timed[0]) if timed else None
    return SchedulerState(
        scheduler=NAME,
        job=stem,
        scope="user",
        installed=bool(blocks or unmarked),
        enabled=timed is not None,
        edited=any(is_edited(block, shipped(stem)) for block in blocks),
        files=("crontab -l",) if blocks else (),
        when=str(when or ""),
        next_run_ms=next_runs(when, account.now_ms, 1)[0] if when else None,
        last=_last(account.log_folder / log_of(stem)) if blocks else None,
        log_folder=str(account.log_folder) if blocks else "",
        log_folder_there=account.log_folder.is_dir(),
        linger=None,
        container=container_of(_settings(entry[1]), account) if entry else None,
        unmarked=tuple(command for _, command in unmarked),
        daemon_runs=_daemon_runs(account.root) if blocks or unmarked else None,
        foreign=all(map(is_foreign, blocks)) if blocks else bool(unmarked),
    )


def _daemon_runs(root: Path) -> bool | None:
    """Whether a cron daemon runs; None where the machine does not list its processes."""
    names = []
    with suppress(OSError):
        for process in (root / "proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    names.append((process / "comm").read_text("utf-8", "replace").strip())
    return bool(_DAEMONS.intersection(names)) if names else None


def read_crontab(account: Account) -> bytes:
    """The user's crontab, empty where there is none. Raises WriteUndoneError."""
    ended = call(("crontab", "-l"), account)
    if ended.code == 0:
        return ended.out
    if _has_none(ended):
        return b""
    raise WriteUndoneError(
        f"`crontab -l` failed ({ended.code}): {ended.err or 'no message'}",
        "may this user have a crontab? see cron.allow and cron.deny in crontab(1)",
    )


def _has_none(ended: Ended) -> bool:
    return not ended.out and ("no crontab" in ended.err or "can't open" in ended.err)


def _replace(old: bytes, new: bytes, account: Account) -> list[Step]:
    """The calls that put a new crontab in place of the old one, checked first where cron can."""
    take, drop = ("crontab", "-"), Run(("crontab", "-r"))
    undo = Run(take, old) if old else drop
    if not new:
        return [Run(drop.command, undo=undo)]
    check = _syntax_check(account)
    checked: list[Step] = [Run(check, new)] if check else []
    return [*checked, Run(take, new, undo)]


def _syntax_check(account: Account) -> tuple[str, ...]:
    """Debian's cron checks with -n, cronie's with -T (its -n means a host), others not at all."""
    asked = call(("crontab", "-h"), account)
    usage = asked.err + asked.text
    if "dry run" in usage:
        return ("crontab", "-n", "-")
    return ("crontab", "-T", "-") if " -T" in usage else ()


def _refuse_if_edited(blocks: tuple[bytes, ...], stem: str) -> None:
    if any(is_edited(block, shipped(stem)) for block in blocks):
        foreign = all(map(is_foreign, blocks))
        raise refuse_edited("the crontab", stem, NAME, foreign)


def _settings(command: str) -> dict[str, str]:
    words = [word.rstrip(";") for word in command.split()]
    return dict(word.split("=", 1) for word in words if "=" in word)


def _last(log: Path) -> LastRun | None:
    """When a run last wrote to its log: cron itself remembers nothing."""
    with suppress(OSError):
        return LastRun(int(log.stat().st_mtime * 1000), "unknown", None, None)
    return None
