"""Is the palace filled with the embedding model that MemPalace is set to: its name, its width.

MemPalace 3.11 notes the model of each collection in a file beside the database, and refuses to
open one of another model. Palaces of before have no such note: then the width alone can tell.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping

from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.palace.location import PalaceLocation, known_model

MODEL_NOTE = "mempalace_embedder.json"
WIDTHS: Mapping[str, int] = {"minilm": 384, "embeddinggemma": 384}
_COLLECTIONS = ("mempalace_drawers", "mempalace_closets")
_LONGEST_NOTE = 1 << 20


def check_models(palace: PalaceLocation) -> tuple[Finding, ...]:
    """A finding for each collection of MemPalace's that another model filled. Reads only."""
    if not palace.database.is_file():
        return ()
    return tuple(_findings(palace, _filled_collections(palace)))


def _findings(
    palace: PalaceLocation, collections: list[tuple[str, str, object]]
) -> Iterator[Finding]:
    noted, model = _noted_models(palace), known_model(palace.embedding_model)
    for name, segment, dimension in collections:
        width, recorded = WIDTHS.get(model), noted.get(name, "")
        if width and isinstance(dimension, int) and dimension not in (0, width):
            what = f"vectors of {dimension} numbers, and {model} gives {width}"
        elif recorded and recorded.partition(":")[0] != model:
            what = f"vectors of the model {recorded}"
        else:
            continue
        yield Finding(
            "model_differs",
            f"{name} holds {what}, but MemPalace is set to {model}: it cannot search them. Set"
            " embedding_model in MemPalace's configuration to the palace's own model, or have it"
            f" embed every drawer again: mempalace --palace {palace.path} repair rebuild-index",
            name,
            segment,
            {"dimension": dimension if isinstance(dimension, int) else 0, "model": model},
        )


def _filled_collections(palace: PalaceLocation) -> list[tuple[str, str, object]]:
    """Name, segment and width of MemPalace's collections that hold drawers."""
    query = (
        "select c.name, v.id, c.dimension from collections c"
        " join segments v on v.collection = c.id and v.scope = 'VECTOR'"
        " join segments m on m.collection = c.id and m.scope = 'METADATA'"
        " where exists (select 1 from embeddings e where e.segment_id = m.id) order by c.name"
    )
    try:
        with open_database(palace) as opened:
            rows = opened.connection.execute(query).fetchall()
    except (MempalaceError, sqlite3.Error):  # told by the checks of the database
        return []
    return [(str(name), str(vector), width) for name, vector, width in rows if name in _COLLECTIONS]


def _noted_models(palace: PalaceLocation) -> dict[str, str]:
    """The model that MemPalace noted for each collection, by the name it goes by now.

    What is no name of a model was embedded with MiniLM, as MemPalace itself reads it.
    """
    try:
        with (palace.path / MODEL_NOTE).open("rb") as file:
            note = json.loads(file.read(_LONGEST_NOTE))
    except (OSError, ValueError, RecursionError):
        return {}
    entries = note.items() if isinstance(note, dict) else ()
    names = {
        str(name): str(entry.get("model_name") or "")
        for name, entry in entries
        if isinstance(entry, dict)
    }
    return {name: _normalized(model) for name, model in names.items() if model}


def _normalized(model: str) -> str:
    name = model.strip().lower()
    if name.startswith("embeddinggemma2:") or name in ("embeddinggemma", "openai-compat"):
        return name
    return "minilm"
