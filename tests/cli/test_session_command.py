"""The two jobs through their front doors: what they print, refuse and exit with."""

from __future__ import annotations

import json
import shutil
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from mempalace_toolkit.cli.context.session_choices import since_ms
from mempalace_toolkit.cli.output.text import fit
from mempalace_toolkit.errors import UsageError
from tests.conftest import Sandbox
from tests.sessions.opencode_writing import make_database
from tests.test_whole_job import BASIC, edit, put_opencode, say

Recorded = Callable[[str], Path]

NOW = 1_795_222_812_360


@pytest.mark.parametrize("command", ["mempalace-session", "mempalace-pi-session"])
def test_without_a_store_there_is_nothing_to_do_and_it_says_where_it_looked(
    bare: Sandbox, command: str
) -> None:
    answer = bare.run(command)
    assert answer.code == 0
    assert "Nothing to do" in answer.out
    assert str(bare.home) in answer.out
    told = bare.run(command, "--json").json
    assert told["status"] == "noop"
    assert told["searched"]
    assert list(bare.home.iterdir()) == []


@pytest.mark.parametrize("name", ["opencode.db.old", "storage.bak"])
def test_where_only_a_copy_of_the_store_is_left_the_run_names_it(bare: Sandbox, name: str) -> None:
    copy = bare.home / ".local/share/opencode" / name
    if name.endswith(".bak"):
        (copy / "session" / "project").mkdir(parents=True)
    else:
        copy.parent.mkdir(parents=True)
        make_database(copy)
    answer = bare.session("--json")
    assert answer.code == 0
    (finding,) = answer.json["findings"]
    assert (finding["kind"], finding["path"]) == ("copy_not_read", str(copy))
    assert f"--store {copy}" in bare.session().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--no-such-option"], "No such option"),
        (["--limit", "0"], "limit"),
        (["--wait", "-1"], "wait"),
        (["--repair", "maybe"], "--repair takes auto, always or never"),
        (["--since", "yesterday"], "is not a valid date"),
        (["surplus"], "unexpected extra argument"),
    ],
)
def test_a_command_line_that_cannot_be_meant_exits_2(
    bare: Sandbox, recorded: Recorded, arguments: list[str], told: str
) -> None:
    put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    answer = bare.session("--dry-run", *arguments)
    assert answer.code == 2
    assert told in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("palace = 3", "`palace` must be text in quotes"),
        ("wiat = 3", "unknown key `wiat`"),
        ("wait = -1", "`wait` must be 0 or more"),
        ("stall = nan", "`stall` must be 0 or more"),
        ("wait = true", "`wait` must be a number"),
        ('[wings]\n"/a" = 3', "[wings]"),
        ("= =", "cannot be read"),
    ],
)
def test_a_wrong_configuration_names_the_file_and_the_key(
    bare: Sandbox, recorded: Recorded, text: str, told: str
) -> None:
    put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    bare.configure(text)
    answer = bare.session("--json")
    assert answer.code == 78
    assert told in answer.json["error"]["message"]
    assert "config.toml" in answer.json["error"]["message"]


def test_an_unknown_schema_names_the_file_and_its_tables(bare: Sandbox, recorded: Recorded) -> None:
    database = put_opencode(bare, recorded("opencode/2.0.26/unknown") / "opencode.db")
    with sqlite3.connect(database) as connection:
        tables = [
            row[0]
            for row in connection.execute("select name from sqlite_master where type='table'")
        ]
    answer = bare.session("--dry-run", "--json")
    assert answer.code == 66
    assert answer.json["error"]["kind"] == "unknown_schema"
    assert str(database) in answer.json["error"]["message"]
    assert all(table in answer.json["error"]["message"] for table in tables)


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_corrupt_database_is_named_and_the_others_are_still_taken(
    bare: Sandbox, recorded: Recorded, content: bytes
) -> None:
    put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    broken = bare.opencode / "opencode-dev.db"
    broken.write_bytes(content)
    answer = bare.session("--dry-run", "--json")
    assert answer.code == 66
    assert str(broken) in answer.json["error"]["message"]
    assert answer.json["counts"]["new"] == 2


def test_a_store_named_by_hand_that_is_none_exits_66(bare: Sandbox, tmp_path: Path) -> None:
    answer = bare.session("--store", tmp_path / "no such", "--dry-run")
    assert answer.code == 66
    assert "no such" in answer.err
    assert answer.out == ""


