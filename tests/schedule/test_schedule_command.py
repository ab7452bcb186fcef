"""`schedule` through its front door: what it changes, refuses, undoes and tells."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mempalace_toolkit.errors import DamageLeftError, WriteUndoneError
from mempalace_toolkit.schedule.calendar import parse_when
from mempalace_toolkit.schedule.job import stems
from mempalace_toolkit.schedule.schedulers import SCHEDULERS
from mempalace_toolkit.schedule.steps import Plan, Run, WriteFile, apply
from tests.conftest import Sandbox, tree_state
from tests.schedule.rendering import setting_of
from tests.schedule.stubs import PROGRAMS, StubMachine

OTHERS = b"# mine\r\nPATH=/bin\n* * * * *  two  spaces\n\xff\n"
AGENT = "Library/LaunchAgents/se.jordbo.mempalace-session.plist"
USER_UNITS = ".config/systemd/user"


@pytest.fixture
def machine(bare: Sandbox, tmp_path: Path) -> StubMachine:
    """One with every scheduler's program."""
    return StubMachine.made(bare, tmp_path, *PROGRAMS)


@pytest.fixture
def cron_daemon(tmp_path: Path) -> Iterator[None]:
    """A process that the machine lists as `cron`; whether a real one runs is not ours to say."""
    program = tmp_path / "cron"
    shutil.copy("/bin/sleep", program)
    running = subprocess.Popen([program, "300"])
    yield
    running.kill()
    running.wait()


def everything(machine: StubMachine) -> dict[str, bytes]:
    """The home's files and the schedulers' state, but for what passes and the log of calls."""
    found = {**tree_state(machine.sandbox.home), **tree_state(machine.state)}
    passing = ("calls", "fail-at", "leaving")
    return {name: content for name, (_, _, content) in found.items() if name not in passing}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_installing_twice_changes_nothing_and_removing_leaves_nothing(
    machine: StubMachine, scheduler: str
) -> None:
    machine.crontab.write_bytes(OTHERS)
    before = everything(machine)
    machine.done("install", "--scheduler", scheduler)
    installed = tree_state(machine.sandbox.home), everything(machine)
    assert installed[1] != before
    again = machine.done("install", "--scheduler", scheduler, "--json").json
    assert again["status"] == "noop"
    assert [job["steps"] for job in again["jobs"]] == [[], []]
    assert (tree_state(machine.sandbox.home), everything(machine)) == installed
    machine.done("remove", "--scheduler", scheduler)
    if scheduler == "launchd":
        (machine.sandbox.home / "Library/Logs").rmdir()
        (machine.sandbox.home / "Library").rmdir()
    assert everything(machine) == before
    assert machine.done("remove").out == "Nothing is installed.\n"


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("command", ["install", "remove"])
def test_a_dry_run_writes_nothing(machine: StubMachine, scheduler: str, command: str) -> None:
    if command == "remove":
        machine.done("install", "--scheduler", scheduler)
    before = tree_state(machine.sandbox.home), everything(machine)
    answer = machine.done(command, "--scheduler", scheduler, "--dry-run")
    assert "would" in answer.out
    assert (tree_state(machine.sandbox.home), everything(machine)) == before


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("work", ["install", "change", "remove"])
def test_whichever_call_fails_the_old_state_is_back(
    machine: StubMachine, scheduler: str, work: str
) -> None:
    module, account = SCHEDULERS[scheduler], machine.account()
    first = setting_of("session")
    if work != "install":
        apply(module.plan_install(first, account, False), account)
    before = everything(machine)
    wanted = replace(first, when=parse_when("daily 05:00"))

    def make_plan() -> Plan:
        if work == "remove":
            return module.plan_remove("session", account, False)
        return module.plan_install(wanted, account, False)

    machine.fail_at(0)
    calls = [step for step in make_plan().steps if isinstance(step, Run) and not step.may_fail]
    asked = len(machine.calls())
    assert calls
    failed = 0
    for number in range(asked + 1, asked + 10):
        plan = make_plan()
        machine.fail_at(number - asked)
        try:
            apply(plan, account)
        except WriteUndoneError as error:
            failed += 1
            assert "told to fail" in error.message
            assert everything(machine) == before
        else:
            if len(machine.calls()) < number - asked:
                break
            machine.fail_at(0)  # it was one that may fail: start again
            if work == "install":
                apply(module.plan_remove("session", account, False), account)
            else:
                apply(module.plan_install(first, account, False), account)
    assert failed >= len(calls)  # launchd is asked once more while it unloads
    assert everything(machine) != before


