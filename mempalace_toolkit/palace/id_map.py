"""Reads `index_metadata.pickle` without unpickling: a score of opcodes are known, no others.

chromadb 1.x writes a plain dict (protocol 3, no memo), 0.6 and before an object of one class
with the same values in it. An unpickler would do whatever stands in the file; this reader only
ever makes strings, numbers and a few dicts, in one pass, in memory proportional to the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAP_NAMES = ("id_to_label", "label_to_id")
_OLDER_CLASS = "PersistentData"
_MOST_DICTS = 16


class PickleError(ValueError):
    """The bytes are not a map as chromadb 1.x writes it."""


class RepeatedLabelError(PickleError):
    """Two ids have one label."""


class OlderFormatError(PickleError):
    """The map is one of chromadb before 0.6, which kept the watermark in it."""


@dataclass(frozen=True, slots=True)
class IdMap:
    """`index_metadata.pickle`: labels by id (labels start at 1), and labels ever given."""

    labels: dict[str, int]
    ids: dict[int, str]
    total: int


def parse_id_map(data: bytes) -> IdMap:
    """The map, checked against itself.

    Raises PickleError where the bytes are anything else, OlderFormatError where they are an
    older chromadb's.
    """
    try:
        value = _Reader(data).read()
    except (IndexError, struct.error, TypeError, UnicodeDecodeError) as error:
        raise PickleError(f"it is cut or overwritten ({error})") from error
    if not isinstance(value, dict):
        raise PickleError("it holds no map")
    if value.get("max_seq_id") is not None:
        raise OlderFormatError("it holds the watermark, as chromadb before 0.6 wrote it")
    labels, ids = (value.get(name) for name in _MAP_NAMES)
    if not isinstance(labels, dict) or not isinstance(ids, dict):
        raise PickleError("it lacks the ids or the labels")
    return IdMap(labels, ids, _total(value.get("total_elements_added"), labels, ids))


def _total(total: object, labels: dict[str, int], ids: dict[int, str]) -> int:
    if not all(type(key) is str for key in labels) or not all(type(key) is int for key in ids):
        raise PickleError("its ids or labels are of the wrong type")
    if not all(type(label) is int for label in labels.values()):
        raise PickleError("its labels are of the wrong type")
    if len(set(labels.values())) != len(labels):
        raise RepeatedLabelError("two ids have one label")
    if len(labels) != len(ids) or any(ids.get(label) != key for key, label in labels.items()):
        raise PickleError("its two directions contradict each other")
    if not isinstance(total, int) or total < max(ids, default=0) or min(ids, default=1) < 1:
        raise PickleError("its labels contradict its total")
    return total


class _Reader:
    """A stack machine for the opcodes of a dict, or of one object's state, of simple values."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: list[object] = []
        self.dicts = 0

    def read(self) -> object:
        """The value before STOP; what follows it is not looked at."""
        if self.data[:1] != b"\x80" or self.data[1] not in (2, 3, 4, 5):
            raise PickleError("it is empty" if not self.data else "it does not begin as a pickle")
        self.position = 2
        while True:
            code = self._scalars()
            if code == 0x2E:  # STOP
                if len(self.stack) != 1 or self.marks:
                    raise PickleError("it ends in the middle of a value")
                return self.stack[0]
            self._structure(code)

    def _scalars(self) -> int:
        """Push strings and numbers until another opcode comes; return that.

        Nearly all of the file passes here, so the two common opcodes come first.
        """
        data, at, push = self.data, self.position, self.stack.append
        unpack = struct.Struct("<i").unpack_from
        while True:
            code = data[at]
            if code == 0x58:  # BINUNICODE
                end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "little")
                if end > len(data):
                    raise PickleError("a string is longer than the file")
                push(data[at + 5 : end].decode("utf-8", "surrogatepass"))
                at = end
            elif code == 0x4A:  # BININT
                push(unpack(data, at + 1)[0])
                at += 5
            elif code == 0x4B:  # BININT1
                push(data[at + 1])
                at += 2
            elif code == 0x4D:  # BININT2
                push(data[at + 1] | data[at + 2] << 8)
                at += 3
            elif code == 0x94:  # MEMOIZE
                self.memo.append(self.stack[-1])
                at += 1
            elif code == 0x6A:  # LONG_BINGET
                push(self.memo[int.from_bytes(data[at + 1 : at + 5], "little")])
                at += 5
            elif code == 0x68:  # BINGET
                push(self.memo[data[at + 1]])
                at += 2
            elif code == 0x8C:  # SHORT_BINUNICODE
                end = at + 2 + data[at + 1]
                push(data[at + 2 : end].decode("utf-8", "surrogatepass"))
                at = end
            elif code == 0x95:  # FRAME
                at += 9
            elif code == 0x8A and data[at + 1] <= 9:  # LONG1
                end = at + 2 + data[at + 1]
                push(int.from_bytes(data[at + 2 : end], "little", signed=True))
                at = end
            else:
                self.position = at + 1
                return code

    def _structure(self, code: int) -> None:
        if code == 0x4E:  # NONE
            self.stack.append(None)
        elif code == 0x7D and self.dicts < _MOST_DICTS:  # EMPTY_DICT
            self.dicts += 1
            self.stack.append({})
        elif code == 0x28 and len(self.marks) < _MOST_DICTS:  # MARK
            self.marks.append(len(self.stack))
        elif code == 0x29:  # EMPTY_TUPLE
            self.stack.append(())
        elif code == 0x93:  # STACK_GLOBAL: only a name here, nothing is imported
            name, _module = self.stack.pop(), self.stack.pop()
            if name != _OLDER_CLASS:
                raise PickleError(f"it holds a {name!s:.40}")
            self.stack.append(None)
        elif code == 0x81:  # NEWOBJ of that class and no arguments
            self._take((None, ()))
            self.stack.append(None)
        elif code == 0x62:  # BUILD: the state stands for the object
            state = self.stack.pop()
            self._take((None,))
            self.stack.append(state)
        elif code == 0x75 and self.marks:  # SETITEMS
            start = self.marks.pop()
            items = self.stack[start:]
            if start > len(self.stack):
                raise PickleError("a mark lies beyond the values")
            del self.stack[start:]
            target = self.stack[-1]
            if not isinstance(target, dict) or len(items) % 2:
                raise PickleError("a list of pairs has no map to go into")
            target.update(zip(items[::2], items[1::2], strict=True))
        else:
            raise PickleError(f"opcode {code:#04x} at {self.position - 1} does not belong there")

    def _take(self, expected: tuple[object, ...]) -> None:
        """Take values off the stack that can only be these."""
        found = tuple(self.stack[len(self.stack) - len(expected) :])
        if found != expected:
            raise PickleError("it holds an object of an unknown kind")
        del self.stack[len(self.stack) - len(expected) :]
