"""What a container engine says of a container."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from mempalace_toolkit.schedule.job import ENGINES
from mempalace_toolkit.schedule.job_state import Container, ContainerState
from mempalace_toolkit.schedule.programs import NO_PROGRAM, Account, call


def container_of(settings: Mapping[str, str], account: Account) -> Container | None:
    """The container that a template's settings name, and how it is; None where they name none."""
    name = settings.get("CONTAINER", "")
    if not name:
        return None
    engine = settings.get("ENGINE", "") or ENGINES[0]
    user, state = settings.get("CONTAINER_USER", ""), _state(engine, name, account)
    return Container(name, engine, user, state, _other(state, engine, account))


def _state(engine: str, name: str, account: Account) -> ContainerState:
    """Whether the container of exactly that name runs. The engine may be down, or not there."""
    form = "{{.Names}}\t{{.State}}"
    ended = call((engine, "ps", "--all", "--format", form), account, seconds=30)
    if ended.code == NO_PROGRAM:
        return "engine missing"
    if ended.code != 0:
        return "engine down"
    states = dict(line.split("\t", 1) for line in ended.text.splitlines() if "\t" in line)
    if name not in states:
        return "missing"
    return "running" if states[name].strip().lower() == "running" else "stopped"


def _other(state: ContainerState, engine: str, account: Account) -> str:
    """Another engine that the machine has, where the one that was named is not installed."""
    if state != "engine missing":
        return ""
    there = (one for one in ENGINES if one != engine)
    path = account.environment.get("PATH")
    return next((one for one in there if shutil.which(one, path=path)), "")


def container_trouble(box: Container) -> str:
    """What keeps the jobs of a container from their work; empty where nothing does."""
    troubles: dict[ContainerState, str] = {
        "stopped": f"the container {box.name} does not run: every run is skipped",
        "missing": f"the container {box.name} is not there: every run is skipped",
        "engine down": f"{box.engine} does not answer: every run fails",
        "engine missing": f"{box.engine} is not installed on this machine: every run fails",
    }
    return troubles.get(box.state, "")
