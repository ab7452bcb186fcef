"""A palace whose database has bad pages: what is found, what is planned, what clients see after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.errors import DamageLeftError, WriteUndoneError
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.heal import heal
from mempalace_toolkit.index.repair.plan_values import RepairPlan
from tests.conftest import tree_state
from tests.palaces import damages_pages as pages
from tests.palaces import damages_records as records
from tests.palaces.making import CLOSETS, DRAWERS, drawer
from tests.palaces.opening import Seen
from tests.palaces.repairing import Model, agreed_plan, location, repair, setting
from tests.palaces.segment_editing import Victim

Damage = Callable[[Victim], None]
SAMPLE = 16
NEW = range(20000, 20030)

# Nothing is lost, and so it is done unattended. At most so many drawers are embedded again.
WHOLE: list[tuple[Damage, int]] = [
    (pages.leaf("embeddings", 0.5, pages.zeros), 0),
    (pages.leaf("embeddings", 0, pages.noise), 0),
    (pages.inner("embeddings", pages.zeros), 0),
    (pages.all_of("embeddings"), 0),
    (pages.leaf("embedding_metadata", 0.5, pages.noise), 0),
    (pages.inner("embedding_metadata", pages.noise), 0),
    (pages.all_of("embedding_metadata"), 0),
    (pages.leaf("sqlite_autoindex_embeddings_1", 0.5, pages.zeros), 0),
    (pages.inner("embedding_metadata_string_value", pages.noise), 0),
    (pages.leaf("embedding_fulltext_search_data", 0.5, pages.noise), 0),
    (pages.inner("embeddings_queue", pages.zeros), 0),
    (pages.leaf("embeddings_queue", 1, pages.zeros), 2),
    (pages.all_of("embeddings_queue"), 251),
    (pages.leaf("max_seq_id", 0, pages.zeros), 0),
    (pages.leaf("collections", 0, pages.noise), 0),
    (pages.leaf("sqlite_master", 0, pages.zeros), 0),
    (pages.leaf("sqlite_master", 1, pages.noise), 0),
    (pages.list_of_tables, 0),
    (pages.list_of_free_pages, 0),
]

# A person must agree to these.
WITH_LOSS: list[Damage] = [
    pages.end_cut_off,
    records.database_cut,
    pages.leaf("collection_metadata", 0, pages.zeros),
    pages.texts_lost,
    pages.drawers_lost,
]

REFUSED: list[Damage] = [
    pages.header_zeroed,
    pages.everything_zeroed,
    pages.leaf("segments", 0, pages.zeros),
]


def plan_for(victim: Victim) -> RepairPlan:
    return agreed_plan(location(victim), check_palace(location(victim)))


def assert_seen(victim: Victim, before: dict[str, Seen], lost: int = 0) -> None:
    after = victim.chroma.ask(victim.palace)
    gone = 0
    for name in (DRAWERS, CLOSETS):
        old, new = before[name], after[name]
        assert new.texts.keys() <= old.texts.keys()
        gone += len(old.texts) - len(new.texts)
        assert new.reached == new.texts.keys()
        for one, text in new.texts.items():
            assert text == old.texts[one]
            assert np.max(np.abs(old.vectors[one] - new.vectors[one])) < 1e-6, one
            if not lost:
                assert new.metadatas[one] == old.metadatas[one]
    assert gone == lost


def assert_alive(victim: Victim) -> None:
    more = {"collection": DRAWERS, "numbers": [*NEW], "version": 0, "dimension": 384}
    written = victim.chroma.answer("upsert", victim.palace, **more)
    assert victim.chroma.answer("find", victim.palace, **more) == written
    assert written == [drawer(DRAWERS, number).id for number in NEW]
    assert [one for one in check_palace(location(victim)) if not one.harmless] == []


def name_of(row: object) -> str:
    return getattr(row, "__name__", "")


@pytest.mark.parametrize(("damage", "embedded"), WHOLE, ids=name_of)
def test_a_database_of_which_nothing_is_lost_is_rebuilt_unattended(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, damage: Damage, embedded: int
) -> None:
    damage(victim)
    damaged = victim.database.read_bytes()
    before = tree_state(victim.palace)
    kinds = {finding.kind for finding in check_palace(location(victim))}
    assert kinds & {"sqlite_damaged", "sqlite_unreadable"}
    plan = plan_for(victim)
    assert plan.grade == "rebuild_palace"
    assert plan.database is not None
    assert plan.database.whole, plan.steps()
    assert tree_state(victim.palace) == before
    model = Model()
    healing = heal(location(victim), setting(tmp_path, model))
    assert healing.sound
    assert healing.result is not None
    assert len(model.texts) <= embedded + 2 * SAMPLE
    assert sum(one.embedded for one in healing.result.collections) <= embedded
    assert Path(healing.result.kept).read_bytes() == damaged
    assert Path(healing.result.kept).parent == victim.palace
    assert_seen(victim, seen_before)
    assert_alive(victim)


@pytest.mark.parametrize("moment", ["junk", -1, 1_795_222_812, b"\0"])
def test_a_queue_in_which_chromadb_cannot_read_a_time_is_damaged_and_mended(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, moment: object
) -> None:
    with records.editing(victim.database) as connection:
        last = "select max(seq_id) from embeddings_queue"
        change = f"update embeddings_queue set created_at = ? where seq_id = ({last})"
        connection.execute(change, [moment])
    assert {one.kind for one in check_palace(location(victim))} == {"queue_damaged"}
    healing = heal(location(victim), setting(tmp_path, Model()))
    assert healing.sound
    assert_seen(victim, seen_before)
    assert_alive(victim)


@pytest.mark.parametrize("collection", ["cast(collection as blob)", "'junk'", "null"])
def test_segments_that_name_no_collection_any_more_get_their_own_again(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, collection: str
) -> None:
    with records.editing(victim.database) as connection:
        connection.execute("create table others as select * from segments")
        connection.execute("drop table segments")
        connection.execute("create table segments (id text primary key, type, scope, collection)")
        change = f"insert into segments select id, type, scope, {collection} from others"
        connection.execute(change)
        connection.execute("drop table others")
    assert plan_for(victim).grade == "rebuild_palace"
    healing = heal(location(victim), setting(tmp_path, Model()))
    assert healing.sound
    assert_seen(victim, seen_before)
    assert_alive(victim)


def test_drawers_that_are_of_no_collection_go_only_with_a_persons_consent(victim: Victim) -> None:
    with records.editing(victim.database) as connection:
        connection.execute("update embeddings_queue set created_at = 'junk'")
        stranger = "(segment_id, embedding_id, seq_id) values ('elsewhere', 'a stranger', 1)"
        connection.execute(f"insert into embeddings {stranger}")
    plan = plan_for(victim)
    assert plan.database is not None
    assert plan.database.losses == ("1 drawers that are of no collection",)


@pytest.mark.parametrize("damage", WITH_LOSS, ids=name_of)
def test_a_database_of_which_something_is_lost_is_left_until_a_person_agrees(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, damage: Damage
) -> None:
    damage(victim)
    before = tree_state(victim.palace)
    plan = plan_for(victim)
    with pytest.raises(DamageLeftError) as refused:
        heal(location(victim), setting(tmp_path, Model()))
    assert plan.database is not None
    assert plan.loses
    assert plan.loses in refused.value.message
    assert "mempalace-toolkit repair" in refused.value.hint
    assert tree_state(victim.palace) == before
    result = repair(location(victim), check_palace(location(victim)), tmp_path)
    everything = sum(len(seen.texts) for seen in seen_before.values())
    named = plan.database.drawers + plan.database.lost
    assert named == everything or (plan.database.uncertain and named < everything)
    assert result.plan.database == plan.database
    after = victim.chroma.ask(victim.palace)
    assert sum(len(seen.texts) for seen in after.values()) == plan.database.drawers
    for name, seen in after.items():
        assert seen.texts.items() <= seen_before[name].texts.items()
        assert seen.reached == seen.texts.keys()
    assert_alive(victim)


@pytest.mark.parametrize("damage", REFUSED, ids=name_of)
def test_a_database_that_gives_no_collection_is_refused_untouched(
    victim: Victim, tmp_path: Path, damage: Damage
) -> None:
    damage(victim)
    before = tree_state(victim.palace)
    plan = plan_for(victim)
    assert plan.grade == "refuse"
    assert "restore it from a backup" in plan.refusal
    with pytest.raises(DamageLeftError):
        repair_palace(location(victim), plan, setting(tmp_path, Model()))
    assert tree_state(victim.palace).items() >= before.items()


STEPS = ["room", "recover", "try database", "exchange database", "embed", "build", "switch",
         "set aside", "check", "clean", "prove"]  # fmt: skip


class StoppedError(Exception):
    """What a test raises in a step."""


@pytest.mark.parametrize("step", STEPS)
def test_a_rebuild_of_the_database_that_fails_in_a_step_is_undone_as_a_whole(
    victim: Victim, tmp_path: Path, step: str
) -> None:
    pages.all_of("embeddings_queue")(victim)
    before = tree_state(victim.palace)
    asked = setting(tmp_path, Model())
    seen = 0

    def stop(name: str) -> None:
        nonlocal seen
        if name == step:
            seen += 1
            raise StoppedError(name)

    object.__setattr__(asked, "before_step", stop)
    with pytest.raises(StoppedError):
        repair_palace(location(victim), plan_for(victim), asked)
    assert seen == 1
    after = tree_state(victim.palace)
    for name, state in before.items():
        if not name.startswith("."):
            assert after[name] == state, name


def test_a_disk_without_room_for_the_new_database_is_said_before_anything_is_written(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.leaf("embeddings", 0.5, pages.zeros)(victim)
    before = tree_state(victim.palace)
    plan = plan_for(victim)
    usage = __import__("shutil").disk_usage(victim.palace)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(WriteUndoneError):
        repair_palace(location(victim), plan, setting(tmp_path, Model()))
    assert tree_state(victim.palace).items() >= before.items()


def test_bad_pages_beneath_a_damaged_index_are_repaired_together(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path
) -> None:
    pages.leaf("embedding_metadata", 0.5, pages.noise)(victim)
    (victim.segment / "link_lists.bin").write_bytes(b"")
    healing = heal(location(victim), setting(tmp_path, Model()))
    assert healing.sound
    assert healing.result is not None
    assert [one.plan.collection for one in healing.result.collections] == [DRAWERS]
    assert_seen(victim, seen_before)
    assert_alive(victim)
