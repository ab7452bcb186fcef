"""What is wrong with a scheduled job: each finding where it must be, and only there."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from mempalace_toolkit.history.record import RunRecord, RunStatus
from mempalace_toolkit.schedule.job_state import (
    Container,
    ContainerState,
    LastRun,
    RunResult,
    ScheduleFinding,
    SchedulerState,
)
from mempalace_toolkit.schedule.status.problems import find_problems


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOW = ms("2026-11-18 12:00")  # a Wednesday
SOUND = SchedulerState(
    scheduler="systemd",
    job="session",
    scope="user",
    installed=True,
    enabled=True,
    edited=False,
    files=("/h/.config/systemd/user/mempalace-session.timer",),
    when="Mon 03:00",
    next_run_ms=ms("2026-11-23 03:00"),
    last=LastRun(ms("2026-11-16 03:05"), "ok", 0, 12.0),
    log_folder="",
    log_folder_there=False,
    linger=True,
    container=None,
)
CRON = replace(
    SOUND,
    scheduler="cron",
    files=("crontab -l",),
    linger=None,
    last=LastRun(ms("2026-11-16 03:05"), "unknown", None, None),
    log_folder="/h/.cache/mempalace-session",
    log_folder_there=True,
)
BOX = Container("box", "docker", state="running")
PODMAN = Container("box", "podman", "1000:100", "running")
DEVBOX = replace(SOUND, job="session-devbox", container=BOX)


def devbox(state: ContainerState, box: Container = BOX) -> SchedulerState:
    return replace(DEVBOX, container=replace(box, state=state))


def run(ended: str, status: RunStatus = "ok", **more: Any) -> RunRecord:
    codes: dict[RunStatus, int] = {
        "ok": 0,
        "noop": 0,
        "failed": 70,
        "damaged": 65,
        "busy": 75,
        "interrupted": 143,
    }
    end = None if status in ("killed", "running") else ms(ended)
    record = RunRecord(
        "mempalace-session",
        ms(ended) - 60_000,
        end,
        status,
        codes.get(status),
    )
    return replace(record, **more)


def last(ended: str | None, result: RunResult, code: int | None = None) -> SchedulerState:
    end = None if ended is None else ms(ended)
    return replace(SOUND, last=LastRun(end, result, code, None))


def problems(
    *states: SchedulerState, history: tuple[RunRecord, ...] = (), now: int = NOW
) -> tuple[ScheduleFinding, ...]:
    return find_problems(states, history, now)


def test_lingering_is_the_users_and_told_once() -> None:
    other = replace(SOUND, job="pi-session", linger=False)
    found = problems(replace(SOUND, linger=False), other, replace(CRON, job="repair"))
    (finding,) = [one for one in found if one.kind == "linger_off"]
    assert "session, pi-session" in finding.message


@pytest.mark.parametrize(
    ("state", "kind", "remedy"),
    [
        (replace(SOUND, linger=False), "linger_off", "loginctl enable-linger"),
        (
            replace(SOUND, enabled=False),
            "timer_not_enabled",
            "systemctl --user enable --now mempalace-session.timer",
        ),
        (
            replace(SOUND, enabled=False, scope="system", files=("/etc/systemd/system/x.timer",)),
            "timer_not_enabled",
            "sudo systemctl enable --now mempalace-session.timer",
        ),
        (
            replace(CRON, enabled=False),
            "timer_not_enabled",
            "mempalace-toolkit schedule install session --scheduler cron --at 'Mon 03:00'",
        ),
        (
            replace(SOUND, edited=True, when=""),
            "unit_edited",
            "mempalace-toolkit schedule install session --force --scheduler systemd",
        ),
        (
            replace(DEVBOX, edited=True),
            "unit_edited",
            "mempalace-toolkit schedule install session-devbox --force --scheduler systemd"
            " --at 'Mon 03:00' --devbox box",
        ),
        (
            replace(CRON, log_folder="/h me/.cache/x", log_folder_there=False),
            "log_folder_missing",
            "mkdir -p -m 700 '/h me/.cache/x'",
        ),
        (
            replace(DEVBOX, edited=True, container=PODMAN),
            "unit_edited",
            "mempalace-toolkit schedule install session-devbox --force --scheduler systemd"
            " --at 'Mon 03:00' --devbox box --engine podman --container-user 1000:100",
        ),
        (devbox("stopped"), "container_down", "docker start box"),
        (devbox("stopped", PODMAN), "container_down", "podman start box"),
        (devbox("engine down", PODMAN), "container_down", "podman info"),
        (
            replace(DEVBOX, container=PODMAN, last=LastRun(NOW, "failed", 70, None)),
            "last_run_failed",
            "podman exec -u 1000:100 box sh -c"
            " 'PATH=$HOME/.local/bin:$PATH; exec mempalace-session'",
        ),
        (
            devbox("missing", PODMAN),
            "container_down",
            "mempalace-toolkit schedule install session-devbox --devbox NAME --engine podman",
        ),
        (
            devbox("missing"),
            "container_down",
            "mempalace-toolkit schedule install session-devbox --devbox NAME",
        ),
        (
            devbox("engine down"),
            "container_down",
            "sudo systemctl start docker",
        ),
        (last("2026-11-16 03:05", "failed", 203), "last_run_failed", "mempalace-session"),
        (last("2026-11-16 05:05", "timeout"), "last_run_failed", "mempalace-session"),
        (
            replace(DEVBOX, last=LastRun(ms("2026-11-16 03:05"), "failed", 70, None)),
            "last_run_failed",
            "docker exec box sh -c 'PATH=$HOME/.local/bin:$PATH; exec mempalace-session'",
        ),
        (last("2026-11-02 03:05", "ok"), "missed_runs", "mempalace-session"),
        (
            replace(last("2026-11-15 05:00", "ok"), job="session-daily", when="daily 03:00"),
            "missed_runs",
            "mempalace-session --no-repair",
        ),
    ],
)
def test_each_fault_is_one_finding_with_its_remedy(
    state: SchedulerState, kind: str, remedy: str
) -> None:
    (found,) = problems(state)
    assert (found.kind, found.remedy) == (kind, remedy)
    assert found.message.startswith(f"{state.job}: ")
    assert shlex.split(found.remedy)


@pytest.mark.parametrize(
    "state",
    [
        SOUND,
        CRON,
        DEVBOX,
        replace(SOUND, linger=None),
        replace(SOUND, last=None),
        replace(SOUND, installed=False, enabled=False, edited=True, linger=False),
        last("2026-11-16 03:05", "busy", 75),
        last("2026-11-16 03:05", "skipped"),
        last("2026-11-09 03:05", "ok"),
        replace(last("2026-11-02 03:05", "ok"), when=""),
        replace(last("2026-11-17 03:05", "ok"), when="daily 03:00"),
        replace(last("2026-11-16 11:00", "ok"), when="daily 10:30"),
    ],
)
def test_a_job_with_nothing_wrong_has_no_finding(state: SchedulerState) -> None:
    assert problems(state) == ()


def test_two_times_that_went_by_are_missed_only_when_the_run_is_late_too() -> None:
    state = last("2026-11-02 03:05", "ok")
    assert problems(state, now=ms("2026-11-16 05:59")) == ()
    assert [one.kind for one in problems(state, now=ms("2026-11-16 06:01"))] == ["missed_runs"]


@pytest.mark.parametrize(
    ("state", "history", "failed"),
    [
        # The history knows more than cron does, and more of what failed than systemd does.
        (CRON, (run("2026-11-16 03:05", "ok"),), ""),
        (CRON, (run("2026-11-16 03:05", "failed", error="time_limit"),), "70 (time_limit)"),
        (CRON, (run("2026-11-16 03:05", "busy", error="busy"),), ""),
        (CRON, (run("2026-11-16 03:05", "killed"),), "was killed"),
        (CRON, (run("2026-11-16 03:05", "running"),), ""),
        (
            CRON,
            (run("2026-11-16 03:05", "failed", error="x"), run("2026-11-18 11:59", "running")),
            "status 70",
        ),
        (
            last("2026-11-16 03:05", "failed", 70),
            (run("2026-11-16 03:05", "failed", error="mempalace_failed"),),
            "70 (mempalace_failed)",
        ),
        # A run by hand comes after; or one that never reached the program does.
        (last("2026-11-16 03:05", "failed", 70), (run("2026-11-17 09:00", "ok"),), ""),
        (last("2026-11-16 03:05", "failed", 203), (run("2026-11-12 09:00", "ok"),), "203"),
        (last("2026-11-16 03:05", "ok", 0), (run("2026-11-12 09:00", "failed"),), ""),
        (last("2026-11-16 03:05", "ok", 0), (run("2026-11-17 09:00", "failed"),), "status 70"),
        # launchd tells no time: what the history says, counts.
        (last(None, "failed", 70), (run("2026-11-16 03:05", "ok"),), ""),
        (last(None, "failed", 78), (), "78"),
        # Ctrl-C is a wish, a scheduler's SIGTERM a failure.
        (CRON, (run("2026-11-16 03:05", "interrupted", exit_code=130),), ""),
        (CRON, (run("2026-11-16 03:05", "interrupted", exit_code=143),), "by a signal"),
        (
            CRON,
            (run("2026-11-16 03:05", "interrupted", exit_code=130, started_by="cron"),),
            "by a signal",
        ),
        # Another job's runs are not this one's.
        (CRON, (run("2026-11-16 03:05", "failed", command="mempalace-pi-session"),), ""),
        (DEVBOX, (run("2026-11-17 03:05", "failed"),), ""),
    ],
)
def test_the_last_run_is_judged_by_scheduler_and_history(
    state: SchedulerState, history: tuple[RunRecord, ...], failed: str
) -> None:
    found = problems(state, history=history)
    assert [one.kind for one in found] == (["last_run_failed"] if failed else [])
    assert all(failed in one.message for one in found)


def test_damage_is_repaired_rather_than_run_again() -> None:
    (found,) = problems(CRON, history=(run("2026-11-16 03:05", "damaged", error="damaged"),))
    assert found.remedy == "mempalace-toolkit repair"


@pytest.mark.parametrize(("ended", "kinds"), [("2026-11-16 03:05", []), ("2026-10-26 03:05", None)])
def test_a_run_in_the_history_is_no_missed_one(ended: str, kinds: list[str] | None) -> None:
    state = replace(CRON, last=LastRun(ms("2026-11-01 03:05"), "unknown", None, None))
    found = [one.kind for one in problems(state, history=(run(ended),))]
    assert found == (["missed_runs"] if kinds is None else kinds)


def test_the_weekly_repair_is_found_in_the_history_by_its_own_name() -> None:
    state = replace(CRON, job="repair", when="Sun 04:00", last=None)
    failed = run("2026-11-15 04:05", "failed", command="mempalace-toolkit repair")
    (found,) = problems(state, history=(failed,))
    assert (found.kind, found.remedy) == ("last_run_failed", "mempalace-toolkit repair --yes")


@pytest.mark.parametrize(
    ("states", "surplus", "remedy"),
    [
        (
            (CRON, SOUND),
            "cron",
            "mempalace-toolkit schedule remove session --scheduler cron",
        ),
        (
            (replace(SOUND, enabled=False), CRON),
            "systemd",
            "mempalace-toolkit schedule remove session --scheduler systemd",
        ),
        (
            (SOUND, replace(SOUND, scope="system", files=("/etc/systemd/system/x.timer",))),
            "systemd",
            "sudo systemctl disable --now mempalace-session.timer",
        ),
        (
            (SOUND, replace(SOUND, scope="system", files=("/etc/systemd/user/x.timer",))),
            "systemd",
            "systemctl --user disable --now mempalace-session.timer",
        ),
        ((SOUND, replace(CRON, scope="system", files=("/etc/cron.d/x",))), "cron", "sudoedit"),
        (
            (SOUND, replace(SOUND, scheduler="launchd", scope="system", files=("/L/a.plist",))),
            "launchd",
            "sudo rm /L/a.plist",
        ),
    ],
)
def test_a_job_in_two_places_is_removed_from_the_lesser_one(
    states: tuple[SchedulerState, ...], surplus: str, remedy: str
) -> None:
    for order in (states, states[::-1]):
        found = [one for one in problems(*order) if one.kind == "installed_twice"]
        assert [(one.scheduler, one.remedy.startswith(remedy)) for one in found] == [
            (surplus, True)
        ]


@pytest.mark.parametrize(
    "states",
    [
        (SOUND, replace(SOUND, job="pi-session")),
        (SOUND, DEVBOX),
        (SOUND, replace(CRON, installed=False)),
    ],
)
def test_different_jobs_are_not_the_same_one_twice(states: tuple[SchedulerState, ...]) -> None:
    assert problems(*states) == ()


HOLDER = "PID 4711 (mempalace-mcp)"


@pytest.mark.parametrize(
    ("before", "count", "kinds"),
    [
        ((), 1, []),
        ((), 2, ["palace_held"]),
        ((run("2026-11-14 03:05", "failed"),), 3, ["palace_held"]),
        ((run("2026-11-17 04:05"),), 2, []),
    ],
    ids=["once", "twice", "after a failure", "ended since"],
)
def test_a_palace_that_is_held_again_and_again_is_told_with_its_holder(
    before: tuple[RunRecord, ...], count: int, kinds: list[str]
) -> None:
    busy = tuple(
        run(f"2026-11-{15 + day} 03:05", "busy", holder=HOLDER, error="busy")
        for day in range(count)
    )
    found = problems(CRON, history=(*before, *busy))
    assert [one.kind for one in found] == kinds
    for one in found:
        assert HOLDER in one.message
        assert f"last {count} runs, since 2026-11-15" in one.message
        assert "restart the program that it belongs to" in one.message
        assert one.remedy == "mempalace-session --wait 3600"
