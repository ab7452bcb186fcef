"""contrib/README.md is true: every block in it is run, in order, on the real schedulers."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.schedule.documented_commands import GUIDE, Block, blocks
from tests.schedule.private_boot import CHECKOUT
from tests.schedule.private_machine import SOMEONE, PrivateMachine
from tests.schedule.real_cron import CronMachine, missing_for_cron
from tests.schedule.real_systemd import UserManager, link_toolkit, missing_for_systemd
from tests.schedule.waiting import wait_until

PROGRAM = '#!/bin/sh\necho "${0##*/} $*" >>"$HOME/runs"\necho taken in\n'
ENGINE = """#!/bin/sh
case $1 in
  ps) echo work ;;
  exec)
    echo "$1 $2 $3 $4" >>"$HOME/runs"
    shift 4; exec "$@" ;;
esac
"""
TESTED = ("One command", "systemd", "cron", "launchd", "Devbox", "Tuning")

needs_systemd = pytest.mark.skipif(
    bool(missing_for_systemd(logind=True)),
    reason=f"no real systemd: {missing_for_systemd(logind=True)}",
)


def furnish(machine: PrivateMachine) -> None:
    """Programs that tell of their runs, both agents' stores, and a container engine."""
    link_toolkit(machine)
    for name in ("mempalace-session", "mempalace-pi-session"):
        machine.put(f".local/bin/{name}", PROGRAM, 0o755)
    machine.put(".local/bin/podman", ENGINE, 0o755)
    machine.put(".local/share/opencode/opencode.db", "")
    machine.put(".pi/agent/sessions/there", "")
    before = "# mine\n0 0 * * * true\n"
    machine.put("mine.cron", before)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[UserManager]:
    """A user's systemd with logind."""
    machine = UserManager(tmp_path, SOMEONE, tmp_path / "home", logind=True)
    try:
        furnish(machine)
        engine = f"{SOMEONE.home}/.local/bin"  # where no test may put a file: /usr/bin
        machine.systemctl("set-environment", f"PATH={engine}:/usr/local/bin:/usr/bin:/bin")
        yield machine
    finally:
        machine.close()


@pytest.fixture
def cron(tmp_path: Path) -> Iterator[CronMachine]:
    """A cron, with a crontab of the user's own."""
    machine = CronMachine(tmp_path, SOMEONE, tmp_path / "home")
    try:
        furnish(machine)
        machine.do("crontab", "mine.cron")
        yield machine
    finally:
        machine.close()


def follow(machine: PrivateMachine, section: str, heading: str) -> str:
    """Do as it is written there; what was said on stdout."""
    found = blocks(section, heading)
    assert found, (section, heading)
    return "".join(type_in(machine, block) for block in found if block.is_run)


def type_in(machine: PrivateMachine, block: Block) -> str:
    command = ("sh", "-euc", f"cd '{CHECKOUT}'\n{block.text}")
    answer = machine.run(*command, as_root=block.as_root)
    assert answer.code == 0, (block, answer)
    return answer.out


def ours(machine: PrivateMachine) -> list[str]:
    """Every file of ours in the user's folders, apart from the programs and their state."""
    names = [path for path in machine.home.rglob("*mempalace*") if path.is_file()]
    relative = (str(path.relative_to(machine.home)) for path in names)
    return sorted(name for name in relative if not name.startswith(".local/bin/"))


def runs(machine: PrivateMachine) -> list[str]:
    log = machine.home / "runs"
    return log.read_text().splitlines() if log.exists() else []


def active(machine: UserManager) -> set[str]:
    listed = machine.systemctl("list-timers", "--no-legend", "mempalace-*").split()
    return {word for word in listed if word.endswith(".timer")}


