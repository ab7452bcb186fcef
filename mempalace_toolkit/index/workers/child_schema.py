"""Run as a child: has chromadb make an empty database in a folder."""

from __future__ import annotations

from mempalace_toolkit.index.workers.child_protocol import answer, begin, open_client


def main() -> None:
    """Make it."""
    open_client(begin()["folder"])
    answer({})


if __name__ == "__main__":
    main()
