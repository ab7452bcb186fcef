"""The whole job on real stores and a real palace: what is found, filed, kept and lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox, tree_state

pytestmark = [pytest.mark.palace, pytest.mark.own_children]

Recorded = Callable[[str], Path]


def drawers(sandbox: Sandbox, where: str = "1=1") -> list[tuple[int, str, str]]:
    """Row id, page name and text of every drawer in the palace."""
    with sqlite3.connect(sandbox.palace / "chroma.sqlite3") as database:
        rows = database.execute(
            "select f.id, f.string_value, d.string_value from embedding_metadata f"
            " join embedding_metadata d on d.id = f.id and d.key = 'chroma:document'"
            " join embedding_metadata r on r.id = f.id and r.key = 'room'"
            f" where f.key = 'source_file' and r.string_value != '_registry' and {where}"
        ).fetchall()
    return [(row[0], Path(row[1]).name, row[2]) for row in rows]


def put_opencode(sandbox: Sandbox, source: Path, name: str = "opencode.db") -> Path:
    """Make a database of `source` the one in this home."""
    sandbox.opencode.mkdir(parents=True, exist_ok=True)
    target = sandbox.opencode / name
    shutil.copy(source, target)
    return target


def edit(database: Path, *statements: str) -> None:
    with sqlite3.connect(database) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def say(database: Path, session: str, number: int, question: str, answer: str) -> None:
    """Append an exchange to a session, as opencode 1.18 writes one."""
    time = 1_795_300_000_000 + number * 1000
    with sqlite3.connect(database) as connection:
        for offset, role, text in ((0, "user", question), (1, "assistant", answer)):
            message = f"msg_zz{number:06d}{offset}"
            data = json.dumps({"role": role, "time": {"created": time + offset}})
            connection.execute(
                "insert into message values(?,?,?,?,?)",
                [message, session, time + offset, time + offset, data],
            )
            part = json.dumps({"type": "text", "text": text})
            connection.execute(
                "insert into part values(?,?,?,?,?,?)",
                [f"prt_{message}", message, session, time + offset, time + offset, part],
            )
        connection.execute("update session set time_updated = ? where id = ?", [time, session])
    connection.close()


BASIC = "ses_e04697394ffecM0iME5AcYrIkg"  # opencode/1.18.33/basic: two exchanges about Postgres


def test_a_sentence_of_every_era_is_found_in_one_palace(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.2.1/basic") / "opencode.db", "opencode-a.db")
    put_opencode(sandbox, recorded("opencode/1.18.33/v2api") / "opencode.db", "opencode-b.db")
    put_opencode(sandbox, recorded("opencode/2.0.26/fresh") / "opencode.db")
    shutil.copytree(recorded("opencode/1.1.65/errors") / "storage", sandbox.opencode / "storage")
    for name in ("pi/0.30.2/basic", "pi/1.5.2/tree"):
        shutil.copytree(
            recorded(name) / "sessions", sandbox.home / ".pi/agent/sessions", dirs_exist_ok=True
        )
    assert sandbox.session().code == 0
    assert sandbox.pi_session().code == 0
    manifests = {
        "opencode/1.2.1/basic": "opencode--",
        "opencode/1.18.33/v2api": "opencode--",
        "opencode/2.0.26/fresh": "opencode--",
        "opencode/1.1.65/errors": "opencode--",
        "pi/0.30.2/basic": "pi--",
        "pi/1.5.2/tree": "pi--",
    }
    for name, label in manifests.items():
        manifest = json.loads(
            (Path(__file__).parent / "fixtures" / name / "manifest.json").read_text()
        )
        session = next(
            s
            for s in manifest["sessions"]
            if not s["parent" if "parent" in s else "parentSession"]
            and {turn[0] for turn in s["turns"]} == {"user", "assistant"}
        )
        said = [text for role, text in session["turns"] if role == "assistant"][-1]
        sentence = " ".join(said.split())[:60]
        found = sandbox.search(sentence)
        assert sentence in found, name
        assert label in found, name


def test_a_second_run_files_nothing_and_writes_no_page(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    first = sandbox.session("--json").json
    assert first["status"] == "ok"
    assert first["drawers"]["filed"] == len(drawers(sandbox)) > 0
    before, pages = drawers(sandbox), tree_state(sandbox.spool)
    second = sandbox.session("--json").json
    assert second["status"] == "noop"
    assert second["drawers"]["filed"] == 0
    assert (drawers(sandbox), tree_state(sandbox.spool)) == (before, pages)


def test_an_appended_exchange_files_the_last_page_only(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    for number in range(20):
        say(database, BASIC, number, f"What about part {number}?", f"Part {number} is done.")
    sandbox.session()
    before = {row[0]: row for row in drawers(sandbox)}
    say(database, BASIC, 20, "And the zeppelin hangar?", "It opens at seven.")
    grown = sandbox.session("--json").json
    assert [line["action"] for line in grown["sessions"]] == ["grown"]
    after = {row[0]: row for row in drawers(sandbox)}
    filed = {row[1] for key, row in after.items() if before.get(key) != row}
    assert filed == {f"opencode--{BASIC}--0005.jsonl", f"opencode--{BASIC}--0006.jsonl"}
    assert grown["drawers"]["filed"] < len(after)
    assert "zeppelin hangar" in sandbox.search("When does the zeppelin hangar open?")


def test_what_was_undone_leaves_the_palace(sandbox: Sandbox, recorded: Recorded) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    for number in range(9):
        say(database, BASIC, number, f"Keep quokka {number}?", f"Quokka {number} stays.")
    sandbox.session()
    assert any("Quokka 8" in text for _, _, text in drawers(sandbox))
    revert = json.dumps({"messageID": "msg_zz0000030"})
    edit(database, f"update session set revert = '{revert}' where id = '{BASIC}'")
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    left = " ".join(text for _, _, text in drawers(sandbox))
    assert "Quokka 2 stays" in left
    assert not any(f"uokka {number}" in left for number in range(3, 9))
    assert not list(sandbox.spool.rglob(".gitignore"))
    edit(database, f"update session set revert = null where id = '{BASIC}'")
    sandbox.session()
    assert any("Quokka 8" in text for _, _, text in drawers(sandbox))


def test_a_session_that_is_wholly_undone_leaves_the_palace(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    sandbox.session()
    with sqlite3.connect(database) as connection:
        first = connection.execute(
            "select id from message where session_id = ? order by time_created, id", [BASIC]
        ).fetchone()[0]
    revert = json.dumps({"messageID": first})
    edit(database, f"update session set revert = '{revert}' where id = '{BASIC}'")
    assert sandbox.session().code == 0
    assert not [row for row in drawers(sandbox) if BASIC in row[1]]


def test_a_session_deleted_in_its_store_stays_remembered(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    sandbox.session()
    edit(
        database,
        f"delete from part where session_id = '{BASIC}'",
        f"delete from message where session_id = '{BASIC}'",
        f"delete from session where id = '{BASIC}'",
    )
    assert sandbox.session().code == 0
    assert "JSONB indexes" in sandbox.search("Why did we pick Postgres?")
    assert BASIC not in sandbox.session("--dry-run", "--json").out


def test_a_lost_spool_is_written_again_without_embedding(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    sandbox.session()
    before = drawers(sandbox)
    shutil.rmtree(sandbox.data)
    again = sandbox.session("--json").json
    assert again["drawers"]["filed"] == 0
    assert drawers(sandbox) == before


def test_a_lost_page_of_a_deleted_session_is_not_taken_for_a_wish_to_forget(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    sandbox.session()
    edit(database, f"delete from session where id = '{BASIC}'")
    for page in sandbox.spool.rglob(f"*{BASIC}*"):
        page.unlink()
    other = "ses_e04693cd3ffeoe81k85Thyvawf"
    for number in range(8):
        say(database, other, number, f"Which lemur {number}?", f"Lemur {number}.")
    assert sandbox.session().code == 0
    revert = json.dumps({"messageID": "msg_zz0000010"})
    edit(database, f"update session set revert = '{revert}' where id = '{other}'")
    assert sandbox.session().code == 0
    assert "JSONB indexes" in sandbox.search("Why did we pick Postgres?")
    assert not any("emur 7" in text for _, _, text in drawers(sandbox))


def test_a_palace_that_was_deleted_is_filled_again(sandbox: Sandbox, recorded: Recorded) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    filed = sandbox.session("--json").json["drawers"]["filed"]
    shutil.rmtree(sandbox.palace)
    told = sandbox.session("--dry-run", "--json").json
    assert told["counts"]["unchanged"] == 0
    assert sandbox.session("--json").json["drawers"]["filed"] == filed


def test_of_two_pages_that_say_the_same_the_other_comes_in_when_one_goes(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    other = "ses_e04693cd3ffeoe81k85Thyvawf"
    edit(database, "delete from part", "delete from message")
    for session, start in ((BASIC, 0), (other, 10)):
        for number in range(3):
            say(database, session, start + number, f"Step {number}?", f"Twin answer {number}.")
    sandbox.session()
    assert len({row[1] for row in drawers(sandbox)}) == 1
    holder = BASIC if BASIC in drawers(sandbox)[0][1] else other
    start = 0 if holder == BASIC else 10
    edit(
        database,
        *(f"delete from {table} where session_id = '{holder}'" for table in ("part", "message")),
    )
    say(database, holder, start + 20, "Something else?", "Quite another answer.")
    assert sandbox.session().code == 0
    texts = " ".join(text for _, _, text in drawers(sandbox))
    assert "Twin answer 2" in texts
    assert "Quite another answer" in texts


def test_worktrees_and_subfolders_share_the_wing_they_had_also_when_they_are_gone(
    sandbox: Sandbox, recorded: Recorded, tmp_path: Path
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    project = tmp_path / "My-Shop"
    (project / ".git").mkdir(parents=True)
    (project / "web").mkdir()
    edit(database, f"update session set directory = '{project}/web'")
    assert {line["wing"] for line in sandbox.session("--json").json["wings"]} == {"my_shop"}
    shutil.rmtree(project)
    say(database, BASIC, 1, "More?", "More.")
    assert {line["wing"] for line in sandbox.session("--json").json["wings"]} == {"my_shop"}


def test_the_stores_are_only_read(sandbox: Sandbox, recorded: Recorded) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/revert") / "opencode.db")
    shutil.copytree(recorded("opencode/1.1.65/revert") / "storage", sandbox.opencode / "storage")
    before = tree_state(sandbox.opencode)
    sandbox.session("--dry-run")
    sandbox.session()
    assert tree_state(sandbox.opencode) == before


def test_a_dry_run_writes_nothing_anywhere(sandbox: Sandbox, recorded: Recorded) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    before = tree_state(sandbox.home)
    assert sandbox.session("--dry-run").code == 0
    assert tree_state(sandbox.home) == before
    sandbox.session()
    say(database, BASIC, 1, "More?", "More.")
    before = tree_state(sandbox.home)
    assert sandbox.session("--dry-run").code == 0
    assert tree_state(sandbox.home) == before


def test_pages_and_logs_are_for_their_owner_alone(sandbox: Sandbox, recorded: Recorded) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    os.umask(0o022)
    sandbox.session()
    for root in (sandbox.data, sandbox.home / ".local/state/mempalace-toolkit"):
        for path in [root, *root.rglob("*")]:
            assert path.stat().st_mode & 0o077 == 0, path
    log = " ".join(file.read_text() for file in (sandbox.home / ".local/state").rglob("*.log"))
    assert log
    assert "Postgres" not in log
