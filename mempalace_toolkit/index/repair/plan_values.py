"""What repair would do: graded, counted, for a person and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from mempalace_toolkit.files.sizes import in_bytes
from mempalace_toolkit.index.check.fingerprint import Fingerprint
from mempalace_toolkit.index.evidence.findings import Finding, Remedy
from mempalace_toolkit.index.recovery.plan import DatabasePlan


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What is done for one collection. The counts add up to its drawers; a top-up writes
    `adds` of them. `by_order` of those from the index have lost their names there: the order
    tells them, which a sample must confirm. `kinds` are the findings that ask for it."""

    collection: str
    segment: str
    grade: Remedy
    drawers: int
    from_queue: int
    from_live: int
    from_quarantined: int
    to_embed: int
    adds: int
    kinds: tuple[str, ...]
    bytes_needed: int
    by_order: int = 0

    def line(self) -> str:
        """One line for a person."""
        sources = [
            (self.from_queue, "from the queue"),
            (self.from_live, "from the index" + (", by their order" if self.by_order else "")),
            (self.from_quarantined, "from quarantined indexes"),
            (self.to_embed, "to embed again"),
        ]
        told = ", ".join(f"{count:,} {where}" for count, where in sources if count) or "no drawers"
        if self.grade == "top_up":
            return f"{self.collection}: add {self.adds:,} missing vectors to the index ({told})"
        return f"{self.collection}: rebuild the index of {self.drawers:,} drawers ({told})"


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What is done for the palace. Where `grade` is refuse, `refusal` says why nothing can be,
    and `remedy` what helps;
    `leftovers` are half-built indexes that killed repairs left behind. With a `database` to
    rebuild, what the indexes need shows when it is there. `findings` is what it was made for,
    `fingerprint` that of the files in which they were found."""

    grade: Remedy
    collections: tuple[CollectionPlan, ...] = ()
    rolls_back: bool = False
    refusal: str = ""
    bytes_free: int = 0
    leftovers: int = 0
    database: DatabasePlan | None = None
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    fingerprint: Fingerprint | None = field(default=None, repr=False)
    remedy: str = "restore the palace from a backup"

    @property
    def bytes_needed(self) -> int:
        """Room on the palace's disk for the rebuilt indexes, one after another, all kept."""
        own = self.database.bytes_needed if self.database else 0
        return own + sum(one.bytes_needed for one in self.collections)

    @property
    def loses(self) -> str:
        """What is lost for good by this repair, for a person; empty where nothing is."""
        return self.database.loss() if self.database else ""

    @property
    def to_embed(self) -> int:
        """How many drawers are embedded again, beyond the sample."""
        return sum(one.to_embed for one in self.collections)

    def steps(self) -> tuple[str, ...]:
        """The plan as lines."""
        if self.refusal:
            return (self.refusal,)
        lines = ["remove what a killed repair left half-built"] if self.leftovers else []
        lines += ["roll back the transaction of a killed writer"] if self.rolls_back else []
        lines += [self.database.line()] if self.database else []
        lines += [one.line() for one in self.collections]
        if self.bytes_needed:
            needed, free = in_bytes(self.bytes_needed), in_bytes(self.bytes_free)
            lines.append(f"needs {needed} of disk, {free} are free")
        return tuple(lines) or ("nothing to do",)

    def as_json(self) -> dict[str, object]:
        """The object under `plan`."""
        return {
            "grade": self.grade,
            "collections": [asdict(one) for one in self.collections],
            "rolls_back": self.rolls_back,
            "refusal": self.refusal,
            "database": self.database.as_json() if self.database else None,
            "leftovers": self.leftovers,
            "bytes_needed": self.bytes_needed,
            "bytes_free": self.bytes_free,
            "to_embed": self.to_embed,
            "loses": self.loses,
            "steps": list(self.steps()),
        }
