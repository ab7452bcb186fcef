"""Names are exchanged also where the kernel has no such call, and a kill loses no file."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.files import exchange as module
from mempalace_toolkit.files.exchange import exchange, finish_exchanges, unfinished_exchanges
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.opening import Chroma
from tests.palaces.repairing import repair
from tests.palaces.segment_editing import Victim

SEGMENT = "00000000-0000-4000-8000-000000000000"
CALLS = ("hardlink_to", "replace", "rename")


class Killed(BaseException):
    """The process is gone: nothing is undone."""


@pytest.fixture
def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(first: Path, second: Path) -> None:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(module, "_exchange_at_once", refuse)


def killed_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Have the process end before the call with that number that changes a name."""
    count = iter(range(100))

    def counting(name: str) -> Callable[..., object]:
        real = getattr(Path, name)

        def change(self: Path, *arguments: Path) -> object:
            if next(count) == call:
                raise Killed
            return real(self, *arguments)

        return change

    for name in CALLS:
        monkeypatch.setattr(Path, name, counting(name))


@pytest.mark.usefixtures("without_exchange")
@pytest.mark.parametrize("call", range(4))
def test_a_kill_never_leaves_a_palace_without_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    database = tmp_path / "chroma.sqlite3"
    kept = tmp_path / "chroma.sqlite3.corrupt-20260101-000000"
    database.write_text("old")
    kept.write_text("new")
    with monkeypatch.context() as patched:
        killed_at(patched, call)
        try:
            exchange(kept, database)
        except Killed:
            assert call < 3
        else:
            assert call == 3
    assert database.read_text() == ("old" if call < 2 else "new")
    finish_exchanges(tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {database.name, kept.name}
    assert {database.read_text(), kept.read_text()} == {"old", "new"}


@pytest.mark.usefixtures("without_exchange")
@pytest.mark.parametrize("call", range(4))
def test_folders_that_a_kill_left_between_two_names_get_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    aside, live = tmp_path / f"{SEGMENT}.drift-20260101-000000", tmp_path / SEGMENT
    for folder in (aside, live):
        folder.mkdir()
        (folder / folder.name).touch()
    with monkeypatch.context() as patched:
        killed_at(patched, call)
        try:
            exchange(aside, live)
        except Killed:
            assert call < 3
    finish_exchanges(tmp_path)
    assert unfinished_exchanges(tmp_path) == []
    held = {one.name: next(one.iterdir()).name for one in (aside, live)}
    straight = {aside.name: aside.name, live.name: live.name}
    crossed = {aside.name: live.name, live.name: aside.name}
    assert held == (straight if call < 2 else crossed)


@pytest.mark.usefixtures("without_exchange")
def test_files_are_copied_where_a_file_can_have_one_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no second names")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("1")
    second.write_text("2")
    exchange(first, second)
    assert (first.read_text(), second.read_text()) == ("2", "1")
    assert unfinished_exchanges(tmp_path) == []


def test_a_database_that_an_earlier_version_left_between_two_names_is_adopted(
    victim: Victim, chroma: Chroma, tmp_path: Path
) -> None:
    before = chroma.ask(victim.palace)
    place = PalaceLocation(victim.palace, "chroma", "minilm")
    kept = victim.palace / "chroma.sqlite3.corrupt-20260101-000000"
    victim.database.rename(victim.palace / f".{kept.name}.exchanging")
    kept.write_bytes(b"the damaged one")
    findings = check_palace(place)
    assert [one.kind for one in findings if not one.harmless] == ["sqlite_unreadable"]
    repair(place, findings, tmp_path)
    assert kept.read_bytes() == b"the damaged one"
    seen = chroma.ask(victim.palace)
    assert {name: one.texts for name, one in seen.items()} == {
        name: one.texts for name, one in before.items()
    }