def failing(word: str) -> Run:
    return Run(("/bin/sh", "-c", f"echo {word} >&2; exit 3"))


@pytest.mark.parametrize("where", ["undo", "settle"])
def test_what_could_not_be_undone_is_told(machine: StubMachine, tmp_path: Path, where: str) -> None:
    file = tmp_path / "begun"
    done = Run(("/bin/true",), undo=failing("stays-on") if where == "undo" else Run(("/bin/true",)))
    settle = (failing("stays-stale"),) if where == "settle" else ()
    plan = Plan("cron", "session", (WriteFile(file, b"new"), done, failing("broke")), settle)
    with pytest.raises(DamageLeftError) as told:
        apply(plan, machine.account())
    assert "broke" in told.value.message
    assert {"undo": "stays-on", "settle": "stays-stale"}[where] in told.value.message
    assert "was undone" not in told.value.message + told.value.hint
    assert not file.exists()  # what can be undone is


def test_the_undo_of_the_step_that_failed_may_find_nothing_to_undo(machine: StubMachine) -> None:
    first = replace(failing("broke"), undo=failing("nothing-there"))
    with pytest.raises(WriteUndoneError, match="broke"):
        apply(Plan("cron", "session", (first,)), machine.account())


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_disk_that_refuses_a_file_leaves_the_old_state(
    machine: StubMachine, scheduler: str
) -> None:
    if scheduler == "cron":
        machine.sandbox.home.joinpath(".cache").write_text("a file where a folder is to be")
    else:
        place = {"systemd": USER_UNITS, "launchd": "Library/LaunchAgents"}[scheduler]
        blocked = machine.sandbox.home / place
        blocked.parent.mkdir(parents=True)
        blocked.write_text("a file where a folder is to be")
    if scheduler == "launchd":
        machine.sandbox.home.joinpath("Library/Logs").mkdir()
    before = everything(machine)
    answer = machine.schedule("install", "--scheduler", scheduler)
    assert answer.code == 74
    assert "cannot write" in answer.err
    assert everything(machine) == before


def test_show_prints_what_install_writes(machine: StubMachine) -> None:
    for scheduler in SCHEDULERS:
        shown = machine.done("show", "session", "--scheduler", scheduler, "--json").json["jobs"][0]
        machine.done("install", "session", "--scheduler", scheduler)
        assert len(shown["next_runs_ms"]) == 3
        for path, text in shown["files"].items():
            there = machine.crontab if path == "crontab" else Path(path)
            assert there.read_text() == text
        plain = machine.done("show", "session", "--scheduler", scheduler).out
        assert all(text in plain for text in shown["files"].values())


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_was_changed_by_hand_is_kept_until_force(machine: StubMachine, scheduler: str) -> None:
    machine.done("install", "session", "--scheduler", scheduler)
    home = machine.sandbox.home
    file = {
        "cron": machine.crontab,
        "systemd": home / USER_UNITS / "mempalace-session.timer",
        "launchd": home / AGENT,
    }[scheduler]
    edited = file.read_text().replace("03:00:00", "04:00:00").replace("nice -n 10", "nice -n 5")
    edited = edited.replace("<integer>10<", "<integer>5<")
    file.write_text(edited)
    before = everything(machine)
    for command in ("install", "remove"):
        answer = machine.schedule(command, "--scheduler", scheduler)
        assert answer.code == 2
        assert "changed by hand" in answer.err
        assert "--force" in answer.err
        assert everything(machine) == before
    status = machine.schedule("status", "session", "--json")
    found = {one["kind"]: one["severity"] for one in status.json["findings"]}
    assert found["unit_edited"] == "warning"
    machine.done("install", "session", "--scheduler", scheduler, "--force")
    assert file.read_text() != edited
    file.write_text(edited)
    machine.done("remove", "--force")


def test_drop_ins_are_left_alone(machine: StubMachine) -> None:
    drop_in = machine.sandbox.home / USER_UNITS / "mempalace-session.timer.d/mine.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Timer]\nRandomizedDelaySec=0\n")
    machine.done("install", "--scheduler", "systemd")
    machine.done("remove")
    assert drop_in.read_text().startswith("[Timer]")


def test_a_template_copied_by_hand_is_taken_over(machine: StubMachine) -> None:
    contrib = Path(__file__).parents[2] / "contrib"
    machine.crontab.write_bytes(OTHERS + (contrib / "cron/mempalace-session.cron").read_bytes())
    agent = machine.sandbox.home / AGENT
    agent.parent.mkdir(parents=True)
    text = (contrib / "launchd" / agent.name).read_text()
    agent.write_text(text.replace("/Users/USER", str(machine.sandbox.home)))
    for scheduler in ("cron", "launchd"):
        machine.done("install", "session", "--scheduler", scheduler)
    assert machine.crontab.read_bytes().startswith(OTHERS)
    assert machine.crontab.read_bytes().count(b"session begin") == 1
    assert b"sha256" in agent.read_bytes()


