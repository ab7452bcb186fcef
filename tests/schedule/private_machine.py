"""A machine within the machine: processes, mounts, accounts and cgroups that end with the test.

Needs root on Linux. Nothing in it can be seen outside and nothing survives it: its first process
is killed with the test's, the kernel then ends every other one and drops the mounts, and the
cgroup is a child made for it alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import Answer
from tests.schedule.private_boot import BOOT, READY, closed_paths
from tests.schedule.private_cgroup import CGROUP_NAME, end_cgroup, make_cgroup, own_cgroup
from tests.schedule.waiting import wait_until

TOOLS = ("unshare", "nsenter", "setpriv", "mount")
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/lib/systemd"
UNSHARE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
UNSHARE += ["--mount-proc", "--cgroup"]


@dataclass(frozen=True)
class Account:
    """Who works on the machine, and where at home there."""

    name: str
    number: int
    home: str


ROOT = Account("root", 0, "/root")
SOMEONE = Account("someone", 4321, "/run/home/someone")
# Every shell and scheduler has a meaning for something in this home's name.
ODD = Account("o'söns", 4322, '/run/home/o\'söns & "sons" 100% | $x;#')


@cache
def missing(*programs: str) -> str:
    """Why no such machine with these programs can be had here, or nothing."""
    if sys.platform != "linux":
        return "not Linux"
    if os.geteuid() != 0:
        return "not root"
    for program in (*TOOLS, *programs):
        if shutil.which(program, path=SYSTEM_PATH) is None:
            return f"{program} is not installed"
    if own_cgroup() is None:
        return "no cgroup2 hierarchy is mounted"
    script = "mount -t tmpfs tmpfs /run && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir $0"
    name = f"/sys/fs/cgroup/{CGROUP_NAME}-{os.getpid()}-probe"
    script += " && rmdir $0"
    probe = subprocess.run([*UNSHARE, "sh", "-c", script, name], capture_output=True, text=True)
    return f"no rights: {probe.stderr.strip()}" if probe.returncode else ""


class PrivateMachine:
    """A running one; `run` works in it as its account. To be closed."""

    def __init__(self, folder: Path, account: Account, home: Path, services: str) -> None:
        """Boot with the shell commands `services`; `home` is the folder behind the account's."""
        self.account = account
        self.files = folder / "machine"
        self.files.mkdir()
        self.home = home
        home.mkdir(exist_ok=True)
        self.own(home)
        self._write_accounts()
        self._cgroup = make_cgroup()
        environment = {
            "PATH": SYSTEM_PATH,
            "ETC": str(self.files),
            "ACCOUNT_ID": str(account.number),
            "HOME_INSIDE": account.home,
            "HOME_OUTSIDE": str(home),
            "REACHABLE": "".join(closed_paths(folder)) if account.number else "",
        }
        enter = 'echo 0 >"$0/cgroup.procs" && exec setpriv --pdeathsig KILL "$@"'
        boot = [*UNSHARE, "sh", "-c", BOOT + services + READY]
        self.log = self.files / "log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", enter, str(self._cgroup), *boot],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        try:
            wait_until(self._is_ready, "the machine boots")
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            self._first = children.read_text().split()[0]
        except BaseException:
            self.close()
            raise

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return (self.files / "ready").exists()

    def _write_accounts(self) -> None:
        account = self.account
        entries = {
            "passwd": f"{account.name}:x:{account.number}:{account.number}::{account.home}:/bin/sh",
            "shadow": f"{account.name}:*:20000:0:99999:7:::",
        }
        for name, entry in entries.items():
            lines = Path("/etc", name).read_text().splitlines()
            others = [line for line in lines if not line.startswith(f"{account.name}:")]
            (self.files / name).write_text("\n".join([*others, entry, ""]))
            (self.files / name).chmod(0o644 if name == "passwd" else 0o600)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a login there."""
        home = self.account.home
        return {
            "HOME": home,
            "USER": self.account.name,
            "LOGNAME": self.account.name,
            "PATH": f"{home}/.local/bin:/usr/local/bin:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": f"/run/user/{self.account.number}",
            "LANG": "C.UTF-8",
            "SYSTEMD_PAGER": "cat",
        }

    def inside(self, command: Sequence[str], as_root: bool = False) -> list[str]:
        """The argument list that runs `command` there, from here."""
        number = "0" if as_root else str(self.account.number)
        join = 'echo 0 >/sys/fs/cgroup/first/cgroup.procs && cd "$HOME" && exec "$@"'
        enter = ["nsenter", "-t", self._first, "--mount", "--pid", "--cgroup"]
        drop = ["setpriv", "--reuid", number, "--regid", number, "--clear-groups"]
        return [*enter, "sh", "-c", join, "sh", *drop, *command]

    def run(self, *command: str, as_root: bool = False, timeout: float = 300) -> Answer:
        """Run a command there, in the home, to its end."""
        ended = subprocess.run(
            self.inside(command, as_root),
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def do(self, *command: str) -> str:
        """Run a command there that has to succeed; what it printed."""
        answer = self.run(*command)
        assert answer.code == 0, (command, answer)
        return answer.out

    def own(self, top: Path) -> None:
        """Give a file or a tree below the home to the account."""
        for path in (top, *top.rglob("*")):
            os.chown(path, self.account.number, self.account.number, follow_symlinks=False)

    def put(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write a file of the account's, by its path in the home."""
        file = self.home / name
        missing_folders = [folder for folder in file.parents if not folder.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        for path in (*missing_folders, file):
            os.chown(path, self.account.number, self.account.number)
        return file

    def close(self) -> None:
        """End everything in it and take its cgroup away."""
        self._process.kill()
        self._process.wait()
        end_cgroup(self._cgroup)
