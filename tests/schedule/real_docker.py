"""A real Docker engine of the test's own, with a container made of this machine's own files.

Needs root on Linux and the package docker.io. The engine and all it starts live in a mount and a
process namespace of their own, which end with the one process that is killed at the end; the
containers' cgroups hang below one made for them alone.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from tests.conftest import Answer
from tests.schedule.waiting import wait_until

CHECKOUT = Path(__file__).parents[2]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("docker", "dockerd", "containerd", "runc", "docker-init", "unshare", "timeout")
UNSHARE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
UNSHARE += ["--mount-proc"]
HOME = "/home/dev"
CONTAINER = "opencode-devbox"
_IMAGE = "machine"

_START = """
set -eu
mount -t tmpfs tmpfs "$1/data"
exec docker-init -- dockerd --host "unix://$1/socket" --config-file "$1/settings.json" \
  --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --cgroup-parent "/$2" \
  --exec-opt native.cgroupdriver=cgroupfs --storage-driver vfs \
  --iptables=false --ip6tables=false --bridge=none
"""


@cache
def missing() -> str:
    """Why no engine can be had here, or nothing."""
    if sys.platform != "linux":
        return "not Linux"
    if os.geteuid() != 0:
        return "not root"
    for program in PROGRAMS:
        if shutil.which(program, path=SYSTEM_PATH) is None:
            return f"{program} is not installed (Debian: apt-get install docker.io)"
    probe = subprocess.run(
        [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
    )
    return f"no rights: {probe.stderr.strip()}" if probe.returncode else ""


class Engine:
    """A running engine. To be closed."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))  # sockets: short names
        self._cgroup = f"toolkit-test-{os.getpid()}"
        for name in ("data", "exec"):
            (self._folder / name).mkdir()
        (self._folder / "settings.json").write_text("{}")
        self.log = self._folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*UNSHARE, "sh", "-c", _START, "sh", str(self._folder), self._cgroup],
                env={"PATH": SYSTEM_PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._answers, "the engine answers")
        except BaseException:
            self.close()
            raise

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to be."""
        return f"unix://{self._folder}/socket"

    def docker(self, *arguments: str, feed: bytes = b"") -> Answer:
        """Run docker's client to its end."""
        ended = subprocess.run(
            ["docker", *arguments],
            env={"PATH": SYSTEM_PATH, "DOCKER_HOST": self.host},
            input=feed,
            capture_output=True,
            timeout=60,
        )
        return Answer(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def do(self, *arguments: str, feed: bytes = b"") -> str:
        """Run a docker command that has to succeed; what it printed."""
        answer = self.docker(*arguments, feed=feed)
        assert answer.code == 0, (arguments, answer, self.log.read_text()[-2000:])
        return answer.out.strip()

    def run_container(self, home: Path, mounts: Mapping[Path, str]) -> None:
        """Start the container: the machine's programs read-only, `home` as the home in it."""
        self.do("import", "-", _IMAGE, feed=_image())
        volumes = [f"--volume={home}:{HOME}"]
        volumes += [f"--volume={path}:{path}:{how}" for path, how in mounts.items()]
        named = ["--name", CONTAINER, "--network=none", "--init", f"--env=HOME={HOME}"]
        self.do("run", "--detach", *named, *volumes, _IMAGE, "sleep", "infinity")

    def freeze(self, frozen: bool) -> None:
        """Let the engine hang, or go on."""
        for process in self._below(self._process.pid):
            if Path(f"/proc/{process}/comm").read_text().strip() == "dockerd":
                os.kill(process, signal.SIGSTOP if frozen else signal.SIGCONT)

    def close(self) -> None:
        """End the engine and its containers, and take their cgroups and files away."""
        with suppress(AssertionError, subprocess.TimeoutExpired):
            for container in self.do("ps", "--all", "--quiet").split():
                self.do("rm", "--force", container)
        self._process.kill()  # the kernel then ends every process of the namespace
        self._process.wait()
        top = Path("/sys/fs/cgroup")  # one hierarchy for all, or one for each controller
        for cgroup in (*top.glob(self._cgroup), *top.glob(f"*/{self._cgroup}")):
            for folder in (*sorted(cgroup.rglob("*/"), reverse=True), cgroup):
                if folder.is_dir():
                    wait_until(partial(_removed, folder), f"{folder} is empty")
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return self.docker("ps").code == 0

    def _below(self, process: int) -> list[int]:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [one for child in map(int, children) for one in (child, *self._below(child))]


def machine_mounts() -> dict[Path, str]:
    """The machine's programs and ours, as the container sees them: read-only, where they are."""
    wanted = [Path(name) for name in ("/usr", sys.prefix, sys.base_prefix, CHECKOUT)]
    return {path: "ro" for path in wanted if not any(other in path.parents for other in wanted)}


def _image() -> bytes:
    """A root of empty folders, to mount the machine's own into. /sbin is for the engine's init."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("usr", "etc", "proc", "sys", "dev", "run", "sbin", "tmp", "home", HOME[1:]):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(folder)
        for name in ("bin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                archive.add(f"/{name}", name)
        accounts = b"root:x:0:0:root:/root:/bin/sh\ndev:x:1234:1234::/home/dev:/bin/sh\n"
        passwd = tarfile.TarInfo("etc/passwd")
        passwd.size = len(accounts)
        archive.addfile(passwd, io.BytesIO(accounts))
    return packed.getvalue()


def _removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()
