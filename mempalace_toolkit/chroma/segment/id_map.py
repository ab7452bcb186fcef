"""Reads `index_metadata.pickle`: its opcodes are looked through first, then no class is loaded.

chromadb 1.x writes a plain dict (protocol 3, no memo), 0.6 and before an object of one class
with the same values in it; any pickler of Python's may have written it again. Only opcodes that
make dicts, strings and numbers pass, no more of them than the file has bytes, and the unpickler
refuses every name.
"""

from __future__ import annotations

import io
import pickle
import struct
from dataclasses import dataclass

_MAP_NAMES = ("id_to_label", "label_to_id")
_OLDER_CLASS = "PersistentData"
_BINUNICODE, _BININT = b"XJ"
_STOP, _GLOBAL, _LONG1, _LONG_BINPUT = b".c\x8ar"
# Dicts, and what the older class is made with: a map has few of them, and few marks are open.
_COUNTED, _MOST_DICTS = frozenset(b"})\x81b\x93"), 16
_MARK, _SETITEMS = b"(u"
# None, numbers, the memo, frames, and pairs put into a dict: the opcode's bytes, itself included.
_ARGUMENT_BYTES = {
    **dict.fromkeys(b"Ns\x94", 1),
    **dict.fromkeys(b"Khq", 2),
    **dict.fromkeys(b"M", 3),
    **dict.fromkeys(b"Jjr", 5),
    **dict.fromkeys(b"\x95", 9),
}
_TEXT_LENGTH_BYTES = {0x8C: 1}  # SHORT_BINUNICODE
_CUT = (
    pickle.UnpicklingError,
    struct.error,
    AttributeError,
    EOFError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
)


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
        _look_through(data)
        value = _Unpickler(io.BytesIO(data)).load()
    except PickleError:
        raise
    except _CUT as error:
        raise PickleError(f"it is cut or overwritten ({error})") from error
    if isinstance(value, _Older):
        value = vars(value)
    if not isinstance(value, dict):
        raise PickleError("it holds no id map")
    if value.get("max_seq_id") is not None:
        raise OlderFormatError("it holds the watermark, as chromadb before 0.6 wrote it")
    labels, ids = (value.get(name) for name in _MAP_NAMES)
    if not isinstance(labels, dict) or not isinstance(ids, dict):
        raise PickleError("it lacks the ids or the labels")
    return IdMap(labels, ids, _total(value.get("total_elements_added"), labels, ids))


def _total(total: object, labels: dict[str, int], ids: dict[int, str]) -> int:
    if {*map(type, labels)} - {str} or {*map(type, ids)} - {int}:
        raise PickleError("its ids or labels are of the wrong type")
    if {*map(type, labels.values())} - {int}:
        raise PickleError("its labels are of the wrong type")
    if len(set(labels.values())) != len(labels):
        raise RepeatedLabelError("two ids have one label")
    if len(labels) != len(ids) or list(map(ids.get, labels.values())) != list(labels):
        raise PickleError("its two directions contradict each other")
    if not isinstance(total, int) or total < max(ids, default=0) or min(ids, default=1) < 1:
        raise PickleError("its labels contradict its total")
    return total


class _Older:
    """Stands for chromadb's own class before 1.0: nothing but the values in it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if name != _OLDER_CLASS:
            raise PickleError(f"it holds a {module:.40}.{name:.40}")
        return _Older


def _look_through(data: bytes) -> None:
    """Raise PickleError at the first opcode that a map does not need, or needs no more of."""
    if data[:1] != b"\x80" or data[1] not in (2, 3, 4, 5):
        raise PickleError("it is empty" if not data else "it does not begin as a pickle")
    at, counted, open_marks, sizes, texts = 2, 0, 0, _ARGUMENT_BYTES, _TEXT_LENGTH_BYTES
    length_of = struct.Struct("<I").unpack_from
    while True:
        code = data[at]
        while code == _BINUNICODE:  # an id; nearly all of the file are such, and labels
            at += 5 + length_of(data, at + 1)[0]
            code = data[at]
            if code == _BININT:
                at += 5
                code = data[at]
        if code in texts:
            start = at + 1 + texts[code]
            at = start + int.from_bytes(data[at + 1 : start], "little")
            if at > len(data):
                raise PickleError("a string is longer than the file")
        elif code == _LONG_BINPUT and int.from_bytes(data[at + 1 : at + 5], "little") > len(data):
            raise PickleError("a memo is larger than the file")
        elif code in sizes:
            at += sizes[code]
        elif code == _MARK and open_marks < _MOST_DICTS:
            open_marks += 1
            at += 1
        elif code == _SETITEMS:
            open_marks -= 1
            at += 1
        elif code in _COUNTED and counted < _MOST_DICTS:
            counted += 1
            at += 1
        elif code == _LONG1 and data[at + 1] <= 9:
            at += 2 + data[at + 1]
        elif code == _GLOBAL:
            at = data.index(b"\n", data.index(b"\n", at) + 1) + 1
        elif code == _STOP:
            return
        else:
            raise PickleError(f"opcode {code:#04x} at {at} does not belong there")
