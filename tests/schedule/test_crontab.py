"""A crontab's text: our blocks go in and out, and no other byte changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mempalace_toolkit.errors import ConfigurationError
from mempalace_toolkit.schedule.job import stems
from mempalace_toolkit.schedule.schedulers.cron import scheduler as cron
from mempalace_toolkit.schedule.schedulers.cron.crontab import (
    entry_of,
    find_block,
    with_block,
    without_block,
)
from tests.schedule.rendering import account_at, setting_of

ANN = account_at(Path("/home/ann"))
PIECES = st.sampled_from(
    [
        *(
            b"\n",
            b"\r\n",
            b"\r",
            b"  ",
            b"\t",
            b"# x",
            b"PATH=/bin",
            b"0 3 * * 1 true",
            b"\xff",
            b"\0",
        ),
        *(b"# mempalace-toolkit: session", b" begin", b" end", b"\x0b", b"\x85"),
    ]
)
CRONTABS = st.one_of(st.binary(), st.lists(PIECES).map(b"".join))


def block_of(stem: str, prefix: str = "/opt") -> bytes:
    (block,) = cron.render(setting_of(stem, prefix), ANN).values()
    return block


@given(CRONTABS, st.lists(st.sampled_from(stems()), unique=True))
@example(b"no final newline", ["session"])
@example(b"a\r\nb\r\n", ["session", "repair"])
@example(b"\xff", ["session"])
@example(b"", ["session"])
def test_what_is_put_in_and_taken_out_leaves_every_byte(crontab: bytes, jobs: list[str]) -> None:
    assume(not any(line.strip().endswith((b"begin", b"end")) for line in crontab.split(b"\n")))
    changed = crontab
    for stem in jobs:
        changed = with_block(changed, stem, block_of(stem))
    for stem in jobs:
        assert find_block(changed, stem).blocks == (block_of(stem),)
        assert with_block(changed, stem, block_of(stem)) == changed
    for stem in jobs:
        changed = without_block(changed, stem)
    assert changed == crontab


@given(CRONTABS, CRONTABS)
def test_a_block_is_replaced_where_it_stands(before: bytes, after: bytes) -> None:
    assume(b"mempalace" not in before + after)
    before += b"\n"
    old, new = block_of("session"), block_of("session", "/elsewhere")
    assert with_block(before + old + after, "session", new) == before + new + after


def test_a_block_appended_twice_by_hand_becomes_one() -> None:
    block = block_of("session")
    crontab = b"1 1 * * * a\n" + block + b"2 2 * * * b\n" + block + b"3 3 * * * c\n"
    assert with_block(crontab, "session", block).count(block) == 1
    assert without_block(crontab, "session") == b"1 1 * * * a\n2 2 * * * b\n3 3 * * * c\n"


def test_a_new_block_stands_above_the_users_settings() -> None:
    crontab = with_block(b"PATH=/nowhere\nSHELL=/bin/fish\n", "session", block_of("session"))
    assert crontab.index(b"mempalace") < crontab.index(b"PATH=/nowhere")


def test_one_job_is_not_taken_for_another() -> None:
    crontab = b"".join(map(block_of, stems()))
    for stem in stems():
        assert without_block(crontab, stem) == crontab.replace(block_of(stem), b"")


@pytest.mark.parametrize("torn", [b"# mempalace-toolkit: session begin\n1 1 * * * a\n", b""])
def test_a_block_without_its_end_is_not_guessed_at(torn: bytes) -> None:
    if torn:
        with pytest.raises(ConfigurationError, match="no end line"):
            without_block(torn, "session")
    else:
        assert without_block(b"# mempalace-toolkit: session end\n", "session") != b""


@pytest.mark.parametrize(
    ("block", "entry"),
    [
        (b"# x\n0 3 * * 1 a b\n# y\n", ("0 3 * * 1", "a b")),
        (b"# x\n0\t3  * * 1  a\n", ("0\t3  * * 1", "a")),
        (b"# x\n# 0 3 * * 1 a\n# y\n", None),
        (b"# x\n0 3 * *\n", None),
    ],
)
def test_the_entry_of_a_block_is_what_cron_would_run(
    block: bytes, entry: tuple[str, str] | None
) -> None:
    assert entry_of(block) == entry
