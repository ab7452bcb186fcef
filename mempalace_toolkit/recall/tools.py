"""Puts our collections in the place of MemPalace's, so that its own search runs over them.

For a child process that may load MemPalace. MemPalace's code decides everything but where
vectors and rows come from: pools, ranking, closets, folding, errors about the model.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import ToolkitError
from mempalace_toolkit.model.encode import DIMENSION
from mempalace_toolkit.recall.collection import AskedCollection
from mempalace_toolkit.recall.following import FollowedPalace
from mempalace_toolkit.recall.loading import UnsoundIndexError
from mempalace_toolkit.recall.look_alike import look_alike
from mempalace_toolkit.recall.pending import Pending

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
CLOSETS = "mempalace_closets"

_SEARCH_NAMES = (
    ("mempalace.searcher", "get_collection"),
    ("mempalace.searcher", "get_closets_collection"),
    ("mempalace.searcher", "search_memories"),
    ("mempalace.embedding", "configured_embedding_function"),
    ("mempalace.palace", "_enforce_embedder_identity"),
    ("mempalace.config", "get_configured_collection_name"),
    ("mempalace.config", "MempalaceConfig"),
    ("mempalace.backends.chroma", "ChromaBackend"),
    ("mempalace.backends.chroma", "ChromaCollection"),
    ("mempalace.backends.embedding_wrapper", "EmbeddingCollection"),
    ("mempalace.backends.base", "QueryResult"),
    ("mempalace.backends.base", "GetResult"),
    ("mempalace.backends.base", "UnsupportedFilterError"),
    ("mempalace.backends", "CollectionNotInitializedError"),
)
_SERVER_NAMES = (
    ("mempalace.mcp_server", "_get_collection"),
    ("mempalace.mcp_server", "_refresh_vector_disabled_flag"),
)
_ON_PROCESSOR = {"CPUExecutionProvider", "AzureExecutionProvider"}


class NotPossibleError(Exception):
    """MemPalace's own way has to be taken; the message says why, in a few words."""


@dataclass(slots=True)
class Reader:
    """What answers for a palace: its followed vectors, the encoder, and what is pending.

    `failures` says, for each time that a collection could not be given, why: MemPalace's search
    takes a failure of its closets for their absence.
    """

    followed: FollowedPalace
    embed: Embed
    pending: dict[str, Pending] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _asked: dict[str, AskedCollection] = field(default_factory=dict)

    def collection(self, name: str) -> AskedCollection | None:
        """The collection of that name as it is now; None where there is none.

        Raises NotPossibleError where its vectors cannot all be had, or not now.
        """
        try:
            return self._collection(name)
        except NotPossibleError as error:
            self.failures.append(str(error))
            raise

    def _collection(self, name: str) -> AskedCollection | None:
        try:
            self.followed.refresh()
        except (ToolkitError, UnsoundIndexError) as error:
            raise NotPossibleError(str(error)) from error
        loaded = self.followed.collections.get(name)
        if loaded is None:
            return None
        if loaded.trouble:
            raise NotPossibleError(f"{name}: {loaded.trouble}")
        if loaded.vectors.dimension not in (0, DIMENSION):
            raise NotPossibleError(f"{name} has vectors of another model")
        if name not in self._asked:
            pending = self.pending.setdefault(name, Pending())
            self._asked[name] = AskedCollection(self.followed, name, pending)
        return self._asked[name]


def lacking(server: bool = False) -> list[str]:
    """What this MemPalace lacks of the names that are used or replaced here."""
    return [
        f"{module}.{name}"
        for module, name in _SEARCH_NAMES + (_SERVER_NAMES if server else ())
        if not hasattr(_module(module), name)
    ]


def put_in_place(reader: Reader, server: bool = False) -> None:
    """Have MemPalace's search, and its server's read tools, ask the reader for its palace.

    Raises NotPossibleError where this MemPalace or its configuration is not one for that.
    """
    missing = lacking(server)
    if missing:
        raise NotPossibleError(f"this MemPalace has no {', '.join(missing)}")
    _require_stock_model()
    places = _Places(reader)
    searcher = importlib.import_module("mempalace.searcher")
    vars(searcher)["get_collection"] = places.get_collection
    vars(searcher)["get_closets_collection"] = places.get_closets_collection
    embedding = importlib.import_module("mempalace.embedding")
    vars(embedding)["configured_embedding_function"] = lambda: _Embedder(reader.embed)
    if server:
        served = importlib.import_module("mempalace.mcp_server")
        vars(served)["_get_collection"] = places.of_server
        vars(served)["_refresh_vector_disabled_flag"] = lambda: None


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _require_stock_model() -> None:
    """MemPalace embeds with MiniLM on the processor, or the question's vector would differ."""
    config: Any = importlib.import_module("mempalace.config").MempalaceConfig()
    if config.embedding_model != "minilm":
        raise NotPossibleError(f"the embedding model is {config.embedding_model}")
    device = str(getattr(config, "embedding_device", "auto") or "auto").lower()
    if device != "cpu":
        providers = set(importlib.import_module("onnxruntime").get_available_providers())
        if providers - _ON_PROCESSOR:
            raise NotPossibleError("MemPalace embeds on another device than the processor")


@dataclass(frozen=True, slots=True)
class _Embedder:
    """What MemPalace takes for the configured embedding function."""

    embed: Embed

    def __call__(self, **named: Any) -> list[NDArray[np.float32]]:
        return list(self.embed(list(named["input"])))


@dataclass(frozen=True)
class _Places:
    """MemPalace's ways to a collection, for the reader's palace; others go MemPalace's way."""

    reader: Reader

    @cached_property
    def _their_get_collection(self) -> Callable[..., Any]:
        found: Callable[..., Any] = importlib.import_module("mempalace.palace").get_collection
        return found

    def get_collection(
        self, palace_path: str, collection_name: str | None = None, *args: Any, **named: Any
    ) -> Any:
        """In the place of `searcher.get_collection`."""
        if not self._is_ours(palace_path) or args or named.get("create", True):
            return self._their_get_collection(palace_path, collection_name, *args, **named)
        config = importlib.import_module("mempalace.config")
        return self._open(palace_path, collection_name or config.get_configured_collection_name())

    def get_closets_collection(self, palace_path: str, *args: Any, **named: Any) -> Any:
        """In the place of `searcher.get_closets_collection`."""
        return self.get_collection(palace_path, CLOSETS, *args, **named)

    def of_server(self, create: bool = False) -> Any:
        """In the place of `mcp_server._get_collection`; it only reads, whatever is asked."""
        config = importlib.import_module("mempalace.config")
        path = str(self.reader.followed.palace.path)
        return self._open(path, config.get_configured_collection_name())

    def _is_ours(self, palace_path: str) -> bool:
        return Path(palace_path).absolute() == self.reader.followed.palace.path

    def _open(self, palace_path: str, name: str) -> Any:
        asked = self.reader.collection(name)
        if asked is None:
            error = importlib.import_module("mempalace.backends").CollectionNotInitializedError
            raise error(palace_path)
        wrapper = importlib.import_module("mempalace.backends.embedding_wrapper")
        opened = wrapper.EmbeddingCollection(look_alike(asked))
        palace = importlib.import_module("mempalace.palace")
        palace._enforce_embedder_identity(opened, palace_path, name, create=False)
        return opened