@needs_systemd
def test_the_systemd_section_is_true(systemd: UserManager) -> None:
    follow(systemd, "systemd", "Install")
    both = {"mempalace-session.timer", "mempalace-pi-session.timer"}
    assert active(systemd) == both
    assert systemd.do("loginctl", "show-user", "-P", "Linger", SOMEONE.name) == "yes\n"
    told = follow(systemd, "systemd", "Verify")
    assert all(timer in told for timer in both)
    follow(systemd, "systemd", "Force a run")
    assert runs(systemd) == ["mempalace-session "]
    (force,) = blocks("systemd", "Force a run")
    ask = force.text.splitlines()[-1]  # journald takes a line in a moment after it was said
    wait_until(lambda: "taken in" in systemd.do("sh", "-c", ask), "the journal has it", 60)
    follow(systemd, "systemd", "Change the time")
    assert "Mon,Thu *-*-* 12:30" in systemd.property("mempalace-session.timer", "TimersCalendar")
    follow(systemd, "systemd", "Uninstall")
    assert (active(systemd), ours(systemd)) == (set(), [])


@needs_systemd
def test_the_sections_of_the_one_command_are_true(systemd: UserManager) -> None:
    systemd.run("loginctl", "enable-linger", SOMEONE.name, as_root=True)
    told = follow(systemd, "One command", "Install")
    assert "Mon,Thu *-*-* 12:30" in systemd.property("mempalace-session.timer", "TimersCalendar")
    assert "ExecStart=" in told
    assert active(systemd) == {"mempalace-session.timer", "mempalace-pi-session.timer"}
    follow(systemd, "One command", "Verify")
    follow(systemd, "Tuning", "Install by the one command")
    tuned = ("session-daily", "pi-session-daily", "repair")
    assert active(systemd) == {f"mempalace-{job}.timer" for job in tuned}
    follow(systemd, "Devbox", "Install by the one command")
    assert len(active(systemd)) == 5
    follow(systemd, "Devbox", "Force a run")
    assert runs(systemd) == ["exec -u dev work", "mempalace-session "]
    follow(systemd, "One command", "Uninstall")
    assert (active(systemd), ours(systemd)) == (set(), [])


@needs_systemd
def test_the_sections_on_devbox_and_tuning_are_true_by_hand(systemd: UserManager) -> None:
    follow(systemd, "Tuning", "Install by hand")
    assert len(active(systemd)) == 3
    follow(systemd, "Devbox", "Install by hand")
    follow(systemd, "Devbox", "Force a run")
    assert runs(systemd) == ["exec -u dev work", "mempalace-session "]
    follow(systemd, "Devbox", "Uninstall")
    follow(systemd, "Tuning", "Uninstall")
    shutil.rmtree(systemd.home / ".local/share/systemd")
    assert (active(systemd), ours(systemd)) == (set(), [])


@pytest.mark.skipif(bool(missing_for_cron()), reason=f"no cron: {missing_for_cron()}")
def test_the_cron_section_is_true(cron: CronMachine) -> None:
    mine = cron.crontab
    follow(cron, "cron", "Install")
    once = cron.crontab
    assert once.endswith(mine)
    assert once.count(" begin\n") == 2
    follow(cron, "cron", "Install")
    assert cron.crontab == once
    follow(cron, "cron", "Verify")
    assert "taken in" in follow(cron, "cron", "Force a run")
    assert runs(cron) == ["mempalace-session "]
    follow(cron, "cron", "Uninstall")
    assert cron.crontab == mine
    assert ours(cron) == []


def test_the_launchd_files_come_out_right_as_far_as_they_can_be_made_here(tmp_path: Path) -> None:
    (made,) = [block for block in blocks("launchd", "Install") if block.is_run]
    subprocess.run(
        ["sh", "-euc", made.text],
        cwd=CHECKOUT,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    for job in ("session", "pi-session"):
        label = f"se.jordbo.mempalace-{job}"
        content = (tmp_path / f"Library/LaunchAgents/{label}.plist").read_bytes()
        assert plistlib.loads(content)["Label"] == label
        assert b"USER" not in content
        assert plistlib.loads(content)["ProgramArguments"][0].startswith(str(tmp_path))


def test_no_block_is_left_out_silently() -> None:
    assert {block.section for block in blocks()} == set(TESTED)
    untested = [block for block in blocks() if not block.is_run]
    assert {block.section for block in untested} == {"launchd"}
    assert GUIDE.read_text().count("\n```sh\n") == len(blocks())
    source = Path(__file__).read_text()
    for block in blocks():
        if block.section != "launchd":
            assert f'"{block.section}", "{block.heading}"' in source, block
