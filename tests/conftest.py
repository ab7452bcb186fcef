"""What the tests share: a sandboxed home with the real commands, stores, and a built model."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.model.location import model_folder, status
from tests import forking

# The same examples in every run: a gate that fails by chance tells nothing of the change.
# `HYPOTHESIS_PROFILE=default pytest …` looks for others.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

forking.redirect_own_children()

pytest_plugins = ["tests.palaces.fixtures"]

# `nohup make test &` starts everything with SIGINT ignored, and a child inherits that: tests of
# Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

FIXTURES = Path(__file__).parent / "fixtures"
NEEDS_A_PALACE = {"chroma", "model_cache"}  # what makes palaces, and what links the model
RECORDED = FIXTURES  # tests/fixtures/{opencode,pi}/<version>/<case>


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its JSON object; stdout holds nothing else."""
        answer: dict[str, Any] = json.loads(self.out)
        return answer


@dataclass
class Sandbox:
    """A home of its own, and the commands run in it through their real front doors."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def palace(self) -> Path:
        """Where MemPalace's default palace lies in this home."""
        return self.home / ".config/mempalace/palace"

    @property
    def data(self) -> Path:
        """The toolkit's data folder."""
        return self.home / ".local/share/mempalace-toolkit"

    @property
    def spool(self) -> Path:
        """The folder of pages."""
        return self.data / "spool"

    @property
    def opencode(self) -> Path:
        """opencode's data folder."""
        return self.home / ".local/share/opencode"

    def command(self, name: str, *arguments: str | Path) -> list[str]:
        """The argument list that runs an installed command."""
        return [str(Path(sys.executable).with_name(name)), *map(str, arguments)]

    def variables(self) -> dict[str, str]:
        """The environment of a bare login, in this home."""
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        own = {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", **self.environment}
        return forking.joined(own, forking.variables())

    def run(self, name: str, *arguments: str | Path, timeout: float = 300) -> Answer:
        """Run an installed command to its end."""
        ended = subprocess.run(
            self.command(name, *arguments),
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def session(self, *arguments: str | Path) -> Answer:
        """`mempalace-session`."""
        return self.run("mempalace-session", *arguments)

    def pi_session(self, *arguments: str | Path) -> Answer:
        """`mempalace-pi-session`."""
        return self.run("mempalace-pi-session", *arguments)

    def search(self, question: str, palace: Path | None = None) -> str:
        """What `mempalace search` prints."""
        at = palace or self.palace
        answer = self.run("mempalace", "--palace", at, "search", question, "--results", "5")
        assert answer.code == 0, answer
        return " ".join(answer.out.split())

    def configure(self, text: str) -> None:
        """Write the toolkit's configuration file."""
        file = self.home / ".config/mempalace-toolkit/config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture(autouse=True)
def children(request: pytest.FixtureRequest) -> None:
    """Fork the children that load chromadb, unless the test is marked `own_children`."""
    forking.choose(request.node.get_closest_marker("own_children") is None)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run see, with pytest-xdist or without."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Path:
    """A home that `filled_home.fill` filled, and a copy of it beside it, named `pristine`."""
    from tests.filled_home import fill

    home = tmp_path_factory.mktemp("filled") / "home"
    (home / ".cache/chroma/onnx_models").mkdir(parents=True)
    (home / ".cache/chroma/onnx_models/all-MiniLM-L6-v2").symlink_to(model_cache.parent)
    fill(Sandbox(home))
    shutil.copytree(home, home.with_name("pristine"), symlinks=True)
    return home


@pytest.fixture
def palace_home(filled: Path) -> Sandbox:
    """That home as it was filled."""
    from tests.filled_home import renew

    return renew(filled)


@pytest.fixture(scope="session")
def model_cache(shared_folder: Path) -> Path:
    """The real embedding model: this user's where it was verified, else made once a session."""
    own = model_folder(Path.home())
    if status(own).verified:
        return own
    folder = model_folder(shared_folder / "model-home")
    with (shared_folder / "model-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            ensure(ModelRequest(cache=folder), lambda _: None)
        except ModelError as error:
            pytest.skip(f"the embedding model cannot be made here: {error.message}")
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Sandbox:
    """An empty home, without the embedding model."""
    home = tmp_path / "home"
    home.mkdir()
    return Sandbox(home)


@pytest.fixture
def sandbox(bare: Sandbox, model_cache: Path) -> Sandbox:
    """A home that has the embedding model and nothing else."""
    folder = model_folder(bare.home)
    folder.parent.parent.mkdir(parents=True)
    folder.parent.symlink_to(model_cache.parent)
    return bare


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[str], Path]:
    """A private, writable copy of a recorded store, by `agent/version/case`."""

    def copy(name: str) -> Path:
        target = tmp_path / "stores" / name
        shutil.copytree(RECORDED / name, target)
        return target

    return copy


def tree_state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below `folder`: size, mtime in ns, content."""
    state = {}
    for root, folders, names in os.walk(folder):
        for name in [*names, *folders]:
            path = Path(root, name)
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            state[str(path.relative_to(folder))] = (len(content), status.st_mtime_ns, content)
    return state


REAL = {"systemd": "test_real_systemd", "jobs under systemd": "test_real_jobs"}
REAL |= {"cron": "test_real_cron", "Docker": "test_real_docker"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a real palace or the model as such: `make fast` leaves it out."""
    for item in items:
        if NEEDS_A_PALACE & set(getattr(item, "fixturenames", ())):
            item.add_marker("palace")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which of the real schedulers the run has met."""
    for name, module in REAL.items():
        counts = {
            outcome: sum(
                f"/{module}.py" in one.nodeid for one in terminalreporter.stats.get(key, ())
            )
            for outcome, key in (("passed", "passed"), ("failed", "failed"), ("skipped", "skipped"))
        }
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        if told:
            terminalreporter.write_line(f"real {name}: {told}")
