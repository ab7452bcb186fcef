"""With --json stdout holds one object with the same keys, whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from mempalace_toolkit.cli.output.next_command import next_command
from mempalace_toolkit.errors import ConsentError, DamageLeftError, PalaceBusyError
from mempalace_toolkit.report.envelope import OWN, SHARED, envelope
from tests.conftest import Answer, Sandbox
from tests.schedule.stubs import PROGRAMS, StubMachine
from tests.test_whole_job import put_opencode

Recorded = Callable[[str], Path]
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"

MISUSED = {
    "an unknown option": ["mempalace-session", "--json", "--bogus"],
    "a word for a number": ["mempalace-session", "--limit", "x", "--json"],
    "a number out of range": ["mempalace-pi-session", "--json", "--limit", "0"],
    "an empty folder": ["mempalace-session", "--json", "--palace", ""],
    "a missing value": ["mempalace-session", "--json", "--palace"],
    "a word too many": ["mempalace-pi-session", "extra", "--json"],
    "a date that is none": ["mempalace-session", "--json", "--since", "yesterday", "--store", "."],
    "no command": ["mempalace-toolkit", "--json"],
    "half a command": ["mempalace-toolkit", "model", "--json"],
    "an option that is unknown beside help": [
        "mempalace-toolkit",
        "check",
        "--bogus",
        "--help",
        "--json",
    ],
    "a version of a part": ["mempalace-toolkit", "check", "-V", "--json"],
    "a search for help": ["mempalace-toolkit", "search", "--json", "--", "--help"],
    "an unknown command": ["mempalace-toolkit", "--json", "bogus"],
    "no words": ["mempalace-toolkit", "search", "--json"],
    "help for an unknown command": ["mempalace-toolkit", "help", "bogus", "--json"],
    "a completion for no shell": ["mempalace-toolkit", "completion", "--json"],
    "a completion for an unknown shell": ["mempalace-toolkit", "completion", "--json", "tcsh"],
    "no name": ["mempalace-toolkit", "--json", "quarantine", "restore"],
    "an unknown agent": ["mempalace-toolkit", "connect", "emacs", "--json"],
    "an unknown job": ["mempalace-toolkit", "schedule", "show", "bogus", "--json"],
    "no palace": ["mempalace-toolkit", "check", "--json", "--palace", "nowhere"],
}

HARMLESS = {
    "a run without a store": ["mempalace-session", "--json"],
    "a short dry run": ["mempalace-pi-session", "--json", "--dry-run", "--summary"],
    "a version": ["mempalace-session", "--json", "--version"],
    "a version of the toolkit": ["mempalace-toolkit", "--json", "-V"],
    "help": ["mempalace-toolkit", "check", "--help", "--json"],
    "help by a command": ["mempalace-toolkit", "help", "schedule", "install", "--json"],
    "a completion": ["mempalace-toolkit", "completion", "bash", "--json"],
    "a check": ["mempalace-toolkit", "check", "--json"],
    "a repair": ["mempalace-toolkit", "repair", "--dry-run", "--json"],
    "a list": ["mempalace-toolkit", "--json", "quarantine", "list"],
    "a prune": ["mempalace-toolkit", "quarantine", "prune", "--json", "--dry-run"],
    "a schedule": ["mempalace-toolkit", "schedule", "show", "--json", "--scheduler", "cron"],
    "a connection": ["mempalace-toolkit", "connect", "opencode", "--json"],
}


def checked(answer: Answer) -> dict[str, object]:
    """The answer's one object, compared with the schema of its command."""
    told: dict[str, object] = json.loads(answer.out)
    named = str(told["command"])
    words = named.removesuffix(" --help")
    words = words if words in OWN else words.split()[0]
    schema = json.loads((SCHEMAS / f"{words.replace(' ', '-')}.json").read_text("utf-8"))
    if not named.endswith(" --help"):
        Draft202012Validator(schema).validate(told)
    assert tuple(told)[: len(SHARED)] == SHARED
    return told


@pytest.mark.parametrize("words", MISUSED.values(), ids=MISUSED.keys())
def test_a_command_line_that_is_wrong_is_one_object(tmp_path: Path, words: list[str]) -> None:
    answer = Sandbox(tmp_path).run(*words)
    told = checked(answer)
    error = told["error"]
    assert isinstance(error, dict)
    assert (answer.code, told["status"]) == (2, "failed"), answer
    assert error["kind"] in ("usage", "no_palace")
    assert error["hint"]


@pytest.mark.parametrize("words", HARMLESS.values(), ids=HARMLESS.keys())
def test_a_harmless_command_is_one_object(tmp_path: Path, words: list[str]) -> None:
    answer = Sandbox(tmp_path).run(*words)
    told = checked(answer)
    assert (answer.code, told["error"]) == (0, None), answer
    assert told["dry_run"] is ("--dry-run" in words or "connect" in words)


