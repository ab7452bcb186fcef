"""Where the palace is: our answer must be MemPalace's own, in every surrounding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mempalace_toolkit.errors import ConfigurationError
from mempalace_toolkit.palace.location import locate_palace

ASK = (
    "import json; from mempalace.config import MempalaceConfig as C; c = C();"
    "print(json.dumps([c.palace_path, c.embedding_model]))"
)

CASES: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {}),
    ({"XDG_CONFIG_HOME": "{home}/xdg"}, {}),
    ({"XDG_CONFIG_HOME": "relative/is/ignored"}, {}),
    ({"MEMPALACE_CONFIG_DIR": "{home}/conf"}, {}),
    ({"MEMPALACE_CONFIG_DIR": "~/conf"}, {"conf/config.json": '{"palace_path": "~/my palace"}'}),
    ({"MEMPALACE_PALACE_PATH": "{home}/p1", "MEMPALACE_PALACE": "{home}/p2"}, {}),
    ({"MEMPALACE_PALACE": "~/p2", "MEMPAL_PALACE_PATH": "{home}/p3"}, {}),
    ({"MEMPAL_PALACE_PATH": "{home}/p3"}, {}),
    ({"MEMPALACE_PALACE_PATH": ""}, {}),
    ({}, {".mempalace/config.json": "{}"}),
    ({}, {".mempalace/palace/chroma.sqlite3": ""}),
    ({}, {".mempalace/other": ""}),
    ({"XDG_CONFIG_HOME": "{home}/xdg"}, {".mempalace/people_map.json": "{}"}),
    ({}, {".config/mempalace/config.json": '{"palace_path": "/srv/palace"}'}),
    ({}, {".config/mempalace/config.json": '{"embedding_model": "embeddinggemma"}'}),
    (
        {"MEMPALACE_EMBEDDING_MODEL": "minilm"},
        {".config/mempalace/config.json": '{"embedding_model": "embeddinggemma"}'},
    ),
]


@pytest.mark.parametrize(("variables", "files"), CASES)
def test_the_palace_is_the_one_that_mempalace_uses(
    tmp_path: Path, variables: dict[str, str], files: dict[str, str]
) -> None:
    environment = {name: value.format(home=tmp_path) for name, value in variables.items()}
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    answer = subprocess.run(
        [sys.executable, "-c", ASK],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    place = locate_palace(environment, tmp_path)
    assert [str(place.path), place.embedding_model] == json.loads(answer.stdout)


def test_a_folder_named_by_hand_wins(tmp_path: Path) -> None:
    place = locate_palace({"MEMPALACE_PALACE_PATH": "/other"}, tmp_path, Path("/chosen"))
    assert place.path == Path("/chosen")


@pytest.mark.parametrize("content", ["{", "\x80", "[" * 5000])
def test_a_broken_configuration_of_mempalace_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / ".config/mempalace/config.json"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=str(file)):
        locate_palace({}, tmp_path)
