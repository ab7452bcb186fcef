"""`mempalace-toolkit search`: hits with the session that they were said in."""

from __future__ import annotations

from tests.conftest import Sandbox, tree_state
from tests.filled_home import segment


def test_a_hit_names_its_session_its_folder_and_the_command_that_resumes_it(
    palace_home: Sandbox,
) -> None:
    answer = palace_home.run("mempalace-toolkit", "search", "--json", "why", "Postgres?")
    assert answer.code == 0
    told = answer.json
    assert (told["status"], told["question"]) == ("ok", "why Postgres?")
    best = told["hits"][0]
    assert "We picked Postgres for JSONB indexes" in best["text"]
    assert (best["agent"], best["session"][:4]) == ("opencode", "ses_")
    assert best["resume"] == f"cd {best['folder']} && opencode --session {best['session']}"
    assert best["title"]
    assert best["said"].startswith("20")


def test_a_person_sees_title_wing_words_and_the_command(palace_home: Sandbox) -> None:
    answer = palace_home.run("mempalace-toolkit", "search", "-n", "1", "why Postgres?")
    assert answer.code == 0
    assert answer.out.startswith("1.  ")
    assert "We picked Postgres" in answer.out
    assert "opencode --session ses_" in answer.out
    assert "\n2. " not in answer.out


def test_searching_changes_no_page_and_no_ledger(palace_home: Sandbox) -> None:
    before = tree_state(palace_home.data)
    assert palace_home.run("mempalace-toolkit", "search", "Postgres").code == 0
    assert tree_state(palace_home.data) == before


def test_a_drawer_of_another_origin_is_shown_without_a_session(palace_home: Sandbox) -> None:
    notes = palace_home.home / "notes"
    notes.mkdir()
    text = "The harbour crane needs new bearings before winter.\n" * 8
    (notes / "crane.md").write_text(text)
    (notes / "mempalace.yaml").write_text("wing: harbour\nrooms: []\n")
    mined = palace_home.run("mempalace", "--palace", palace_home.palace, "mine", notes)
    assert mined.code == 0, mined
    told = palace_home.run("mempalace-toolkit", "search", "--json", "harbour crane bearings").json
    best = told["hits"][0]
    assert "bearings" in best["text"]
    assert (best["session"], best["resume"]) == (None, None)


def test_without_a_palace_it_says_how_to_get_one(bare: Sandbox) -> None:
    answer = bare.run("mempalace-toolkit", "search", "--json", "anything")
    assert answer.code == 2
    assert answer.json["error"]["kind"] == "no_palace"
    assert "mempalace-session" in answer.json["error"]["hint"]
    assert list(bare.home.iterdir()) == []


def test_the_toolkit_reads_a_sound_palace_and_changes_nothing_in_it(palace_home: Sandbox) -> None:
    before = tree_state(palace_home.palace)
    told = palace_home.run("mempalace-toolkit", "search", "--json", "why", "Postgres?").json
    assert (told["reader"], told["reader_reason"]) == ("toolkit", None)
    assert tree_state(palace_home.palace) == before


def test_a_graph_that_kills_chromadb_is_no_hindrance(palace_home: Sandbox) -> None:
    links = segment(palace_home.palace) / "link_lists.bin"
    links.write_bytes(bytes(links.stat().st_size))
    told = palace_home.run("mempalace-toolkit", "search", "--json", "why", "Postgres?").json
    assert told["reader"] == "toolkit"
    assert "We picked Postgres for JSONB indexes" in told["hits"][0]["text"]


def test_a_palace_that_cannot_be_read_whole_is_left_to_mempalace_and_says_why(
    palace_home: Sandbox,
) -> None:
    (segment(palace_home.palace) / "index_metadata.pickle").unlink()
    answer = palace_home.run("mempalace-toolkit", "search", "--json", "why", "Postgres?")
    assert answer.code == 0
    assert answer.json["reader"] == "mempalace"
    assert "index_metadata.pickle" in answer.json["reader_reason"]


def test_a_palace_of_another_model_is_read_by_mempalace(palace_home: Sandbox) -> None:
    palace_home.environment["MEMPALACE_EMBEDDING_MODEL"] = "openai-compat"
    answer = palace_home.run("mempalace-toolkit", "search", "--json", "why", "Postgres?")
    assert answer.code == 70
    assert "MemPalace's search failed" in answer.json["error"]["message"]
