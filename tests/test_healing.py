"""States that a run must heal, or must not make worse: each was once a bug."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.test_whole_job import BASIC, drawers, edit, put_opencode, say

pytestmark = pytest.mark.palace

Recorded = Callable[[str], Path]
SHORT = "ses_e04693cd3ffeoe81k85Thyvawf"  # the other session of opencode/1.18.33/basic


def texts(sandbox: Sandbox) -> str:
    return " ".join(text for _, _, text in drawers(sandbox))


@pytest.fixture
def store(sandbox: Sandbox, recorded: Recorded) -> Path:
    return put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")


def put_pi(sandbox: Sandbox, source: Path) -> Path:
    folder = sandbox.home / ".pi/agent/sessions"
    shutil.copytree(source / "sessions", folder, dirs_exist_ok=True)
    return folder


def undo_from(store: Path, session: str, message: str) -> None:
    revert = json.dumps({"messageID": message})
    edit(store, f"update session set revert = '{revert}' where id = '{session}'")


def test_a_data_folder_behind_a_symlink_is_counted_like_any_other(
    sandbox: Sandbox, store: Path, tmp_path: Path
) -> None:
    (sandbox.home / ".local").rename(tmp_path / "moved")
    (sandbox.home / ".local").symlink_to(tmp_path / "moved")
    first = sandbox.session("--json")
    assert first.code == 0, first
    assert first.json["drawers"]["filed"] > 0
    assert sandbox.session("--json").json["status"] == "noop"


def test_one_agents_run_leaves_the_others_lost_pages_to_it(
    sandbox: Sandbox, store: Path, recorded: Recorded
) -> None:
    put_pi(sandbox, recorded("pi/1.5.2/tree"))
    sandbox.session()
    sandbox.pi_session()
    shutil.rmtree(sandbox.spool)
    assert sandbox.pi_session().code == 0
    shutil.rmtree(sandbox.palace)
    assert sandbox.session().code == 0
    assert "JSONB indexes" in texts(sandbox)


def test_an_empty_page_is_written_again_when_its_session_is_back(
    sandbox: Sandbox, store: Path
) -> None:
    sandbox.session()
    away = store.with_name("away")
    shutil.copy(store, away)
    for table in ("part", "message", "session"):
        column = "id" if table == "session" else "session_id"
        edit(store, f"delete from {table} where {column} = '{BASIC}'")
    (page,) = sandbox.spool.rglob(f"*{BASIC}*")
    page.unlink()
    assert sandbox.session().code == 0
    assert page.stat().st_size == 0
    shutil.move(away, store)
    assert sandbox.session().code == 0
    assert page.stat().st_size > 0


def test_pages_whose_times_were_lost_are_not_filed_again(sandbox: Sandbox, store: Path) -> None:
    sandbox.session()
    before = drawers(sandbox)
    for page in sandbox.spool.rglob("*.jsonl"):
        os.utime(page)
    say(store, SHORT, 1, "What of heron one?", "It nests late.")
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    after = drawers(sandbox)
    assert {row for row in before if BASIC in row[1]} <= set(after)
    assert sandbox.session("--json").json["status"] == "noop"


def test_a_page_that_was_written_and_not_recorded_is_not_filed(
    sandbox: Sandbox, store: Path
) -> None:
    sandbox.session()
    (page,) = sandbox.spool.rglob(f"*{BASIC}*")
    unrecorded = page.with_name(page.name.replace("0001", "0002"))
    unrecorded.write_text(page.read_text().replace("Postgres", "Quokka"))
    say(store, SHORT, 1, "What of heron one?", "It nests late.")
    assert sandbox.session().code == 0
    assert "Quokka" not in texts(sandbox)
    assert not unrecorded.exists()


@pytest.mark.parametrize("time", [253_402_300_799_000, 0, -5, 4_102_444_800_000])
def test_a_time_that_no_file_system_keeps_does_not_matter(
    sandbox: Sandbox, store: Path, time: int
) -> None:
    edit(
        store,
        f"update message set time_created = {time},"
        f" data = json_set(data, '$.time.created', {time}) where session_id = '{SHORT}'",
    )
    assert sandbox.session().code == 0
    assert sandbox.session("--json").json["status"] == "noop"


def test_what_was_undone_leaves_every_palace(sandbox: Sandbox, store: Path, tmp_path: Path) -> None:
    for number in range(8):
        say(store, BASIC, number, f"Keep quokka {number}?", f"Quokka {number} stays.")
    second = tmp_path / "second"
    sandbox.session()
    sandbox.session("--palace", second)
    undo_from(store, BASIC, "msg_zz0000010")
    assert sandbox.session().code == 0
    assert "Quokka 7" not in texts(sandbox)
    assert sandbox.session("--palace", second).code == 0
    assert "Quokka 7" not in sandbox.search("which animals are kept?", second)
    assert sandbox.session("--palace", second, "--json").json["status"] == "noop"


def test_what_was_undone_leaves_also_when_the_spool_was_restored_from_a_copy(
    sandbox: Sandbox, store: Path, tmp_path: Path
) -> None:
    sandbox.session()
    sandbox.spool.rename(tmp_path / "old")
    shutil.copytree(tmp_path / "old", sandbox.spool)
    with sqlite3.connect(store) as connection:
        first = connection.execute(
            "select id from message where session_id = ? order by time_created, id", [BASIC]
        ).fetchone()[0]
    undo_from(store, BASIC, first)
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    assert answer.json["withdrawn"] == 1
    assert answer.json["status"] == "ok"
    assert "JSONB" not in texts(sandbox)
    assert "withdrawn" not in texts(sandbox)


def test_undoing_one_session_never_prunes_a_deleted_ones_memory(
    sandbox: Sandbox, store: Path
) -> None:
    for number in range(8):
        say(store, SHORT, number, f"Keep quokka {number}?", f"Quokka {number} stays.")
    sandbox.session()
    for table in ("part", "message"):
        edit(store, f"delete from {table} where session_id = '{BASIC}'")
    edit(store, f"delete from session where id = '{BASIC}'")
    (sandbox.data / "ledger.sqlite3").unlink()
    for page in sandbox.spool.rglob("*.jsonl"):
        page.unlink()
    assert sandbox.session().code == 0
    undo_from(store, SHORT, "msg_zz0000010")
    assert sandbox.session().code == 0
    assert "Quokka 7" not in texts(sandbox)
    assert "JSONB indexes" in texts(sandbox)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0"])
def test_a_database_that_chromadb_had_just_begun_is_filled(
    sandbox: Sandbox, store: Path, content: bytes
) -> None:
    sandbox.palace.mkdir(parents=True)
    if content:
        sqlite3.connect(sandbox.palace / "chroma.sqlite3").executescript("vacuum")
    else:
        (sandbox.palace / "chroma.sqlite3").touch()
    assert sandbox.session().code == 0
    assert "JSONB indexes" in texts(sandbox)


def test_a_wing_that_kills_mempalace_does_not_keep_out_the_others(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    real = sandbox.command("mempalace")[0]
    program = sandbox.home / "stand-in"
    program.write_text(f'#!/bin/bash\n[[ "$4" == */proj3 ]] && kill -SEGV $$\nexec "{real}" "$@"\n')
    program.chmod(0o755)
    sandbox.configure(f'mempalace = "{program}"\n')
    answer = sandbox.session("--json")
    assert answer.code == 70
    results = {line["wing"]: line["result"] for line in answer.json["wings"]}
    assert results.pop("proj3") == "was ended by SIGSEGV"
    assert set(results.values()) == {"filed"}
    assert len(results) == 2


def test_going_back_to_an_earlier_wing_moves_the_talk_back(sandbox: Sandbox, store: Path) -> None:
    for wing in ("foo", "bar", "foo"):
        assert sandbox.session("--wing", wing).code == 0
    assert {path.parent.name for path in sandbox.spool.rglob("*.jsonl")} == {"foo"}
    with sqlite3.connect(sandbox.palace / "chroma.sqlite3") as database:
        wings = database.execute(
            "select distinct string_value from embedding_metadata where key = 'wing'"
        ).fetchall()
    assert wings == [("foo",)]


def test_a_palace_restored_from_a_backup_gets_what_it_lacks(
    sandbox: Sandbox, store: Path, tmp_path: Path
) -> None:
    sandbox.session()
    shutil.copytree(sandbox.palace, tmp_path / "backup")
    edit(
        store,
        "update part set data = replace(data, 'JSONB indexes', 'GIN indexes'),"
        " time_updated = time_updated + 9",
        "update message set time_updated = time_updated + 9",
    )
    sandbox.session()
    assert "GIN indexes" in texts(sandbox)
    shutil.rmtree(sandbox.palace)
    shutil.copytree(tmp_path / "backup", sandbox.palace)
    assert sandbox.session().code == 0
    assert "GIN indexes" in texts(sandbox)


def test_a_forks_turns_stay_when_the_original_undoes_them(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    source = recorded("opencode/1.18.33/fork")
    store = put_opencode(sandbox, source / "opencode.db")
    manifest = json.loads((source / "manifest.json").read_text())
    original = next(s["id"] for s in manifest["sessions"] if not s.get("copied_turns"))
    assert sandbox.session().code == 0
    assert sum("> Fork question 1 FORK-U1" in text for _, _, text in drawers(sandbox)) == 1
    with sqlite3.connect(store) as connection:
        message = connection.execute(
            "select id from message where session_id = ? order by time_created, id", [original]
        ).fetchone()[0]
    undo_from(store, original, message)
    assert sandbox.session().code == 0
    assert "Fork question 1 FORK-U1" in texts(sandbox)


def test_a_fork_that_was_taken_alone_gives_its_copies_up_to_the_original(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    source = recorded("opencode/1.18.33/fork")
    put_opencode(sandbox, source / "opencode.db")
    manifest = json.loads((source / "manifest.json").read_text())
    fork = next(s["id"] for s in manifest["sessions"] if s.get("copied_turns"))
    assert sandbox.session("--session", fork).code == 0
    assert "Fork question 1 FORK-U1" in texts(sandbox)
    assert sandbox.session().code == 0
    assert sum("> Fork question 1 FORK-U1" in text for _, _, text in drawers(sandbox)) == 1


def test_sub_agents_get_the_projects_wing_whenever_they_are_first_taken(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/subagent") / "opencode.db")
    assert sandbox.session().code == 0
    assert sandbox.session("--include-subagents").code == 0
    folders = {path.parent for path in sandbox.spool.glob("opencode-subagent/*/*")}
    assert {folder.name for folder in folders} == {"proj"}


def test_an_agents_page_that_says_what_the_others_said_outlives_it(
    sandbox: Sandbox, store: Path, recorded: Recorded
) -> None:
    lines = [{"type": "session", "version": 3, "id": "pi-1", "timestamp": "2026-11-21T00:00:00Z"}]
    lines[0]["cwd"] = "/home/dev/shop"
    edit(
        store,
        "update session set directory = '/home/dev/shop'",
        "update project set worktree = '/home/dev/shop'",
        "delete from part",
    )
    for number in range(3):
        say(store, BASIC, number, f"Which emerald {number}?", f"Emerald {number}.")
        for role, text in (("user", "Which emerald"), ("assistant", "Emerald")):
            mark = "?" if role == "user" else "."
            entry = {"id": f"{role}{number}", "timestamp": "2026-11-21T00:00:01Z"}
            message = {
                "role": role,
                "content": [{"type": "text", "text": f"{text} {number}{mark}"}],
            }
            last = lines[-1]["id"] if len(lines) > 1 else None
            lines.append({"type": "message", **entry, "parentId": last, "message": message})
    sessions = sandbox.home / ".pi/agent/sessions/--x--"
    sessions.mkdir(parents=True)
    file = sessions / "2026_pi-1.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sandbox.session()
    sandbox.pi_session()
    sandbox.session()
    assert len({row[1] for row in drawers(sandbox)}) == 1
    undo_from(store, BASIC, "msg_zz0000000")
    sandbox.session()
    sandbox.pi_session()
    assert "Emerald 2" in texts(sandbox)
