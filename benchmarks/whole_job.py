"""What the whole job costs beside MemPalace's own mine, and what one more exchange files again.

    python -m benchmarks.whole_job [--json]

A store of 60 sessions in 20 projects goes through `mempalace-session` into one palace, and all
its pages at once through one `mempalace mine` into another: the ratio is what the toolkit and 20
wings cost, less what embedding without padding, on all cores, saves. Then an exchange is appended
to a session of 1,000, whose pages are already in the palace. Exit status 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.machine import describe_machine, measure, verdict
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.model.location import model_folder

MAKER = Path(__file__).with_name("generated") / "make_big.py"
SESSIONS, PROJECTS, EXCHANGES = 60, 20, 8
LONG_SESSION = 1000
RATIO = 0.4


def main() -> int:
    """Measure, print, say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ensure(ModelRequest(cache=model_folder(Path.home())), lambda _: None)
    with tempfile.TemporaryDirectory(prefix="whole-job-") as folder:
        share = _share_beside_embedding(Path(folder) / "share")
        again = _filed_again(Path(folder) / "growth")
    if options.json:
        print(json.dumps({**share, **again}))
    else:
        print(_table(share, again))
    bounds = (share["ratio"] <= RATIO, share["share"] <= 0.15)
    return 0 if all(bounds) and again["pages_filed"] <= 1 else 1


def _share_beside_embedding(folder: Path) -> dict[str, float]:
    environment = _home(folder)
    database = _make(folder, SESSIONS, EXCHANGES)
    with sqlite3.connect(database) as connection:
        for number, (session,) in enumerate(
            connection.execute("select id from session order by id").fetchall()
        ):
            connection.execute(
                "update session set directory = ? where id = ?",
                [f"/home/dev/project-{number % PROJECTS}", session],
            )
    connection.close()
    whole = measure(
        [_program("mempalace-session"), "--store", str(database), "--json"], environment
    )
    assert whole.code == 0, whole.out
    told = json.loads(whole.out)
    pages = folder / "pages"
    pages.mkdir()
    spool = folder / "home/.local/share/mempalace-toolkit/spool"
    for page in spool.rglob("*.jsonl"):
        shutil.copy2(page, pages)
    mine = [_program("mempalace"), "--palace", str(folder / "other"), "mine", str(pages)]
    alone = measure([*mine, "--mode", "convos", "--wing", "all"], environment)
    assert alone.code == 0, alone.out
    return {
        "wings": len(told["wings"]),
        "drawers": told["drawers"]["filed"],
        "whole_seconds": whole.seconds,
        "one_mine_seconds": alone.seconds,
        "share": 1 - alone.seconds / whole.seconds,
        "ratio": whole.seconds / alone.seconds,
        "whole_processor_seconds": whole.cpu,
        "one_mine_processor_seconds": alone.cpu,
        "processor_ratio": whole.cpu / alone.cpu,
        "palace_held_seconds": whole.seconds - told["seconds"].get("embed", 0.0),
    }


def _filed_again(folder: Path) -> dict[str, int]:
    """Pages and drawers filed for one exchange more in a session of 1,000."""
    environment = _home(folder)
    database = _make(folder, 1, 1)
    with sqlite3.connect(database) as connection:
        session = connection.execute("select id from session").fetchone()[0]
        connection.execute("delete from part")
        connection.execute("delete from message")
        connection.execute("delete from session where id != ?", [session])
        for number in range(LONG_SESSION):
            _say(connection, session, number)
    connection.close()
    command = [_program("mempalace-session"), "--store", str(database), "--json"]
    first = measure(command, environment)
    assert first.code == 0, first.out
    with sqlite3.connect(database) as connection:
        _say(connection, session, LONG_SESSION)
    connection.close()
    grown = json.loads(measure(command, environment).out)
    return {
        "pages_filed": sum(wing["pages"] for wing in grown["wings"]),
        "drawers_filed": grown["drawers"]["filed"],
        "drawers_of_session": grown["drawers"]["after"],
    }


def _say(connection: sqlite3.Connection, session: str, number: int) -> None:
    for offset, role, text in (
        (0, "user", f"What about step {number}?"),
        (1, "assistant", f"Step {number} is done: it took {number * 7 % 61} minutes."),
    ):
        time = 1_795_000_000_000 + number * 1000 + offset
        message = f"msg_{number:08d}{offset}"
        data = json.dumps({"role": role, "time": {"created": time}})
        connection.execute(
            "insert into message values(?,?,?,?,?)", [message, session, time, time, data]
        )
        part = json.dumps({"type": "text", "text": text})
        connection.execute(
            "insert into part values(?,?,?,?,?,?)",
            [f"prt_{message}", message, session, time, time, part],
        )
    connection.execute("update session set time_updated = ? where id = ?", [time, session])


def _home(folder: Path) -> Mapping[str, str]:
    home = folder / "home"
    cache = model_folder(home).parent
    cache.parent.mkdir(parents=True)
    cache.symlink_to(model_folder(Path.home()).parent)
    return {"HOME": str(home), "PATH": "/usr/bin:/bin"}


def _make(folder: Path, sessions: int, exchanges: int) -> Path:
    database = folder / "opencode.db"
    size = ["--sessions", str(sessions), "--messages", str(exchanges), "--v2-share", "0"]
    making = [sys.executable, str(MAKER), "opencode", str(database), *size]
    subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
    return database


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _table(share: Mapping[str, float], again: Mapping[str, int]) -> str:
    return "\n".join(
        [
            describe_machine(),
            "",
            f"whole job, {SESSIONS} sessions, {share['wings']:.0f} wings,"
            f" {share['drawers']:.0f} drawers: {share['whole_seconds']:.1f} s",
            f"one `mempalace mine` of the same pages: {share['one_mine_seconds']:.1f} s",
            f"beside embedding: {share['share']:.1%} of the whole"
            f" (bound 15 %: {verdict(share['share'], 0.15)})",
            f"whole job : one mine = {share['ratio']:.2f}"
            f" (bound {RATIO}: {verdict(share['ratio'], RATIO)}),"
            f" {share['processor_ratio']:.2f} in processor time"
            f" ({share['whole_processor_seconds']:.1f}"
            f" : {share['one_mine_processor_seconds']:.1f} s;"
            " equal bits need at least mean tokens : 256 of it)",
            f"not embedding ahead, so the palace held at most {share['palace_held_seconds']:.1f} s",
            "",
            f"one exchange more in a session of {LONG_SESSION}: {again['pages_filed']} page,"
            f" {again['drawers_filed']} of {again['drawers_of_session']} drawers filed"
            f" (bound 1 page: {verdict(again['pages_filed'], 1)})",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