def test_the_dry_run_lists_every_session_and_why_some_are_skipped(
    bare: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(bare, recorded("opencode/1.18.33/subagent") / "opencode.db")
    manifest = json.loads(
        (database.parents[4] / "stores/opencode/1.18.33/subagent/manifest.json").read_text()
    )
    children = {s["id"] for s in manifest["sessions"] if s["parent"]}
    told = bare.session("--dry-run", "--json").json
    reasons = {line["id"]: line["reason"] for line in told["sessions"]}
    assert set(reasons) == {s["id"] for s in manifest["sessions"]}
    assert {line for line, reason in reasons.items() if reason == "sub-agent"} == children
    also = bare.session("--dry-run", "--json", "--include-subagents").json
    agents = {line["id"]: line["agent"] for line in also["sessions"]}
    assert {line for line, agent in agents.items() if agent == "opencode-subagent"} == children


def test_the_table_fits_80_columns_whatever_the_titles_are(
    bare: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(bare, recorded("opencode/1.18.33/multi") / "opencode.db")
    titles = ["日本語の検索" * 20, "صفحة الدفع " * 20, "a\nb\x1b[31mred\x07", "🐘" * 60, "%s {} \\"]
    with sqlite3.connect(database) as connection:
        for number, (session,) in enumerate(
            connection.execute("select id from session").fetchall()
        ):
            connection.execute(
                "update session set title = ?, directory = ? where id = ?",
                [titles[number], f"/home/dev/{'long-project-name-' * 5}{number}", session],
            )
    connection.close()
    bare.environment["COLUMNS"] = "80"
    answer = bare.session("--dry-run")
    assert answer.code == 0
    rows = answer.out.splitlines()
    assert len(rows) >= 8  # a head, five sessions, lines on the run to come, a summary
    assert max(cell_len(row) for row in rows[:6]) <= 80
    assert not any(unicodedata.category(c) == "Cc" for row in rows for c in row)


def test_in_a_pipe_no_title_is_cut_and_each_session_has_its_id(
    bare: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    title = "a title that is long " * 12
    with sqlite3.connect(database) as connection:
        connection.execute("update session set title = ?", [title])
        ids = {row[0] for row in connection.execute("select id from session")}
    connection.close()
    rows = bare.session("--dry-run").out.splitlines()[1 : len(ids) + 1]
    assert all(row.endswith(title.strip()) for row in rows)
    assert ids == {row.split()[5] for row in rows}


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 8, "short   "),
        ("exactly8", 8, "exactly8"),
        ("more than 8", 8, "more th…"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日… "),
        (f"{FAMILY} home", 8, f"{FAMILY} home "),
        ("a\tb\n", 6, "a b   "),
    ],
)
def test_text_is_cut_by_terminal_cells(text: str, width: int, shown: str) -> None:
    assert fit(text, width) == shown


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("7d", NOW - 7 * 86_400_000),
        ("12h", NOW - 12 * 3_600_000),
        ("2026-11-01T00:00+00:00", 1_793_491_200_000),
    ],
)
def test_since_takes_dates_and_spans(written: str, expected: int) -> None:
    assert since_ms(written, NOW) == expected


@pytest.mark.parametrize("written", ["", "7", "d", "-1d", "2026-13-01", "999999d", "9" * 400])
def test_since_refuses_what_is_no_date(written: str) -> None:
    with pytest.raises(UsageError):
        since_ms(written, NOW)


def test_the_selection_narrows_what_is_taken(bare: Sandbox, recorded: Recorded) -> None:
    database = put_opencode(bare, recorded("opencode/1.18.33/multi") / "opencode.db")
    newest = (
        sqlite3.connect(database)
        .execute("select id from session order by time_updated desc")
        .fetchone()[0]
    )
    edit(database, f"update session set time_updated = time_updated + 900000 where id = '{newest}'")
    one = bare.session("--dry-run", "--json", "--limit", "1").json["sessions"]
    assert [line["id"] for line in one] == [newest]
    named = bare.session("--dry-run", "--json", "--session", newest).json["sessions"]
    assert named == one
    assert bare.session("--dry-run", "--json", "--since", "2099-01-01").json["sessions"] == []
    for options in ((), ("--dry-run",)):
        late = bare.session("--since", "2099-01-01", *options)
        assert "No session was active since 2099-01-01 (--since)." in late.out
    wings = bare.session("--dry-run", "--json", "--wing", "My Wing").json["sessions"]
    assert {line["wing"] for line in wings} == {"my_wing"}


