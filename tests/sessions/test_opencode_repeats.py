"""Which rows of the newer table repeat a message of the older one: by time and by words."""

from __future__ import annotations

import pytest

from mempalace_toolkit.sessions.model import Role
from mempalace_toolkit.sessions.opencode.messages import StoredMessage
from mempalace_toolkit.sessions.opencode.rows_v2 import Row, without_repeats

NOW = 1_795_222_812_360


def message(*texts: str, role: Role = "user", time: int = NOW) -> StoredMessage:
    parts = [(f"prt_{number}", text) for number, text in enumerate(texts)]
    return StoredMessage("msg_1", role, time, time, parts)


def row(text: str, role: Role = "user", time: int = NOW) -> Row:
    return Row(f"row_{text}", role, time, time, text, False, ())


@pytest.mark.parametrize(
    ("messages", "rows", "kept"),
    [
        ([message("take Postgres")], [row("take Postgres"), row("done", "assistant")], []),
        ([message("take", "Postgres")], [row("take Postgres")], ["take Postgres"]),
        ([message("take Postgres, please")], [row("take Postgres")], []),
        ([message("take Postgres")], [row("take Postgres, please")], []),
        (
            [message("take Postgres")],
            [row("take SQLite"), row("gladly", "assistant")],
            ["take SQLite", "gladly"],
        ),
        ([message("take Postgres", time=NOW - 1)], [row("take Postgres")], ["take Postgres"]),
        ([message("take Postgres", role="assistant")], [row("take Postgres")], ["take Postgres"]),
        (
            [message("take Postgres")],
            [row("take Postgres"), row("done", "assistant"), row("and now?", time=NOW + 5)],
            ["and now?"],
        ),
    ],
)
def test_a_row_is_left_out_with_its_answer_where_a_message_of_its_time_says_the_same(
    messages: list[StoredMessage], rows: list[Row], kept: list[str]
) -> None:
    assert [one.text for one in without_repeats(messages, rows)] == kept
