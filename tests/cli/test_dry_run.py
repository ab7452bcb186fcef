"""A dry run tells what the run would do and meet: the same exit code, and nothing written."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from mempalace_toolkit.history.pace import seconds_a_drawer
from mempalace_toolkit.history.record import RunRecord
from tests.conftest import Answer, Sandbox, tree_state
from tests.filled_home import segment
from tests.test_whole_job import BASIC, put_opencode, say

Recorded = Callable[[str], Path]

pytestmark = pytest.mark.palace


def dry_run(home: Sandbox, *options: str) -> Answer:
    """`mempalace-session --dry-run --json`, which must leave every file alone."""
    before = tree_state(home.home)
    answer = home.session("--dry-run", "--json", *options)
    assert tree_state(home.home) == before
    return answer


def something_new(home: Sandbox) -> None:
    """Talk that the palace lacks."""
    say(home.opencode / "opencode.db", BASIC, 900, "How tall is heron 900?", "A metre.")


def cut_database(home: Sandbox) -> None:
    """The first pages of the database, and no more."""
    database = home.palace / "chroma.sqlite3"
    database.write_bytes(database.read_bytes()[: 8 * 4096])


def damaged_index(home: Sandbox) -> None:
    """An index that can be rebuilt from its own vectors."""
    (segment(home.palace) / "link_lists.bin").write_bytes(b"\1" * 100)


def no_mempalace(home: Sandbox) -> None:
    """A configured program that is not there."""
    home.configure('mempalace = "~/none"')


def other_model(home: Sandbox) -> None:
    """MemPalace set to another model than the one that filled the palace."""
    home.environment["MEMPALACE_EMBEDDING_MODEL"] = "embeddinggemma"


def nothing_wrong(home: Sandbox) -> None:
    """Leave it as it is."""


STATES = [
    (nothing_wrong, [], 0, None),
    (damaged_index, [], 0, None),
    (damaged_index, ["--no-repair"], 65, "damaged"),
    (cut_database, [], 65, "damaged"),
    (cut_database, ["--no-repair"], 65, "damaged"),
    (no_mempalace, [], 78, "configuration"),
    (other_model, [], 65, "damaged"),
]


@pytest.mark.parametrize(
    ("state", "options", "code", "kind"),
    STATES,
    ids=[f"{row[0].__name__}{''.join(row[1])}" for row in STATES],
)
def test_a_dry_run_ends_as_the_run_does(
    palace_home: Sandbox,
    state: Callable[[Sandbox], None],
    options: list[str],
    code: int,
    kind: str | None,
) -> None:
    something_new(palace_home)
    state(palace_home)
    planned = dry_run(palace_home, *options)
    shown = palace_home.session("--dry-run", *options)
    done = palace_home.session("--json", *options)
    assert (planned.code, shown.code, done.code) == (code, code, code), (planned, done)
    for answer in (planned, done):
        assert (answer.json["error"] or {"kind": None})["kind"] == kind
    if kind:
        assert planned.json["error"] == planned.json["outlook"]["stops"][0]
        assert f"a run would end with exit status {code}" in shown.out
    if kind == "damaged":
        assert "mempalace repair" not in planned.out + done.out
        assert "mempalace-toolkit repair --dry-run" in done.json["error"]["hint"] or (
            state is other_model
        )


@pytest.mark.parametrize("command", [["check"], ["repair", "--dry-run"]])
def test_a_cut_database_is_damage_to_every_command(
    palace_home: Sandbox, command: list[str]
) -> None:
    cut_database(palace_home)
    answer = palace_home.run("mempalace-toolkit", *command, "--json")
    assert (answer.code, answer.json["error"]["kind"]) == (65, "damaged")


def test_a_dry_run_names_the_repair_that_a_run_makes_first(palace_home: Sandbox) -> None:
    damaged_index(palace_home)
    answer = dry_run(palace_home)
    assert answer.json["index"]["before"]["status"] == "damaged"
    assert any("rebuild the index" in step for step in answer.json["outlook"]["repair"])
    assert "The run would repair it first" in palace_home.session("--dry-run").out


def test_a_dry_run_names_who_holds_the_palace(palace_home: Sandbox) -> None:
    lock = palace_home.palace / ".mempalace-toolkit.lock"
    with ExitStack() as held:
        opened = held.enter_context(lock.open("w"))
        fcntl.flock(opened, fcntl.LOCK_EX)
        opened.write("PID 4711 (mempalace-session)")
        opened.flush()
        answer = dry_run(palace_home)
        run = palace_home.session("--json", "--wait", "0")
    assert (answer.code, run.code) == (75, 75)
    assert answer.json["outlook"]["holder"] == "PID 4711 (mempalace-session)"
    assert answer.json["sessions"]


def test_a_dry_run_counts_pages_and_estimates_drawers_and_time(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    for number in range(60):
        say(sandbox.opencode / "opencode.db", BASIC, number, "word " * 20, f"{number} is " * 150)
    outlook = dry_run(sandbox).json["outlook"]
    assert (outlook["seconds_from"], outlook["model"]["to_fetch"]) == ("probe", False)
    assert outlook["seconds"] > 0
    assert 0 < outlook["bytes_needed"] < outlook["bytes_free"]
    assert "MemPalace 3." in sandbox.session("--dry-run").out
    done = sandbox.session("--json").json
    assert sum(wing["pages"] for wing in done["wings"]) == outlook["pages"]
    assert abs(done["drawers"]["filed"] - outlook["drawers"]) <= 0.25 * outlook["drawers"]
    say(sandbox.opencode / "opencode.db", BASIC, 901, "And now?", "One more.")
    assert dry_run(sandbox).json["outlook"]["seconds_from"] == "last_runs"


def test_a_model_that_is_not_here_is_told_before_it_is_fetched(
    bare: Sandbox, recorded: Recorded
) -> None:
    put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    assert dry_run(bare).json["outlook"]["model"] == {"name": "minilm", "to_fetch": True}


def test_a_run_that_filed_nothing_says_so_first(palace_home: Sandbox) -> None:
    something_new(palace_home)
    damaged_index(palace_home)
    answer = palace_home.session("--no-repair")
    assert answer.code == 65
    assert answer.out.startswith("Nothing was filed. What is new in 1 session is kept")


def run(drawers: int | None, filing_ms: int | None) -> RunRecord:
    """A run in the history."""
    return RunRecord("mempalace-session", 1, 2, "ok", drawers=drawers, filing_ms=filing_ms)


def test_the_pace_is_that_of_the_last_runs_that_filed_much() -> None:
    assert seconds_a_drawer([]) is None
    assert seconds_a_drawer([run(10, 9_000), run(None, None), run(0, None)]) is None
    assert seconds_a_drawer([run(100, 9_000), run(300, 11_000), run(1, 5_000)]) == 0.05
    assert seconds_a_drawer([run(100, 90_000), *[run(100, 1_000)] * 5]) == 0.01


def test_paths_below_the_home_may_be_written_with_a_tilde(
    bare: Sandbox, recorded: Recorded
) -> None:
    database = put_opencode(bare, recorded("opencode/1.18.33/basic") / "opencode.db")
    assert database.exists()
    listed = bare.session("--dry-run", "--json").json["sessions"]
    wing = next(one["wing"] for one in listed if one["id"] == BASIC)
    bare.configure('[wings]\n"~/elsewhere" = "mine"\n')
    elsewhere = str(bare.home / "elsewhere")
    move_session(database, elsewhere)
    listed = bare.session("--dry-run", "--json").json["sessions"]
    assert next(one["wing"] for one in listed if one["id"] == BASIC) == "mine" != wing


def move_session(database: Path, folder: str) -> None:
    """Have the session's folder be another one."""
    with sqlite3.connect(database) as connection:
        connection.execute("update session set directory = ? where id = ?", [folder, BASIC])
    connection.close()
