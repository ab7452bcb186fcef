"""Lets MemPalace's search be imported without chromadb, which it imports and does not need.

Importing chromadb takes two thirds of a second of processor time, most of a search's, and MemPalace
does it in its first lines for three names. Stand-ins for these are put in chromadb's place in a
process that asks nothing of chromadb. Whoever does so nevertheless gets an ImportError and is
remembered, so that an answer that came about so is not taken for MemPalace's own.
"""

from __future__ import annotations

import sys
from types import ModuleType


class _Settings:
    """Taken for `chromadb.config.Settings`: MemPalace makes one and hands it to a client."""

    def __init__(self, **values: object) -> None:
        self.values = values


class _NotFoundError(Exception):
    """Taken for `chromadb.errors.NotFoundError`: what only chromadb raises."""


class StandIn(ModuleType):
    """A module with a few names; any other is remembered and refused."""

    missed: list[str] = []  # noqa: RUF012 - one list for all of them, on purpose

    def __getattr__(self, name: str) -> object:
        if not name.startswith("__"):
            self.missed.append(f"{self.__name__}.{name}")
        raise AttributeError(f"{self.__name__} is not loaded in this process, nor its {name}")


def stand_in() -> list[str]:
    """Put the stand-ins in place; the list that what was asked of them is put into.

    Does nothing, and stays empty, where chromadb is loaded already.
    """
    if "chromadb" not in sys.modules:
        package = StandIn("chromadb")
        package.__path__ = []  # a package of which no module can be found
        config, errors = StandIn("chromadb.config"), StandIn("chromadb.errors")
        vars(config)["Settings"] = _Settings
        vars(errors)["NotFoundError"] = _NotFoundError
        vars(package).update(config=config, errors=errors)
        for module in (package, config, errors):
            sys.modules[module.__name__] = module
    return StandIn.missed
