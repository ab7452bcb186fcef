"""The templates of contrib/, read, filled in by key, and signed so that a later edit is seen."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from mempalace_toolkit.errors import ConflictError

_SIGNED = "mempalace-toolkit: sha256="
_SIGNATURE = re.compile(
    rb"^(?:#|<!--) mempalace-toolkit: sha256=([0-9a-f]{64})(?: -->)?\r?\n", re.M
)


def template(scheduler: str, name: str) -> bytes:
    """A template as it is shipped: in the package where it is installed, else in the checkout."""
    package = Path(__file__).parents[1]
    folders = (package / "contrib", package.parent / "contrib")
    folder = next((one for one in folders if one.is_dir()), folders[0])
    return (folder / scheduler / name).read_bytes()


def set_value(text: str, key: str, value: str) -> str:
    """`text` with the one line `KEY=…` saying `value`; `key` may hold a `=` of its own."""
    line = re.compile(rf"^{re.escape(key)}=.*$", re.MULTILINE)
    changed, count = line.subn(lambda _: f"{key}={value}", text)
    if count != 1:
        raise ValueError(f"the template has {count} lines {key}=")
    return changed


def values_of(text: str, key: str) -> list[str]:
    """What the lines `KEY=…` say, in order."""
    return re.findall(rf"^{re.escape(key)}=(.*?)\r?$", text, re.MULTILINE)


def signature(content: bytes) -> str:
    """The words that tell a later reader what `content` was when it was written."""
    return _SIGNED + sha256(content).hexdigest()


def is_edited(content: bytes, *as_shipped: bytes) -> bool:
    """Whether someone changed what was written, or copied a template and changed that."""
    found = _SIGNATURE.search(content)
    if not found:
        return content not in as_shipped
    rest = content[: found.start()] + content[found.end() :]
    return sha256(rest).hexdigest() != found[1].decode()


def is_foreign(content: bytes) -> bool:
    """Whether the toolkit never wrote it: another recipe did, or a person copied a template."""
    return _SIGNATURE.search(content) is None


def refuse_edited(where: str, job: str, name: str, foreign: bool = False) -> ConflictError:
    """The error for what someone changed by hand or wrote, and nobody agreed to overwrite."""
    if foreign:
        return ConflictError(
            f"{where}: {job} is there, and the toolkit did not write it",
            "keep it, or replace it with --adopt (its time is kept; --at sets another)",
        )
    return ConflictError(
        f"{where}: {job} was changed by hand since it was written",
        f"keep it, or overwrite it with --force ({name} takes drop-ins)"
        if name == "systemd"
        else "keep it, or overwrite it with --force",
    )
