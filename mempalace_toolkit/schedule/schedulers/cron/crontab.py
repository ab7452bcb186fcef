"""A crontab's text: our marked blocks in it, and every other byte as it was."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mempalace_toolkit.errors import ConfigurationError, UsageError
from mempalace_toolkit.schedule.calendar import cron_fields
from mempalace_toolkit.schedule.job import DEVBOX, Job, JobSetting, job_of, stems
from mempalace_toolkit.schedule.templates import signature, template

_LONGEST = 990  # the older crons cut a command after 998 bytes, and say nothing
_BEGIN, _END = (re.compile(rb"# mempalace-toolkit: [\w-]+ %s\s*$" % w) for w in (b"begin", b"end"))
_EXEC = re.compile(r"\b(docker|podman)\b.*\bexec\b")
_ENTRY = re.compile(r"^(?!#)((?:@\w+[ \t]+)|(?:\S+[ \t]+){5})(.+)$", re.MULTILINE)


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


def unmarked_entries(crontab: bytes, stem: str) -> tuple[tuple[str, str], ...]:
    """The times and commands of the entries outside all of our blocks that do the job's work.

    A line that somebody took over from another recipe is one: with ours it runs the job twice.
    """
    for name in stems():
        crontab = without_block(crontab, name)
    entries = (_taken_apart(line) for line in _lines(crontab))
    return tuple(entry for entry in entries if entry and _stem_run_by(entry[1]) == stem)


def without_unmarked(crontab: bytes, stem: str) -> bytes:
    """The crontab without the entries that `unmarked_entries` finds for the job."""
    theirs = set(unmarked_entries(crontab, stem))
    kept, inside = [], False
    for line in _lines(crontab):
        inside = inside or bool(_BEGIN.match(line))
        if inside or _taken_apart(line) not in theirs:
            kept.append(line)
        inside = inside and not _END.match(line)
    return b"".join(kept)


def _taken_apart(line: bytes) -> tuple[str, str] | None:
    """The time and the command of a line; None where it is no entry."""
    found = _ENTRY.match(line.decode(errors="replace").rstrip("\n"))
    return (found[1].strip(), found[2]) if found else None


def _stem_run_by(command: str) -> str | None:
    """The job that a command of somebody else's runs: the one with the most arguments in common."""
    in_container = bool(_EXEC.search(command))
    fitting = [
        stem
        for stem in stems()
        if stem.endswith(DEVBOX) is in_container and _runs(command, job_of(stem))
    ]
    return max(fitting, key=lambda stem: len(job_of(stem).arguments), default=None)


def _runs(command: str, job: Job) -> bool:
    program = rf"(?<![\w./-]\.cache/)(?<![\w.-]){re.escape(job.program)}(?![\w/-])"
    words = "".join(rf".*\s{re.escape(word)}(?!\S)" for word in job.arguments)
    return re.search(program + words, command) is not None


def entry_of(block: bytes) -> tuple[str, str] | None:
    """The five fields and the command of a block's entry; None where it has none that runs."""
    return next(filter(None, map(_taken_apart, _lines(block))), None)


def render_block(setting: JobSetting) -> bytes:
    """The job's block: its template with this schedule, program, container and log.

    Raises UsageError where the line would be longer than cron reads.
    """
    text = shipped(setting.stem).decode()
    text = re.sub(r"^(# Take .*|# Repair .*), .*$", rf"\1, {setting.when}.", text, flags=re.M)
    command = _command(setting, text)
    if len(command.encode()) > _LONGEST:
        raise UsageError(
            f"{setting.program}: cron reads no line that long", "install under a shorter path"
        )
    content = _set_entry(text, cron_fields(setting.when), command).encode()
    begin, rest = content.split(b"\n", 1)
    return b"\n".join((begin, b"# " + signature(content).encode(), rest))


def _command(setting: JobSetting, text: str) -> str:
    found = entry_of(text.encode())
    if found is None:
        raise ValueError(f"the template of {setting.stem} has no entry")
    command = found[1]
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
