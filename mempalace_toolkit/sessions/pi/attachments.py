"""What pi itself put around a prompt: attached files, a skill's text, notes about pictures.

pi writes them into the text block of the prompt (seen in 0.74.2 and 1.5.2):
`<file name="/absolute/path">` blocks of `pi @file` first, each on lines of its own; a
`<skill name="…" location="…">` block in the place of `/skill:name`; notes about pictures that
were left out or resized last, after an empty line.
"""

from __future__ import annotations

import re

_ABSOLUTE = r"(?:/|[A-Za-z]:[\\/]|\\\\)[^\"\n]*"
_NOTE = (
    r"\[Image (?:omitted: [^\n\]]*|converted from [^\n\]]*)\]"
    r"|\[Image: original [^\n\]]* to map to original image\.\]"
)
_FILE = re.compile(rf'<file name="{_ABSOLUTE}">')
_FILE_WITH_NOTES = re.compile(rf"(?:(?:{_NOTE})(?:\n(?:{_NOTE}))*)?</file>(?:\n|\Z)")
_FILE_EDGE = re.compile(rf'^(?:<file name="{_ABSOLUTE}">$|</file>$)', re.MULTILINE)
_SKILL = re.compile(
    rf'<skill name="([^"\n]+)" location="{_ABSOLUTE}">\n.*?\n</skill>(?:\n\n(.+))?\Z', re.DOTALL
)
_LAST_NOTES = re.compile(rf"(?:\n\n|\A)(?:{_NOTE})(?:\n(?:{_NOTE}))*\Z")


def typed_text(text: str) -> str:
    """The user's own words of a prompt's text block; the same object where pi added nothing."""
    if text.startswith("<file "):
        text = text[_end_of_files(text) :]
    elif text.startswith("<skill ") and (skill := _SKILL.match(text)):
        text = f"/skill:{skill[1]} {skill[2] or ''}".rstrip()
    if text.endswith("]") and (notes := _LAST_NOTES.search(text)):
        text = text[: notes.start()]
    return text


def _end_of_files(text: str) -> int:
    """Where the leading file blocks end."""
    end = 0
    while block := _FILE.match(text, end):
        if picture := _FILE_WITH_NOTES.match(text, block.end()):
            end = picture.end()
        elif text.startswith("\n", block.end()) and (body := _end_of_body(text, block.end())):
            end = body
        else:
            break
    return end


def _end_of_body(text: str, start: int) -> int:
    """The end of the block whose body starts there; a body may hold such blocks. 0 where none."""
    depth = 1
    for edge in _FILE_EDGE.finditer(text, start):
        depth += -1 if edge[0] == "</file>" else 1
        if not depth:
            return edge.end() + text.startswith("\n", edge.end())
    return 0
