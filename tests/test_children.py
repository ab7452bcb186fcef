"""Processes of our own: what they find in their environment, whatever the user has there."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from mempalace_toolkit import children
from mempalace_toolkit.children import CHILD_FOLDER, own_command, settled


def test_a_module_in_the_folder_of_the_user_is_never_taken_for_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    command = own_command("cli.toolkit", "--version")
    environment = settled({**os.environ, "HOME": str(tmp_path)})
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_settings_for_chromadb_in_the_folder_of_the_user_are_not_read() -> None:
    assert not (CHILD_FOLDER / ".env").exists()
    assert (CHILD_FOLDER / "children.py").samefile(Path(children.__file__))


@pytest.mark.parametrize(("forwarded", "told"), [(False, "0"), (True, "1")])
def test_a_child_does_its_work_itself_unless_it_is_to_forward_it(
    forwarded: bool, told: str
) -> None:
    environment = {"MEMPALACE_HUB_FORWARD": "7", "PYTHONPATH": "/there", "A": "b"}
    held = settled(environment, forwarded=forwarded)
    assert (held["MEMPALACE_HUB_FORWARD"], held["A"]) == (told, "b")
    assert "/there" in held["PYTHONPATH"].split(os.pathsep)
    assert settled(held, forwarded=forwarded) == held


def test_an_installed_package_is_not_put_before_pythons_own_modules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = Path(sysconfig.get_path("purelib")) / "mempalace_toolkit"
    monkeypatch.setattr(children, "_PACKAGE", installed)
    assert "PYTHONPATH" not in settled({})
    assert settled({"PYTHONPATH": "/there"})["PYTHONPATH"] == "/there"


@pytest.mark.own_children
def test_a_child_ends_with_its_parent() -> None:
    code = (
        "import os, time\n"
        "from mempalace_toolkit.children import end_with_parent\n"
        "parent = os.getpid(); child = os.fork()\n"
        "if child: time.sleep(60)\n"
        "end_with_parent(); os.write(1, b'ready'); time.sleep(60)\n"
    )
    parent = subprocess.Popen([own_command("x")[0], "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    assert parent.stdout.read(5) == "ready"
    parent.send_signal(signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    assert parent.stdout.read() == ""  # the child had it open, and is gone
    parent.stdout.close()
