"""`check` and `repair` through their front doors: answers, exit codes, and what stays untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mempalace_toolkit.history.runs import read_history
from tests.conftest import Answer, Sandbox, tree_state
from tests.palaces import damages_files as files
from tests.palaces import damages_records as records
from tests.palaces import damages_values as values
from tests.palaces.making import DRAWERS
from tests.palaces.opening import Chroma
from tests.palaces.segment_editing import Victim
from tests.test_whole_job import drawers

pytestmark = pytest.mark.palace

TOOLKIT = "mempalace-toolkit"
Damage = Callable[[Victim], object]


@pytest.fixture
def victim(palace_home: Sandbox, chroma: Chroma) -> Victim:
    """The palace of the filled home, to damage."""
    return Victim(palace_home.palace, palace_home.palace, chroma)


def unreadable(victim: Victim) -> None:
    """A file of the index that nobody can open, root neither."""
    file = victim.segment / "header.bin"
    file.unlink()
    file.symlink_to(file.name)


def gone(victim: Victim) -> None:
    shutil.rmtree(victim.palace)


def sound(victim: Victim) -> None:
    """Leave it as it is."""


CHECKED: list[tuple[Damage, list[str], int, str, str]] = [
    (sound, [], 0, "sound", "A sample of the vectors was compared"),
    (sound, ["--deep"], 0, "sound", "Every vector was compared"),
    (gone, [], 0, "no_index", "no index: there is no palace yet"),
    (files.links_emptied, [], 65, "damaged", f"links_damaged in {DRAWERS}"),
    (files.segment_removed, [], 65, "damaged", f"segment_missing in {DRAWERS}"),
    (records.database_is_garbage, [], 65, "damaged", "sqlite_unreadable"),
    (values.labels_swapped, [], 65, "damaged", f"labels_swapped in {DRAWERS}"),
    (values.labels_swapped, ["--deep"], 65, "damaged", f"labels_swapped in {DRAWERS}"),
]


@pytest.mark.parametrize(
    ("damage", "options", "code", "status", "told"),
    CHECKED,
    ids=[f"{row[0].__name__}{''.join(row[1])}" for row in CHECKED],
)
def test_check_answers_for_people_and_programs_and_writes_nothing(
    palace_home: Sandbox,
    victim: Victim,
    damage: Damage,
    options: list[str],
    code: int,
    status: str,
    told: str,
) -> None:
    damage(victim)
    before = tree_state(palace_home.home)
    shown = palace_home.run(TOOLKIT, "check", *options)
    assert (shown.code, shown.err) == (code, "")
    assert str(palace_home.palace) in shown.out
    assert told in shown.out
    answer = palace_home.run(TOOLKIT, "check", "--json", *options)
    assert (answer.code, answer.err) == (code, "")
    assert answer.json["index"]["status"] == status
    assert answer.json["status"] == ("damaged" if code else "ok")
    error = answer.json["error"] or {"kind": None}
    assert error["kind"] == ("damaged" if code else None)
    assert tree_state(palace_home.home) == before


def test_a_palace_of_another_backend_has_no_index_to_check_or_repair(sandbox: Sandbox) -> None:
    sandbox.environment["MEMPALACE_BACKEND"] = "qdrant"
    for command in ("check", "repair"):
        shown = sandbox.run(TOOLKIT, command)
        assert (shown.code, shown.err) == (0, "")
        assert "no HNSW index with the qdrant backend" in shown.out
        answer = sandbox.run(TOOLKIT, command, "--json")
        assert answer.json["index"]["status"] == "no_index"
        assert answer.json["error"] is None
    assert not sandbox.palace.exists()


def test_a_file_that_cannot_be_opened_is_named(palace_home: Sandbox, victim: Victim) -> None:
    unreadable(victim)
    answer = palace_home.run(TOOLKIT, "check", "--json")
    assert answer.code in (65, 70)
    assert "header.bin" in answer.out
    assert "Traceback" not in answer.err


def test_the_plan_is_shown_and_nothing_is_written(palace_home: Sandbox, victim: Victim) -> None:
    files.links_zeroed(victim)
    before = tree_state(palace_home.home)
    shown = palace_home.run(TOOLKIT, "repair", "--dry-run")
    assert (shown.code, shown.err) == (0, "")
    assert f"{DRAWERS}: rebuild the index" in shown.out
    answer = palace_home.run(TOOLKIT, "repair", "--dry-run", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["status"] == "ok"
    assert answer.json["plan"]["grade"] == "rebuild_segment"
    assert (answer.json["repair"], answer.json["error"]) == (None, None)
    assert tree_state(palace_home.home) == before


@pytest.mark.parametrize("damage", [files.pickle_deleted, records.writer_killed])
def test_the_remedy_that_check_names_is_what_repair_would_do(
    palace_home: Sandbox, victim: Victim, damage: Damage
) -> None:
    damage(victim)
    findings = palace_home.run(TOOLKIT, "check", "--json").json["index"]["findings"]
    planned = palace_home.run(TOOLKIT, "repair", "--dry-run", "--json").json["plan"]["grade"]
    assert {one["remedy"] for one in findings if not one["harmless"]} == {planned}


def test_a_sound_palace_is_told_with_what_was_proved(palace_home: Sandbox) -> None:
    answer = palace_home.run(TOOLKIT, "check", "--json")
    index = answer.json["index"]
    filed = len(drawers(palace_home))
    assert index["drawers"] == index["vectors"] >= filed > 0
    assert index["collections"] >= 1
    assert answer.json["seconds"]["check"] >= 0
    shown = palace_home.run(TOOLKIT, "check")
    assert f"{index['drawers']} drawers and {index['vectors']} vectors" in shown.out


def a_missing_folder(home: Path) -> Path:
    """A typing error."""
    return home / "typo"


def a_file(home: Path) -> Path:
    """What is no folder at all."""
    (home / "file").write_text("no palace")
    return home / "file"


def another_folder(home: Path) -> Path:
    """A folder with somebody's files."""
    (home / "documents").mkdir()
    (home / "documents" / "letter.txt").write_text("Dear Ann")
    return home / "documents"