def test_a_loaded_agent_is_loaded_anew_when_its_file_changes(machine: StubMachine) -> None:
    machine.done("install", "session", "--scheduler", "launchd")
    machine.calls()
    (machine.state / "disabled").write_text("se.jordbo.mempalace-session")
    machine.done("install", "session", "--scheduler", "launchd", "--at", "Fri 01:02")
    verbs = [call.split()[1] for call in machine.calls()]
    # The one that comes too early is refused, and tried again.
    assert [verb for verb in verbs if "print" not in verb] == (
        ["bootout", "enable", "bootstrap", "bootstrap"]
    )
    values = plistlib.loads((machine.state / "loaded-se.jordbo.mempalace-session").read_bytes())
    assert values["StartCalendarInterval"] == {"Weekday": 5, "Hour": 1, "Minute": 2}


@pytest.mark.parametrize(
    ("arguments", "stem"),
    [
        (["session", "--devbox"], "session-devbox"),
        (["--devbox", "session"], "session-devbox"),
        (["session", "--devbox", "--engine", "podman"], "session-devbox"),
        (["session-devbox"], "session-devbox"),
        (["session", "--devbox", "box"], "session-devbox"),
        (["session", "--devbox=box"], "session-devbox"),
        (["repair"], "repair"),
    ],
)
def test_devbox_may_stand_without_a_name(
    machine: StubMachine, arguments: list[str], stem: str
) -> None:
    (job,) = machine.done("show", *arguments, "--scheduler", "cron", "--json").json["jobs"]
    assert job["job"] == stem
    name = "box" if "box" in arguments[-1].split("=")[-1:] else "opencode-devbox"
    assert (f"CONTAINER={name};" in job["files"]["crontab"]) == (stem != "repair")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["install", "nothing"], 2, "no job 'nothing'"),
        (["install", "--at", "sometimes"], 2, "is not a valid time"),
        (["install", "--scheduler", "at"], 2, "no scheduler 'at'"),
        (["install", "repair", "--devbox"], 2, "does not run in a container"),
        (["install", "--devbox", "a b"], 2, "not a valid container name"),
        (["install", "--devbox", "--scheduler", "launchd"], 2, "no template for a container"),
        (["install", "--scheduler", "systemd", "--force=1"], 2, "--force"),
        (["remove", "nothing"], 2, "no job 'nothing'"),
        (["status", "nothing"], 2, "no job 'nothing'"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    machine: StubMachine, arguments: list[str], code: int, told: str
) -> None:
    before = everything(machine)
    answer = machine.schedule(*arguments)
    assert answer.code == code
    assert told in answer.err
    assert answer.out == ""
    assert everything(machine) == before


def test_auto_takes_systemd_then_cron_then_says_what_is_missing(
    bare: Sandbox, tmp_path: Path
) -> None:
    for programs, expected in ((("systemctl", "crontab"), "systemd"), (("crontab",), "cron")):
        folder = tmp_path / expected
        folder.mkdir()
        machine = StubMachine.made(bare, folder, *programs)
        told = machine.done("install", "--dry-run", "--json").json
        assert {job["scheduler"] for job in told["jobs"]} == {expected}
    (tmp_path / "none").mkdir()
    machine = StubMachine.made(bare, tmp_path / "none")
    answer = machine.schedule("install", "--json")
    assert answer.code == 78
    assert answer.json["error"]["kind"] == "configuration"
    assert machine.schedule("status").code == 0
    assert machine.done("remove").out == "Nothing is installed.\n"