def test_a_session_that_is_not_there_is_said_to_be_unknown(
    bare: Sandbox, recorded: Recorded
) -> None:
    put_opencode(bare, recorded("opencode/1.18.33/multi") / "opencode.db")
    answer = bare.session("--dry-run", "--session", "ses_unknown", "--json")
    assert answer.code == 2
    assert "ses_unknown" in answer.json["error"]["message"]


@pytest.mark.palace
def test_under_cron_progress_is_lines_on_stderr_and_stdout_is_the_summary(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    answer = sandbox.session()
    assert answer.code == 0
    assert "filing pages: 2" in answer.err
    assert "Drawers: 3 filed, 3 in the palace." in answer.out
    log = Path(answer.out.rpartition("Log: ")[2].strip())
    assert "opencode--" in log.read_text()
    assert max(len(line) for line in answer.out.splitlines() if not line.startswith("Log:")) <= 80
    quiet = sandbox.session("--quiet")
    assert (quiet.out, quiet.err) == ("", "")
    assert "Log:" not in sandbox.session().out
    assert sandbox.session("--json").json["log"] is None
    assert list(log.parent.iterdir()) == [log]


@pytest.mark.palace
def test_one_bad_session_is_a_finding_and_the_others_are_filed(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    say(database, BASIC, 1, "What of heron one?", "It nests late.")
    edit(database, 'update part set data = \'{"type":"text","te\' where id = \'prt_msg_zz0000010\'')
    answer = sandbox.session("--json")
    assert answer.code == 0
    assert [finding["session"] for finding in answer.json["findings"]] == [BASIC]
    assert "heron" not in json.dumps(answer.json["findings"])
    assert "It nests late" in sandbox.search("heron nests")


@pytest.mark.palace
def test_all_that_a_directory_or_an_id_may_hold_survives(
    sandbox: Sandbox, recorded: Recorded, tmp_path: Path
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    odd = "a 'b\" c%d\n&|é"
    with sqlite3.connect(database) as connection:
        for table, column in (("session", "id"), ("message", "session_id"), ("part", "session_id")):
            connection.execute(f"update {table} set {column} = ? where {column} = ?", [odd, BASIC])
        connection.execute("update session set directory = ?", [f"/home/gone/{odd}"])
    connection.close()
    store = tmp_path / "my 'store' 100%"
    store.mkdir()
    shutil.move(database, store / "opencode.db")
    palace = tmp_path / 'pal "ace" %'
    answer = sandbox.session("--store", store / "opencode.db", "--palace", palace, "--json")
    assert answer.code == 0, answer
    assert "JSONB indexes" in sandbox.search("Why did we pick Postgres?", palace)
    assert (
        sandbox.session("--store", store / "opencode.db", "--palace", palace, "--json").json[
            "status"
        ]
        == "noop"
    )


@pytest.mark.palace
def test_files_in_the_folder_it_is_started_in_do_not_matter(
    sandbox: Sandbox, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    for name in ("json.py", "sqlite3.py", "mempalace.py", "chromadb.py"):
        (sandbox.home / name).write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(sandbox.home)
    answer = sandbox.session()
    assert answer.code == 0, answer
    assert "JSONB indexes" in sandbox.search("Why did we pick Postgres?")


@pytest.mark.palace
def test_verbose_shows_what_mempalace_says_and_quiet_says_nothing(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    loud = sandbox.session("-v")
    assert "MemPalace Mine" in loud.err
    assert "MemPalace Mine" in Path(loud.out.rpartition("Log: ")[2].strip()).read_text()
    say(database, BASIC, 1, "More?", "More.")
    quiet = sandbox.session("-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_title_is_too_strange_for_a_terminal(
    bare: Sandbox, recorded: Recorded, encoding: str
) -> None:
    database = put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    edit(database, "update session set title = '日本 🐘 é ' || char(55357)")
    bare.environment["PYTHONIOENCODING"] = encoding
    assert bare.session("--dry-run").code == 0
    titles = {line["title"][:4] for line in bare.session("--dry-run", "--json").json["sessions"]}
    assert titles == {"日本 🐘"}
