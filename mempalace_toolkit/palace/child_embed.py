"""Run as a child: embeds the task's texts with chromadb's MiniLM, MemPalace's default."""

from __future__ import annotations

from mempalace_toolkit.palace.child_setting import answer, begin


def main() -> None:
    """Embed, and print the vectors as lists."""
    from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

    task = begin()
    model = ONNXMiniLM_L6_V2(preferred_providers=["CPUExecutionProvider"])
    rows = model(task["texts"]) if task["texts"] else []
    answer({"vectors": [[float(number) for number in row] for row in rows]})


if __name__ == "__main__":
    main()
