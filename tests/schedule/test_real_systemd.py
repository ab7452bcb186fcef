"""The systemd templates on a real `systemd --user`: copied by hand, then by the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.schedule.private_boot import CHECKOUT
from tests.schedule.private_cgroup import is_empty
from tests.schedule.private_machine import ODD, SOMEONE, Account
from tests.schedule.real_systemd import (
    EVERY_SECOND,
    JOBS,
    TEMPLATES,
    WAYS,
    UserManager,
    install,
    link_toolkit,
    missing_for_systemd,
)
from tests.schedule.waiting import wait_until

STORES = {"session": ".local/share/opencode/storage", "pi-session": ".pi/agent/sessions"}
LOGGING = '#!/bin/sh\necho ran >>"$HOME/runs"\n'
ENGINE = """#!/bin/sh
echo "$*" >>"$HOME/engine.log"
case $1 in
  ps) [ ! -e "$HOME/engine-is-down" ] && cat "$HOME/running" ;;
  exec)
    shift
    [ "$1" != -u ] || shift 2
    grep -Fqx "$1" "$HOME/running" && shift && exec "$@" ;;
  *) exit 64 ;;
esac
"""

pytestmark = pytest.mark.skipif(
    bool(missing_for_systemd()), reason=f"no real systemd: {missing_for_systemd()}"
)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[UserManager]:
    """A user's systemd, where both agents have been used and both programs log their runs."""
    machine = UserManager(tmp_path, SOMEONE, tmp_path / "home")
    try:
        for job in JOBS:
            machine.put(f".local/bin/mempalace-{job}", LOGGING, 0o755)
            machine.put(f"{STORES[job]}/there", "")
        link_toolkit(machine)
        yield machine
    finally:
        machine.close()


def runs(machine: UserManager) -> int:
    """How often the programs ran."""
    log = machine.home / "runs"
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for_runs(machine: UserManager, number: int) -> None:
    """Wait until the programs have run that often."""
    wait_until(lambda: runs(machine) >= number, f"{number} runs", 60)


def wait_for_answer(machine: UserManager, command: tuple[str, ...], word: str) -> None:
    """Repeat a command until it says a word."""
    wait_until(lambda: word in machine.do(*command), f"{word} from {command}", 60)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("job", JOBS)
def test_the_timer_runs_the_job(manager: UserManager, way: str, job: str) -> None:
    unit = install(manager, way, job)
    assert manager.property(f"{unit}.timer", "ActiveState") == "active"
    assert runs(manager) == 0
    manager.unit(f"{unit}.timer.d/test.conf", EVERY_SECOND)
    manager.systemctl("restart", f"{unit}.timer")
    wait_for_runs(manager, 1)
    manager.systemctl("stop", f"{unit}.timer")
    wait_until(lambda: manager.property(f"{unit}.service", "ActiveState") == "inactive", "its end")
    assert manager.property(f"{unit}.service", "Result") == "success"


# What each job's program is called with.
CALLS = {
    "session": "mempalace-session ",
    "pi-session": "mempalace-pi-session ",
    "session-daily": "mempalace-session --no-repair",
    "pi-session-daily": "mempalace-pi-session --no-repair",
    "repair": "mempalace-toolkit repair --yes",
}


# systemd takes no quotes in what %h stands for: an odd home needs the one command.
@pytest.mark.parametrize(
    ("way", "account"), [("copied", SOMEONE), ("installed", SOMEONE), ("installed", ODD)]
)
def test_every_job_calls_its_program_whatever_the_home_is_called(
    tmp_path: Path, way: str, account: Account
) -> None:
    with closing(UserManager(tmp_path, account, tmp_path / "home")) as machine:
        link_toolkit(machine)
        told = '#!/bin/sh\necho "${0##*/} $*" >>"$HOME/runs"\n'
        for job in JOBS:
            machine.put(f".local/bin/mempalace-{job}", told, 0o755)
            machine.put(f"{STORES[job]}/there", "")
        units = [install(machine, way, job) for job in CALLS]
        (machine.home / ".local/bin/mempalace-toolkit").unlink()
        machine.put(".local/bin/mempalace-toolkit", told, 0o755)
        for unit in units:
            assert machine.start(f"{unit}.service") == 0, unit
        assert (machine.home / "runs").read_text().splitlines() == list(CALLS.values())


