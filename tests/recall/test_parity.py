"""MemPalace's code gives the same answers over what the toolkit reads as over chromadb."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.recall.corpus import read_corpus
from mempalace_toolkit.model.encode import Encoder
from tests.conftest import Sandbox
from tests.palaces import script_environment
from tests.recall.parity_palace import SESSIONS, closets, drawers

TRIES = 6
"""chromadb puts what is in the queue into its graph anew each time it opens a palace, on levels
that it draws by lot: it misses another neighbour each time, or none, and of two that are equally
near it has now one in the pool, now the other."""

HERE = Path(__file__).parent
ODD_QUESTIONS = (
    "",
    "a",
    "Wie schwer ist der Reiher? 鷺 🪶",
    '"quoted" OR (x) NEAR *',
    "state " * 300,
)

Asked = dict[str, Any]


@pytest.fixture(scope="session")
def corpus_palace(shared_folder: Path, model_cache: Path) -> Path:
    """A palace of the benchmark corpus with closets, made once."""
    folder = shared_folder / "corpus-palace"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            encode = Encoder(model_cache, threads=2)
            vectors = {
                "mempalace_drawers": encode([one.text for one in drawers()]),
                "mempalace_closets": encode([one.text for one in closets()]),
            }
            np.savez(folder.with_suffix(".npz"), allow_pickle=False, **vectors)
            file = folder.with_suffix(".npz")
            builder = [sys.executable, str(HERE / "parity_palace.py"), str(folder), str(file)]
            subprocess.run(builder, env=script_environment(shared_folder), check=True)
    return folder


def answers(sandbox: Sandbox, palace: Path, reader: str, asked: Sequence[Asked]) -> list[Any]:
    """What MemPalace's code answers in a process of its own."""
    environment = script_environment(sandbox.home) | {
        "MEMPALACE_HUB_FORWARD": "0",
        "MEMPALACE_PALACE_PATH": str(palace),
        "OPENBLAS_NUM_THREADS": "1",
        # MemPalace adds up scores in the order of a set: without this it differs from itself.
        "PYTHONHASHSEED": "0",
    }
    ended = subprocess.run(
        [sys.executable, HERE / "child_asking.py", reader, palace],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: list[Any] = json.loads(ended.stdout)
    return found


def searches() -> Iterator[Asked]:
    """The corpus' questions about these sessions, by both strategies, and filtered."""
    talks, questions = read_corpus()
    ids = {talk.ref.id for talk in talks[:SESSIONS]}
    texts = [question.text for question in questions if question.session in ids]
    for number, text in enumerate([*texts, *ODD_QUESTIONS]):
        yield {"query": text, "candidate_strategy": ("vector", "union")[number % 2]}
        filters = (
            {"wing": "wing1"},
            {"wing": "wing0", "room": "technical", "n_results": 10},
            {"room": "decisions", "candidate_strategy": "union"},
            {"source_file": "/spool/2/" + talks[2].ref.id + ".jsonl"},
            {"wing": "nowhere"},
            {"since": "2026-01-10", "before": "2026-01-20T13:00"},
            {"since": "2026-01-10", "candidate_strategy": "union"},
            {"max_distance": 0.7, "candidate_strategy": "union", "n_results": 20},
            {"n_results": 1},
            {"n_results": 40, "wing": "wing2"},
        )
        yield {"query": text, **filters[number % len(filters)]}


def same(one: Any, other: Any) -> bool:
    """Whether two answers agree; numbers to the last digit that is shown, which is rounded."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1.01e-3 if round(one, 3) == one else abs(one - other) < 1.01e-4
    return bool(one == other)


def test_every_search_has_the_same_answer(sandbox: Sandbox, corpus_palace: Path) -> None:
    asked = [{"tool": "search", **one} for one in searches()]
    assert len(asked) > 70
    ours = answers(sandbox, corpus_palace, "toolkit", asked)
    left, exactly = list(zip(asked, ours, strict=True)), 0
    for _ in range(TRIES):
        theirs = answers(sandbox, corpus_palace, "mempalace", [question for question, _ in left])
        pairs = list(zip(left, theirs, strict=True))
        exactly += sum(one[1] == other for one, other in pairs)
        left = [one for one, other in pairs if not same(one[1], other)]
        assert len(left) <= 0.03 * len(asked), left
        if not left:
            break
    assert left == []
    assert exactly >= 0.97 * len(asked)
    with_closets = sum("closet_boost" in str(one) and "drawer+closet" in str(one) for one in ours)
    copies = sum("also_in" in str(one) for one in ours)
    assert with_closets > 20 and copies > 0  # they were among what was compared


def test_every_read_tool_of_the_server_has_the_same_answer(
    sandbox: Sandbox, corpus_palace: Path
) -> None:
    first = drawers()[1]
    asked: list[Asked] = [
        {"tool": "tool_search", "query": "how was the state split", "limit": 4},
        {"tool": "tool_search", "query": "state", "wing": "wing1", "candidate_strategy": "union"},
        {"tool": "tool_check_duplicate", "content": first.text, "threshold": 0.8},
        {"tool": "tool_get_drawer", "drawer_id": first.id},
        {"tool": "tool_get_drawer", "drawer_id": "nothing"},
        {"tool": "tool_list_drawers", "wing": "wing0", "limit": 5},
        {"tool": "tool_list_drawers", "since": "2026-01-20", "limit": 5, "offset": 2},
        {"tool": "tool_list_wings"},
        {"tool": "tool_list_rooms", "wing": "wing2"},
        {"tool": "tool_get_taxonomy"},
        {"tool": "tool_graph_stats"},
        {"tool": "tool_diary_read", "agent_name": "claude"},
    ]
    theirs = answers(sandbox, corpus_palace, "mempalace", asked)
    ours = answers(sandbox, corpus_palace, "toolkit", asked)
    for question, one, other in zip(asked, theirs, ours, strict=True):
        assert same(one, other), question
