"""The entries for cron under a real one: copied by hand, and installed by the command."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.schedule.private_machine import ODD, SOMEONE, Account
from tests.schedule.real_cron import TEMPLATES, CronMachine, missing_for_cron
from tests.schedule.waiting import wait_until

pytestmark = pytest.mark.skipif(bool(missing_for_cron()), reason=f"no cron: {missing_for_cron()}")

OWN = """# my own 100\\% `line`
MAILTO=""
* * * * * echo "mine" >>"$HOME/mine"; echo "$PATH" >"$HOME/path"

#	and a last one"""
PROGRAM = """#!/bin/sh
echo "${0##*/} $*" >>"$HOME/runs"
umask >>"$HOME/umask"
nice >>"$HOME/nice"
echo "said by ${0##*/} $*"
"""
ENGINE = """#!/bin/sh
case $1 in
  ps) echo work ;;
  exec) shift; [ "$1" = work ] || exit 1; shift; export INSIDE=1; exec "$@" ;;
esac
"""
WEEKLY = re.compile(r"^\d+ \d+ \* \* [\d*] umask", re.MULTILINE)
JOBS = ("session", "pi-session", "session-daily", "pi-session-daily", "repair")
# The log of each job, and what the job's program says to it.
LOGS = {
    "cron.log": {"said by mempalace-session ", "said by mempalace-session --no-repair"},
    "cron-pi.log": {"said by mempalace-pi-session ", "said by mempalace-pi-session --no-repair"},
    "cron-repair.log": {"said by mempalace-toolkit repair --yes"},
    "cron-devbox.log": {"said by mempalace-session "},
    "cron-pi-devbox.log": set(),
}


def machine(folder: Path, account: Account) -> CronMachine:
    """A cron for the account, with the real mempalace-toolkit and programs that tell of a run."""
    folder.mkdir()
    made = CronMachine(folder, account, folder / "home")
    for name in ("mempalace-session", "mempalace-pi-session"):
        made.put(f".local/bin/{name}", PROGRAM, 0o755)
    made.put(".local/bin/docker", ENGINE, 0o755)
    link = made.home / ".local/bin/mempalace-toolkit"
    link.symlink_to(Path(sys.executable).with_name("mempalace-toolkit"))
    made.take(OWN + "\n")
    return made


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, CronMachine]]:
    """One where the entries are copied, one where they are installed."""
    with ExitStack() as stack:
        made = {}
        for way, account in (("copied", SOMEONE), ("installed", ODD)):
            made[way] = stack.enter_context(closing(machine(tmp_path / way, account)))
        yield made


def copy_entries(cron: CronMachine) -> None:
    names = [*JOBS, "session-devbox", "pi-session-devbox"]
    texts = [(TEMPLATES / f"mempalace-{name}.cron").read_text() for name in names]
    texts[-2] = texts[-2].replace("CONTAINER=opencode-devbox", "CONTAINER=work")
    cron.take("".join([OWN, "\n", *texts]))


def install_entries(cron: CronMachine) -> None:
    install = ("mempalace-toolkit", "schedule", "install", "--scheduler", "cron")
    cron.do(*install, *JOBS)
    cron.do(*install, "session", "--devbox", "work")
    cron.do(*install, "pi-session", "--devbox", "resting")


def test_every_entry_fires_within_a_minute_and_makes_its_log(
    machines: dict[str, CronMachine],
) -> None:
    copy_entries(machines["copied"])
    install_entries(machines["installed"])
    for cron in machines.values():
        assert len(WEEKLY.findall(cron.crontab)) == 7
        cron.take(WEEKLY.sub("* * * * * umask", cron.crontab))
        cron.do("rm", ".local/bin/mempalace-toolkit")
        cron.put(".local/bin/mempalace-toolkit", PROGRAM, 0o755)
        assert not (cron.home / "runs").exists()
    for way, cron in machines.items():
        logs = cron.home / ".cache/mempalace-session"
        wait_for_logs(logs)
        assert {name: lines(logs / name) for name in LOGS} == LOGS, way
        assert logs.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in logs.iterdir()} == {0o600}
        assert lines(cron.home / "umask") == {"0077"}
        assert str(min(os.nice(0) + 10, 19)) in lines(cron.home / "nice")
        # Nothing of ours leaks into the user's own entries.
        assert lines(cron.home / "mine") == {"mine"}
        assert lines(cron.home / "path") == {"/usr/bin:/bin"}


def wait_for_logs(logs: Path) -> None:
    """Wait for the next minute, and a little for the programs."""

    def there() -> bool:
        return all(lines(logs / name) >= expected for name, expected in LOGS.items())

    wait_until(lambda: there() and (logs / "cron-pi-devbox.log").exists(), "the minute", 130)


def lines(file: Path) -> set[str]:
    return set(file.read_text().splitlines()) if file.exists() else set()


def test_installing_twice_changes_nothing_and_removing_leaves_what_was_there(
    machines: dict[str, CronMachine],
) -> None:
    cron = machines["installed"]
    before = cron.crontab
    install_entries(cron)
    once = cron.crontab
    assert once.endswith(before)
    install_entries(cron)
    assert cron.crontab == once
    cron.do("mempalace-toolkit", "schedule", "remove", "--scheduler", "cron")
    assert cron.crontab == before
