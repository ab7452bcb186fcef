"""Every failure this project expects, with its exit code, its remedy and its JSON form.

Exit codes follow sysexits(3) where it has a fitting one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

DAMAGED_REMEDY = "mempalace-toolkit repair --dry-run shows what can be done"

SCHEMA_VERSION = 1
"""The version of every JSON answer."""

Status = Literal["ok", "noop", "damaged", "busy", "interrupted", "failed"]
"""How a command ended, in one word."""


class ExitCode(IntEnum):
    """What a command's exit status means. Documented in README.md; a test compares them."""

    OK = 0
    BUG = 1
    USAGE = 2
    DAMAGED = 65
    STORE = 66
    MEMPALACE = 70
    UNDONE = 74
    BUSY = 75
    CONFIGURATION = 78


class ToolkitError(Exception):
    """An expected failure: one line of what failed, one line of what to do next.

    `kind` is a stable word for programs; `retryable` says whether the same command may
    succeed later without anyone changing anything.
    """

    kind = "error"
    exit_code: int = ExitCode.BUG
    retryable = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_json(self) -> dict[str, object]:
        """The `error` object of a command's JSON answer."""
        return {
            "kind": self.kind,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
        }


def error_status(error: ToolkitError) -> Status:
    """The one word for a command that ended with `error`."""
    if isinstance(error, InterruptedRunError):
        return "interrupted"
    named: dict[int, Status] = {ExitCode.DAMAGED: "damaged", ExitCode.BUSY: "busy"}
    return named.get(error.exit_code, "failed")


class UsageError(ToolkitError):
    """The command line is not valid."""

    kind = "usage"
    exit_code = ExitCode.USAGE


class ConflictError(UsageError):
    """The command line is valid, and what is there stands against it."""

    kind = "conflict"


class OtherArgumentsError(ConflictError):
    """A write has the key of another one that was acknowledged before."""


class NoPalaceError(UsageError):
    """There is no palace at the folder that was named."""

    kind = "no_palace"


class ConsentError(UsageError):
    """What was asked for changes the palace, and nobody was there to agree to it."""

    kind = "consent_needed"


class DamageLeftError(ToolkitError):
    """The palace's index is damaged, or was left damaged by the run."""

    kind = "damaged"
    exit_code = ExitCode.DAMAGED


class StoreUnreadableError(ToolkitError):
    """A session store exists and cannot be read: corrupt, locked away, not a store."""

    kind = "store_unreadable"
    exit_code = ExitCode.STORE


class UnknownSchemaError(StoreUnreadableError):
    """A store has a schema that no reader here knows. The message names file and tables."""

    kind = "unknown_schema"


class MempalaceError(ToolkitError):
    """MemPalace is missing, too old, failed, hung, or was ended by a signal."""

    kind = "mempalace_failed"
    exit_code = ExitCode.MEMPALACE


class PalaceDamagedError(MempalaceError):
    """The palace's database cannot be read: it is cut short, overwritten or no database."""

    kind = "damaged"
    exit_code = ExitCode.DAMAGED


class TimeLimitError(ToolkitError):
    """The run took longer than it was allowed to, and was ended."""

    kind = "time_limit"
    exit_code = ExitCode.MEMPALACE
    retryable = True


class OtherTextsError(DamageLeftError):
    """Of the vectors that were found for a repair, some are of other texts."""


class ModelError(ToolkitError):
    """The embedding model is not on this machine and could not be made present."""

    kind = "model_unavailable"
    exit_code = ExitCode.MEMPALACE
    retryable = True


class WriteUndoneError(ToolkitError):
    """A write failed (a full disk, say) and was undone: the old state is in place."""

    kind = "write_undone"
    exit_code = ExitCode.UNDONE
    retryable = True


class PalaceBusyError(ToolkitError):
    """Another process holds the palace. The message names it, as does `holder` where known."""

    def __init__(self, message: str, hint: str = "", holder: str = "") -> None:
        super().__init__(message, hint)
        self.holder = holder

    kind = "busy"
    exit_code = ExitCode.BUSY
    retryable = True


class PalaceMovedError(PalaceBusyError):
    """The palace was written to while it was read, so what was read is of no one moment."""


class JournalFullError(PalaceBusyError):
    """As many writes wait for the palace as may; one more was refused."""


class ConfigurationError(ToolkitError):
    """The configuration file is wrong. The message names the file and the key."""

    kind = "configuration"
    exit_code = ExitCode.CONFIGURATION


class BugError(ToolkitError):
    """Something that the toolkit did not expect: a fault of its own, told with its traceback."""

    kind = "bug"
    exit_code = ExitCode.BUG


class InterruptedRunError(ToolkitError):
    """A signal ended the command; its exit status is 128 and the signal's number."""

    kind = "interrupted"
    retryable = True

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code
