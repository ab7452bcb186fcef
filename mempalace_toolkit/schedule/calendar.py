"""The schedule language (`Mon 03:00`, `Mon,Thu 03:00`, `daily 03:00`) and each scheduler's form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from mempalace_toolkit.errors import UsageError

_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT = tuple(name[:3].title() for name in _NAMES)
_WEEK = 7


@dataclass(frozen=True, slots=True)
class When:
    """A time of day, every day or on some weekdays (0 is Monday; none means every day)."""

    hour: int
    minute: int
    weekdays: tuple[int, ...] = ()

    def __str__(self) -> str:
        days = ",".join(_SHORT[day] for day in self.weekdays) or "daily"
        return f"{days} {self.hour:02}:{self.minute:02}"


def parse_when(text: str) -> When:
    """What `text` says in the schedule language. Raises UsageError."""
    found = re.fullmatch(r"\s*(?:([a-z][a-z, ]*?)\s+)?(\d{1,2}):(\d{2})\s*", text, re.I | re.A)
    if found and int(found[2]) < 24 and int(found[3]) < 60:
        days = _weekdays(found[1] or "daily")
        if days is not None:
            return When(int(found[2]), int(found[3]), days)
    raise UsageError(
        f"{text!r} is not a valid time", 'write "Mon 03:00", "Mon,Thu 03:00" or "daily 03:00"'
    )


def _weekdays(words: str) -> tuple[int, ...] | None:
    if words.lower() == "daily":
        return ()
    names = [word.strip().lower() for word in words.split(",")]
    days = {day for day, name in enumerate(_NAMES) for word in names if word in (name, name[:3])}
    if any(word not in _NAMES and word.title() not in _SHORT for word in names):
        return None
    return () if len(days) == _WEEK else tuple(sorted(days))


def on_calendar(when: When) -> str:
    """systemd's OnCalendar= value."""
    days = ",".join(_SHORT[day] for day in when.weekdays)
    return f"{days} *-*-* {when.hour:02}:{when.minute:02}:00".lstrip()


def from_on_calendar(text: str) -> When | None:
    """What an OnCalendar= value says, None for what our language has no words for."""
    found = re.fullmatch(r"(?:(\S+) )?\*-\*-\* (\d\d:\d\d):00", text.strip())
    return _parsed(f"{found[1] or 'daily'} {found[2]}") if found else None


def cron_fields(when: When) -> str:
    """cron's five fields; Sunday is 0."""
    days = ",".join(map(str, sorted((day + 1) % _WEEK for day in when.weekdays))) or "*"
    return f"{when.minute} {when.hour} * * {days}"


def from_cron_fields(text: str) -> When | None:
    """What cron's five fields say, None for what our language has no words for."""
    found = re.fullmatch(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-7](?:,[0-7])*)", " ".join(text.split()))
    if not found:
        return None
    numbers = [] if found[3] == "*" else found[3].split(",")
    days = ",".join(_SHORT[(int(day) - 1) % _WEEK] for day in numbers)
    return _parsed(f"{days or 'daily'} {found[2]}:{int(found[1]):02}")


def calendar_interval(when: When) -> dict[str, int] | list[dict[str, int]]:
    """launchd's StartCalendarInterval; Sunday is 0, a key left out is any."""
    clock = {"Hour": when.hour, "Minute": when.minute}
    each = [{"Weekday": (day + 1) % _WEEK, **clock} for day in when.weekdays]
    return clock if not each else each[0] if len(each) == 1 else each


def from_calendar_interval(value: object) -> When | None:
    """What a StartCalendarInterval says, None for what our language has no words for."""
    written = value if isinstance(value, list) else [value]
    each: list[Mapping[object, object]] = [one for one in written if isinstance(one, Mapping)]
    if not each or len(each) < len(written):
        return None
    clocks = {(one.get("Hour"), one.get("Minute")) for one in each}
    known = {key for one in each for key in one} <= {"Weekday", "Hour", "Minute"}
    if len(clocks) != 1 or not known:
        return None
    ((hour, minute),) = clocks
    if not isinstance(hour, int) or not isinstance(minute, int):
        return None
    days = [one.get("Weekday") for one in each]
    numbers = [day for day in days if isinstance(day, int) and 0 <= day <= _WEEK]
    if set(days) == {None}:
        return _parsed(f"{hour}:{minute:02}")
    if len(numbers) < len(days):
        return None
    return _parsed(f"{','.join(_SHORT[(day - 1) % _WEEK] for day in numbers)} {hour}:{minute:02}")


def _parsed(text: str) -> When | None:
    try:
        return parse_when(text)
    except UsageError:
        return None


def next_runs(
    when: When, after_ms: int, count: int = 3, zone: tzinfo | None = None
) -> Sequence[int]:
    """The next times in milliseconds, by the clock of `zone` (None: this machine's own).

    As systemd has it: what falls into the hour that daylight saving skips is left out, what
    falls into the hour that comes twice counts once.
    """
    day = datetime.fromtimestamp(after_ms / 1000, zone).date()
    found: list[int] = []
    while len(found) < count:
        if not when.weekdays or day.weekday() in when.weekdays:
            clock = time(when.hour, when.minute)
            seconds = datetime.combine(day, clock, zone).timestamp()
            there = datetime.fromtimestamp(seconds, zone).time() == clock
            if there and seconds * 1000 > after_ms:
                found.append(round(seconds * 1000))
        day += timedelta(days=1)
    return found
