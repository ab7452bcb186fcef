"""The command lines that mend what is wrong with a scheduled job."""

from __future__ import annotations

import shlex
from dataclasses import replace

from mempalace_toolkit.schedule.job import DEVBOX, ENGINES, JOBS
from mempalace_toolkit.schedule.job_state import Container, SchedulerState


def command_of(state: SchedulerState) -> str:
    """What the run history calls the job's command."""
    job = JOBS[state.job.removesuffix(DEVBOX)]
    return " ".join((job.program, *(word for word in job.arguments if not word.startswith("-"))))


def run_by_hand(state: SchedulerState, *more: str) -> str:
    """The same work, now, with its words on the screen."""
    job = JOBS[state.job.removesuffix(DEVBOX)]
    command = shlex.join((job.program, *job.arguments, *more))
    if not state.job.endswith(DEVBOX):
        return command
    box = state.container or Container("opencode-devbox", ENGINES[0])
    user = ("-u", box.user) if box.user else ()
    # As the job itself does: ~/.local/bin is on no container's PATH by itself.
    inside = f"PATH=$HOME/.local/bin:$PATH; exec {command}"
    return shlex.join((box.engine, "exec", *user, box.name, "sh", "-c", inside))


def wait_for_palace(state: SchedulerState) -> str:
    """The same work, which takes the palace as soon as it is let go of."""
    return run_by_hand(state, "--wait", "3600")


def install_again(state: SchedulerState, *options: str) -> str:
    """Put it in place as it was, with what it is told by its schedule."""
    words = ["mempalace-toolkit", "schedule", "install", state.job, *options]
    words += ["--scheduler", state.scheduler]
    if state.when:
        words += ["--at", state.when]
    if state.container:
        words += ["--devbox", state.container.name, *_engine(state.container)]
        words += ["--container-user", state.container.user] if state.container.user else []
    return shlex.join(words)


def enable(state: SchedulerState) -> str:
    """Have its times count."""
    if state.scheduler != "systemd":
        return install_again(state)
    return f"{_systemctl(state)} enable --now mempalace-{state.job}.timer"


def remove(state: SchedulerState) -> str:
    """Take it away; what was installed for the whole machine is not ours to take."""
    if state.scope == "user":
        if state.scheduler == "cron" and state.foreign:
            return "crontab -e"
        words = ("schedule", "remove", state.job, "--scheduler", state.scheduler)
        forced = ("--force",) if state.edited else ()
        return shlex.join(("mempalace-toolkit", *words, *forced))
    if state.scheduler == "systemd":
        return f"{_systemctl(state)} disable --now mempalace-{state.job}.timer"
    verb = ("sudoedit",) if state.scheduler == "cron" else ("sudo", "rm")
    return shlex.join((*verb, *state.files))


def adopt(state: SchedulerState) -> str:
    """Put the toolkit's own in place of what another recipe installed."""
    return install_again(state, "--adopt")


def start_daemon(state: SchedulerState) -> str:
    """Have the scheduler itself run, now and after the next start of the machine."""
    return "sudo systemctl enable --now cron || sudo service cron start"


def start_container(state: SchedulerState, box: Container) -> str:
    """Bring back what the job runs in. Podman has no service that could be down; it tells why."""
    if box.state == "engine missing":
        if not box.other_engine:
            return f"sudo apt-get install {'podman' if box.engine == 'podman' else 'docker.io'}"
        there = replace(box, engine=box.other_engine)
        return install_again(replace(state, container=there))
    if box.state == "engine down":
        return "podman info" if box.engine == "podman" else "sudo systemctl start docker"
    if box.state == "missing":
        words = ("schedule", "install", state.job, "--devbox", "NAME", *_engine(box))
        return shlex.join(("mempalace-toolkit", *words))
    return shlex.join((box.engine, "start", box.name))


def make_log_folder(state: SchedulerState) -> str:
    """The folder for the log, for its owner alone."""
    return f"mkdir -p -m 700 {shlex.quote(state.log_folder)}"


def _engine(box: Container) -> tuple[str, ...]:
    return () if box.engine == ENGINES[0] else ("--engine", box.engine)


def _systemctl(state: SchedulerState) -> str:
    """The manager that has the unit: a user's own also has units that lie in /etc."""
    for_user = state.scope == "user" or any("/systemd/user/" in file for file in state.files)
    return "systemctl --user" if for_user else "sudo systemctl"
