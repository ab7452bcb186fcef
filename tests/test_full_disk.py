"""A disk without a free block: every command ends with 74 and one line, and nothing is lost."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.children import settled
from mempalace_toolkit.errors import MempalaceError, WriteUndoneError
from mempalace_toolkit.files.private import told_as_full
from mempalace_toolkit.mining import ahead
from tests.conftest import Answer, Sandbox
from tests.test_whole_job import put_opencode

pytestmark = pytest.mark.own_children

TOOLKIT = "mempalace-toolkit"
FILL = "head -c 200m /dev/zero >'{0}/filled' 2>/dev/null; rm -f '{0}/palace/x'"


def on_full_disk(home: Sandbox, palace: Path, prepare: str, name: str, *arguments: str) -> Answer:
    """Run a command on a copy of the palace on a disk that is then filled to its last block."""
    small = home.home / "small"
    small.mkdir(exist_ok=True)
    script = (
        f"mount -t tmpfs -o size=64m tmpfs '{small}' && cp -a '{palace}' '{small}/palace'"
        f" && cd '{small}/palace' && {prepare} && {FILL.format(small)}"
    )
    probe = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs tmpfs '{small}'"], capture_output=True
    )
    if probe.returncode:
        pytest.skip("this machine does not let the test mount a small file system")
    command = home.command(name, *arguments, "--palace", str(small / "palace"))
    told = "find . -type f ! -name '*.lock' -exec cksum {} + | sort"
    ended = subprocess.run(
        [
            "unshare", "--mount", "sh", "-c",
            f'{script} && before=$({told}) && "$@"; code=$?;'
            f' [ "$before" = "$({told})" ] || exit 99; exit $code',
            "sh", *command,
        ],
        env=home.variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )  # fmt: skip
    return Answer(ended.returncode, ended.stdout, ended.stderr)


DAMAGE = "for map in ????????-*/index_metadata.pickle; do : >$map; done"


@pytest.mark.parametrize(
    "asked",
    [
        (TOOLKIT, "repair", "--yes"),
        (TOOLKIT, "repair", "--yes", "--json"),
        (TOOLKIT, "quarantine", "prune", "--yes"),
        ("mempalace-session",),
        ("mempalace-session", "--json"),
    ],
)
def test_on_a_disk_without_a_free_block_a_command_that_writes_ends_with_74(
    palace_home: Sandbox, asked: tuple[str, ...]
) -> None:
    damage = "true" if "prune" in asked else DAMAGE
    answer = on_full_disk(palace_home, palace_home.palace, f"rm -f .memp*; {damage}", *asked)
    assert answer.code == 74, answer
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) <= 3 or asked[0] != TOOLKIT
    if "--json" in asked:
        assert answer.json["error"]["kind"] == "write_undone"


@pytest.mark.parametrize("kilobytes", [0, 24, 44, 56, 64])
def test_a_full_disk_under_pages_and_ledger_ends_with_74_and_the_next_run_takes_all(
    bare: Sandbox, recorded: Callable[[str], Path], kilobytes: int
) -> None:
    put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    data = bare.home / ".local/share/mempalace-toolkit"
    data.mkdir(parents=True)
    files = f"find '{data}' -type f ! -name 'ledger.sqlite3*'"
    script = (
        f"mount -t tmpfs -o size=1m tmpfs '{data}' && head -c {1024 - kilobytes}k /dev/zero"
        f" >'{data}/filler' || exit 99; \"$@\"; code=$?; rm '{data}/filler'; {files} >&2;"
        ' "$@" --dry-run | tail -n 2; exit $code'
    )
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *bare.command("mempalace-session")],
        env=bare.variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if ended.returncode in (1, 99):
        pytest.skip("this machine does not let the test mount a small file system")
    assert ended.returncode == 74, ended
    assert "cannot rollback" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ".tmp" not in ended.stderr
    assert "2 new." in ended.stdout


def test_a_check_needs_no_room(palace_home: Sandbox) -> None:
    answer = on_full_disk(palace_home, palace_home.palace, DAMAGE, TOOLKIT, "check")
    assert answer.code == 65, answer


def test_a_lock_that_is_there_is_taken_without_room(palace_home: Sandbox) -> None:
    prepare = "printf %80s x >.mempalace-toolkit.lock"
    asked = (TOOLKIT, "quarantine", "prune", "--yes")
    answer = on_full_disk(palace_home, palace_home.palace, prepare, *asked)
    assert answer.code == 0, answer


@pytest.mark.parametrize("asked", [("check", "--json"), ("check",), ("quarantine", "list")])
def test_a_full_place_for_the_answer_is_74_and_no_traceback(
    palace_home: Sandbox, asked: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            palace_home.command(TOOLKIT, *asked),
            env=palace_home.variables(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 74, ended
    assert "Traceback" not in ended.stderr
    assert "standard output" in ended.stderr


def test_a_child_that_says_why_it_found_no_room_is_told_as_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(WriteUndoneError, match="disk is full"), told_as_full(tmp_path):
        raise MempalaceError("the child failed: database or disk is full")
    with pytest.raises(MempalaceError, match="another reason"), told_as_full(tmp_path):
        raise MempalaceError("the child failed for another reason")


def test_the_child_that_embeds_in_advance_sends_nothing_to_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\ncat >/dev/null\necho "hub: $MEMPALACE_HUB_FORWARD"\n')
    program.chmod(0o755)
    monkeypatch.setattr(ahead, "own_command", lambda *_: [str(program)])
    log = io.BytesIO()
    told = {"MEMPALACE_HUB_FORWARD": "1", "PATH": "/bin:/usr/bin"}
    nothing = (lambda _: None, lambda _: None)
    setting = ahead.AheadSetting([], tmp_path, tmp_path, told, log, 60.0, *nothing)
    assert ahead.embed_pages(setting)
    assert log.getvalue() == b"hub: 0\n"


def test_every_child_is_told_to_send_nothing_to_a_hub(palace_home: Sandbox) -> None:
    program = palace_home.home / "mempalace"
    told = palace_home.home / "told"
    program.write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'mempalace 3.11.0' && exit 0\n"
        f"echo \"$MEMPALACE_HUB_FORWARD\" >>'{told}'\nexit 3\n"
    )
    program.chmod(0o755)
    palace_home.configure(f"mempalace = '{program}'\n")
    palace_home.environment["MEMPALACE_HUB_FORWARD"] = "1"
    fresh = palace_home.home / "fresh"
    assert palace_home.session("--palace", fresh).code == 70
    assert set(told.read_text().split()) == {"0"}
    assert settled({"MEMPALACE_HUB_FORWARD": "1"})["MEMPALACE_HUB_FORWARD"] == "0"