def the_folder_above(home: Path) -> Path:
    """The folder that has the palace in it."""
    return home / ".config/mempalace"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (a_missing_folder, "there is no such folder"),
        (a_file, "it is a file"),
        (another_folder, "it holds letter.txt, and no chroma.sqlite3"),
        (the_folder_above, "--palace "),
    ],
)
def test_what_is_no_palace_is_an_error_that_says_why(
    palace_home: Sandbox, place: Callable[[Path], Path], told: str
) -> None:
    folder = place(palace_home.home)
    before = tree_state(palace_home.home)
    for command in (["check"], ["repair", "--yes"], ["quarantine", "prune", "--yes"]):
        answer = palace_home.run(TOOLKIT, *command, "--palace", folder)
        assert (answer.code, answer.out) == (2, ""), answer
        assert "no palace here" in answer.err
        assert told in answer.err
    answer = palace_home.run(TOOLKIT, "check", "--palace", folder, "--json")
    assert (answer.code, answer.json["error"]["kind"]) == (2, "no_palace")
    assert tree_state(palace_home.home) == before


def test_a_folder_that_will_be_a_palace_is_none_yet(palace_home: Sandbox) -> None:
    for name in ("empty", "begun"):
        (palace_home.home / name).mkdir()
    (palace_home.home / "begun/knowledge_graph.sqlite3").touch()
    for name in ("empty", "begun"):
        answer = palace_home.run(TOOLKIT, "check", "--palace", palace_home.home / name, "--json")
        assert (answer.code, answer.json["index"]["status"]) == (0, "no_index")


def test_a_palace_that_lost_its_database_is_damaged(palace_home: Sandbox) -> None:
    (palace_home.palace / "chroma.sqlite3").unlink()
    answer = palace_home.run(TOOLKIT, "check", "--palace", palace_home.palace, "--json")
    assert (answer.code, answer.json["error"]["kind"]) == (65, "damaged")


