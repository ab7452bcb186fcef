"""A collection's settings as chromadb keeps them: can they be read, and what broken ones tell.

They stand up to three times in the database: as a schema (since 1.2), as a configuration (since
1.0), and as the `hnsw:` keys of the collection's metadata. One that can be read tells the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from mempalace_toolkit.chroma.settings import METADATA_NAMES, SPACES

_NUMBERS = ("max_neighbors", "ef_construction", "ef_search", "num_threads", "batch_size",
            "sync_threshold")  # fmt: skip
_KINDS = ("known", "legacy", "unknown")
_VALUE = re.compile(r'"(space|' + "|".join(_NUMBERS) + r')"\s*:\s*(?:"(\w+)"|(\d+))')


def is_configuration(text: object) -> bool:
    """Whether chromadb can read it: none, or an object with settings of the right kinds."""
    if text is None:
        return True
    value = _object(text)
    if value is None:
        return False
    index = value.get("vector_index")
    own = [value.get("hnsw"), index.get("hnsw") if isinstance(index, dict) else index]
    spaces = [index.get("space")] if isinstance(index, dict) else []
    spaces = [space for space in spaces if space is not None]
    settled = all(hnsw is None or _is_hnsw(hnsw) for hnsw in own)
    known = all(space in SPACES for space in spaces)
    return settled and known and _is_function(value.get("embedding_function"))


def is_schema(text: object) -> bool:
    """The same for a schema, which names its vector index below `keys`."""
    if text is None:
        return True
    value = _object(text)
    if value is None or not isinstance(value.get("defaults"), dict):
        return False
    keys = value.get("keys")
    if not isinstance(keys, dict) or not all(isinstance(one, dict) for one in keys.values()):
        return False
    config = _below(keys, "#embedding", "float_list", "vector_index", "config")
    if not isinstance(config, dict):
        return False
    hnsw, space = config.get("hnsw"), config.get("space")
    function = config.get("embedding_function")
    settled = hnsw is None or _is_hnsw(hnsw)
    return settled and space in (*SPACES, None) and _is_function(function)


def mended_settings(
    configuration: object, schema: object, metadata: Mapping[str, object]
) -> tuple[str | None, str | None, bool]:
    """Configuration and schema that chromadb can read, and whether all is as it was.

    The embedding function is never forgotten where a text, or a piece of one, still names it.
    """
    readable = is_configuration(configuration)
    if is_schema(schema) and (schema is not None or readable):
        if readable:
            return _text(configuration), _text(schema), True
        function = embedding_function(configuration)
        whole = {"embedding_function": function} if function else {}
        return json.dumps(whole), _text(schema), True
    told = _settings(metadata)
    for text in (configuration, schema):
        told = {**_pieces(text), **told}
    function = embedding_function(schema) or embedding_function(configuration)
    whole = {
        "vector_index": {"hnsw": told},
        "embedding_function": function or {"type": "legacy"},
    }
    return json.dumps(whole), None, "space" in told


def lost_metadata(configuration: object, schema: object) -> dict[str, object]:
    """The `hnsw:` metadata that a readable configuration or schema still tells."""
    told: dict[str, object] = {}
    for text in (configuration, schema):
        if isinstance(text, str) and (is_configuration(text) if text is configuration else True):
            told |= _own_pieces(text)
    names = {setting: key for key, setting in METADATA_NAMES.items()}
    wanted = ("space", "num_threads", "batch_size", "sync_threshold")
    return {names[key]: told[key] for key in wanted if key in told}


def embedding_function(text: object) -> dict[str, object] | None:
    """The embedding function that a text names, be it cut anywhere behind that."""
    found: dict[str, object] | None = None
    for match in re.finditer(r'"embedding_function"\s*:\s*', str(text or "")):
        try:
            value, _ = json.JSONDecoder().raw_decode(str(text), match.end())
        except ValueError:
            continue
        if isinstance(value, dict) and _is_function(value):
            known = value.get("type") == "known"
            if known or (found is None and value.get("type") != "unknown"):
                found = value
            if known:
                break
    return found


def _object(text: object) -> dict[str, object] | None:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_hnsw(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    numbers = [value[name] for name in _NUMBERS if value.get(name) is not None]
    fine = all(type(number) is int and number > 0 for number in numbers)
    return fine and value.get("space", "l2") in (*SPACES, None)


def _is_function(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or value.get("type") not in _KINDS:
        return False
    named = isinstance(value.get("name"), str) and isinstance(value.get("config"), dict)
    return value.get("type") != "known" or named


def _settings(metadata: Mapping[str, object]) -> dict[str, object]:
    told = {METADATA_NAMES[key]: value for key, value in metadata.items() if key in METADATA_NAMES}
    return {
        key: value
        for key, value in told.items()
        if (value in SPACES if key == "space" else type(value) is int and value > 0)
    }


def _pieces(text: object) -> dict[str, object]:
    """Settings of the vector index that stand in a text, be it cut."""
    told: dict[str, object] = {}
    for name, word, number in _VALUE.findall(str(text or "")):
        if (name == "space") == bool(word) and (word in SPACES or number):
            told[name] = word or int(number)
    return told


def _own_pieces(text: str) -> dict[str, object]:
    """The same of the vector index alone, not of what a schema has as its defaults."""
    value = _object(text) or {}
    config = _below(value, "keys", "#embedding", "float_list", "vector_index", "config")
    return _pieces(json.dumps(config)) if config is not None else _pieces(text)


def _below(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
