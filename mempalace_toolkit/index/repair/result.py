"""What a repair did: a value for reports, for a person and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.repair.plan_values import CollectionPlan, RepairPlan
from mempalace_toolkit.index.repair.prove import Proof


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """What was done for a collection, and what a client saw of it afterwards.

    `sampled` drawers were embedded again only to compare; `unsampled` says why, where none.
    `kept` is the old index's folder, empty where there was none.
    """

    plan: CollectionPlan
    embedded: int
    sampled: int
    unsampled: str
    kept: str
    proof: Proof
    seconds: float


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What was done for the palace, and what a check finds now.

    `kept` is the damaged database's new name, where it was replaced. `restart` names the
    processes that still have a replaced index open; `unseen` tells that there may be more.
    """

    plan: RepairPlan
    collections: tuple[CollectionResult, ...]
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    kept: str = ""
    restart: tuple[str, ...] = ()
    unseen: bool = False

    def restart_lines(self) -> tuple[str, ...]:
        """What is to be restarted, for a person; nothing where no index was replaced."""
        if not self.kept and not any(one.kept for one in self.collections):
            return ()
        lines = [f"restart {one}: it has the replaced index open" for one in self.restart]
        if self.unseen:
            lines.append(
                "restart what uses the palace in a container or as another user, an MCP server"
                " say: it cannot be seen from here"
            )
        return tuple(lines)

    @property
    def sound(self) -> bool:
        """Whether no damage is left and every repaired collection answered."""
        proven = all(one.proof.holds for one in self.collections)
        return proven and all(finding.harmless for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """The object under `repair`."""
        return {
            "plan": self.plan.as_json(),
            "collections": [{**asdict(one), "proven": one.proof.holds} for one in self.collections],
            "findings": [finding.as_json() for finding in self.findings],
            "kept": self.kept,
            "restart": list(self.restart),
            "restart_unseen": bool(self.unseen and self.restart_lines()),
            "sound": self.sound,
            "seconds": round(self.seconds, 3),
        }
