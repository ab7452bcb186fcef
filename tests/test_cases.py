"""Every case of a store in an unusual situation, end to end: the exact turns in spool and palace.

One home holds the stores of all cases. Its commands run one after another (a dry run, a run, a
second run; then with the later states of the cases that have some), once for all tests here.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.transcripts.page_talk import read_turns
from tests.conftest import FIXTURES, Answer, Sandbox
from tests.test_whole_job import drawers

pytestmark = pytest.mark.palace

OPENCODE = sorted(path.parent for path in (FIXTURES / "cases").glob("oc*/expect.json"))
PI = sorted(path.parent for path in (FIXTURES / "pi-cases").glob("*/expect.json"))
DAMAGED = "oc-damaged-page"
LIKE_ANOTHER = "pi-file-without-header"
"""Made of the same entries as another case, of which it would be a fork in one store."""


def expected(case: Path) -> dict[str, Any]:
    """What is right in a case, by the name of each session."""
    wanted: dict[str, Any] = json.loads((case / "expect.json").read_text("utf-8"))["expect"]
    return wanted


@dataclass
class Mined:
    """A home in which the job ran, what its commands answered, and what is remembered."""

    home: Sandbox
    answers: dict[str, Answer]

    def __post_init__(self) -> None:
        self.spool: dict[str, list[list[str]]] = defaultdict(list)
        self.wings: dict[str, set[str]] = defaultdict(set)
        for page in sorted(self.home.spool.rglob("*.jsonl")):
            session = page.name.split("--")[1]
            turns = read_turns(page.read_bytes()) or ()
            self.spool[session] += [[turn.role, turn.text] for turn in turns]
            self.wings[session].add(page.parent.name)
        self.palace: dict[str, str] = defaultdict(str)
        for _, page_name, text in drawers(self.home):
            self.palace[page_name.split("--")[1]] += f"\n{text}"

    def session_of(self, name: str, wanted: dict[str, Any]) -> str:
        """The id of an expected session; where several share one, by what was said in it."""
        turns = wanted["turns"]
        alike = [one for one in self.spool if self.spool[one] == turns and turns]
        assert name in self.spool or alike, f"nothing of {name} was taken"
        return name if name in self.spool else alike[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Sandbox:
    """A home with the embedding model, and the stores of all cases in their first states."""
    home = tmp_path_factory.mktemp("cases") / "home"
    models = home / ".cache/chroma/onnx_models"
    models.mkdir(parents=True)
    (models / "all-MiniLM-L6-v2").symlink_to(model_cache.parent)
    sandbox = Sandbox(home)
    sandbox.opencode.mkdir(parents=True)
    for case in OPENCODE:
        put(sandbox, case, "step1" if (case / "step1").is_dir() else "opencode")
    for case in PI:
        if case.name == LIKE_ANOTHER:
            continue
        target = home / ".pi/agent/sessions"
        shutil.copytree(
            case / "sessions", target, dirs_exist_ok=True, copy_function=shutil.copyfile
        )
    return sandbox


def put(sandbox: Sandbox, case: Path, state: str) -> None:
    """Make the database of a case one of the channels; one with `storage/` has a folder alone."""
    if case.name != DAMAGED or state != "opencode":
        name = "opencode.db" if (case / state / "storage").is_dir() else f"opencode-{case.name}.db"
        shutil.copyfile(case / state / "opencode.db", sandbox.opencode / name)
    if (case / state / "storage").is_dir():
        shutil.copytree(case / state / "storage", sandbox.opencode / "storage")


@pytest.fixture(scope="module")
def mined(home: Sandbox) -> Mined:
    """The same home after all runs, those over the later states of the cases included."""
    answers = {}
    for name in ("dry run", "run", "again"):
        option = ["--dry-run"] if name == "dry run" else []
        answers[name] = home.session("--json", *option)
        answers[f"pi {name}"] = home.pi_session("--json", *option)
    alone = FIXTURES / "pi-cases" / LIKE_ANOTHER / "sessions"
    answers["pi alone"] = home.pi_session("--json", "--store", alone)
    for case in OPENCODE:
        if (case / "step2").is_dir():
            put(home, case, "step2")
    answers["later dry run"] = home.session("--dry-run", "--json")
    answers["later dry run as text"] = home.session("--dry-run")
    answers["later run"] = home.session("--json")
    damaged = FIXTURES / "cases" / DAMAGED / "opencode/opencode.db"
    shutil.copyfile(damaged, home.opencode / "opencode-local.db")
    for name in ("damaged dry run", "damaged run", "damaged again"):
        option = ["--dry-run"] if name == "damaged dry run" else []
        answers[name] = home.session("--json", *option)
    return Mined(home, answers)


@pytest.mark.parametrize("case", [*OPENCODE, *PI], ids=lambda case: case.name)
def test_a_case_is_exact_in_spool_and_palace(mined: Mined, case: Path) -> None:
    for name, wanted in expected(case).items():
        session = mined.session_of(name, wanted)
        palace = mined.palace[session]
        said = wanted["turns"] or mined.spool[session]
        assert mined.spool[session] == said
        for _, text in said:
            assert text in palace
        for text in wanted.get("must_appear", ()):
            assert text in palace
        for text in wanted.get("never", ()):
            assert text not in palace
        if "wing" in wanted:
            assert mined.wings[session] == {wanted["wing"]}


def test_a_run_does_what_its_dry_run_told_and_a_second_one_nothing(mined: Mined) -> None:
    for agent in ("", "pi "):
        dry, run, again = (mined.answers[agent + name] for name in ("dry run", "run", "again"))
        assert (dry.code, run.code, again.code) == (0, 0, 0), (dry, run, again)
        assert dry.json["counts"] == run.json["counts"]
        assert run.json["status"] == "ok"
        assert again.json["status"] == "noop"
        assert again.json["drawers"]["filed"] == 0


def test_what_a_wiped_store_lost_stays_and_is_told_before_and_after(mined: Mined) -> None:
    kept = {"ses_w1": 6, "ses_w2": 2}
    for name in ("later dry run", "later run"):
        answer = mined.answers[name]
        assert answer.code == 0, answer
        told = {one["session"] for one in answer.json["findings"] if one["kind"] == "turns_kept"}
        assert told == set(kept)
        assert answer.json["counts"]["withdrawn"] == answer.json["withdrawn"] == 0
    listed = mined.answers["later dry run"].json["sessions"]
    assert {one["id"]: one["kept"] for one in listed if one["kept"]} == kept
    assert "Kept: 8 turns of 2 sessions" in mined.answers["later dry run as text"].out


def test_what_cannot_be_read_is_told_by_every_run_and_the_rest_is_taken(mined: Mined) -> None:
    for name in ("damaged dry run", "damaged run", "damaged again"):
        answer = mined.answers[name]
        assert answer.code == 66, answer
        assert answer.json["status"] == "failed"
        assert answer.json["error"]["kind"] == "store_unreadable"
        unread = {one["session"] for one in answer.json["findings"]} - {"", "ses_w1", "ses_w2"}
        assert unread == {"ses_k05", "ses_k06"}
    for number in set(range(12)) - {5, 6}:
        assert len(mined.spool[f"ses_k{number:02}"]) == 12
    assert mined.answers["damaged again"].json["drawers"]["filed"] == 0


def test_since_goes_by_the_talk_and_not_by_the_files_times(mined: Mined) -> None:
    answer = mined.home.pi_session("--dry-run", "--json", "--since", "1d")
    assert "dddd0001" not in answer.out
