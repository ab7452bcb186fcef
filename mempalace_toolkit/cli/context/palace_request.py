"""The palace that a command is about, as the process, the configuration and its options say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.config import Configuration
    from mempalace_toolkit.palace.location import PalaceLocation
    from mempalace_toolkit.pipeline import PalaceRequest


def palace_request(
    surroundings: Surroundings,
    command: str,
    palace: PalaceLocation,
    settings: Configuration,
    wait: float | None = None,
) -> PalaceRequest:
    """What work on the palace needs to know; `wait` is the command line's, where it names one."""
    from mempalace_toolkit.model.ensure import ModelRequest
    from mempalace_toolkit.model.location import model_folder
    from mempalace_toolkit.pipeline import PalaceRequest

    return PalaceRequest(
        command=command,
        palace=palace,
        data=surroundings.data,
        home=surroundings.home,
        model=ModelRequest(cache=model_folder(surroundings.home)),
        environment=surroundings.environment,
        now_ms=surroundings.now_ms,
        stamp=surroundings.stamp,
        wait=settings.wait if wait is None else wait,
        quarantine_bytes=settings.quarantine_bytes,
    )
