"""The architecture's rules, read off the code: who imports whom, who meets the outside world."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mempalace_toolkit"

# Top first, as dotted names below the package. A module imports only from its own room and from
# lower lines; neighbours on a line do not know each other. The longest name that fits is its room.
LAYERS = (
    {"cli"},
    {"cli.commands"},
    {"cli.output"},
    {"cli.context"},
    {"gateway"},
    {"gateway.journal"},
    {"jobs"},
    {"pipeline", "memory"},
    {"report"},
    {"mining"},
    {"intake", "recall"},
    {"index.repair"},
    {"index.recovery", "index.stale"},
    {"index.check"},
    {"index.salvage"},
    {"index.evidence", "index.quarantine", "index.workers"},
    {"index.graph"},
    {"ledger", "schedule.status"},
    {"schedule.schedulers"},
    {"schedule"},
    {"chroma"},
    {"chroma.segment"},
    {"transcripts", "history", "connect"},
    {"palace", "sessions", "model"},
    {"sqlite", "log", "config"},
    {"files", "longest_run", "children", "amounts"},
    {"errors"},
)
ROOMS = frozenset().union(*LAYERS)

# Slow to import, or able to take the process down: only a child process loads them at its start.
HEAVY = {"chromadb", "mempalace", "onnxruntime"}

# What only the command line may do, as it is written in code.
OUTSIDE_WORLD = {
    "print", "input", "exit", "quit",
    "sys.exit", "sys.stdin", "sys.stdout", "os._exit",
    "os.environ", "os.getenv", "environ", "getenv",
    "Path.home", "Path.cwd", "os.getcwd", "expanduser", "getpass.getuser",
    "time.time", "time.time_ns", "time.strftime", "time.localtime", "time.gmtime", "time.ctime",
    "time.asctime", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip

# (module, what) -> why it may.
ALLOWED: dict[tuple[str, str], str] = {
    ("index.stale", "time.strftime"): "other programs call it, as documented, without a clock",
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "samples")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(dotted: str) -> str | None:
    """The room that a dotted name below the package belongs to; None for what has none."""
    pieces = dotted.split(".")
    names = (".".join(pieces[:length]) for length in range(len(pieces), 0, -1))
    return next((name for name in names if name in ROOMS), None)


def is_child(path: Path) -> bool:
    """A module that runs as a process of its own: child.py, worker.py, child_query.py, ..."""
    return path.stem.split("_")[0] in {"child", "worker"}


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    """Every dotted name that a piece of code imports, relative ones made absolute."""
    package = ["mempalace_toolkit", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def layer(room: str) -> int:
    return next(number for number, line in enumerate(LAYERS) if room in line)


def wrong_imports(source: str, path: Path) -> list[str]:
    own = room_of(name_of(path))
    assert own is not None, path
    wrong = []
    for name in imported(ast.parse(source), path):
        package, _, dotted = name.partition(".")
        room = room_of(dotted) if package == "mempalace_toolkit" and dotted else None
        if room is not None and room != own and layer(room) <= layer(own):
            wrong.append(name)
    return wrong


def outside_world(source: str) -> list[str]:
    used: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.Attribute):
            written = ast.unparse(node)
            last_two = ".".join(written.split(".")[-2:])
            found = {written, last_two, written.split(".")[-1]} & OUTSIDE_WORLD
            if isinstance(node, ast.Attribute):
                found -= {"print", "input", "exit", "quit", "environ", "getenv"}
            used.extend(found)
    return used


def heavy_at_import(source: str, path: Path) -> list[str]:
    body = ast.parse(source).body
    at_import = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    tree = ast.Module(body=at_import, type_ignores=[])
    return [name for name in imported(tree, path) if name.split(".")[0] in HEAVY]


def test_every_module_belongs_to_a_room() -> None:
    inner = [path for path in modules() if path.name != "__init__.py"]
    assert [name_of(path) for path in inner if room_of(name_of(path)) is None] == []


def test_every_room_stands_once_in_the_order() -> None:
    assert sum(len(line) for line in LAYERS) == len(ROOMS)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_lower_layers(path: Path) -> None:
    if room_of(name_of(path)) is not None:
        assert wrong_imports(path.read_text("utf-8"), path) == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_command_line_meets_the_outside_world(path: Path) -> None:
    if name_of(path).startswith("cli.") or is_child(path):
        return
    used = outside_world(path.read_text("utf-8"))
    assert [what for what in used if (name_of(path), what) not in ALLOWED] == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_child_processes_load_the_heavy_packages_at_import(path: Path) -> None:
    if not is_child(path):
        assert heavy_at_import(path.read_text("utf-8"), path) == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_says_its_job_in_its_first_line(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first_line = docstring.split("\n", 1)[0]
    assert first_line.endswith("."), first_line


@pytest.mark.parametrize("command", ["session", "pi_session", "toolkit"])
def test_starting_a_command_loads_no_heavy_package(command: str) -> None:
    code = f"import sys, mempalace_toolkit.cli.{command}; print({HEAVY!r} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_every_allowance_is_still_needed() -> None:
    used = {
        (name_of(path), what)
        for path in modules()
        for what in outside_world(path.read_text("utf-8"))
    }
    assert set(ALLOWED) - used == set()


# The rules themselves, on code that breaks them and code that does not.


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("sessions/pi/store.py", "from mempalace_toolkit.errors import ToolkitError", []),
        ("sessions/pi/store.py", "from .model import Session", []),
        ("sessions/pi/store.py", "import mempalace_toolkit.mining.ledger", ["mining.ledger"]),
        ("palace/check.py", "from ..transcripts import wing", ["transcripts.wing"]),
        ("palace/check.py", "from mempalace_toolkit import pipeline", ["pipeline"]),
        ("log.py", "def f():\n    from mempalace_toolkit.config import Config", ["config.Config"]),
        ("cli/session.py", "from mempalace_toolkit.pipeline import run", []),
        (
            "pipeline/__init__.py",
            "from mempalace_toolkit.cli.output import show",
            ["cli.output.show"],
        ),
    ],
)
def test_an_import_upwards_or_sideways_is_found(module: str, source: str, wrong: list[str]) -> None:
    assert wrong_imports(source, PACKAGE / module) == [f"mempalace_toolkit.{w}" for w in wrong]


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("print('x')", ["print"]),
        ("console.print('x')", []),
        ("import os\nos.environ['HOME']", ["os.environ"]),
        ("Path.home()", ["Path.home"]),
        ("pathlib.Path.home()", ["Path.home"]),
        ("path.expanduser()", ["expanduser"]),
        ("datetime.datetime.now()", ["datetime.now"]),
        ("time.time()", ["time.time"]),
        ("time.strftime('%Y')", ["time.strftime"]),
        ("moment.strftime('%Y')", []),
        ("time.localtime()", ["time.localtime"]),
        ("datetime.now(UTC)", ["datetime.now"]),
        ("time.monotonic()", []),
        ("sys.exit(1)", ["sys.exit"]),
        ("session.exit", []),
    ],
)
def test_a_reach_for_the_outside_world_is_found(source: str, used: list[str]) -> None:
    assert outside_world(source) == used


@pytest.mark.parametrize(
    ("source", "heavy"),
    [
        ("import chromadb", ["chromadb"]),
        ("from mempalace.cli import main", ["mempalace.cli.main"]),
        ("try:\n    import onnxruntime\nexcept ImportError:\n    pass", ["onnxruntime"]),
        ("def f():\n    import chromadb", []),
        ("import mempalace_toolkit.errors", []),
    ],
)
def test_a_heavy_import_is_found(source: str, heavy: list[str]) -> None:
    assert heavy_at_import(source, PACKAGE / "mining" / "x.py") == heavy