@pytest.mark.parametrize("way", WAYS)
def test_a_missed_run_is_made_up_for(manager: UserManager, way: str) -> None:
    unit = install(manager, way, "session")
    manager.unit(f"{unit}.timer.d/test.conf", "[Timer]\nRandomizedDelaySec=0\n")
    stamp = manager.home / f".local/share/systemd/timers/stamp-{unit}.timer"
    for age_days, expected in ((0, 0), (8, 1)):
        manager.systemctl("stop", f"{unit}.timer")
        then = time.time() - age_days * 86_400
        os.utime(stamp, (then, then))
        manager.systemctl("start", f"{unit}.timer")
        wait_for_runs(manager, expected)
    assert runs(manager) == 1
    assert manager.property(f"{unit}.service", "Result") == "success"


@pytest.mark.parametrize("way", WAYS)
def test_where_the_agent_was_never_used_the_job_is_skipped(manager: UserManager, way: str) -> None:
    places = {
        "session": {
            "": False,
            ".local/share/opencode/log": False,
            ".pi/agent/sessions": False,
            ".local/share/opencode/opencode.db": True,
            ".local/share/opencode/opencode-dev.db": True,
            ".local/share/opencode/storage/session": True,
        },
        "pi-session": {
            "": False,
            ".pi/agent/settings.json": False,
            ".local/share/opencode/opencode.db": False,
            ".pi/agent/sessions/there": True,
        },
    }
    for job, cases in places.items():
        unit = install(manager, way, job)
        for place, used in cases.items():
            for folder in (".local/share/opencode", ".pi"):
                shutil.rmtree(manager.home / folder, ignore_errors=True)
            if place:
                manager.put(place, "")
            before = runs(manager)
            assert manager.start(f"{unit}.service") == 0, place
            assert runs(manager) - before == used, (job, place)
            assert manager.property(f"{unit}.service", "Result") == "success"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("job", JOBS)
def test_the_job_runs_gently_and_can_gain_no_rights(
    manager: UserManager, way: str, job: str
) -> None:
    script = """#!/bin/sh
: >"$HOME/made"
{ nice; ionice; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; umask
  unshare --user true 2>/dev/null || echo no namespace; } >"$HOME/said"
"""
    unit = install(manager, way, job)
    manager.put(f".local/bin/mempalace-{job}", script, 0o755)
    assert manager.start(f"{unit}.service") == 0
    said = (manager.home / "said").read_text().split("\n")
    assert said == ["10", "idle", "NoNewPrivs:\t1", "Seccomp:\t2", "0077", "no namespace", ""]
    assert (manager.home / "made").stat().st_mode & 0o777 == 0o600