@pytest.mark.parametrize("options", [[], ["--json"], ["--deep"]])
def test_repair_without_a_terminal_and_without_consent_shows_the_plan_and_changes_nothing(
    palace_home: Sandbox, victim: Victim, options: list[str]
) -> None:
    files.links_zeroed(victim)
    before = tree_state(palace_home.palace)
    answer = palace_home.run(TOOLKIT, "repair", *options)
    assert answer.code == 2, answer
    assert tree_state(palace_home.palace) == before
    assert "add --yes" in answer.err
    assert " ".join(["repair", *(o for o in options if o == "--deep"), "--yes"]) in answer.err
    if "--json" in options:
        assert answer.json["error"]["kind"] == "consent_needed"
        assert answer.json["plan"]["grade"] == "rebuild_segment"
        assert answer.json["repair"] is None
    else:
        assert f"{DRAWERS}: rebuild the index" in answer.out


@pytest.mark.parametrize("options", [["--yes"], ["--yes", "--json"]])
def test_repair_with_consent_repairs(
    palace_home: Sandbox, victim: Victim, options: list[str]
) -> None:
    files.links_zeroed(victim)
    before = sorted(text for _, _, text in drawers(palace_home))
    answer = palace_home.run(TOOLKIT, "repair", *options)
    assert answer.code == 0, answer
    if "--json" in options:
        assert answer.err == ""
        assert answer.json["status"] == "ok"
        assert answer.json["index"]["status"] == "sound"
        assert answer.json["repair"]["sound"] is True
        assert answer.json["error"] is None
    else:
        assert "The index is sound." in answer.out
        assert " 0 embedded again" in answer.out
        assert "the old index stays as " in answer.out
    assert sorted(text for _, _, text in drawers(palace_home)) == before
    assert palace_home.run(TOOLKIT, "check").code == 0
    again = palace_home.run(TOOLKIT, "repair", "--json")
    assert (again.code, again.json["status"], again.json["error"]) == (0, "noop", None)


def typed_into(sandbox: Sandbox, typed: str) -> Answer:
    """`repair` with a terminal as its stdin, into which an answer was typed."""
    ours, theirs = os.openpty()
    os.write(ours, typed.encode())
    ended = subprocess.run(
        sandbox.command(TOOLKIT, "repair"),
        env=sandbox.variables(),
        stdin=theirs,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    os.close(theirs)
    os.close(ours)
    return Answer(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ("n\n", 65, "nothing was changed"),
        ("\x04", 65, "nothing was changed"),
        ("y\n", 0, "index is sound"),
    ],
)
def test_on_a_terminal_repair_asks_and_does_as_it_is_told(
    palace_home: Sandbox, victim: Victim, typed: str, code: int, told: str
) -> None:
    files.links_zeroed(victim)
    before = tree_state(palace_home.palace)
    ended = typed_into(palace_home, typed)
    assert ended.code == code, ended
    assert "Repair it?" in ended.err
    assert told in ended.out + ended.err
    assert (tree_state(palace_home.palace) == before) is bool(code)


def test_what_cannot_be_repaired_is_refused_with_a_remedy(
    palace_home: Sandbox, victim: Victim
) -> None:
    values.header_of_other_version(victim)
    before = tree_state(palace_home.palace)
    for options in (["--yes"], ["--dry-run"]):
        answer = palace_home.run(TOOLKIT, "repair", "--json", *options)
        assert answer.code == 65
        assert answer.json["status"] == "damaged"
        assert answer.json["plan"]["grade"] == "refuse"
        assert "does not touch such a palace" in answer.json["error"]["message"]
        assert answer.json["error"]["hint"]
        assert answer.err.count("\n") == 2
    assert tree_state(palace_home.palace) == before


