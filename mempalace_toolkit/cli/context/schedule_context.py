"""What `schedule` is asked for, put together with this process's user, places and programs."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mempalace_toolkit.cli.context.environment import Surroundings
from mempalace_toolkit.errors import ConfigurationError, UsageError
from mempalace_toolkit.history.runs import read_history
from mempalace_toolkit.palace.location import PALACE_VARIABLES
from mempalace_toolkit.schedule.calendar import When, next_runs, parse_when
from mempalace_toolkit.schedule.container import container_of, container_trouble
from mempalace_toolkit.schedule.job import DEVBOX, JobSetting, job_of, stems
from mempalace_toolkit.schedule.programs import Account
from mempalace_toolkit.schedule.schedulers import SCHEDULERS, Scheduler, find_scheduler
from mempalace_toolkit.schedule.status.machine_wide import system_states
from mempalace_toolkit.schedule.status.problems import find_problems

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.schedule_options import ScheduleOptions
    from mempalace_toolkit.history.record import RunRecord
    from mempalace_toolkit.schedule.job_state import ScheduleFinding, SchedulerState
    from mempalace_toolkit.schedule.steps import Plan

# What changes where a job reads and writes; a scheduler starts it without the user's settings.
PASSED_ON = (
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "OPENCODE_DB",
    "PI_CODING_AGENT_DIR",
    "PI_CODING_AGENT_SESSION_DIR",
    *PALACE_VARIABLES,
    "MEMPALACE_BACKEND",
    "MEMPALACE_CONFIG_DIR",
    "MEMPALACE_EMBEDDING_MODEL",
)
_DEFAULTS = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """Every job that is known of, its runs, and what is wrong."""

    states: tuple[SchedulerState, ...]
    history: tuple[RunRecord, ...]
    findings: tuple[ScheduleFinding, ...]

    @property
    def has_problems(self) -> bool:
        """Whether something keeps a job from its work; notes and warnings do not."""
        return any(finding.severity == "problem" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Places:
    """The surroundings of a `schedule` command."""

    here: Surroundings
    account: Account

    @classmethod
    def of_process(cls) -> Places:
        """Those of this process."""
        here = Surroundings.of_process()
        config = here.get("XDG_CONFIG_HOME") or ""
        return cls(
            here,
            Account(
                name=pwd.getpwuid(os.getuid()).pw_name,
                uid=os.getuid(),
                home=here.home,
                config=Path(config) if config.startswith("/") else here.home / ".config",
                data=here.xdg_data_home(),
                environment=here.environment,
                now_ms=here.now_ms,
                macos=sys.platform == "darwin",
            ),
        )

    def scheduler(self, name: str) -> tuple[str, Scheduler]:
        """The scheduler of that name, for `auto` the one that this machine has."""
        if name == "auto":
            name = find_scheduler(self.account)
        return name, self.all_schedulers(name)[name]

    def all_schedulers(self, name: str) -> Mapping[str, Scheduler]:
        """The scheduler of that name, for `auto` all of them. Raises UsageError."""
        if name == "auto":
            return SCHEDULERS
        if name not in SCHEDULERS:
            raise UsageError(f"there is no scheduler {name!r}", f"one of: auto, {_listed()}")
        return {name: SCHEDULERS[name]}

    def stems(self, wish: ScheduleOptions) -> tuple[str, ...]:
        """The jobs by their names in a scheduler; all where none is named."""
        if not wish.jobs:
            return tuple(one for one in stems() if not wish.devbox or one.endswith(DEVBOX))
        suffix = DEVBOX if wish.devbox else ""
        named = [one.removesuffix(suffix) + suffix for one in wish.jobs]
        return tuple(dict.fromkeys(stem for stem in named if job_of(stem)))

    def settings(
        self, wish: ScheduleOptions, default: Sequence[str], installed: Scheduler | None = None
    ) -> list[JobSetting]:
        """Each job as it is to be installed. Raises UsageError, ConfigurationError.

        Where no time is asked for, a job that `installed` has keeps the time that it has.
        """
        when = parse_when(wish.at) if wish.at else None
        found = [self._setting(stem, when, wish) for stem in dict.fromkeys(wish.jobs or default)]
        if when is not None or installed is None:
            return found
        return [self._at_its_time(setting, installed) for setting in found]

    def _at_its_time(self, setting: JobSetting, scheduler: Scheduler) -> JobSetting:
        state = scheduler.status(setting.stem, self.account)
        return replace(setting, when=parse_when(state.when)) if state.when else setting

    def plan_install(
        self, scheduler: Scheduler, setting: JobSetting, wish: ScheduleOptions
    ) -> Plan:
        """What makes a job run, with what the user agreed to overwrite."""
        return scheduler.plan_install(setting, self.account, wish.force, wish.adopt)

    def warnings(
        self, name: str, settings: Sequence[JobSetting], wish: ScheduleOptions
    ) -> list[str]:
        """What will keep installed jobs from their work, or has them done twice."""
        found = []
        for setting in settings:
            state = SCHEDULERS[name].status(setting.stem, self.account)
            asked = {"CONTAINER": setting.container, "ENGINE": setting.engine}
            box = container_of(asked, self.account)
            if box and (trouble := container_trouble(box)):
                found.append(f"{setting.stem}: {trouble}")
            if state.unmarked and not wish.adopt:
                found.append(
                    f"{setting.stem}: an entry of your own crontab runs it as well;"
                    f" replace that: mempalace-toolkit schedule install {setting.stem} --adopt"
                    f" --scheduler {name}"
                )
            if state.daemon_runs is False and setting == settings[0]:
                found.append(
                    f"no {name} daemon runs on this machine: no job ever starts."
                    " sudo systemctl enable --now cron || sudo service cron start"
                )
            if state.linger is False and setting == settings[0]:
                found.append(
                    "lingering is off: nothing runs while you are logged out."
                    " loginctl enable-linger"
                )
        return found

    def _setting(self, stem: str, when: When | None, wish: ScheduleOptions) -> JobSetting:
        job = job_of(stem)
        named = "opencode-devbox" if stem.endswith(DEVBOX) else ""
        container = wish.devbox or named
        return JobSetting(
            job=job,
            program=Path(job.program) if container else self._program(job.program),
            when=when or job.when,
            container=container,
            container_user=wish.container_user,
            engine=wish.engine,
            variables=() if container else self._variables(),
        )

    def _variables(self) -> tuple[tuple[str, str], ...]:
        told = ((name, self.here.get(name) or "") for name in PASSED_ON)
        usual = {name: str(self.account.home / folder) for name, folder in _DEFAULTS.items()}
        return tuple((name, value) for name, value in told if value and usual.get(name) != value)

    def _program(self, name: str) -> Path:
        """The command beside the running one: a link that stays when its target is replaced."""
        search = self.here.get("PATH")
        running = sys.argv[0] if os.sep in sys.argv[0] else shutil.which(sys.argv[0], path=search)
        beside = Path(running or "").absolute().with_name(name)
        found = beside if os.access(beside, os.X_OK) else shutil.which(name, path=search)
        if found is None:
            raise ConfigurationError(
                f"{name} is neither beside {running or sys.argv[0]} nor on the PATH",
                "install the toolkit (install.sh), then call it from there",
            )
        return Path(found).absolute()

    def next_runs(self, when: When) -> Sequence[int]:
        """The next three run times."""
        return next_runs(when, self.account.now_ms)

    def overview(self, wish: ScheduleOptions) -> Overview:
        """Everything that `status` tells."""
        asked = self.stems(wish)
        schedulers = self.all_schedulers(wish.scheduler)
        own = [one.status(stem, self.account) for one in schedulers.values() for stem in asked]
        whole = [one for one in system_states(self.account) if one.job in asked]
        states = tuple(state for state in (*own, *whole) if state.installed)
        history = read_history(self.here.state)
        return Overview(states, history, find_problems(states, history, self.account.now_ms))


def _listed() -> str:
    return ", ".join(SCHEDULERS)
