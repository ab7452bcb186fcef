"""Changes the package at random, one place at a time, and says which changes the tests notice.

    python -m benchmarks.mutations --seed 1 --count 80

Run it in a checkout of its own: each mutant is written into the package and taken back again.
The test files that import the module or its users run, cheap ones before those that make palaces;
a mutant that all of them pass survives. `--list` only shows it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mempalace_toolkit"
TESTS = ROOT / "tests"
RESULTS = ROOT / "benchmarks/results/mutations.jsonl"
_FARTHEST = 2
_COSTLY = re.compile(r"\b(sandbox|palace_home|chroma|victim|palace|made|built|weights)\b[:,]")

PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider")

FLIPS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the text between two byte offsets of a file, and what takes its place."""

    file: Path
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    def describe(self) -> str:
        """The change on one line."""
        place = f"{self.file.relative_to(ROOT)}:{self.line}"
        before, after = (" ".join(text.split())[:90] for text in (self.before, self.after))
        return f"{place} {self.kind}: {before}  ->  {after}"


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    content = file.read_bytes()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in ast.walk(ast.parse(content)):
        for kind, changed in _changes(node):
            if not isinstance(node, ast.expr | ast.stmt):
                continue
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            after = ast.unparse(changed)
            if isinstance(node, ast.expr):
                after = f"({after})"
            before = content[start:end].decode()
            yield Mutant(file, node.lineno, kind, start, end, before, after)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        changed = copy.deepcopy(node)
        changed.ops = [FLIPS[type(node.ops[0])]()]
        yield "comparison", changed
    elif isinstance(node, ast.BoolOp):
        other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", ast.BoolOp(other, node.values)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign: ast.operator = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        if not any(isinstance(one, ast.JoinedStr) for one in (node.left, node.right)):
            yield "plus/minus", ast.BinOp(node.left, sign, node.right)
    elif isinstance(node, ast.Call) and len(node.args) >= 2:
        in_any_order = isinstance(node.func, ast.Name) and node.func.id in ("min", "max")
        if not in_any_order and not any(isinstance(one, ast.Starred) for one in node.args):
            swapped = [node.args[1], node.args[0], *node.args[2:]]
            yield "swapped arguments", ast.Call(node.func, swapped, node.keywords)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "dropped call", ast.Pass()


def module_of(file: Path) -> str:
    """A file's dotted name."""
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports_of(file: Path, known: frozenset[str]) -> frozenset[str]:
    """The modules among those known that a file imports or names in a string."""
    text = file.read_text()
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    found.update(re.findall(r"(?:mempalace_toolkit|tests)(?:\.\w+)+", text))
    return frozenset(found & known)


def tests_of(module: str) -> list[Path]:
    """The test files that exercise a module: cheap ones first, of these the near ones."""
    files = [*PACKAGE.rglob("*.py"), *TESTS.rglob("*.py")]
    files = [file for file in files if "fixtures" not in file.parts[:-1]]
    known = frozenset(map(module_of, files))
    users: dict[str, set[str]] = {}
    for file in files:
        for imported in imports_of(file, known):
            users.setdefault(imported, set()).add(module_of(file))
    distance, waiting = {module: 0}, [module]
    while waiting:
        one = waiting.pop(0)
        for user in sorted(users.get(one, ())):
            if user not in distance and distance[one] < _FARTHEST:
                distance[user] = distance[one] + 1
                waiting.append(user)
    found = [file for file in files if file.name.startswith("test_")]
    near = {file: distance.get(module_of(file), _FARTHEST + 1) for file in found}
    room = Path(*module.split(".")[1:2])
    for file in found:
        if near[file] > _FARTHEST and file.is_relative_to(TESTS / room):
            near[file] = _FARTHEST
    chosen = [file for file in found if near[file] <= _FARTHEST]
    return sorted(chosen, key=lambda file: (cost(file) > 0, near[file], cost(file), file))


def cost(file: Path) -> int:
    """How often a test file asks for something that takes seconds to make."""
    return len(_COSTLY.findall(file.read_text()))


def survives(mutant: Mutant, seconds: float) -> tuple[str, str]:
    """`killed`, `survived` or `undecided`, and the test file that decided."""
    original = mutant.file.read_bytes()
    tests = tests_of(module_of(mutant.file))
    if not tests:
        return "survived", "no test"
    try:
        mutant.file.write_bytes(
            original[: mutant.start] + mutant.after.encode() + original[mutant.end :]
        )
        ended = subprocess.run(
            [*PYTEST, *map(str, tests)], cwd=ROOT, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return "undecided", f"of {len(tests)} test files"
    finally:
        mutant.file.write_bytes(original)
    if ended.returncode == 0:
        return "survived", f"{len(tests)} test files"
    named = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    return "killed", named[1] if named else f"pytest ended with {ended.returncode}"


def main() -> None:
    """Draw, try and tell; a JSON line each goes into the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=240, help="at most for each mutant")
    parser.add_argument("--only", default="", help="paths that contain this text")
    parser.add_argument("--list", action="store_true", help="show the mutants, run no test")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the file is put back
    files = sorted(file for file in PACKAGE.rglob("*.py") if chosen.only in str(file))
    every = [mutant for file in files for mutant in mutants_of(file)]
    drawn = random.Random(chosen.seed).sample(every, min(chosen.count, len(every)))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for number, mutant in enumerate(drawn, 1):
        if chosen.list:
            print(number, mutant.describe(), flush=True)
            continue
        fate, where = survives(mutant, chosen.seconds)
        counts[fate] = counts.get(fate, 0) + 1
        print(f"{number} {fate} ({where}): {mutant.describe()}", flush=True)
        with RESULTS.open("a") as file:
            told = {"seed": chosen.seed, "fate": fate, "where": where, "mutant": mutant.describe()}
            file.write(json.dumps(told) + "\n")
    print(f"{len(every)} possible, {len(drawn)} drawn: {counts}")


if __name__ == "__main__":
    main()
