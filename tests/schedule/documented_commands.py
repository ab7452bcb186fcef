"""The command lines of contrib/README.md: its fenced blocks, by section and heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.schedule.private_boot import CHECKOUT

GUIDE = CHECKOUT / "contrib/README.md"
_MARKS = {"run as root", "not run by the tests: launchd is macOS's"}
_PART = re.compile(
    r"^## (?P<section>.+)$|^### (?P<heading>.+)$"
    r"|(?:^<!-- (?P<mark>.+) -->\n)?^```(?P<language>.*)\n(?P<text>[\s\S]*?)^```$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what is said about it before it, and what is in it."""

    section: str
    heading: str
    mark: str
    text: str

    @property
    def as_root(self) -> bool:
        """Whether its reader has to be root, or may have to."""
        return self.mark == "run as root"

    @property
    def is_run(self) -> bool:
        """Whether the tests run it."""
        return not self.mark.startswith("not run")


def blocks(section: str = "", heading: str = "") -> list[Block]:
    """Those of a section, and of a heading in it, in order; all of them without a name."""
    return [
        block
        for block in _all_blocks()
        if section in ("", block.section) and heading in ("", block.heading)
    ]


def _all_blocks() -> Iterator[Block]:
    section = heading = ""
    for part in _PART.finditer(GUIDE.read_text()):
        if part["section"]:
            section, heading = part["section"], ""
        elif part["heading"]:
            heading = part["heading"]
        else:
            mark = part["mark"] or ""
            assert part["language"] == "sh", part[0]
            assert not mark or mark in _MARKS, mark
            yield Block(section, heading, mark, part["text"])
