"""A real `systemd --user` with its journal on a private machine, whatever the host's first process.

The manager gets a cgroup of its own to delegate from: begun in the root cgroup it would move every
process of the machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.schedule.private_boot import CHECKOUT
from tests.schedule.private_machine import Account, PrivateMachine, missing

TEMPLATES = CHECKOUT / "contrib/systemd"
WAYS = ("copied", "installed")
JOBS = ("session", "pi-session")
EVERY_SECOND = """[Timer]
OnCalendar=
OnCalendar=*:*:*
AccuracySec=1ms
RandomizedDelaySec=0
"""
PROGRAMS = ("systemd-journald", "systemd", "systemctl", "journalctl", "systemd-analyze")

# journald keeps a file for each user only where it keeps them for good, so for good it is.
SERVICES = """
mkdir -p /run/systemd/system /run/systemd/journal /run/systemd/journald.conf.d
mkdir -p "/var/log/journal/$(cat /etc/machine-id)"
printf '[Journal]\\nStorage=persistent\\nReadKMsg=no\\nRateLimitIntervalSec=0\\n' \
  >/run/systemd/journald.conf.d/test.conf
: >/run/systemd/journal/flushed
enter() { mkdir -p "$1" && echo 0 >"$1/cgroup.procs"; }
(enter /sys/fs/cgroup/journald; exec systemd-journald) &
manager=/sys/fs/cgroup/user.slice/user-$ACCOUNT_ID.slice/user@$ACCOUNT_ID.service
(
  mkdir -p "$manager"
  enter "$manager/init.scope"
  chown -R "$ACCOUNT_ID" "$manager"
  until [ -S /run/systemd/journal/socket ]; do sleep 0.02; done
  exec env -i HOME="$HOME_INSIDE" PATH=/usr/local/bin:/usr/bin:/bin SHELL=/bin/sh \
    XDG_RUNTIME_DIR="/run/user/$ACCOUNT_ID" LANG=C.UTF-8 \
    setpriv --reuid "$ACCOUNT_ID" --regid "$ACCOUNT_ID" --clear-groups \
    "$(command -v systemd)" --user --log-target=journal
) &
until [ -S "/run/user/$ACCOUNT_ID/systemd/private" ]; do sleep 0.02; done
"""

LOGIND = """
mkdir -p /run/dbus
(
  enter /sys/fs/cgroup/logind
  dbus-daemon --system --fork --nopidfile
  exec systemd-logind
) &
until loginctl list-users >/dev/null 2>&1; do sleep 0.02; done
"""


def missing_for_systemd(logind: bool = False) -> str:
    """Why there can be no such manager here, or nothing."""
    return missing(*PROGRAMS, *(("dbus-daemon", "systemd-logind") if logind else ()))


class UserManager(PrivateMachine):
    """A running `systemd --user`."""

    def __init__(self, folder: Path, account: Account, home: Path, logind: bool = False) -> None:
        """Start it for `account`, at home in the folder `home`; its files go to `folder`."""
        super().__init__(folder, account, home, SERVICES + (LOGIND if logind else ""))

    def unit(self, name: str, text: str) -> None:
        """Write a unit or, by `NAME.d/FILE`, a drop-in, and have it read."""
        self.put(f".config/systemd/user/{name}", text)
        self.systemctl("daemon-reload")

    def systemctl(self, *arguments: str) -> str:
        """`systemctl --user`, which has to succeed."""
        return self.do("systemctl", "--user", *arguments)

    def start(self, unit: str) -> int:
        """Start a unit and, where it is oneshot, wait for its end; the exit status of that."""
        return self.run("systemctl", "--user", "start", unit).code

    def property(self, unit: str, name: str) -> str:
        """What `systemctl show` says of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).strip()


def link_toolkit(machine: PrivateMachine) -> None:
    """Put the real mempalace-toolkit where install.sh would."""
    link = machine.home / ".local/bin/mempalace-toolkit"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path(sys.executable).with_name("mempalace-toolkit"))


def install(machine: UserManager, way: str, job: str) -> str:
    """Put a job's units in place; the name that they share."""
    name, _, devbox = job.partition("/")
    unit = f"mempalace-{name}-devbox" if devbox else f"mempalace-{name}"
    if way == "copied":
        for kind in ("service", "timer"):
            file = f"{unit}.{kind}"
            machine.put(f".config/systemd/user/{file}", (TEMPLATES / file).read_text())
        machine.systemctl("daemon-reload")
        machine.systemctl("enable", "--now", f"{unit}.timer")
    else:
        arguments = ("--devbox", devbox) if devbox else ()
        machine.do(
            *("mempalace-toolkit", "schedule", "install", name),
            *("--scheduler", "systemd", *arguments),
        )
    return unit
