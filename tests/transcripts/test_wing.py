"""Which wing a session's talk belongs to, with real git repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.transcripts.wing import mapped_wing, normalise_wing, project_wing


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, "-c", "protocol.file.allow=always", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "My-Shop"
    (folder / "packages/api").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "a").write_text("a")
    git(folder, "add", "a")
    git(folder, "commit", "-qm", "a")
    return folder


def test_a_repository_and_its_subfolders_are_one_wing(repository: Path) -> None:
    assert project_wing(str(repository)) == "my_shop"
    assert project_wing(str(repository / "packages/api")) == "my_shop"


def test_a_folder_of_the_repository_that_is_gone_still_counts_to_it(repository: Path) -> None:
    assert project_wing(str(repository / "removed/long ago")) == "my_shop"


def test_a_worktree_counts_to_its_repository(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere/hotfix"), "-b", "hotfix")
    assert project_wing(str(tmp_path / "elsewhere/hotfix")) == "my_shop"


def test_a_worktree_of_a_bare_repository_is_named_by_it(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "ledger.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "worktree", "add", "-q", str(tmp_path / "work"), "HEAD")
    assert project_wing(str(tmp_path / "work")) == "ledger"


def test_a_submodule_is_a_project_of_its_own(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "app"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "submodule", "add", "-q", str(repository), "vendored")
    assert project_wing(str(other / "vendored")) == "vendored"


def test_outside_git_the_folder_names_the_wing(tmp_path: Path) -> None:
    assert project_wing(str(tmp_path / "notes about pi")) == "notes_about_pi"


@pytest.mark.parametrize("directory", ["", "/", ".", "relative/path/", "/\0", "/no/such/dir\nx"])
def test_any_recorded_directory_gives_a_wing(directory: str) -> None:
    assert project_wing(directory) == normalise_wing(project_wing(directory))


def test_the_longest_mapped_path_wins_and_only_whole_names_match() -> None:
    wings = {"/w/mono": "Mono Repo", "/w/mono/api": "api", "/w/other/": "o"}
    assert mapped_wing("/w/mono/api/src", wings) == "api"
    assert mapped_wing("/w/mono/apis", wings) == "mono_repo"
    assert mapped_wing("/w/other/x", wings) == "o"
    assert mapped_wing("/w/monolith", wings) is None


@given(st.text(max_size=300))
def test_a_wing_is_a_name_that_mempalace_and_a_file_system_take(name: str) -> None:
    from mempalace.config import sanitize_name

    wing = normalise_wing(name)
    assert sanitize_name(wing, "wing") == wing
    assert len(wing.encode()) <= 255
    assert normalise_wing(wing) == wing


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 -]{0,20}[A-Za-z0-9]", fullmatch=True))
def test_plain_names_are_normalised_as_mempalaces_own_miner_does(name: str) -> None:
    from mempalace.config import normalize_wing_name

    assert normalise_wing(name) == normalize_wing_name(name)
