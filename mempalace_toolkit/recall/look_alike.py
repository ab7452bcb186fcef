"""A collection that MemPalace takes for its ChromaCollection, answered by ours.

A subclass of it, made where MemPalace is loaded: its full-text search, its lists of metadata and
of recent drawers read SQLite and need nothing of chromadb, so that they stay as they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mempalace_toolkit.recall.collection import (
    AskedCollection,
    FoundRow,
    Selection,
    metadata_of,
)
from mempalace_toolkit.recall.short_read import read_shortly


def look_alike(asked: AskedCollection) -> Any:
    """The collection as MemPalace's ChromaCollection. It only reads."""
    return _collection_type()(asked)


@dataclass(frozen=True, slots=True)
class _Named:
    """As much of chromadb's own collection as MemPalace looks at."""

    name: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Capable:
    """As much of MemPalace's backend as its search looks at."""

    capabilities: frozenset[str]


@cache
def _collection_type() -> Callable[[AskedCollection], Any]:
    chroma: Any = importlib.import_module("mempalace.backends.chroma")
    base: Any = importlib.import_module("mempalace.backends.base")

    class ReadCollection(chroma.ChromaCollection):  # type: ignore[misc]
        def __init__(self, asked: AskedCollection) -> None:
            palace = asked.followed.palace
            metadata = read_shortly(palace, lambda one: metadata_of(one, asked.loaded.id))
            super().__init__(
                _Named(asked.name, metadata),
                palace_path=str(palace.path),
                backend=_Capable(chroma.ChromaBackend.capabilities),
            )
            self._asked = asked

        def query(
            self,
            *,
            query_texts: Any = None,
            query_embeddings: Any = None,
            n_results: int = 10,
            where: Any = None,
            where_document: Any = None,
            include: Any = None,
        ) -> Any:
            if query_texts is not None or query_embeddings is None or not len(query_embeddings):
                raise ValueError("this collection is asked by vectors")
            _check(where, where_document)
            found = [
                self._asked.query(np.asarray(one, np.float32), n_results, where)
                for one in query_embeddings
            ]
            spec = base._IncludeSpec.resolve(include, default_distances=True)
            return base.QueryResult(
                ids=[[one.row.id for one in rows] for rows in found],
                documents=_each(found, spec.documents, lambda one: one.row.document),
                metadatas=_each(found, spec.metadatas, lambda one: one.row.metadata),
                distances=_each(found, spec.distances, lambda one: one.distance),
                embeddings=_each(found, True, lambda one: one.vector.tolist())
                if spec.embeddings
                else None,
            )

        def get(
            self,
            *,
            ids: Any = None,
            where: Any = None,
            where_document: Any = None,
            limit: int | None = None,
            offset: int | None = None,
            include: Any = None,
        ) -> Any:
            _check(where, where_document)
            wanted = [ids] if isinstance(ids, str) else ids
            rows = self._asked.get(Selection(where, wanted, limit, offset or 0))
            spec = base._IncludeSpec.resolve(include, default_distances=False)
            vectors = self._asked.vectors(row.id for row in rows) if spec.embeddings else ()
            return base.GetResult(
                ids=[row.id for row in rows],
                documents=[row.document for row in rows] if spec.documents else [],
                metadatas=[row.metadata for row in rows] if spec.metadatas else [],
                embeddings=[one.tolist() for one in vectors] if spec.embeddings else None,
            )

        def count(self) -> int:
            return self._asked.count()

        @property
        def distance_metric(self) -> str:
            return self._asked.loaded.vectors.space

        def _write_lock(self) -> Any:
            raise RuntimeError("this collection only reads")

    def _check(where: Any, where_document: Any) -> None:
        chroma._validate_where(where)
        if where_document:
            raise base.UnsupportedFilterError("where_document is not answered here")

    made: Callable[[AskedCollection], Any] = ReadCollection
    return made


def _each(
    found: Sequence[Sequence[FoundRow]], wanted: bool, value: Callable[[FoundRow], Any]
) -> list[list[Any]]:
    """One field of all answers; empty lists where it is not wanted."""
    return [[value(one) for one in rows] if wanted else [] for rows in found]
