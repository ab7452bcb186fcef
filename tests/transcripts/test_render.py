"""Pages: what they hold, how they are cut, and that they stay what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.sessions.model import Role, Turn
from mempalace_toolkit.transcripts.render import (
    Page,
    PageHeader,
    cut_talk,
    file_safe,
    iso_time,
    page_lengths,
    page_mtime_ms,
    render_page,
    split_exchanges,
    talk_digest,
)

ROLES: tuple[Role, ...] = ("user", "assistant")
TEXTS = st.text(min_size=1, max_size=60).filter(lambda text: text.strip() != "")


@st.composite
def talks(draw: st.DrawFn) -> list[Turn]:
    """Turns as a reader gives them: any roles, any text, times that do not go back."""
    roles = draw(st.lists(st.sampled_from(ROLES), min_size=1, max_size=40))
    time = draw(st.integers(0, 2_000_000_000_000))
    return [
        Turn(role, draw(TEXTS), time + number, f"k{number}") for number, role in enumerate(roles)
    ]


def pages_of(turns: list[Turn]) -> list[Page]:
    header = PageHeader("ses_1", "/home/dev/shop", "opencode")
    return [render_page(header, number, cut) for number, cut in enumerate(cut_talk(turns), 1)]


def exchange(number: int) -> list[Turn]:
    return [
        Turn("user", f"question {number}", number * 1000, f"u{number}"),
        Turn("assistant", f"answer {number}", number * 1000 + 1, f"a{number}"),
    ]


@pytest.mark.parametrize(
    ("exchanges", "lengths"),
    [
        (0, []),
        (1, [1]),
        (2, [2]),
        (3, [3]),
        (4, [4]),
        (5, [5]),
        (6, [6]),
        (7, [4, 3]),
        (8, [4, 4]),
        (9, [4, 5]),
        (10, [4, 6]),
        (11, [4, 4, 3]),
        (1000, [4] * 250),
        (1001, [4] * 249 + [5]),
    ],
)
def test_a_page_holds_four_exchanges_and_the_last_one_three_to_six(
    exchanges: int, lengths: list[int]
) -> None:
    assert page_lengths(exchanges) == lengths


@given(st.integers(3, 5000))
def test_no_page_is_too_short_for_mempalace_and_nothing_is_left_out(exchanges: int) -> None:
    lengths = page_lengths(exchanges)
    assert sum(lengths) == exchanges
    assert all(3 <= length <= 6 for length in lengths)


def test_a_session_without_talk_has_no_pages() -> None:
    assert split_exchanges([]) == []
    assert cut_talk([]) == []


@given(talks())
def test_exchanges_begin_with_the_user_and_keep_every_turn_in_order(turns: list[Turn]) -> None:
    exchanges = split_exchanges(turns)
    assert [turn for one in exchanges for turn in one] == turns
    for number, one in enumerate(exchanges):
        assert one[0].role == "user" or number == 0
        assert all(turn.role == "assistant" for turn in one[1:])


@given(talks())
def test_every_text_stands_on_one_page_verbatim_and_in_order(turns: list[Turn]) -> None:
    said = []
    for page in pages_of(turns):
        header, *lines = page.content.decode().rstrip("\n").split("\n")
        assert json.loads(header)["type"] == "session"
        for line in lines:
            message = json.loads(line)["message"]
            said.append((message["role"], message["content"][0]["text"]))
    assert said == [(turn.role, turn.text) for turn in turns]


@given(st.integers(1, 60))
def test_an_appended_exchange_changes_the_last_page_only(exchanges: int) -> None:
    turns = [turn for number in range(exchanges) for turn in exchange(number)]
    before = pages_of(turns)
    after = pages_of([*turns, *exchange(exchanges)])
    assert after[: len(before) - 1] == before[:-1]
    assert len(after) <= len(before) + 1


def test_a_page_is_the_same_each_time_and_another_when_a_word_of_it_is() -> None:
    turns = [turn for number in range(3) for turn in exchange(number)]
    changed = [*turns[:2], Turn("user", "another question", turns[2].time, "u1"), *turns[3:]]
    (page,), (again,), (other,) = pages_of(turns), pages_of(turns), pages_of(changed)
    assert page == again
    assert page.digest != other.digest
    assert abs(page.mtime_ms - other.mtime_ms) >= 2


def test_a_pages_time_is_its_last_turns_moved_by_less_than_an_hour() -> None:
    turns = [turn for number in range(3) for turn in exchange(number)]
    (page,) = pages_of(turns)
    assert 0 <= page.mtime_ms - turns[-1].time < 3600 * 1000
    assert page_mtime_ms(page.digest, turns[-1].time, 1) - page.mtime_ms == 3600 * 1000


def test_roles_and_texts_cannot_be_shifted_between_turns_unnoticed() -> None:
    one = [Turn("user", "ab", 0, ""), Turn("user", "c", 0, "")]
    other = [Turn("user", "a", 0, ""), Turn("user", "bc", 0, "")]
    swapped = [Turn("assistant", "ab", 0, ""), Turn("user", "c", 0, "")]
    assert len({talk_digest(one), talk_digest(other), talk_digest(swapped)}) == 3


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (1_795_222_812_360, "2026-11-21T01:00:12.360Z"),
        (10**20, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_as_mempalace_sorts_them(milliseconds: int, text: str) -> None:
    assert iso_time(milliseconds) == text


@pytest.mark.parametrize(
    ("identifier", "safe"),
    [
        ("ses_abc-1.2", "ses_abc-1.2"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("a b\n%", "a%20b%0A%25"),
        ("日", "%E6%97%A5"),
        ("", "%"),
    ],
)
def test_a_session_id_never_leaves_the_folder(identifier: str, safe: str) -> None:
    assert file_safe(identifier) == safe


@given(st.text(max_size=400), st.text(max_size=400))
def test_different_sessions_get_different_file_names(one: str, other: str) -> None:
    assert (file_safe(one) == file_safe(other)) == (one == other)
    assert len(file_safe(one)) <= 120
    assert "/" not in file_safe(one)


@given(st.lists(TEXTS, min_size=2, max_size=12))
def test_mempalace_reads_a_page_as_the_talk_it_holds(texts: list[str]) -> None:
    from mempalace.normalize import _try_pi_jsonl

    turns = [
        Turn("user" if number % 2 == 0 else "assistant", text, number, str(number))
        for number, text in enumerate(texts)
    ]
    read = "".join(_try_pi_jsonl(page.content.decode()) or "" for page in pages_of(turns))
    for text in texts:
        assert text.strip() in read


def test_mempalace_takes_the_last_turns_time_for_the_time_of_the_page(tmp_path: Path) -> None:
    from mempalace.convo_miner import _extract_authored_at

    turns = [turn for number in range(3) for turn in exchange(1_700_000_000 + number)]
    (page,) = pages_of(turns)
    file = tmp_path / page.name
    file.write_bytes(page.content)
    read: Callable[[Path], str] = _extract_authored_at
    assert read(file) == iso_time(turns[-1].time)
