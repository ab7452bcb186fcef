"""The files of a segment, read as values: real ones exactly, all others as problems."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.chroma.segment.files import FILES, read_segment
from mempalace_toolkit.chroma.segment.id_map import (
    IdMap,
    OlderFormatError,
    PickleError,
    RepeatedLabelError,
    parse_id_map,
)
from mempalace_toolkit.chroma.segment.link_lists import LinksError, walk, wrong_blocks
from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.index.evidence.folders import segment_folders
from tests.palaces.fixtures import Copy

# As chromadb before 1.0 pickled its map; protocol 4 writes the class by name.
PersistentData = type(
    "PersistentData", (), {"__module__": __name__, "__qualname__": "PersistentData"}
)
SOUND = {
    "dimensionality": None,
    "total_elements_added": 3,
    "max_seq_id": None,
    "id_to_label": {"a": 1, "é": 3},
    "label_to_id": {1: "a", 3: "é"},
    "id_to_seq_id": {},
}


def protocol3(value: object) -> bytes:
    """A pickle without a memo, as chromadb 1.x writes it."""
    if value is None:
        return b"N"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        encoded = value.encode()
        return b"X" + struct.pack("<I", len(encoded)) + encoded
    assert isinstance(value, dict)
    return b"}(" + b"".join(protocol3(k) + protocol3(v) for k, v in value.items()) + b"u"


def plain(**changes: object) -> bytes:
    return b"\x80\x03" + protocol3({**SOUND, **changes}) + b"."


def as_object(**changes: object) -> bytes:
    held = PersistentData()
    state = {k: v for k, v in {**SOUND, **changes}.items() if v is not None}
    held.__dict__.update(state)
    return pickle.dumps(held, protocol=4)


@pytest.mark.parametrize("data", [plain(), as_object(dimensionality=8)], ids=["1.x", "0.6"])
def test_a_map_of_every_known_chromadb_is_read(data: bytes) -> None:
    assert parse_id_map(data) == IdMap({"a": 1, "é": 3}, {1: "a", 3: "é"}, 3)


def by_python(value: object, protocol: int) -> bytes:
    file = io.BytesIO()
    pickle._Pickler(file, protocol).dump(value)
    return file.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("write", [pickle.dumps, by_python], ids=["C", "Python"])
def test_a_map_is_read_whatever_pickler_of_pythons_wrote_it(
    write: Callable[[object, int], bytes], protocol: int
) -> None:
    for count in (0, 1, 2, 400, 70_000):  # a single pair, and memos of one and of four bytes
        labels = {f"drawer_{number}": number for number in range(1, count + 1)}
        turned = {number: identity for identity, number in labels.items()}
        changes = {"id_to_label": labels, "label_to_id": turned, "total_elements_added": count}
        assert parse_id_map(write({**SOUND, **changes}, protocol)) == IdMap(labels, turned, count)


def test_large_labels_are_read() -> None:
    large = 1 << 40
    data = plain(id_to_label={"a": 9}, label_to_id={9: "a"}, total_elements_added=9)
    long = b"\x8a\x06" + large.to_bytes(6, "little")
    assert parse_id_map(data.replace(protocol3(9), long)).labels == {"a": large}


REFUSED: list[tuple[str, bytes, type[PickleError]]] = [
    ("empty", b"", PickleError),
    ("no pickle", b"hello", PickleError),
    ("cut", plain()[:-20], PickleError),
    ("without its end", plain()[:-1], PickleError),
    ("a list", pickle.dumps([1, 2]), PickleError),
    ("a number", b"\x80\x03K\x01.", PickleError),
    ("an empty map", b"\x80\x03}.", PickleError),
    ("without labels", plain(label_to_id=None), PickleError),
    ("one-sided", plain(label_to_id={1: "é", 3: "a"}), PickleError),
    ("shorter on one side", plain(label_to_id={1: "a"}), PickleError),
    ("longer on one side", plain(label_to_id={1: "a", 2: "b", 3: "é"}), PickleError),
    ("an id twice", plain().replace(protocol3("é"), protocol3("a")), PickleError),
    ("label twice", plain(id_to_label={"a": 1, "é": 1}), RepeatedLabelError),
    ("total too low", plain(total_elements_added=2), PickleError),
    ("label 0", plain(id_to_label={"a": 0}, label_to_id={0: "a"}), PickleError),
    ("labels of text", plain(id_to_label={"a": "b"}, label_to_id={1: "a"}), PickleError),
    ("labels of maps", plain(id_to_label={"a": {}}, label_to_id={1: "a"}), PickleError),
    ("total of text", plain(total_elements_added="x"), PickleError),
    ("ids no UTF-8", plain().replace("é".encode(), b"\xff\xff"), PickleError),
    ("with the watermark in it", as_object(max_seq_id=7), OlderFormatError),
    ("another object", pickle.dumps(os.stat_result(range(10)), protocol=4), PickleError),
    ("a call", b"\x80\x03cos\nsystem\n(X\x04\0\0\0trueetR.", PickleError),
    ("an object of another class", b"\x80\x03cos\nstat_result\n)\x81.", PickleError),
    ("a name without end", b"\x80\x03cos\nsystem", PickleError),
    ("a frame of 4 EB", b"\x80\x04\x95" + b"\x3f" * 8 + b"}.", PickleError),
    ("a string of 4 GB", b"\x80\x03X\xff\xff\xff\xffabc.", PickleError),
    ("a memo of 32 GB", b"\x80\x03}r\xff\xff\xff\xff.", PickleError),
    ("a memo that is empty", b"\x80\x04j\xff\xff\xff\xff.", PickleError),
    ("a number of 2 GB", b"\x80\x03\x8b\xff\xff\xff\x7f.", PickleError),
    ("a million maps", b"\x80\x03" + b"}" * 1_000_000, PickleError),
    ("a million marks", b"\x80\x03}" + b"(" * 1_000_000, PickleError),
    ("tuples of tuples", b"\x80\x04)" + b"\x94h\x00h\x00\x86" * 40 + b".", PickleError),
    ("a key that is a map", b"\x80\x03}(}K\x01u.", PickleError),
    ("pairs for nothing", b"\x80\x03(u.", PickleError),
    ("marks without a map", b"\x80\x03((u.", PickleError),
    ("more than one value", b"\x80\x03}}.", PickleError),
]


@pytest.mark.parametrize(("data", "error"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_no_map_is_refused(data: bytes, error: type[PickleError]) -> None:
    with pytest.raises(error):
        parse_id_map(data)


@pytest.mark.parametrize("code", [b"}", b"("])
def test_no_more_is_made_than_a_map_needs(code: bytes) -> None:
    with pytest.raises(PickleError, match=f"opcode {code[0]:#04x} at 1[89] "):
        parse_id_map(b"\x80\x03" + code * 100 + b".")


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.none(), max_size=30))
def test_whatever_the_ids_are_their_labels_are_read(ids: dict[str, None]) -> None:
    labels = {identity: number for number, identity in enumerate(ids, 1)}
    turned = {number: identity for identity, number in labels.items()}
    data = plain(id_to_label=labels, label_to_id=turned, total_elements_added=len(ids))
    assert parse_id_map(data) == IdMap(labels, turned, len(ids))


# Upper levels: three elements and two links a list, so blocks of three words.
#         element 0, level 1       element 1  element 2, levels 1 and 2
SOUND_WORDS = [12, 1, 2, 9, 0, 24, 1, 0, 9, 0, 9, 9]


def words(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def test_the_upper_levels_are_walked() -> None:
    upper = walk(words(*SOUND_WORDS), 3, 2, 2)
    assert upper.levels.tolist() == [1, 0, 2]
    assert upper.owners.tolist() == [0, 2, 2]
    assert upper.block_levels.tolist() == [1, 1, 2]
    assert upper.starts.tolist() == [1, 6, 9]
    assert wrong_blocks(words(*SOUND_WORDS), upper, 2) == 0
    assert walk(words(0, 0, 0, 7), 3, 2, 2).levels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("changed", "value"),
    [(0, 11), (0, 36), (5, 36), (4, 12), (0, 0)],
    ids=["no whole block", "too high", "beyond the end", "overlapping", "shifted"],
)
def test_upper_levels_that_cannot_be_walked_are_said_so(changed: int, value: int) -> None:
    data = words(*SOUND_WORDS)
    data[changed] = value
    with pytest.raises(LinksError):
        walk(data, 3, 2, 2)


@pytest.mark.parametrize("length", [0, 1, 4, 5, 11])
def test_cut_upper_levels_are_said_so(length: int) -> None:
    with pytest.raises(LinksError):
        walk(words(*SOUND_WORDS[:length]), 3, 2, 2)


@pytest.mark.parametrize(
    ("changed", "value"),
    [(2, 3), (2, 4_000_000_000), (2, 1), (1, 3), (9, 1)],
    ids=["no element", "far out", "not on this level", "too many links", "used garbage"],
)
def test_upper_links_that_lead_nowhere_are_counted(changed: int, value: int) -> None:
    data = words(*SOUND_WORDS)
    upper = walk(data, 3, 2, 2)
    data[changed] = value
    assert wrong_blocks(data, upper, 2) == 1


def test_an_upper_list_longer_than_its_room_is_counted() -> None:
    room_of_two = words(12, 3, 1, 1, 12, 1, 0, 0, 0)
    assert wrong_blocks(room_of_two, walk(room_of_two, 3, 2, 1), 2) == 1


@pytest.fixture
def segment(palace: Copy) -> Path:
    """A real segment of 384 dimensions, flushed, with deleted elements."""
    place = palace("drawers_only").path
    (name,) = segment_folders(place)
    return place / name


def test_a_real_segment_is_read_without_a_problem(segment: Path) -> None:
    files = read_segment(segment, 384)
    assert files.problems == ()
    assert files.header is not None and files.elements is not None and files.id_map is not None
    live = files.elements.labels[~files.elements.deleted]
    assert sorted(live.tolist()) == sorted(files.id_map.ids)
    assert files.elements.deleted.any()
    assert np.allclose(np.linalg.norm(files.elements.vectors, axis=1), 1, atol=1e-4)
    assert files.elements.lengths is not None and files.elements.lengths.min() > 0.4
    undimensioned = read_segment(segment, None)
    assert undimensioned.header == files.header and files.header.dimension == 384


def test_elements_survive_a_header_that_does_not(segment: Path) -> None:
    sound = read_segment(segment, 384).elements
    (segment / "header.bin").write_bytes(bytes(100))
    files = read_segment(segment, 384)
    assert files.header is None and [p.kind for p in files.problems] == ["header_impossible"]
    assert sound is not None and files.elements is not None
    assert np.array_equal(files.elements.labels, sound.labels)
    assert np.array_equal(files.elements.vectors, sound.vectors)
    assert read_segment(segment, None).elements is None


def test_the_elements_before_a_cut_are_read(segment: Path) -> None:
    sound = read_segment(segment, 384).elements
    assert sound is not None
    os.truncate(segment / "data_level0.bin", 1676 * 100 + 800)
    files = read_segment(segment, 384)
    assert [p.kind for p in files.problems] == ["level0_short"]
    assert files.elements is not None
    assert np.array_equal(files.elements.vectors, sound.vectors[:100])


def _as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _sparse(file: Path) -> None:
    os.truncate(file, 200 << 30)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [Path.unlink, _as_folder, _as_pipe, _sparse])
def test_files_that_are_gone_or_no_files_or_all_holes_are_problems(
    segment: Path, name: str, change: Callable[[Path], None]
) -> None:
    change(segment / name)
    kinds = [problem.kind for problem in read_segment(segment, 384).problems]
    if change is not _sparse:
        assert kinds == ["pickle_missing" if "pickle" in name else "file_missing"]
    elif name != "header.bin":  # of which no more than its hundred bytes is read
        assert kinds == ["sparse_bloat"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_no_damage(segment: Path) -> None:
    (segment / "header.bin").chmod(0)
    with pytest.raises(MempalaceError):
        read_segment(segment, 384)
