"""Any bytes in any file of a palace: the check reports, or refuses, and does nothing else.

`CHECK_FUZZ_SECONDS=60` runs each test for about a minute; by default each takes a second.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from mempalace_toolkit.errors import ToolkitError
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.evidence.findings import KINDS
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces.segment_editing import pickled, segment_folder, set_header

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("CHECK_FUZZ_SECONDS", "1"))
MEMORY = 1 << 30
HANGS_AFTER = 120
EACH_SECOND = 180
FUZZED = settings(
    max_examples=max(1, int(SECONDS * EACH_SECOND)),
    deadline=None,
    derandomize="CHECK_FUZZ_SECONDS" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
INDEX_FILES = (
    "header.bin",
    "data_level0.bin",
    "length.bin",
    "link_lists.bin",
    "index_metadata.pickle",
)
NUMBERS = some.one_of(
    some.sampled_from([0, 1, 2, 127, 255, 65535, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 62]),
    some.integers(0, 5000),
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of bytes: at a share of the file's length, over a span, with what is put there."""

    how: str
    at: float
    span: int
    content: bytes

    def apply(self, data: bytes) -> bytes:
        """The changed bytes."""
        start = int(self.at * len(data))
        stop = start + self.span
        if self.how == "overwrite":
            return data[:start] + self.content + data[start + len(self.content) :]
        if self.how == "insert":
            return data[:start] + self.content + data[start:]
        if self.how == "remove":
            return data[:start] + data[stop:]
        if self.how == "repeat":
            return data[:stop] + data[start:]
        if self.how == "cut":
            return data[:start]
        return self.content


BYTES = some.integers(0, 255)
CONTENT = some.one_of(
    some.binary(max_size=64),
    some.builds(lambda byte, count: bytes([byte]) * count, BYTES, some.integers(0, 5000)),
    NUMBERS.map(lambda number: number.to_bytes(8, "little")),
    NUMBERS.map(lambda number: (number % (1 << 32)).to_bytes(4, "little")),
)
CHANGES = some.lists(
    some.builds(
        Change,
        some.sampled_from(["overwrite"] * 4 + ["insert", "remove", "repeat", "cut", "replace"]),
        some.floats(0, 1),
        some.integers(0, 5000),
        CONTENT,
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def fuzzed(made: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small palace that each example changes and restores."""
    target = tmp_path_factory.mktemp("fuzzed") / "palace"
    subprocess.run(["cp", "-a", made("fuzzed"), target], check=True)
    return target


@contextmanager
def restored(file: Path) -> Iterator[bytes]:
    """The file's bytes, which are there again at the end."""
    there = file.exists()
    content = file.read_bytes() if there else b""
    try:
        yield content
    finally:
        if there:
            file.write_bytes(content)
        else:
            file.unlink(missing_ok=True)


@contextmanager
def bounded() -> Iterator[None]:
    """Little more memory than now, and an end to whatever hangs."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    old = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, old[1]))
    signal.alarm(HANGS_AFTER)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, old)


def judge(palace: Path) -> set[str]:
    """Check the palace; the kinds found, all of them known and printable, nothing written."""
    before = tree_state(palace)
    kinds = set()
    with bounded():
        try:
            findings = check_palace(PalaceLocation(palace, "chroma", "minilm"))
        except ToolkitError as refusal:
            assert refusal.hint
            findings = ()
    for finding in findings:
        json.dumps(finding.as_json())
        kinds.add(finding.kind)
    assert kinds <= set(KINDS)
    after = tree_state(palace)
    for name in after.keys() - before.keys():
        (palace / name).unlink()
    assert after == before
    return kinds


@pytest.mark.parametrize("name", INDEX_FILES)
def test_any_change_of_an_index_file_only_makes_findings(fuzzed: Path, name: str) -> None:
    file = segment_folder(fuzzed) / name

    @FUZZED
    @given(CHANGES)
    def change(changes: list[Change]) -> None:
        with restored(file) as content:
            for one in changes:
                content = one.apply(content)
            file.write_bytes(content)
            judge(fuzzed)

    change()
    assert judge(fuzzed) == set()


def test_any_change_of_the_database_only_makes_findings(fuzzed: Path) -> None:
    file = fuzzed / "chroma.sqlite3"

    @FUZZED
    @given(CHANGES)
    def change(changes: list[Change]) -> None:
        with restored(file) as content:
            for one in changes:
                content = one.apply(content)
            file.write_bytes(content)
            judge(fuzzed)

    change()
    assert judge(fuzzed) == set()


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_any_file_beside_the_database_only_makes_findings(fuzzed: Path, suffix: str) -> None:
    file = fuzzed / f"chroma.sqlite3{suffix}"
    magic = some.sampled_from([b"", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"\x37\x7f\x06\x82"])

    @FUZZED
    @given(magic, some.binary(max_size=2000))
    def put(start: bytes, content: bytes) -> None:
        with restored(file):
            file.write_bytes(start + content)
            judge(fuzzed)

    put()


FIELDS = ("version", "offset", "max", "count", "size", "label", "vector", "level", "entry")
SMALL = ("version", "level", "entry")


def test_any_numbers_in_the_header_only_make_findings(fuzzed: Path) -> None:
    folder = segment_folder(fuzzed)

    @FUZZED
    @given(some.dictionaries(some.sampled_from(FIELDS), NUMBERS, min_size=1, max_size=4))
    def change(fields: dict[str, int]) -> None:
        with restored(folder / "header.bin"):
            set_header(folder, **{n: v % (1 << 31) if n in SMALL else v for n, v in fields.items()})
            judge(fuzzed)

    change()


VALUES = some.recursive(
    some.one_of(some.none(), some.integers(), some.text(max_size=8), some.floats(), some.binary()),
    lambda inner: some.one_of(
        some.lists(inner, max_size=4),
        some.dictionaries(some.one_of(some.text(max_size=8), some.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)
LABELS = some.one_of(some.integers(-2, 100), NUMBERS, VALUES)
NAMES = some.one_of(some.text(max_size=40), VALUES.filter(lambda v: v.__hash__ is not None))


def test_any_pickle_only_makes_findings(fuzzed: Path) -> None:
    file = segment_folder(fuzzed) / "index_metadata.pickle"
    likely = some.fixed_dictionaries(
        {
            "dimensionality": some.none(),
            "total_elements_added": LABELS,
            "max_seq_id": LABELS,
            "id_to_label": some.dictionaries(some.text(max_size=8), LABELS, max_size=5),
            "label_to_id": some.dictionaries(some.integers(-2, 100), NAMES, max_size=5),
            "id_to_seq_id": some.just({}),
        }
    )

    @FUZZED
    @given(some.one_of(VALUES, likely))
    def put(value: object) -> None:
        with restored(file):
            file.write_bytes(pickled(value))
            judge(fuzzed)

    put()


def test_files_in_each_others_places_only_make_findings(fuzzed: Path) -> None:
    folder = segment_folder(fuzzed)
    files = [folder / name for name in INDEX_FILES] + [fuzzed / "chroma.sqlite3"]

    @FUZZED
    @given(some.sampled_from(files), some.sampled_from(files))
    def swap(first: Path, second: Path) -> None:
        with restored(first) as one, restored(second) as other:
            first.write_bytes(other)
            second.write_bytes(one)
            judge(fuzzed)

    swap()
