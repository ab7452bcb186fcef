"""Where the palace is and how MemPalace is set up to use it, by MemPalace's own rules.

Read off MemPalace 3.11.0 (`mempalace/config.py`), without importing it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import ConfigurationError

PALACE_VARIABLES = ("MEMPALACE_PALACE_PATH", "MEMPALACE_PALACE", "MEMPAL_PALACE_PATH")
MODEL_VARIABLE = "MEMPALACE_EMBEDDING_MODEL"
DATABASE = "chroma.sqlite3"


@dataclass(frozen=True, slots=True)
class PalaceLocation:
    """A palace's folder, and the names of its backend and embedding model as configured."""

    path: Path
    backend: str
    embedding_model: str

    @property
    def database(self) -> Path:
        """chromadb's SQLite file; it exists from the first drawer on."""
        return self.path / DATABASE

    def is_empty(self) -> bool:
        """Whether there is nothing in the folder but what the toolkit puts there."""
        return not self.path.is_dir() or all(
            entry.name.startswith(".mempalace-toolkit") for entry in self.path.iterdir()
        )

    @property
    def has_hnsw_index(self) -> bool:
        """Whether the palace is chromadb's, the only backend with an index to check."""
        return self.backend == "chroma"


def locate_palace(
    environment: Mapping[str, str], home: Path, chosen: Path | None = None
) -> PalaceLocation:
    """The palace that `mempalace` itself would use, or the `chosen` folder.

    Raises ConfigurationError where MemPalace's config.json cannot be read as JSON.
    """
    folder = _configuration_folder(environment, home)
    settings = _read_settings(folder / "config.json")
    named = next((environment[v] for v in PALACE_VARIABLES if environment.get(v)), "")
    text = str(chosen or named or settings.get("palace_path") or folder / "palace")
    path = Path(home, text[2:]) if text.startswith("~/") else Path(text)
    model = environment.get(MODEL_VARIABLE) or settings.get("embedding_model")
    return PalaceLocation(
        path=path.absolute(),
        backend=environment.get("MEMPALACE_BACKEND") or str(settings.get("backend") or "chroma"),
        embedding_model=known_model(str(model or "minilm")),
    )


def known_model(name: str) -> str:
    """The model that MemPalace embeds with where this name is configured.

    It takes MiniLM for a name that it does not know, and refuses what looks like another.
    """
    plain = name.strip().lower()
    return plain if plain.startswith(("embeddinggemma", "openai")) else "minilm"


def _configuration_folder(environment: Mapping[str, str], home: Path) -> Path:
    named = environment.get("MEMPALACE_CONFIG_DIR", "").strip()
    if named:
        return Path(home, named[2:]) if named.startswith("~/") else Path(named)
    legacy = home / ".mempalace"
    marks = ("config.json", "people_map.json", f"palace/{DATABASE}")
    if any((legacy / mark).is_file() for mark in marks):
        return legacy
    base = environment.get("XDG_CONFIG_HOME", "").strip()
    return (Path(base) if base.startswith("/") else home / ".config") / "mempalace"


def _read_settings(file: Path) -> dict[str, object]:
    try:
        settings = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"MemPalace's configuration {file} cannot be read: {error}",
            "correct or remove that file",
        ) from error
    return settings if isinstance(settings, dict) else {}
