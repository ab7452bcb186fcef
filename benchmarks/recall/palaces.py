"""Builds throwaway palaces from the corpus and asks them, each in child processes of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recall.corpus import Question, Talk
from mempalace_toolkit.transcripts import render

ASK = Path(__file__).with_name("ask.py")
MINE_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class File:
    """One file to be mined: which session it tells of, and what is in it."""

    session: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Answers:
    """What one palace holds and finds.

    `drawers` are texts. `hits` are, by search (see ask.py) and question, (session, drawer text),
    best first.
    """

    name: str
    files: int
    drawers: tuple[str, ...]
    mine_seconds: float
    ask_seconds: float
    hits: dict[str, list[list[tuple[str, str]]]]


def our_files(talk: Talk, exchanges: int) -> list[File]:
    """The session as this project writes it, in pages of `exchanges`."""
    header = render.PageHeader(talk.ref.id, talk.ref.directory, talk.ref.agent)
    cuts = enumerate(render.cut_talk(talk.turns, exchanges), 1)
    pages = [render.render_page(header, number, cut) for number, cut in cuts]
    return [File(talk.ref.id, page.name, page.content) for page in pages]


def whole_file(talk: Talk) -> list[File]:
    """The session as one JSONL file, as an agent that MemPalace reads would keep it."""
    lines: list[dict[str, object]] = [
        {"type": "session", "version": 3, "id": talk.ref.id, "cwd": talk.ref.directory}
    ]
    for turn in talk.turns:
        content = [{"type": "text", "text": turn.text}]
        message = {"role": turn.role, "content": content}
        stamp = render.iso_time(turn.time)
        lines.append({"type": "message", "timestamp": stamp, "message": message})
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return [File(talk.ref.id, f"{talk.ref.id}.jsonl", text.encode())]


def files_by_wing(
    talks: Sequence[Talk], render: Callable[[Talk], list[File]]
) -> dict[str, list[File]]:
    """What to mine, one wing a project."""
    wings: dict[str, list[File]] = {}
    for talk in talks:
        wings.setdefault(talk.project, []).extend(render(talk))
    return wings


def answer(
    name: str, files: dict[str, list[File]], questions: Sequence[Question], folder: Path
) -> Answers:
    """Mine `files` (by wing) into a new palace below `folder` and ask it everything."""
    folder.mkdir(parents=True)
    palace = folder / "palace"
    environment = private_environment(folder / "home")
    start = time.perf_counter()
    for wing, parts in files.items():
        _mine(palace, wing, _write(folder / "talk" / wing, parts), environment)
    mined = time.perf_counter()
    asked, found = folder / "questions.json", folder / "hits.json"
    asked.write_text(json.dumps([question.text for question in questions]), "utf-8")
    _run([sys.executable, str(ASK), str(palace), str(asked), str(found)], environment)
    answered = time.perf_counter()
    sessions = {part.name: part.session for parts in files.values() for part in parts}
    hits = {
        search: [[(sessions[file], text) for file, text in five] for five in each]
        for search, each in json.loads(found.read_text("utf-8")).items()
    }
    drawers = read_drawers(palace)
    missing = sessions.keys() - {file for file, _ in drawers}
    if missing:
        raise SystemExit(f"{name}: nothing was filed of {', '.join(sorted(missing))}")
    texts = tuple(text for _, text in drawers)
    return Answers(name, len(sessions), texts, mined - start, answered - mined, hits)


def private_environment(home: Path) -> dict[str, str]:
    """This process's environment with another HOME, that has only the embedding model."""
    cache = home / ".cache" / "chroma"
    cache.mkdir(parents=True)
    (cache / "onnx_models").symlink_to(Path.home() / ".cache" / "chroma" / "onnx_models")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MEMPALACE_", "MEMPAL_", "XDG_"))
    }
    return {**kept, "HOME": str(home), "ANONYMIZED_TELEMETRY": "False"}


def read_drawers(palace: Path) -> list[tuple[str, str]]:
    """File name and text of every drawer, sentinels left out."""
    query = """
        select file.string_value, text.string_value
        from embedding_metadata file
        join embedding_metadata room on room.id = file.id and room.key = 'room'
        join embedding_metadata text on text.id = file.id and text.key = 'chroma:document'
        where file.key = 'source_file' and room.string_value <> '_registry'
    """
    database = sqlite3.connect(f"file:{palace / 'chroma.sqlite3'}?mode=ro", uri=True)
    try:
        return [(Path(path).name, text) for path, text in database.execute(query)]
    finally:
        database.close()


def _write(folder: Path, files: Iterable[File]) -> Path:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).write_bytes(file.content)
    return folder


def _mine(palace: Path, wing: str, folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "mempalace", "--palace", str(palace), "mine", str(folder)]
    _run([*command, "--mode", "convos", "--wing", wing, "--agent", "opencode"], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=MINE_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} exited {done.returncode}:\n{done.stderr[-2000:]}")
