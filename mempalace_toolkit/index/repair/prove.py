"""Proves a palace from outside: a child asks for every drawer, and for known ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.index.repair.build import stream
from mempalace_toolkit.index.salvage.salvaged import Origin, Salvage
from mempalace_toolkit.index.workers.run import ChildTask, run_child
from mempalace_toolkit.palace.location import PalaceLocation

KNOWN_DRAWERS = 32
_SECONDS = 600.0
_LEFT_OUT_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client of the collection saw.

    `reached` of `drawers` came back from one query for all of them, `found` of `asked` known
    drawers from a query for their vector. `failure` is how the child ended, if badly.
    """

    collection: str
    drawers: int
    reached: int = 0
    asked: int = 0
    found: int = 0
    failure: str = ""

    @property
    def holds(self) -> bool:
        """Whether the index answers for its drawers.

        A graph of this kind may leave a drawer in a thousand out of one query for all, or one
        of a few hundred; those that were asked for by their vector must all be found.
        """
        enough = self.left_out <= max(1.0, self.drawers * _LEFT_OUT_SHARE)
        return not self.failure and enough and self.found == self.asked

    @property
    def left_out(self) -> int:
        """The drawers that the query for all did not bring."""
        return self.drawers - self.reached

    @property
    def is_worth_another_try(self) -> bool:
        """Whether other links between the same vectors may reach more of the drawers."""
        missed = self.left_out > self.drawers * _LEFT_OUT_SHARE or self.found < self.asked
        return not self.failure and missed

    def line(self) -> str:
        """What was seen, for a person."""
        if self.failure:
            return f"{self.collection}: {self.failure}"
        return (
            f"{self.collection}: {self.reached:,} of {self.drawers:,} drawers reached, "
            f"{self.found} of {self.asked} known ones found"
        )


def prove_collection(
    palace: PalaceLocation, found: Salvage, environment: Mapping[str, str], name: str
) -> Proof:
    """Ask the palace's collection of that name in a child.

    A crash, a hang or an error of chromadb's is a result. Opening writes:
    chromadb replays its queue. The caller holds the palace and has checked it.
    """
    record = found.record
    own = name == record.name  # else it is one that was built elsewhere
    chosen = known_drawers(found)
    if not len(chosen):
        return Proof(record.name, len(record.ids), reached=len(record.ids))
    task = {
        "folder": str(palace.path),
        "collection": name,
        "tenant": record.tenant if own else "default_tenant",
        "database": record.database if own else "default_database",
        "dimension": found.dimension,
        "space": record.space,
    }
    largest = 64 * found.dimension * len(record.ids) + (4 << 30)
    try:
        said = run_child(
            ChildTask("child_prove", task, environment, _SECONDS, largest), stream(found, chosen)
        )
    except MempalaceError as error:
        return Proof(record.name, len(record.ids), failure=error.message)
    return proof_of(found, len(chosen), said)


def known_drawers(found: Salvage) -> NDArray[np.int64]:
    """Some drawers to ask for, by position, spread over those whose vectors are there."""
    provable = np.flatnonzero(found.origin != Origin.NOWHERE)
    return provable[:: max(1, len(provable) // KNOWN_DRAWERS)][:KNOWN_DRAWERS]


def proof_of(found: Salvage, asked: int, said: Mapping[str, object]) -> Proof:
    """What a child's answer proves."""
    return Proof(
        found.record.name,
        len(found.record.ids),
        reached=int(str(said["reached"])),
        asked=asked,
        found=int(str(said["found"])),
    )
