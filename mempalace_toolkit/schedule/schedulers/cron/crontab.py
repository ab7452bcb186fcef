"""A crontab's text: our marked blocks in it, and every other byte as it was."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mempalace_toolkit.errors import ConfigurationError, UsageError
from mempalace_toolkit.schedule.calendar import cron_fields
from mempalace_toolkit.schedule.job import DEVBOX, JobSetting, job_of, stems
from mempalace_toolkit.schedule.templates import signature, template

_LONGEST = 990  # the older crons cut a command after 998 bytes, and say nothing
_EXEC = re.compile(r"\b(docker|podman)\b.*\bexec\b")
_ENTRY = re.compile(r"^(?!#)((?:\S+[ \t]+){5})(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """A crontab taken apart: the blocks of one job, what is between them, in order."""

    before: bytes
    blocks: tuple[bytes, ...]
    after: bytes

    @property
    def others(self) -> bytes:
        """Everything that is not ours."""
        return self.before + self.after


def shipped(stem: str) -> bytes:
    """The template of a job's block."""
    return template("cron", f"mempalace-{stem}.cron")


def find_block(crontab: bytes, stem: str) -> Found:
    """Take a crontab apart. Raises ConfigurationError where a block has no end."""
    begin, end = (f"# mempalace-toolkit: {stem} {word}".encode() for word in ("begin", "end"))
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    blocks: list[bytes] = []
    inside: list[bytes] | None = None
    for line in _lines(crontab):
        if inside is None and line.strip() == begin:
            inside = [line]
        elif inside is not None:
            inside.append(line)
            if line.strip() == end:
                blocks.append(b"".join(inside))
                inside = None
        else:
            parts[1 if blocks else 0].append(line)
    if inside is not None:
        raise ConfigurationError(
            f"the crontab's block of {stem} has no end line",
            f"put `{end.decode()}` below it, or remove it: crontab -e",
        )
    return Found(b"".join(parts[0]), tuple(blocks), b"".join(parts[1]))


def _lines(text: bytes) -> list[bytes]:
    """Lines as cron sees them: a carriage return ends none."""
    pieces = text.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]]
    return [*lines, pieces[-1]] if pieces[-1] else lines


def with_block(crontab: bytes, stem: str, block: bytes) -> bytes:
    """The crontab with this block, where the old one was, else above everything.

    There no setting of the user's (PATH=, SHELL=, CRON_TZ=) changes what it means, and a last
    line without its newline stays as it is.
    """
    found = find_block(crontab, stem)
    if found.blocks:
        return found.before + block + found.after
    return block + crontab


def without_block(crontab: bytes, stem: str) -> bytes:
    """The crontab without the job's blocks."""
    return find_block(crontab, stem).others


def unmarked_entries(crontab: bytes, stem: str) -> tuple[str, ...]:
    """The entries outside all of our blocks that run the job's program.

    A line that somebody took over from another recipe is one: with ours it runs the job twice.
    """
    for name in stems():
        crontab = without_block(crontab, name)
    job = job_of(stem)
    command = re.compile(
        rf"(?<![\w./-]\.cache/)(?<![\w.-]){re.escape(job.program)}(?![\w/-])"
        + ("".join(rf".*\s{re.escape(word)}(?!\S)" for word in job.arguments))
    )
    texts = (entry[2] for entry in _ENTRY.finditer(crontab.decode(errors="replace")))
    in_container = stem.endswith(DEVBOX)
    return tuple(
        text for text in texts if command.search(text) and bool(_EXEC.search(text)) is in_container
    )


def entry_of(block: bytes) -> tuple[str, str] | None:
    """The five fields and the command of a block's entry; None where it has none that runs."""
    found = _ENTRY.search(block.decode(errors="replace"))
    return (found[1].strip(), found[2]) if found else None


def render_block(setting: JobSetting, with_timeout: bool) -> bytes:
    """The job's block: its template with this schedule, program, container and log.

    `with_timeout`: whether the machine has the program `timeout`. Raises UsageError where the
    line would be longer than cron reads.
    """
    text = shipped(setting.stem).decode()
    text = re.sub(r"^(# Take .*|# Repair .*), .*$", rf"\1, {setting.when}.", text, flags=re.M)
    command = _command(setting, with_timeout, text)
    if len(command.encode()) > _LONGEST:
        raise UsageError(
            f"{setting.program}: cron reads no line that long", "install under a shorter path"
        )
    content = _set_entry(text, cron_fields(setting.when), command).encode()
    begin, rest = content.split(b"\n", 1)
    return b"\n".join((begin, b"# " + signature(content).encode(), rest))


def _command(setting: JobSetting, with_timeout: bool, text: str) -> str:
    found = entry_of(text.encode())
    if found is None:
        raise ValueError(f"the template of {setting.stem} has no entry")
    command = found[1]
    if not with_timeout:
        command = command.replace("timeout -k 30 7200 ", "").replace("timeout -k 5 30 ", "")
    if setting.container:
        for name, value in (
            ("ENGINE", setting.engine),
            ("CONTAINER", setting.container),
            ("CONTAINER_USER", setting.container_user),
        ):
            command = _replace_once(rf" {name}=[^;]*;", f" {name}={value};", command)
        return command
    shown = [f"{name}={sh_word(value)}; export {name}; " for name, value in setting.variables]
    command = _replace_once(r"nice -n 10 ", f"{''.join(shown)}nice -n 10 ", command)
    program = rf'"\$HOME/\.local/bin/{re.escape(setting.job.program)}"'
    return _replace_once(program, sh_word(str(setting.program)), command)


def _set_entry(text: str, fields: str, command: str) -> str:
    return _ENTRY.sub(lambda _: f"{fields} {command}", text, count=1)


def _replace_once(pattern: str, value: str, text: str) -> str:
    changed, count = re.subn(pattern, lambda _: value, text)
    if count != 1:
        raise ValueError(f"the template has {count} times {pattern}")
    return changed


def sh_word(text: str) -> str:
    """One word for sh in a crontab.

    `%` ends a command there, and cron after cron has its own way with a backslash before it:
    where a name has such a character, printf spells it out in octal.
    """
    spelled = "".join(f"\\{ord(c):03o}" if c in "%\\'" else c for c in text)
    return f"'{text}'" if spelled == text else f"\"$(printf '{spelled}')\""
