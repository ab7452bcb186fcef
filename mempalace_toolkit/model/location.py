"""Where chromadb looks for its embedding model, and what is there.

chromadb takes the model from `~/.cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx`, with `~` as
Path.home() gives it; XDG_CACHE_HOME plays no part. It fetches nothing if six names exist there,
whatever they hold. That our check of the vectors passed is noted beside the folder, with the
size and time of each file, so that it need not be made again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from mempalace_toolkit.files.private import write_whole

Origin = Literal["download", "package index", "unknown"]

FILES = (
    "config.json",
    "model.onnx",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.txt",
)
ARCHIVE = "onnx.tar.gz"  # what chromadb keeps beside the folder after its own download
_NOTE = ".mempalace-toolkit.json"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What a look at the folder tells.

    `present` is what chromadb goes by, and that no file is empty. `verified` means that the
    files are those whose vectors were compared with the stored ones.
    """

    folder: Path
    present: bool
    missing: tuple[str, ...]
    verified: bool
    origin: Origin

    def as_json(self) -> dict[str, object]:
        """The status with the folder as text."""
        return asdict(self) | {"folder": str(self.folder), "missing": list(self.missing)}


def model_folder(home: Path) -> Path:
    """The folder chromadb reads for a user with that home directory."""
    return home / ".cache" / "chroma" / "onnx_models" / "all-MiniLM-L6-v2" / "onnx"


def status(cache: Path) -> ModelStatus:
    """What is in the folder: six stat calls and the note, nothing imported, nothing written."""
    marks = _marks(cache)
    missing = tuple(name for name in FILES if name not in marks)
    note = _read_note(cache)
    verified = not missing and note.get("files") == marks
    origin: Origin = "unknown"
    if verified and note.get("origin") == "download":
        origin = "download"
    elif verified and note.get("origin") == "package index":
        origin = "package index"
    return ModelStatus(cache, not missing, missing, verified, origin)


def write_note(cache: Path, origin: Origin) -> None:
    """Note that the files now in the folder gave the stored vectors; for the lock's holder."""
    content = json.dumps({"origin": origin, "files": _marks(cache)})
    write_whole(cache.with_name(_NOTE), content, 0o644)


def _marks(cache: Path) -> dict[str, list[int]]:
    """Size and modification time (ns) of each of the six that is a file and not empty."""
    marks: dict[str, list[int]] = {}
    for name in FILES:
        try:
            found = (cache / name).stat()
        except OSError:
            continue
        if S_ISREG(found.st_mode) and found.st_size > 0:
            marks[name] = [found.st_size, found.st_mtime_ns]
    return marks


def _read_note(cache: Path) -> dict[str, object]:
    try:
        note = json.loads(cache.with_name(_NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
