"""Stand-ins for pages that the palace holds and the spool does not."""

from __future__ import annotations

from pathlib import Path

from mempalace_toolkit.chroma.contents import MinedPage
from mempalace_toolkit.intake.missing_pages import stand_in_for_mined


def page(mtime: float | None = 1_700_000_000.25) -> MinedPage:
    return MinedPage(mtime=mtime, rows=3, complete=True, sentinel=False)


def test_only_pages_of_the_folder_that_are_missing_and_not_retired_get_one(tmp_path: Path) -> None:
    for name in ("opencode/shop", "opencode/shop2", "pi/shop"):
        (tmp_path / name).mkdir(parents=True)
    there = tmp_path / "opencode/shop/there.jsonl"
    there.write_bytes(b"talk")
    held = {
        "opencode/shop/missing.jsonl": page(),
        "opencode/shop/retired.jsonl": page(),
        "opencode/shop/untimed.jsonl": page(None),
        "opencode/shop/there.jsonl": page(),
        "opencode/shop2/other.jsonl": page(),
        "pi/shop/other.jsonl": page(),
    }
    stand_in_for_mined(tmp_path, "opencode/shop", held, {"opencode/shop/retired.jsonl"})
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.jsonl")}
    assert files == {"opencode/shop/missing.jsonl", "opencode/shop/there.jsonl"}
    assert there.read_bytes() == b"talk"
    made = (tmp_path / "opencode/shop/missing.jsonl").stat()
    assert (made.st_size, made.st_mtime_ns) == (0, 1_700_000_000_250_000_000)
