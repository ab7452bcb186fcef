"""The systemd units of a job: the templates with this user's paths, schedule and container."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mempalace_toolkit.schedule.calendar import on_calendar
from mempalace_toolkit.schedule.job import JobSetting
from mempalace_toolkit.schedule.templates import set_value, signature, template

_PLAIN = re.compile(r"[A-Za-z0-9_/.:=+,@~-]+")


def service_name(stem: str) -> str:
    """The name of a job's service."""
    return f"mempalace-{stem}.service"


def timer_name(stem: str) -> str:
    """The name of a job's timer."""
    return f"mempalace-{stem}.timer"


def shipped(name: str) -> bytes:
    """The template of a unit."""
    return template("systemd", name)


def render_units(setting: JobSetting) -> dict[str, bytes]:
    """Each unit's name and content."""
    service, timer = service_name(setting.stem), timer_name(setting.stem)
    timed = shipped(timer).decode()
    timed = re.sub(r"^(Description=.*), .*$", rf"\1, {setting.when}", timed, flags=re.MULTILINE)
    timed = set_value(timed, "OnCalendar", on_calendar(setting.when))
    return {service: _signed(_service(setting)), timer: _signed(timed)}


def _service(setting: JobSetting) -> str:
    text = shipped(service_name(setting.stem)).decode()
    if setting.container:
        text = set_value(text, "Environment=ENGINE", setting.engine)
        text = set_value(text, "Environment=CONTAINER", setting.container)
        return set_value(text, "Environment=CONTAINER_USER", setting.container_user)
    text = set_value(text, "ExecStart", exec_line([str(setting.program), *setting.job.arguments]))
    if not setting.variables:
        return text
    # With a store elsewhere the conditions would look in the wrong place: the program looks itself.
    text = re.sub(r"(^# Skips where .*\n)?(^ConditionPath\w+=.*\n)+", "", text, flags=re.MULTILINE)
    lines = [f"Environment={unit_word(f'{name}={value}')}" for name, value in setting.variables]
    return re.sub(
        r"^(ExecStart=.*)$", lambda found: "\n".join([*lines, found[1]]), text, flags=re.MULTILINE
    )


def exec_line(words: Sequence[str]) -> str:
    """An ExecStart= value that runs exactly `words`.

    systemd takes no program with a quote or a backslash in its name: sh starts that. The colon
    turns off systemd's own variables: a doubled dollar would stay doubled in a program's name.
    """
    if any(character in words[0] for character in "'\"\\"):
        words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
    line = " ".join(map(unit_word, words))
    return f":{line}" if "$" in line else line


def unit_word(text: str) -> str:
    """One word of a unit file's value: quoted, and without specifiers."""
    doubled = text.replace("%", "%%")
    if _PLAIN.fullmatch(text):
        return doubled
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _signed(text: str) -> bytes:
    content = text.encode()
    return f"# {signature(content)}\n".encode() + content
