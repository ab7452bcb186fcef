"""A real cron daemon with a spool of its own on a private machine."""

from __future__ import annotations

from pathlib import Path

from tests.schedule.private_boot import CHECKOUT
from tests.schedule.private_machine import Account, PrivateMachine, missing

TEMPLATES = CHECKOUT / "contrib/cron"

# The machine's own crontabs stay out of it.
SERVICES = """
if [ -d /etc/cron.d ]; then mount -t tmpfs tmpfs /etc/cron.d; fi
if [ -e /etc/crontab ]; then mount --bind /dev/null /etc/crontab; fi
mkdir -m 1730 /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
cron -f &
until [ -e /run/crond.pid ]; do sleep 0.02; done
"""


def missing_for_cron() -> str:
    """Why there can be no such daemon here, or nothing."""
    return missing("cron", "crontab")


class CronMachine(PrivateMachine):
    """A running cron, and one user's crontab."""

    def __init__(self, folder: Path, account: Account, home: Path) -> None:
        """Start it for `account`, at home in the folder `home`; its files go to `folder`."""
        super().__init__(folder, account, home, SERVICES)

    @property
    def crontab(self) -> str:
        """The user's crontab."""
        return self.do("crontab", "-l")

    def take(self, crontab: str) -> None:
        """Make it the user's crontab."""
        self.put("crontab.new", crontab)
        self.do("crontab", "crontab.new")
