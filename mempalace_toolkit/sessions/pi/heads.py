"""What the first and the last lines of a pi session file tell, without reading what is between."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from mempalace_toolkit.errors import UnknownSchemaError
from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.pi.entries import (
    NEWEST_VERSION,
    Header,
    entry_of,
    header_of,
    is_entry,
    milliseconds,
)
from mempalace_toolkit.sessions.pi.files import (
    FileState,
    cannot_read,
    finding,
    open_descriptor,
    shown,
)
from mempalace_toolkit.sessions.pi.lines import records_on

HEAD = 64 << 10  # bytes: the header and, nearly always, the first entry
TAIL = 16 << 10
FURTHEST = 1 << 20
"""Bytes from an end of the file in which its header, or its last message, is looked for."""

_STAMPED = (
    rb'\{"type":"%b",(?:"id":"[^"\\]*","parentId":(?:null|"[^"\\]*"),)?"timestamp":"([^"\\]*)"'
)
_ENTRY = re.compile(_STAMPED % rb"[a-z_]+")
_MESSAGE = re.compile(_STAMPED % rb"message")
_NAMED_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)-(\d\d)-(\d\d)-(\d{3}Z)_")
_ENCODED_FOLDER = re.compile(r"--(.+)--")
_DRIVE = re.compile(r"([A-Za-z])--(.*)")


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A pi session's file. `first` is its first entry's time: forks of one session share it.

    `updated` is the time of its last message, in milliseconds. `headless` tells that it has lost
    its first line; its folder is then the one that its own folder is named after.
    """

    state: FileState
    header: Header
    first: str
    updated: int
    headless: bool = False

    @property
    def id(self) -> str:
        """The header's id; where it has none, the one in the file's name."""
        if self.header.id:
            return self.header.id
        return shown(self.state.name.partition(".jsonl")[0].rpartition("_")[2])

    @property
    def created(self) -> int:
        """The header's time; where it has none, the one in the file's name, or the file's own."""
        return _created(self.header, self.state)


def read_head(file: FileState) -> SessionFile | StoreFinding:
    """A file's header, first entry and last time, or why it is no session.

    Raises UnknownSchemaError for a version that is not known, StoreUnreadableError where the
    file cannot be read.
    """
    try:
        descriptor = open_descriptor(file.path)
        try:
            head = os.read(descriptor, HEAD)
            found = _head_of(file, head, descriptor)
            if isinstance(found, StoreFinding):
                return found
            header, first, headless = found
            updated = _last_time(descriptor, head, file.size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise cannot_read(file.path, error) from error
    if not 1 <= header.version <= NEWEST_VERSION:
        version = header.version if header.version >= 0 else "not a number"
        raise UnknownSchemaError(
            f"{shown(file.path)} has pi session version {version}; "
            f"versions 1 to {NEWEST_VERSION} are known",
            "Update mempalace-toolkit; the file was left alone.",
        )
    updated = _created(header, file) if updated is None else updated
    return SessionFile(file, header, first, updated, headless)


def _head_of(
    file: FileState, head: bytes, descriptor: int
) -> tuple[Header, str, bool] | StoreFinding:
    """The header, the first entry's time, and whether the header is missing."""
    lines = head.split(b"\n", 2)
    if len(lines) > 1 and (header := header_of(_quick(lines[0]))):
        entry = _ENTRY.match(lines[1])
        if entry:
            return header, entry[1].decode("utf-8", "replace"), False
    if b"\n" not in head.lstrip(b"\r\n") and len(head) < HEAD:
        what = "its first line is not finished" if head.strip() else "it is empty"
        return finding("unfinished_file", file.path, f"no session yet: {what}")
    if len(head) == HEAD:
        head += os.pread(descriptor, FURTHEST - HEAD, HEAD)
    known, first = None, None
    for record in _records(head):
        if known is None:
            known = header_of(record)
            if known is not None:
                continue
        if first is None:
            first = record
        if known is not None:
            break
    if known is not None:
        stamp = first.get("timestamp") if first else None
        return known, "" if stamp is None else str(stamp), False
    if first is not None and is_entry(first):
        version = 3 if "id" in first else 1
        lost = Header("", version, folder_named(file.folder), None, "")
        return lost, str(first.get("timestamp", "")), True
    return finding(
        "unknown_file", file.path, "not a pi session: the first line is not a session header"
    )


def folder_named(name: str) -> str:
    """The working folder that pi named a folder of sessions after, as far as that can be told.

    pi writes `/`, `\\` and `:` all as `-`: a name with hyphens of its own comes out in pieces.
    """
    encoded = _ENCODED_FOLDER.fullmatch(name)
    if not encoded:
        return ""
    if drive := _DRIVE.fullmatch(encoded[1]):
        return f"{drive[1]}:\\" + drive[2].replace("-", "\\")
    return "/" + encoded[1].replace("-", "/")


def _created(header: Header, file: FileState) -> int:
    if header.created is not None:
        return header.created
    if named := _NAMED_TIME.match(file.name):
        try:
            return round(
                datetime.fromisoformat("{}:{}:{}.{}".format(*named.groups())).timestamp() * 1000
            )
        except ValueError:
            pass
    return file.mtime_ns // 1_000_000


def _quick(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _records(head: bytes) -> Iterator[dict[str, Any]]:
    """The records of the complete lines; a last one is complete where it is a whole record."""
    for line in head.split(b"\n")[:-1]:
        if not line.isspace() and line:
            yield from records_on(line)[0]


def _last_time(descriptor: int, head: bytes, size: int) -> int | None:
    """The time of the file's last message; None where none is found near its end."""
    if size <= len(head):
        return _time_in(head, whole=True)[0]
    for length in (TAIL, FURTHEST):
        start = max(size - length, 0)
        time, begun = _time_in(os.pread(descriptor, length, start), whole=start == 0)
        if time is not None or start == 0:
            return time
    edge = _line_before(descriptor, start + begun)
    message = _MESSAGE.match(os.pread(descriptor, 1024, edge))
    return milliseconds(message[1].decode("utf-8", "replace")) if message else None


def _time_in(tail: bytes, whole: bool) -> tuple[int | None, int]:
    """The time of the last message on complete lines, and where the first of these begins."""
    end = tail.rfind(b"\n")
    while end > 0:
        start = tail.rfind(b"\n", 0, end) + 1
        if not start and not whole:
            return None, end + 1
        line = tail[start:end]
        if message := _MESSAGE.match(line):
            time = milliseconds(message[1].decode("utf-8", "replace"))
            if time is not None:
                return time, start
        elif b'"message"' in line:
            for record in reversed(records_on(line)[0]):
                entry = entry_of(record)
                if entry and entry.kind == "message" and (time := entry.time) is not None:
                    return time, start
        end = start - 1
    return None, max(end, 0)


def _line_before(descriptor: int, end: int) -> int:
    """Where the line begins that ends before `end`."""
    end -= 1
    while end > 0:
        start = max(end - FURTHEST, 0)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
