"""What pi put around a prompt is no talk; what the user typed is, also where it looks alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from mempalace_toolkit.sessions.pi.attachments import typed_text
from tests.sessions.pi_writing import START_MS, header, lines, read_one, said, talk_of, write

FILE = '<file name="/home/u/plan.md">\nBODY\nmore\n\n</file>\n'
PICTURE = '<file name="/home/u/dot.png"></file>\n'
OMITTED = "[Image omitted: could not be resized below the inline image size limit.]"
SCALE = "Multiply coordinates by 3.00 to map to original image."
RESIZED = f"[Image: original 9x9, displayed at 3x3. {SCALE}]"
SKILL = (
    '<skill name="review" location="/home/u/.pi/skills/review/SKILL.md">\n'
    "References are relative to /home/u/.pi/skills/review.\n\nRead it all.\n</skill>"
)

TEXTS = {
    "a file": (f"{FILE}Explain it", "Explain it"),
    "files and pictures": (f"{FILE}{PICTURE}{FILE}Explain it", "Explain it"),
    "a picture with a note": (f'<file name="/p.png">{RESIZED}</file>\nLook', "Look"),
    "a picture left out": (f'<file name="/p.png">{OMITTED}</file>\nLook', "Look"),
    "notes at the end": (f"Look\n\n{RESIZED}\n{OMITTED}", "Look"),
    "a file and a note": (f"{FILE}Look\n\n{OMITTED}", "Look"),
    "a file on Windows": ('<file name="C:\\Users\\me\\a.txt">\nB\n</file>\nGo', "Go"),
    "a file that holds such a block": (
        '<file name="/a.md">\nx\n<file name="/b.md">\ny\n</file>\nz\n</file>\nGo',
        "Go",
    ),
    "only a file": (FILE, ""),
    "a skill with words": (f"{SKILL}\n\nthe last commit", "/skill:review the last commit"),
    "a skill without": (SKILL, "/skill:review"),
    "an empty line in a prompt": ("a\n\nb", "a\n\nb"),
    "a block in the middle": (f"See {FILE}", f"See {FILE}"),
    "a block on a later line": (f"See\n{FILE}end", f"See\n{FILE}end"),
    "a block after a file": (f"{FILE}See\n{FILE}end", f"See\n{FILE}end"),
    "a relative name": ('<file name="a.md">\nx\n</file>\ny', '<file name="a.md">\nx\n</file>\ny'),
    "another attribute": ('<file path="/a">\nx\n</file>\ny', '<file path="/a">\nx\n</file>\ny'),
    "a block without an end": ('<file name="/a">\nx\ny', '<file name="/a">\nx\ny'),
    "text in a line of its own": ('<file name="/a">x</file>\ny', '<file name="/a">x</file>\ny'),
    "a skill in the middle": (f"Use {SKILL}", f"Use {SKILL}"),
    "a note in the middle": (f"{OMITTED} why?", f"{OMITTED} why?"),
    "a note on the same line": (f"why {OMITTED}", f"why {OMITTED}"),
    "other brackets": ("see\n\n[Image of a cat]", "see\n\n[Image of a cat]"),
}


@pytest.mark.parametrize(("text", "typed"), TEXTS.values(), ids=TEXTS.keys())
def test_what_the_user_typed(text: str, typed: str) -> None:
    assert typed_text(text) == typed


def test_attachments_are_cut_from_the_user_alone_and_named_as_withdrawn(tmp_path: Path) -> None:
    rows = [
        said("user", f"{FILE}Explain it", "a", None, 0),
        said("assistant", f"{FILE}as it stands", "b", "a", 1),
        said("user", FILE, "c", "b", 2),
    ]
    session = read_one(write(tmp_path, lines(header(), *rows)))
    assert talk_of(session) == [("user", "Explain it"), ("assistant", f"{FILE}as it stands")]
    assert session.ref.title == "Explain it"
    reason = "attached by pi, not typed"
    assert session.withdrawn == {("user", START_MS): reason, ("user", START_MS + 2000): reason}
