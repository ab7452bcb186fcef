"""The schedulers by name, and the one that this machine has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mempalace_toolkit.errors import ConfigurationError
from mempalace_toolkit.schedule.job import JobSetting
from mempalace_toolkit.schedule.job_state import SchedulerState
from mempalace_toolkit.schedule.programs import Account
from mempalace_toolkit.schedule.schedulers.cron import scheduler as cron
from mempalace_toolkit.schedule.schedulers.launchd import scheduler as launchd
from mempalace_toolkit.schedule.schedulers.systemd import scheduler as systemd
from mempalace_toolkit.schedule.steps import Plan


class Scheduler(Protocol):
    """What every scheduler's module offers."""

    def answers(self, account: Account) -> bool:
        """Whether it is there to talk to."""

    def render(self, setting: JobSetting, account: Account) -> dict[Path, bytes]:
        """Each file of a job and its content."""

    def plan_install(
        self, setting: JobSetting, account: Account, force: bool, adopt: bool = False
    ) -> Plan:
        """What makes the job run; no steps where it does already.

        `force` overwrites what was changed by hand, `adopt` only what the toolkit never wrote.
        """

    def plan_remove(self, stem: str, account: Account, force: bool) -> Plan:
        """What leaves nothing of it; no steps where there is nothing."""

    def status(self, stem: str, account: Account) -> SchedulerState:
        """What is known of the job."""


SCHEDULERS: Mapping[str, Scheduler] = {
    launchd.NAME: launchd,
    systemd.NAME: systemd,
    cron.NAME: cron,
}


def find_scheduler(account: Account) -> str:
    """The name of the first that answers. Raises ConfigurationError where none does."""
    for name, scheduler in SCHEDULERS.items():
        if scheduler.answers(account):
            return name
    raise ConfigurationError(
        "no scheduler answers: neither launchd, nor a systemd of this user, nor cron",
        "log in with a systemd session (not su), or install cron: apt-get install cron",
    )
