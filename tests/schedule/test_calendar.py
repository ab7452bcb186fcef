"""The schedule language: what it takes and refuses, each scheduler's form of it, the next times."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.errors import UsageError
from mempalace_toolkit.schedule.calendar import (
    When,
    calendar_interval,
    cron_fields,
    from_calendar_interval,
    from_cron_fields,
    from_on_calendar,
    next_runs,
    on_calendar,
    parse_when,
)

STOCKHOLM = ZoneInfo("Europe/Stockholm")
WHENS = st.builds(
    When,
    st.integers(0, 23),
    st.integers(0, 59),
    st.sets(st.integers(0, 6), max_size=6).map(lambda days: tuple(sorted(days))),
)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("Mon 03:00", When(3, 0, (0,))),
        ("mon 3:00", When(3, 0, (0,))),
        ("SUNDAY 23:59", When(23, 59, (6,))),
        ("Mon,Thu 03:00", When(3, 0, (0, 3))),
        ("thu, mon 03:00", When(3, 0, (0, 3))),
        ("Mon,mon 03:00", When(3, 0, (0,))),
        ("daily 00:00", When(0, 0)),
        ("03:07", When(3, 7)),
        ("  Daily   03:07 ", When(3, 7)),
        ("Mon,Tue,Wed,Thu,Fri,Sat,Sun 03:00", When(3, 0)),
    ],
)
def test_what_the_language_says(text: str, when: When) -> None:
    assert parse_when(text) == when


@pytest.mark.parametrize(
    "text",
    [
        *("", "Mon", "Mon 3", "Mon 24:00", "Mon 03:60", "Mon 03:0", "Mo 03:00", "Mon,, 03:00"),
        *("Mon,daily 03:00", "Mon-Fri 03:00", "Mon 03:00:00", "Mon 03:00 UTC", "weekly"),
        *("* * * * *", "Mon 03:00\nTue 03:00", "Mon ٠٣:٠٠", "-1:00", "Mon 03:00; rm", "Monn 03:00"),
    ],
)
def test_what_is_no_schedule_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_when(text)
    assert "Mon 03:00" in refused.value.hint


@pytest.mark.parametrize(
    ("when", "systemd", "cron", "launchd"),
    [
        ("Mon 03:00", "Mon *-*-* 03:00:00", "0 3 * * 1", {"Weekday": 1, "Hour": 3, "Minute": 0}),
        ("Sun 04:05", "Sun *-*-* 04:05:00", "5 4 * * 0", {"Weekday": 0, "Hour": 4, "Minute": 5}),
        ("daily 23:59", "*-*-* 23:59:00", "59 23 * * *", {"Hour": 23, "Minute": 59}),
        (
            "Mon,Sun 03:00",
            "Mon,Sun *-*-* 03:00:00",
            "0 3 * * 0,1",
            [{"Weekday": 1, "Hour": 3, "Minute": 0}, {"Weekday": 0, "Hour": 3, "Minute": 0}],
        ),
    ],
)
def test_each_schedulers_form(when: str, systemd: str, cron: str, launchd: object) -> None:
    read = parse_when(when)
    assert on_calendar(read) == systemd
    assert cron_fields(read) == cron
    assert calendar_interval(read) == launchd


@given(WHENS)
def test_every_form_reads_back_as_what_it_was_made_of(when: When) -> None:
    assert parse_when(str(when)) == when
    assert from_on_calendar(on_calendar(when)) == when
    assert from_cron_fields(cron_fields(when)) == when
    assert from_calendar_interval(calendar_interval(when)) == when


@pytest.mark.parametrize(
    "text", ["weekly", "*-*-01 03:00:00", "Mon *-*-* 03:00", "Mon..Fri *-*-* 03:00:00"]
)
def test_an_on_calendar_beyond_our_language_is_not_guessed_at(text: str) -> None:
    assert from_on_calendar(text) is None


@pytest.mark.parametrize(
    "text", ["*/5 3 * * *", "0 3 1 * *", "0 3 * * 1-5", "0 3 * * mon", "@weekly", "0 24 * * *"]
)
def test_cron_fields_beyond_our_language_are_not_guessed_at(text: str) -> None:
    assert from_cron_fields(text) is None


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, {"Hour": 3}, {"Hour": "3", "Minute": 0}, ["x"]),
        {"Hour": 3, "Minute": 0, "Day": 1},
        {"Hour": 3, "Minute": 0, "Weekday": 8},
        [{"Hour": 3, "Minute": 0}, {"Hour": 4, "Minute": 0}],
        [{"Hour": 3, "Minute": 0}, {"Hour": 3, "Minute": 0, "Weekday": 1}],
    ],
)
def test_an_interval_beyond_our_language_is_not_guessed_at(value: object) -> None:
    assert from_calendar_interval(value) is None


def at(text: str, zone: ZoneInfo = STOCKHOLM) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def local(times: object) -> list[str]:
    assert isinstance(times, list)
    return [datetime.fromtimestamp(ms / 1000, STOCKHOLM).isoformat()[:16] for ms in times]


@pytest.mark.parametrize(
    ("when", "after", "expected"),
    [
        ("Mon 03:00", "2026-11-21T12:00", ["2026-11-23T03:00", "2026-11-30T03:00"]),
        ("Mon 03:00", "2026-11-23T02:59:59", ["2026-11-23T03:00", "2026-11-30T03:00"]),
        ("Mon 03:00", "2026-11-23T03:00", ["2026-11-30T03:00", "2026-12-07T03:00"]),
        # The clock keeps its hour over both changes.
        ("Sun 04:00", "2026-03-27T12:00", ["2026-03-29T04:00", "2026-04-05T04:00"]),
        ("Sun 04:00", "2026-10-24T12:00", ["2026-10-25T04:00", "2026-11-01T04:00"]),
        # 02:30 is not there on 29 March and there twice on 25 October.
        ("daily 02:30", "2026-03-28T01:00", ["2026-03-28T02:30", "2026-03-30T02:30"]),
        ("daily 02:30", "2026-10-24T12:00", ["2026-10-25T02:30", "2026-10-26T02:30"]),
    ],
)
def test_the_next_times_by_the_clock_on_the_wall(
    when: str, after: str, expected: list[str]
) -> None:
    assert local(next_runs(parse_when(when), at(after), 2, STOCKHOLM)) == expected


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("when", ["Mon 03:00", "Mon,Thu,Sun 02:30", "daily 02:30", "Sat 23:59"])
@pytest.mark.parametrize(
    "after", ["2026-03-27 00:00:00", "2026-10-23 12:00:00", "2026-12-30 04:00:00"]
)
def test_systemd_sees_the_same_times(when: str, after: str) -> None:
    read = parse_when(when)
    said = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            "--iterations=6",
            f"--base-time={after}",
            on_calendar(read),
        ],
        env={"TZ": "Europe/Stockholm", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    theirs = re.findall(r"\(in UTC\): \w+ (\S+ \S+) UTC", said)
    ours = next_runs(read, at(after), 6, STOCKHOLM)
    utc = ZoneInfo("UTC")
    assert [f"{datetime.fromtimestamp(ms / 1000, utc):%Y-%m-%d %H:%M:%S}" for ms in ours] == theirs
