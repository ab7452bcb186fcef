"""Palaces of other models than MiniLM, embedded by MemPalace itself, or named as such."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.palace.location import known_model
from tests.conftest import tree_state
from tests.palaces.fixtures import Copy
from tests.palaces.making import embed
from tests.palaces.segment_editing import live_rows, segment_folder, vector_rows

TOOLKIT = Path(sys.executable).with_name("mempalace-toolkit")
WIDTH = 8


class _Embeddings(BaseHTTPRequestHandler):
    """What an OpenAI-compatible server answers, with the test palaces' model."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = embed(asked["input"], WIDTH).tolist()
        data = [{"index": number, "embedding": row} for number, row in enumerate(rows)]
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def toolkit(home: Path, *arguments: object, url: str = "") -> tuple[int, dict[str, object]]:
    home.mkdir(exist_ok=True)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    if url:
        environment |= {
            "MEMPALACE_EMBEDDING_MODEL": "openai-compat",
            "MEMPALACE_EMBEDDING_API_URL": url,
            "MEMPALACE_EMBEDDING_API_MODEL": "stand-in",
        }
    ran = subprocess.run(
        [TOOLKIT, *map(str, arguments), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


def test_mempalaces_own_model_compares_and_embeds(
    palace: Copy, tmp_path: Path, served: str
) -> None:
    place, home = palace("eight_dimensions").path, tmp_path / "home"
    segment = segment_folder(place)
    rows = live_rows(segment)[20:26]
    other = embed([f"no drawer's text {row}" for row in rows], WIDTH)
    vector_rows(segment)[rows] = other / np.linalg.norm(other, axis=1, keepdims=True)
    code, said = toolkit(home, "check", "--palace", place, "--deep", url=served)
    assert (code, said["status"]) == (65, "damaged")
    code, said = toolkit(home, "repair", "--palace", place, "--deep", "--yes", url=served)
    assert code == 0
    (one,) = said["repair"]["collections"]  # type: ignore[index]
    assert 0 < one["embedded"] <= 6
    code, said = toolkit(home, "check", "--palace", place, "--deep", url=served)
    assert code == 0


def test_a_model_that_cannot_be_used_is_told_before_anything_is_done(
    palace: Copy, tmp_path: Path
) -> None:
    place, home = palace("eight_dimensions").path, tmp_path / "home"
    shutil.rmtree(segment_folder(place))
    before = tree_state(place)
    nobody = "http://127.0.0.1:9"
    for flags in (["--dry-run"], ["--yes"]):
        code, said = toolkit(home, "repair", "--palace", place, *flags, url=nobody)
        assert code == 65
        assert "model cannot be used" in said["error"]["message"]  # type: ignore[index]
        assert tree_state(place) == before


def test_vectors_that_are_all_there_need_no_model(palace: Copy, tmp_path: Path) -> None:
    place, home = palace("eight_dimensions").path, tmp_path / "home"
    (segment_folder(place) / "link_lists.bin").unlink()
    code, _ = toolkit(home, "repair", "--palace", place, "--yes", url="http://127.0.0.1:9")
    assert code == 0


def test_a_palace_of_another_width_is_named_and_left_alone(palace: Copy, tmp_path: Path) -> None:
    place, home = palace("eight_dimensions").path, tmp_path / "home"
    before = tree_state(place)
    for command in (["check"], ["repair", "--dry-run"], ["repair", "--yes"]):
        code, said = toolkit(home, *command, "--palace", place)
        assert code == 65
        found = said["index"]["findings"]  # type: ignore[index]
        assert "model_differs" in {one["kind"] for one in found}
        assert tree_state(place) == before


@pytest.mark.parametrize(
    ("noted", "code"), [("minilm", 0), ("all-minilm-l6-v2", 0), ("embeddinggemma", 65)]
)
def test_the_model_that_mempalace_noted_is_compared(
    palace: Copy, tmp_path: Path, noted: str, code: int
) -> None:
    place = palace("tiny").path
    note = {"mempalace_drawers": {"model_name": noted, "dimension": 384}}
    (place / "mempalace_embedder.json").write_text(json.dumps(note))
    assert toolkit(tmp_path / "home", "check", "--palace", place)[0] == code


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("minilm", "minilm"),
        ("all-MiniLM-L6-v2", "minilm"),
        (" EmbeddingGemma ", "embeddinggemma"),
        ("openai-compat", "openai-compat"),
    ],
)
def test_a_name_is_read_as_mempalace_reads_it(name: str, model: str) -> None:
    assert known_model(name) == model
