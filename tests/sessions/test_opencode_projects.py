"""Which main folder a session belongs to, and folders that were renamed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.sessions.model import SessionRef, StoreFinding
from mempalace_toolkit.sessions.opencode import open_store
from mempalace_toolkit.transcripts.wing import project_wing, standing_folder
from tests.sessions.opencode_writing import add_session, make_database, opened

CASE = Path(__file__).parents[1] / "fixtures" / "cases" / "oc-removed-worktree" / "opencode"
PROJECTS = """
alter table session add column project_id text;
create table project (id text primary key, worktree text);
create table project_directory (project_id text, directory text, strategy text);
"""


def listed(*paths: Path) -> tuple[dict[str, SessionRef], list[StoreFinding]]:
    with open_store(paths) as store:
        return {ref.id: ref for ref in store.find_sessions()}, list(store.findings)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = make_database(tmp_path / "opencode.db")
    with opened(path) as db:
        db.executescript(PROJECTS)
    return path


def add_in(path: Path, session: str, project: str, folder: Path, kind: str | None = None) -> None:
    add_session(path, session, "?", "!", directory=str(folder), project_id=project)
    with opened(path) as db:
        db.execute("insert into project_directory values (?, ?, ?)", (project, str(folder), kind))


def add_project(path: Path, project: str, folder: Path | str) -> None:
    with opened(path) as db:
        db.execute("insert into project values (?, ?)", (project, str(folder)))


def test_a_removed_worktree_stands_in_its_projects_main_folder(tmp_path: Path) -> None:
    refs, findings = listed(Path(shutil.copytree(CASE, tmp_path / "opencode")))
    wings = [project_wing(standing_folder(ref.directory, ref.repository)) for ref in refs.values()]
    assert wings == ["shop", "shop"]
    assert findings == []


def test_a_worktree_that_is_there_stands_for_itself(tmp_path: Path) -> None:
    assert standing_folder(str(tmp_path), "/home/u/shop") == str(tmp_path)
    assert standing_folder(str(tmp_path / "gone"), "/home/u/shop") == "/home/u/shop"
    assert standing_folder(str(tmp_path / "gone"), "") == str(tmp_path / "gone")


@pytest.mark.parametrize(("project", "main"), [("global", "/home/u"), ("p1", "/"), ("p2", "")])
def test_a_project_of_no_repository_gives_no_main_folder(
    database: Path, tmp_path: Path, project: str, main: str
) -> None:
    add_project(database, project, main)
    add_in(database, "ses_1", project, tmp_path / "gone", "git_worktree")
    assert listed(database)[0]["ses_1"].repository == ""


def test_a_second_clone_belongs_to_no_other_folder(database: Path, tmp_path: Path) -> None:
    add_project(database, "p1", tmp_path / "shop")
    add_in(database, "ses_1", "p1", tmp_path / "clone")
    add_in(database, "ses_2", "p1", tmp_path / "tree", "git_worktree")
    refs, _ = listed(database)
    assert refs["ses_1"].repository == ""
    assert refs["ses_2"].repository == str(tmp_path / "shop")


def test_a_project_first_opened_in_a_worktree_has_its_main_folder_elsewhere(
    database: Path, tmp_path: Path
) -> None:
    add_project(database, "p1", tmp_path / "tree")
    add_in(database, "ses_1", "p1", tmp_path / "tree", "git_worktree")
    add_in(database, "ses_2", "p1", tmp_path / "shop")
    assert listed(database)[0]["ses_1"].repository == str(tmp_path / "shop")


def test_a_storage_folder_names_the_main_folder_too(tmp_path: Path) -> None:
    for name, value in {
        "session/p1/ses_1.json": {"id": "ses_1", "directory": "/gone", "time": {"created": 1}},
        "project/p1.json": {"id": "p1", "worktree": "/home/u/shop"},
    }.items():
        file = tmp_path / "storage" / name
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(value))
    assert listed(tmp_path)[0]["ses_1"].repository == "/home/u/shop"


def test_a_renamed_folder_is_a_hint_until_wings_maps_it(database: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    add_project(database, "p1", tmp_path / "shop")
    add_in(database, "ses_1", "p1", tmp_path / "shop")
    assert listed(database)[1] == []
    add_in(database, "ses_2", "p1", tmp_path / "store")
    (finding,) = listed(database)[1]
    assert (finding.kind, finding.path) == ("folder_moved", str(tmp_path / "shop"))
    assert f'"{tmp_path / "shop"}" = "store"' in finding.message
    assert Selection().untold([finding]) == [finding]
    assert Selection(wings={str(tmp_path / "shop"): "store"}).untold([finding]) == []