def test_vectors_that_are_not_of_their_texts_are_embedded_again_by_a_repair(
    palace_home: Sandbox, victim: Victim
) -> None:
    values.labels_swapped(victim)
    files.links_zeroed(victim)
    answer = palace_home.run(TOOLKIT, "repair", "--yes", "--json")
    assert answer.code == 0, answer
    assert palace_home.run(TOOLKIT, "check", "--deep").code == 0


def test_a_repair_without_room_is_undone(palace_home: Sandbox, victim: Victim) -> None:
    files.links_zeroed(victim)
    small = palace_home.home / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=20m tmpfs '{small}' && cp -a '{victim.palace}' '{small}/palace'"
    )
    probe = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True)
    if probe.returncode:
        pytest.skip("this machine does not let the test mount a small file system")
    command = palace_home.command(TOOLKIT, "repair", "--yes", "--palace", small / "palace")
    told = "find . -type f ! -name '*.lock' -exec cksum {} + | sort"
    ended = subprocess.run(
        [
            "unshare", "--mount", "sh", "-c",
            f'{script} && cd "{small}/palace" && before=$({told}) && "$@"; code=$?;'
            f' [ "$before" = "$({told})" ] || exit 1; exit $code',
            "sh", *command,
        ],
        env=palace_home.variables(),
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert ended.returncode == 74, ended
    assert "needs" in ended.stderr
    assert "nothing was changed" in ended.stderr


HOLDERS = {
    "another run of ours": (
        "from pathlib import Path\n"
        "from mempalace_toolkit.palace.toolkit_lock import palace_lock\n"
        "held = palace_lock(Path({palace!r}), Path({home!r}), 0, 'mempalace-session')\n"
        "held.__enter__()\n"
    ),
    "a MemPalace writer": (
        "from mempalace.palace import mine_palace_lock\n"
        "held = mine_palace_lock({palace!r})\n"
        "held.__enter__()\n"
    ),
    "a client without a lock": (
        "import chromadb\n"
        "client = chromadb.PersistentClient({palace!r})\n"
        "collection = client.get_collection('mempalace_drawers', embedding_function=None)\n"
        "collection.query(query_embeddings=[[1.0] * 384], n_results=1)\n"
    ),
}


@contextmanager
def holding(sandbox: Sandbox, how: str) -> Iterator[subprocess.Popen[str]]:
    """A real process that holds the palace until the block ends."""
    code = HOLDERS[how].format(palace=str(sandbox.palace), home=str(sandbox.home))
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}print('held', flush=True)\ninput()"],
        env=sandbox.variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.communicate("\n", timeout=30)


def damage_beside(palace: Path) -> None:
    """Damage that a client which has the index open does not notice: the next one would."""
    (palace / "index_metadata.pickle").write_bytes(b"")


@pytest.mark.parametrize("how", HOLDERS)
def test_a_palace_that_is_held_is_left_alone_and_its_holder_named(
    palace_home: Sandbox, victim: Victim, how: str
) -> None:
    with holding(palace_home, how) as holder:
        damage_beside(victim.segment)
        before = tree_state(victim.segment)
        answer = palace_home.run(TOOLKIT, "repair", "--yes", "--wait", "0", "--json")
        assert answer.code == 75
        assert answer.json["status"] == "busy"
        assert answer.json["error"]["retryable"] is True
        assert f"PID {holder.pid}" in answer.json["error"]["message"]
        assert tree_state(victim.segment) == before
        assert palace_home.run(TOOLKIT, "check").code == 65
    done: Answer = palace_home.run(TOOLKIT, "repair", "--yes")
    assert done.code == 0, done


def test_a_run_that_found_the_palace_held_leaves_the_holder_in_the_history(
    palace_home: Sandbox,
) -> None:
    with holding(palace_home, "a MemPalace writer") as holder:
        assert palace_home.session("--wait", "0").code == 75
    (last,) = read_history(palace_home.home / ".local/state/mempalace-toolkit")[-1:]
    assert last.status == "busy"
    assert f"PID {holder.pid}" in last.holder
