"""The devbox templates' own command lines, against a real Docker engine and container."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mempalace_toolkit.model.location import model_folder
from mempalace_toolkit.schedule.container import container_of
from mempalace_toolkit.schedule.programs import Account
from tests.conftest import Answer, Sandbox
from tests.schedule.real_docker import (
    CHECKOUT,
    CONTAINER,
    SYSTEM_PATH,
    Engine,
    machine_mounts,
    missing,
)
from tests.test_whole_job import put_opencode

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=f"no real Docker engine: {missing()}"),
    pytest.mark.own_children,
]

Recorded = Callable[[str], Path]

SYSTEMD, CRON = "systemd", "cron"
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass
class Host:
    """The machine that the schedulers run on. `settings` replace what the templates say."""

    home: Path
    engine: Engine
    box: Sandbox
    host: str

    def systemd(self, job: str, line: str, **settings: str) -> Answer:
        """Run a unit's `ExecCondition=` or `ExecStart=` as systemd would."""
        unit = (CHECKOUT / f"contrib/systemd/mempalace-{job}-devbox.service").read_text()
        named = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
        assert settings.keys() - {"ceiling", "patience"} <= named.keys()
        (written,) = re.findall(rf"^{line}=(.*)$", unit, re.MULTILINE)
        written = shortened(written, settings)
        found = re.fullmatch(r"(\S+) -c '([^']*)'", written)
        assert found, written
        script = _ESCAPED.sub(r"\1", found[2]).replace("$$", "$")
        return self._run([found[1], "-c", script], {**named, **settings})

    def cron(self, job: str, **settings: str) -> Answer:
        """Run a crontab's entry as cron would; what it logged is the answer's stdout."""
        text = (CHECKOUT / f"contrib/cron/mempalace-{job}-devbox.cron").read_text()
        (entry,) = [line for line in text.splitlines() if line and not line.startswith("#")]
        command = shortened(entry.split(maxsplit=5)[5], settings)
        for name in ("ENGINE", "CONTAINER", "CONTAINER_USER"):
            if name in settings:
                command, count = re.subn(rf"\b{name}=[\w-]*;", f"{name}={settings[name]};", command)
                assert count == 1
        answer = self._run(["/bin/sh", "-c", re.sub(r"\\%", "%", command)], {})
        assert (answer.out, answer.err) == ("", "")
        logs = self.home / ".cache/mempalace-session"
        assert logs.stat().st_mode & 0o777 == 0o700
        (log,) = logs.iterdir()
        return Answer(answer.code, log.read_text(), "")

    def _run(self, command: list[str], variables: dict[str, str]) -> Answer:
        path = SYSTEM_PATH if variables else "/usr/bin:/bin"
        ended = subprocess.run(
            command,
            env={"HOME": str(self.home), "PATH": path, "DOCKER_HOST": self.host, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def condition(self, **settings: str) -> int:
        """The exit status of the condition: 0 run, 1 skip, 255 failure."""
        answer = self.systemd("session", "ExecCondition", **settings)
        assert answer.out == ""
        return answer.code


def shortened(command: str, settings: dict[str, str]) -> str:
    """The command with its time limits as the test can wait for them."""
    for name, usual in (("ceiling", "-k 5 7200"), ("patience", "-k 5 30")):
        if name in settings:
            assert command.count(usual) == 1
            command = command.replace(usual, settings.pop(name))
    return command


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> Iterator[tuple[Engine, Sandbox]]:
    """An engine and the container, whose home has the toolkit and the model."""
    home = tmp_path_factory.mktemp("devbox") / "home"
    folder = model_folder(home)
    folder.parent.parent.mkdir(parents=True)
    folder.parent.symlink_to(model_cache.parent)
    commands = home / ".local/bin"
    commands.mkdir(parents=True)
    box = Sandbox(home)
    for name in ("mempalace-session", "mempalace-pi-session"):
        (commands / name).symlink_to(box.command(name)[0])
    engine = Engine()
    try:
        engine.run_container(home, {**machine_mounts(), model_cache.parent: "ro"})
        yield engine, box
    finally:
        engine.close()


@pytest.fixture
def host(machine: tuple[Engine, Sandbox], tmp_path: Path) -> Host:
    engine, box = machine
    home = tmp_path / "host home"
    home.mkdir()
    return Host(home, engine, box, engine.host)


@pytest.fixture
def stand_in(machine: tuple[Engine, Sandbox]) -> Iterator[Callable[[str], None]]:
    """Put a script in the place of the job in the container."""
    _, box = machine
    program = box.home / ".local/bin/mempalace-session"
    aside = program.with_name("aside")
    program.rename(aside)

    def put(body: str) -> None:
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)

    yield put
    program.unlink(missing_ok=True)
    aside.rename(program)


def test_the_unit_s_job_runs_in_there_and_its_turns_are_found(
    host: Host, recorded: Recorded
) -> None:
    put_opencode(host.box, recorded("opencode/1.18.33/basic") / "opencode.db")
    assert host.condition() == 0
    answer = host.systemd("session", "ExecStart")
    assert answer.code == 0, answer
    assert "Drawers: 3 filed" in answer.out
    assert "JSONB indexes" in host.box.search("Why did we pick Postgres?")
    assert not (host.home / ".local").exists()


def test_cron_s_job_runs_in_there_and_its_log_is_here(host: Host, recorded: Recorded) -> None:
    sessions = host.box.home / ".pi/agent/sessions"
    shutil.copytree(recorded("pi/1.5.2/tree") / "sessions", sessions)
    answer = host.cron("pi-session")
    assert answer.code == 0, answer
    assert "Drawers:" in answer.out
    assert (host.home / ".cache/mempalace-session/cron-pi-devbox.log").exists()
    assert sorted(path.name for path in host.home.iterdir()) == [".cache"]


def state_of(name: str, host: Host) -> str:
    """What `schedule status` would say of a container."""
    box = container_of({"CONTAINER": name, "ENGINE": "docker"}, account(host))
    return box.state if box else "none"


@pytest.mark.parametrize("scheduler", [SYSTEMD, CRON])
def test_a_container_that_does_not_run_is_skipped_without_a_word(
    host: Host, scheduler: str
) -> None:
    host.engine.do("stop", "--time=1", CONTAINER)
    try:
        assert state_of(CONTAINER, host) == "stopped"
        if scheduler == SYSTEMD:
            assert host.condition() == 1
        else:
            assert host.cron("session") == Answer(0, "", "")
    finally:
        host.engine.do("start", CONTAINER)
    assert host.condition() == 0


@pytest.mark.parametrize("name", ["opencode", "opencode-devbox-2", "opencode.devbox", "-q"])
def test_only_the_container_of_exactly_that_name_counts(host: Host, name: str) -> None:
    assert host.condition(CONTAINER=name) == 1
    assert state_of(name, host) == "missing"
    assert host.cron("session", CONTAINER=name) == Answer(0, "", "")


def test_an_engine_that_is_down_is_a_failure(host: Host, tmp_path: Path) -> None:
    host.host = f"unix://{tmp_path}/nobody-listens"
    assert host.condition() == 255
    assert state_of(CONTAINER, host) == "engine down"
    answer = host.cron("session")
    assert answer.code != 0
    assert "Cannot connect to the Docker daemon" in answer.out


def test_an_engine_that_is_not_there_is_a_failure(host: Host) -> None:
    assert host.condition(ENGINE="no-such-engine") == 255
    assert host.cron("session", ENGINE="no-such-engine").code != 0


def test_an_engine_that_hangs_is_a_failure(host: Host) -> None:
    host.engine.freeze(True)
    try:
        assert host.condition(patience="-k 1 1") == 255
        assert host.cron("session", patience="-k 1 1").code != 0
    finally:
        host.engine.freeze(False)
    assert host.condition() == 0


@pytest.mark.parametrize("scheduler", [SYSTEMD, CRON])
def test_the_ceiling_ends_the_job_in_there_and_its_children(
    host: Host, stand_in: Callable[[str], None], scheduler: str
) -> None:
    stand_in('trap "" TERM\nsleep 7001 &\nsleep 7002\nsleep 7003')
    ceiling = "-k 1 1"
    if scheduler == SYSTEMD:
        answer = host.systemd("session", "ExecStart", ceiling=ceiling)
    else:
        answer = host.cron("session", ceiling=ceiling)
    assert answer.code in (124, 137), answer
    deadline = time.monotonic() + 5
    while "sleep 700" in (running := host.engine.do("top", CONTAINER)):
        assert time.monotonic() < deadline, running
        time.sleep(0.1)


@pytest.mark.parametrize(("user", "number"), [("", "0"), ("dev", "1234"), ("77:88", "77")])
def test_the_job_runs_as_the_container_s_user_that_was_named(
    host: Host, stand_in: Callable[[str], None], user: str, number: str
) -> None:
    stand_in("id -u")
    answer = host.systemd("session", "ExecStart", CONTAINER_USER=user)
    assert (answer.code, answer.out.strip(), answer.err) == (0, number, "")
    if ":" not in user:
        assert host.cron("session", CONTAINER_USER=user) == Answer(0, f"{number}\n", "")


@pytest.mark.parametrize("status", [0, 65, 75])
def test_the_job_s_own_exit_status_comes_out(
    host: Host, stand_in: Callable[[str], None], status: int
) -> None:
    stand_in(f"exit {status}")
    assert host.systemd("session", "ExecStart").code == status
    assert host.cron("session").code == status


def test_a_container_without_the_toolkit_is_a_failure_that_says_so(
    host: Host, stand_in: Callable[[str], None]
) -> None:
    answer = host.systemd("session", "ExecStart")
    assert answer.code == 127
    assert "mempalace-session" in answer.err


def account(host: Host) -> Account:
    path = {"PATH": SYSTEM_PATH, "DOCKER_HOST": host.host, "HOME": str(host.home)}
    return Account("dev", 0, host.home, host.home, host.home, path, 0)