def test_status_fits_80_columns_and_finds_what_was_installed_twice(machine: StubMachine) -> None:
    assert machine.schedule("status").code == 0
    (machine.state / "containers").write_text("opencode-devbox\\trunning\n")
    for scheduler in ("cron", "systemd"):
        for stem in stems():
            machine.done("install", stem, "--scheduler", scheduler)
    machine.done("install", "session", "--scheduler", "cron", "--at", "Mon,Tue,Thu,Fri 03:00")
    answer = machine.schedule("status")
    assert answer.code == 65
    table = answer.out.splitlines()[: 1 + 2 * len(stems())]
    assert max(map(len, table)) <= 80
    assert "installed_twice" in answer.out
    told = machine.schedule("status", "--json").json
    assert told["status"] == "problems"
    assert {job["scheduler"] for job in told["jobs"]} == {"cron", "systemd"}
    assert all(finding["remedy"] for finding in told["findings"])


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("opencode-devbox\trunning\n", "running"),
        ("other\trunning\nopencode-devbox\texited\n", "stopped"),
        ("opencode-devbox-2\trunning\n", "missing"),
        (None, "engine down"),
    ],
)
def test_status_tells_the_containers_state(
    machine: StubMachine, cron_daemon: None, said: str | None, state: str
) -> None:
    machine.done("install", "session", "--devbox", "--scheduler", "cron")
    if said is not None:
        (machine.state / "containers").write_text(said)
    answer = machine.schedule("status", "--json")
    (job,) = answer.json["jobs"]
    assert job["container"]["state"] == state
    assert answer.code == (0 if state == "running" else 65)


def test_a_crontab_that_may_not_be_read_stops_only_cron(machine: StubMachine) -> None:
    stub = machine.state.parent / "stubs/crontab"
    stub.write_text('#!/bin/sh\necho "You (ann) are not allowed to use this program" >&2\nexit 1\n')
    machine.done("install", "--scheduler", "systemd")
    machine.done("remove")
    answer = machine.schedule("install", "--scheduler", "cron")
    assert answer.code == 74
    assert "not allowed" in answer.err


@pytest.mark.parametrize("scheduler", ["systemd", "cron", "launchd"])
def test_installing_again_keeps_the_time_that_was_chosen(
    machine: StubMachine, scheduler: str
) -> None:
    machine.done("install", "session", "--at", "Mon,Thu 12:30", "--scheduler", scheduler)
    before = everything(machine)
    (job,) = machine.done("install", "session", "--scheduler", scheduler, "--json").json["jobs"]
    assert (job["when"], job["steps"]) == ("Mon,Thu 12:30", [])
    assert everything(machine) == before
    (job,) = machine.done(
        "install", "session", "--at", "Mon 03:00", "--scheduler", scheduler, "--json"
    ).json["jobs"]
    assert job["when"] == "Mon 03:00"


def test_an_entry_of_the_users_own_and_a_weekly_job_beside_a_daily_one_are_told(
    machine: StubMachine, cron_daemon: None
) -> None:
    own = b"0 3 * * 1 /home/ann/bin/mempalace-session >>$HOME/.cache/mempalace-session/x 2>&1\n"
    other = b"0 4 * * * ls $HOME/.cache/mempalace-session/ && my-mempalace-session\n"
    machine.crontab.write_bytes(own + other)
    for job in ("session", "session-daily"):
        machine.done("install", job, "--scheduler", "cron")
    answer = machine.schedule("status", "session", "session-daily", "--json")
    assert (answer.code, answer.json["status"]) == (0, "ok")
    found = {(one["kind"], one["job"]): one for one in answer.json["findings"]}
    assert set(found) == {
        ("unmarked_entry", "session"),
        ("unmarked_entry", "session-daily"),
        ("weekly_and_daily", "session"),
    } or set(found) == {("unmarked_entry", "session"), ("weekly_and_daily", "session")}
    assert "/home/ann/bin/mempalace-session" in found["unmarked_entry", "session"]["message"]
    remedy = found["weekly_and_daily", "session"]["remedy"]
    assert remedy == "mempalace-toolkit schedule remove session --scheduler cron"
    assert own in machine.crontab.read_bytes()


OWN = b"30 5 * * 2 /home/ann/bin/mempalace-session >>/tmp/x 2>&1\n"
UNITS = {
    "mempalace-session.service": "[Service]\nExecStart=%h/.local/bin/mempalace-session\n",
    "mempalace-session.timer": "[Timer]\nOnCalendar=Tue *-*-* 05:30:00\n",
}