def test_a_model_that_is_not_there_is_an_error_with_the_command_that_fetches_it(
    tmp_path: Path,
) -> None:
    answer = Sandbox(tmp_path).run("mempalace-toolkit", "model", "status", "--json")
    told = checked(answer)
    assert isinstance(told["error"], dict)
    assert (answer.code, told["error"]["kind"]) == (70, "model_unavailable")
    assert told["next"] == "mempalace-toolkit model ensure"
    assert told["present"] is False


def started(home: Path, module: str, surroundings: str, *words: str) -> subprocess.Popen[str]:
    """A command in a process of its own, whose look at its surroundings is replaced."""
    code = (
        "import sys, time\n"
        "import mempalace_toolkit.cli.context.environment as it\n"
        f"def look():\n    {surroundings}\n"
        "it.Surroundings.of_process = look\n"
        f"import mempalace_toolkit.cli.{module} as command\n"
        f"sys.argv = ['it', *{words!r}]\n"
        "command.main()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_crash_is_one_object_and_exits_1(tmp_path: Path) -> None:
    broken = "raise RuntimeError('on purpose')"
    with started(tmp_path, "toolkit", broken, "check", "--json") as process:
        out, err = process.communicate(timeout=60)
    told = checked(Answer(process.returncode, out, err))
    assert isinstance(told["error"], dict)
    assert (process.returncode, told["error"]["kind"]) == (1, "bug")
    assert "on purpose" in told["error"]["message"]
    assert "Traceback" in err


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_object(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    slow = "print('ready', file=sys.stderr, flush=True); time.sleep(60)"
    with started(tmp_path, "session", slow, "--json") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    told = checked(Answer(process.returncode, out, err))
    assert isinstance(told["error"], dict)
    assert (process.returncode, told["status"]) == (code, "interrupted")
    assert told["error"]["kind"] == "interrupted"


def test_every_command_has_a_schema_with_its_keys() -> None:
    found = {path.stem for path in SCHEMAS.glob("*.json")}
    assert found == {command.replace(" ", "-") for command in OWN}
    for command, own in OWN.items():
        schema = json.loads((SCHEMAS / f"{command.replace(' ', '-')}.json").read_text("utf-8"))
        Draft202012Validator.check_schema(schema)
        assert tuple(schema["properties"]) == SHARED + own
        assert schema["required"] == list(SHARED + own)
        Draft202012Validator(schema).validate(envelope(command, "noop", {}))


def test_a_key_that_no_schema_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="has no key other"):
        envelope("mempalace-toolkit check", "ok", {"other": 1})


def test_the_next_command_fits_the_palace_and_the_failure() -> None:
    toolkit, there = "mempalace-toolkit", ["--palace", "/a b"]
    damaged = DamageLeftError("damaged")
    check = next_command(f"{toolkit} check", "damaged", ["check", *there], damaged, {})
    assert check == "mempalace-toolkit repair --dry-run --palace '/a b'"
    consent = next_command(
        f"{toolkit} repair", "failed", ["repair", "--json", *there], ConsentError("no"), {}
    )
    assert consent == "mempalace-toolkit repair --palace '/a b' --yes"
    busy = next_command("mempalace-session", "busy", ["--json"], PalaceBusyError("busy"), {})
    assert busy == "mempalace-session"
    planned = next_command(
        "mempalace-session", "ok", ["--dry-run", "--json"], None, {"counts": {"new": 2}}
    )
    assert planned == "mempalace-session"
    assert next_command("mempalace-session", "noop", ["--dry-run"], None, {"counts": {}}) is None


def test_the_items_of_lists_are_those_that_the_schemas_describe(
    bare: Sandbox, tmp_path: Path, recorded: Recorded
) -> None:
    """Sessions, an outlook, jobs with their runs and findings: none of these lists is empty."""
    put_opencode(bare, recorded("opencode/1.18.33/multi") / "opencode.db")
    dry = checked(bare.session("--dry-run", "--json"))
    assert dry["sessions"]
    assert dry["outlook"]
    machine = StubMachine.made(bare, tmp_path, *PROGRAMS)
    (machine.state / "containers").write_text("work\texited\n")
    machine.crontab.write_bytes(b"0 3 * * 1 /home/ann/bin/mempalace-session\n")
    for words in (
        ("show",),
        ("install", "session", "pi-session"),
        ("install", "session", "--devbox", "work"),
        ("status",),
        ("remove",),
    ):
        told = checked(machine.schedule(*words, "--scheduler", "cron", "--json"))
        assert told["jobs"], words
        if words[0] == "status":
            assert told["findings"]


@pytest.mark.palace
def test_the_answers_of_a_filled_palace_are_those_that_the_schemas_describe(
    palace_home: Sandbox,
) -> None:
    assert checked(palace_home.run("mempalace-toolkit", "search", "--json", "Postgres"))["hits"]
    assert checked(palace_home.session("--json"))["error"] is None
    checked(palace_home.session("--dry-run", "--json"))
