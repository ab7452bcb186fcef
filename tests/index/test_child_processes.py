"""The children that embed, build and query: their answers, their ends, and their limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import read_records
from mempalace_toolkit.chroma.segment.files import read_segment
from mempalace_toolkit.errors import MempalaceError, ModelError
from mempalace_toolkit.index.repair.prove import prove_collection
from mempalace_toolkit.index.salvage.salvage import salvage
from mempalace_toolkit.index.salvage.salvaged import Salvage
from mempalace_toolkit.index.workers.embedding import Embedder, palace_embedder
from mempalace_toolkit.index.workers.run import ChildTask, run_child
from mempalace_toolkit.model.verify import read_reference
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import Sandbox
from tests.palaces.fixtures import Copy
from tests.palaces.making import CLOSETS, DRAWERS

pytestmark = pytest.mark.own_children


def variables(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"]}


def salvaged(palace: PalaceLocation, name: str) -> Salvage:
    records = read_records(palace).collections
    return salvage(palace.path, next(one for one in records if one.name == name))


def building(
    folder: Path, seconds: float = 60, largest_file: int = 1 << 30, total: int = 2000
) -> ChildTask:
    task = {
        "folder": str(folder),
        "total": total,
        "dimension": 64,
        "space": "cosine",
        "m": 16,
        "ef_construction": 100,
        "threads": 1,
        "parallel": False,
    }
    return ChildTask("child_rebuild", task, variables(folder), seconds, largest_file)


def blocks(total: int = 2000) -> Iterator[bytes]:
    rows = np.random.default_rng(1).standard_normal((total, 64)).astype("<f4")
    for start in range(0, total, 100):
        ids = [f"d{number}" for number in range(start, min(start + 100, total))]
        yield json.dumps(ids).encode() + b"\n"
        yield rows[start : start + 100].tobytes()


def test_the_model_embeds_in_a_child_as_mempalace_does(sandbox: Sandbox, tmp_path: Path) -> None:
    palace = PalaceLocation(tmp_path, "chroma", "minilm")
    embed = palace_embedder(palace, variables(sandbox.home))
    assert embed is not None
    reference = read_reference()
    vectors = embed(reference.sentences)
    assert np.abs(vectors - reference.vectors).max() < 1e-5
    assert embed([]).shape == (0, 384)


def test_the_model_stays_for_the_next_texts_and_leaves_when_nobody_asks(sandbox: Sandbox) -> None:
    embed = Embedder(variables(sandbox.home), idle_seconds=0.3)
    first = embed(["one text"])
    child = embed._child
    assert child is not None
    assert np.array_equal(embed(["one text", "another"])[:1], first)
    assert embed._child is child
    assert child.wait(timeout=30) == 0
    assert np.array_equal(embed(["one text"]), first)
    again = embed._child
    assert again is not None
    embed.close()
    assert again.returncode is not None


def test_a_model_whose_child_is_killed_says_so_and_serves_again(sandbox: Sandbox) -> None:
    embed = Embedder(variables(sandbox.home))
    first = embed(["one text"])
    child = embed._child
    assert child is not None
    threading.Timer(0.3, child.kill).start()
    with pytest.raises(ModelError, match="SIGKILL"):
        embed(["a longer text " * 100] * 2000)
    assert np.array_equal(embed(["one text"]), first)


def test_a_model_that_cannot_be_used_is_a_model_error(bare: Sandbox, tmp_path: Path) -> None:
    embed = palace_embedder(PalaceLocation(tmp_path, "chroma", "minilm"), variables(bare.home))
    assert embed is not None
    folder = bare.home / ".cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.onnx", "special_tokens_map.json", "tokenizer_config.json"):
        (folder / name).write_bytes(b"{}")
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).write_bytes(b"{}")
    with pytest.raises(ModelError, match="embed failed") as raised:
        embed(["a text"])
    assert "model ensure" in raised.value.hint


@pytest.mark.parametrize("total", [1, 2, 3, 101, 2000])
def test_an_index_of_any_size_is_built_and_flushed(tmp_path: Path, total: int) -> None:
    answer = run_child(building(tmp_path, total=total), blocks(total))
    files = read_segment(tmp_path / str(answer["segment"]), 64)
    assert files.problems == ()
    assert files.id_map is not None
    assert files.id_map.labels == {f"d{number}": number + 1 for number in range(total)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 0.05}, "took too long|was ended by SIGKILL"),
        ({"largest_file": 50_000}, "rebuild"),
        ({"module": "child_nowhere"}, "nowhere failed with status 1"),
    ],
)
def test_a_child_that_fails_is_one_line_and_no_end_of_ours(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    given = building(tmp_path)
    task = ChildTask(
        module=str(change.get("module", given.module)),
        task=given.task,
        environment=given.environment,
        seconds=float(str(change.get("seconds", given.seconds))),
        largest_file=int(str(change.get("largest_file", given.largest_file))),
    )
    with pytest.raises(MempalaceError, match=message) as raised:
        run_child(task, blocks())
    assert "\n" not in raised.value.message
    sizes = [file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()]
    assert max(sizes, default=0) <= task.largest_file


@pytest.mark.parametrize("name", [DRAWERS, CLOSETS])
def test_a_sound_collection_proves_itself(palace: Copy, tmp_path: Path, name: str) -> None:
    sound = palace("usual")
    proof = prove_collection(sound, salvaged(sound, name), variables(tmp_path), name)
    assert proof.holds
    assert (proof.reached, proof.found) == (proof.drawers, proof.asked)


def test_a_collection_whose_index_is_gone_proves_nothing(palace: Copy, tmp_path: Path) -> None:
    gone = palace("usual")
    found = salvaged(gone, DRAWERS)
    (gone.path / found.record.vector_segment).rename(gone.path / "away")
    proof = prove_collection(gone, found, variables(tmp_path), DRAWERS)
    assert not proof.holds


def test_chromadb_dying_of_an_index_is_a_proof_that_fails(palace: Copy, tmp_path: Path) -> None:
    deadly = palace("usual")
    found = salvaged(deadly, DRAWERS)
    links = deadly.path / found.record.vector_segment / "link_lists.bin"
    links.write_bytes(b"\0" * links.stat().st_size)
    proof = prove_collection(deadly, found, variables(tmp_path), DRAWERS)
    assert not proof.holds
    assert "was ended by SIG" in proof.line()


@pytest.mark.parametrize(("largest", "allowed"), [(1 << 40, 1000 * 512), (4096, 4096)])
def test_a_lower_limit_of_whoever_started_the_command_stays(largest: int, allowed: int) -> None:
    code = (
        "import resource\n"
        "from mempalace_toolkit.index.workers.child_protocol import limit_files\n"
        f"limit_files({largest})\n"
        "print(*resource.getrlimit(resource.RLIMIT_FSIZE))"
    )
    limited = ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(limited, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(allowed)] * 2