def put_another_recipe(machine: StubMachine, scheduler: str) -> None:
    """What a person may have installed by another recipe, for Tuesdays at 05:30."""
    home = machine.sandbox.home
    if scheduler == "cron":
        machine.crontab.write_bytes(OTHERS + OWN)
    elif scheduler == "systemd":
        (home / USER_UNITS).mkdir(parents=True)
        for name, text in UNITS.items():
            (home / USER_UNITS / name).write_text(text)
    else:
        (home / AGENT).parent.mkdir(parents=True)
        values = {
            "Label": "se.jordbo.mempalace-session",
            "ProgramArguments": [f"{home}/.local/bin/mempalace-session"],
            "StartCalendarInterval": {"Weekday": 2, "Hour": 5, "Minute": 30},
        }
        (home / AGENT).write_bytes(plistlib.dumps(values))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_job_of_another_recipe_is_told_and_adopted_at_its_time(
    machine: StubMachine, scheduler: str
) -> None:
    put_another_recipe(machine, scheduler)
    before = everything(machine)
    told = machine.schedule("status", "--json", "--scheduler", scheduler).json
    (job,) = told["jobs"]
    assert (job["job"], job["when"], job["foreign"]) == ("session", "Tue 05:30", True)
    kind = "unmarked_entry" if scheduler == "cron" else "unit_edited"
    (remedy,) = [one["remedy"] for one in told["findings"] if one["kind"] == kind]
    assert "schedule install session --adopt" in remedy
    answer = machine.schedule("install", "session", "--scheduler", scheduler, "--dry-run")
    assert "--adopt" in answer.err
    assert answer.code == (0 if scheduler == "cron" else 2)
    assert everything(machine) == before
    done = machine.done(*remedy.split()[2:4], "--adopt", "--scheduler", scheduler, "--json").json
    assert [one["when"] for one in done["jobs"]] == ["Tue 05:30"]
    (job,) = machine.schedule("status", "--json", "--scheduler", scheduler).json["jobs"]
    assert (job["foreign"], job["edited"], job["unmarked"]) == (False, False, [])
    if scheduler == "cron":
        assert OWN not in machine.crontab.read_bytes()
        assert machine.crontab.read_bytes().endswith(OTHERS)


def test_adopting_does_not_overwrite_what_a_person_changed(machine: StubMachine) -> None:
    machine.done("install", "session", "--scheduler", "cron")
    changed = machine.crontab.read_bytes().replace(b"nice -n 10", b"nice -n 11")
    machine.crontab.write_bytes(changed)
    refused = machine.schedule("install", "session", "--scheduler", "cron", "--adopt")
    assert refused.code == 2
    assert machine.crontab.read_bytes() == changed


def test_a_mistyped_container_and_a_missing_engine_are_told_at_once(machine: StubMachine) -> None:
    (machine.state / "containers").write_text("work\trunning\n")
    wrong = {"--devbox=wrok": "the container wrok is not there", "--engine=podman": "not installed"}
    for option, words in wrong.items():
        options = ["session", "--devbox=work", option, "--scheduler", "cron", "--force"]
        answer = machine.done("install", *options, "--json")
        assert any(words in warning for warning in answer.json["warnings"]), answer
        assert words in answer.err
    found = machine.schedule("status", "--json").json["findings"]
    (remedy,) = [one["remedy"] for one in found if one["kind"] == "container_down"]
    assert remedy.startswith("mempalace-toolkit schedule install session-devbox")
    machine.done(*remedy.split()[2:4], "--scheduler", "cron", "--devbox", "work")
    found = machine.schedule("status", "--json").json["findings"]
    assert [one for one in found if one["kind"] == "container_down"] == []


def test_a_cron_that_does_not_run_is_a_problem(machine: StubMachine) -> None:
    machine.done("install", "session", "--scheduler", "cron")
    running = subprocess.run(["pgrep", "-x", "cron|crond"], capture_output=True)
    answer = machine.schedule("status", "session", "--json")
    kinds = [one["kind"] for one in answer.json["findings"]]
    assert (answer.code == 65) == ("cron_not_running" in kinds) == (running.returncode != 0)


def test_a_broken_configuration_stops_an_install_before_anything_is_written(
    machine: StubMachine,
) -> None:
    machine.sandbox.configure('wait = "soon"\n')
    before = everything(machine)
    answer = machine.schedule("install", "--scheduler", "cron", "--json")
    assert (answer.code, answer.json["error"]["kind"]) == (78, "configuration")
    assert everything(machine) == before


def test_installing_into_a_container_that_is_not_there_says_so(machine: StubMachine) -> None:
    (machine.state / "containers").write_text("other\trunning\n")
    answer = machine.done("install", "session", "--devbox", "nosuch", "--scheduler", "cron")
    assert "the container nosuch is not there" in answer.err


def test_a_configuration_that_stops_every_job_shows_in_the_status(machine: StubMachine) -> None:
    machine.done("install", "session", "--scheduler", "cron")
    machine.sandbox.configure("wait = 'x'\n")
    answer = machine.schedule("status", "session")
    assert answer.code == 78
    assert "Mon 03:00" in answer.out
    assert "no job can run" in answer.err
    told = machine.schedule("status", "session", "--json")
    assert (told.code, told.json["error"]["kind"]) == (78, "configuration")
    assert told.json["jobs"]