# What the engine knows to run, whether it answers: how the start ends, the unit's result, runs.
CONTAINERS = {
    "it runs": ("other\nopencode-devbox\n", True, 0, "success", 1),
    "nothing runs": ("", True, 0, "exec-condition", 0),
    "others run": (
        "opencode-devbox-2\nmy-opencode-devbox\nopencode.devbox\n",
        True,
        0,
        "exec-condition",
        0,
    ),
    "the engine is down": ("opencode-devbox\n", False, 1, "exit-code", 0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("job", JOBS)
def test_a_container_is_entered_where_it_runs_and_else_skipped(
    manager: UserManager, way: str, job: str
) -> None:
    manager.put("engine/docker", ENGINE, 0o755)
    unit = install(manager, way, f"{job}/opencode-devbox")
    path = "[Service]\nEnvironment=PATH=%h/engine:/usr/bin:/bin\n"
    manager.unit(f"{unit}.service.d/test.conf", path)
    for case, (running, answers, code, result, expected) in CONTAINERS.items():
        manager.put("running", running)
        if not answers:
            manager.put("engine-is-down", "")
        before = runs(manager)
        assert manager.start(f"{unit}.service") == code, case
        assert manager.property(f"{unit}.service", "Result") == result, case
        assert runs(manager) - before == expected, case


@pytest.mark.parametrize("way", WAYS)
def test_the_container_its_user_and_the_engine_can_be_named(manager: UserManager, way: str) -> None:
    unit = install(manager, way, "session/opencode-devbox")
    manager.put("engine/podman", ENGINE, 0o755)
    manager.put("running", "work box\n")
    settings = ["PATH=%h/engine:/usr/bin:/bin", "ENGINE=podman", "CONTAINER_USER=dev"]
    lines = [f"Environment={line}\n" for line in [*settings, '"CONTAINER=work box"']]
    manager.unit(f"{unit}.service.d/test.conf", "".join(["[Service]\n", *lines]))
    assert manager.start(f"{unit}.service") == 0
    assert runs(manager) == 1
    assert "exec -u dev work box sh -c" in (manager.home / "engine.log").read_text()


@pytest.mark.parametrize("way", WAYS)
def test_the_ceiling_ends_the_run_and_its_children(manager: UserManager, way: str) -> None:
    unit = install(manager, way, "session")
    stubborn = """#!/bin/sh
sh -c 'trap "" TERM; echo $$ >>"$HOME/pids"; while :; do sleep 1; done' &
setsid sh -c 'echo $$ >>"$HOME/pids"; exec sleep 600' &
echo $$ >>"$HOME/pids"
wait
"""
    manager.put(".local/bin/mempalace-session", stubborn, 0o755)
    manager.unit(
        f"{unit}.service.d/test.conf", "[Service]\nTimeoutStartSec=1s\nTimeoutStopSec=1s\n"
    )
    assert manager.start(f"{unit}.service") == 1
    assert manager.property(f"{unit}.service", "Result") == "timeout"
    pids = (manager.home / "pids").read_text().split()
    assert len(pids) == 3
    for pid in pids:
        assert manager.run("kill", "-0", pid).code == 1, pid


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_is_told_and_a_busy_palace_is_none(manager: UserManager, way: str) -> None:
    unit = install(manager, way, "session")
    tell = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo told >>%h/told'\n"
    manager.unit("tell.service", tell)
    manager.unit(f"{unit}.service.d/test.conf", "[Unit]\nOnFailure=tell.service\n")
    for code, fails in ((0, False), (75, False), (70, True), (65, True), (1, True)):
        manager.put(".local/bin/mempalace-session", f"#!/bin/sh\nexit {code}\n", 0o755)
        (manager.home / "told").unlink(missing_ok=True)
        assert manager.start(f"{unit}.service") == fails, code
        state = "failed" if fails else "inactive"
        assert manager.property(f"{unit}.service", "ActiveState") == state, code
        if fails:
            wait_until((manager.home / "told").exists, "the failure is told", 60)
    manager.start("tell.service")
    assert (manager.home / "told").read_text() == "told\ntold\n"


def test_what_the_job_says_is_in_the_users_journal(manager: UserManager) -> None:
    unit = install(manager, "copied", "session")
    manager.put(".local/bin/mempalace-session", "#!/bin/sh\necho zeppelin\n", 0o755)
    manager.start(f"{unit}.service")
    # By the name, not by -u: who said a line is unknown once that process has ended.
    asked = ("journalctl", "--user", "--no-pager", "-t", unit)
    wait_for_answer(manager, asked, "zeppelin")


def test_every_template_is_right_in_systemds_eyes_and_a_mistyped_key_is_not(
    manager: UserManager,
) -> None:
    verify = ("systemd-analyze", "verify", "--user", "--recursive-errors=no", "--man=no")
    names = sorted(path.name for path in TEMPLATES.iterdir())
    assert len(names) == 14
    for name in names:
        manager.put(f"units/{name}", (TEMPLATES / name).read_text())
    answer = manager.run(*verify, *(f"units/{name}" for name in names))
    assert (answer.code, answer.out) == (0, ""), answer
    for wrong in ("Persistant=true", "OnCalendar=Mun 03:00"):
        text = (TEMPLATES / "mempalace-session.timer").read_text()
        manager.put("wrong/mempalace-session.timer", text.replace("Persistent=true", wrong))
        assert manager.run(*verify, "wrong/mempalace-session.timer").code != 0, wrong


def test_a_killed_test_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    script = """
import sys, time
from pathlib import Path
from tests.schedule.private_machine import ODD, SOMEONE, Account
from tests.schedule.real_systemd import UserManager
folder = Path(sys.argv[1])
machine = UserManager(folder, SOMEONE, folder / "home")
machine.unit("long.service", "[Service]\\nExecStart=sleep 600\\n")
machine.start("long.service")
machine.do("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &")
print(machine._cgroup, flush=True)
time.sleep(600)
"""
    test = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert test.stdout is not None
    cgroup = Path(test.stdout.readline().strip())
    assert not is_empty(cgroup)
    test.send_signal(signal.SIGKILL)
    test.communicate()
    wait_until(lambda: is_empty(cgroup), "all ends", 60)
    assert Path("/proc/self/mounts").read_text() == mounts
    (tmp_path / "next").mkdir()
    UserManager(tmp_path / "next", SOMEONE, tmp_path / "next/home").close()
    assert not cgroup.exists()
