"""What a container engine says of a container."""

from __future__ import annotations

from collections.abc import Mapping

from mempalace_toolkit.schedule.job import ENGINES
from mempalace_toolkit.schedule.job_state import Container, ContainerState
from mempalace_toolkit.schedule.programs import Account, call


def container_of(settings: Mapping[str, str], account: Account) -> Container | None:
    """The container that a template's settings name, and how it is; None where they name none."""
    name = settings.get("CONTAINER", "")
    if not name:
        return None
    engine = settings.get("ENGINE", "") or ENGINES[0]
    return Container(
        name, engine, settings.get("CONTAINER_USER", ""), _state(engine, name, account)
    )


def _state(engine: str, name: str, account: Account) -> ContainerState:
    """Whether the container of exactly that name runs. The engine may be down, or not there."""
    form = "{{.Names}}\t{{.State}}"
    ended = call((engine, "ps", "--all", "--format", form), account, seconds=30)
    if ended.code != 0:
        return "engine down"
    states = dict(line.split("\t", 1) for line in ended.text.splitlines() if "\t" in line)
    if name not in states:
        return "missing"
    return "running" if states[name].strip().lower() == "running" else "stopped"
