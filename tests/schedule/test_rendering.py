"""What is rendered: what it differs in from the templates, and that any name survives it."""

from __future__ import annotations

import difflib
import os
import plistlib
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from mempalace_toolkit.errors import ConfigurationError, UsageError
from mempalace_toolkit.schedule.calendar import When, parse_when
from mempalace_toolkit.schedule.job import DEVBOX, JobSetting, stems
from mempalace_toolkit.schedule.schedulers.cron import scheduler as cron
from mempalace_toolkit.schedule.schedulers.launchd import scheduler as launchd
from mempalace_toolkit.schedule.schedulers.systemd import scheduler as systemd
from mempalace_toolkit.schedule.schedulers.systemd.units import exec_line, unit_word
from mempalace_toolkit.schedule.templates import is_edited
from tests.schedule.rendering import HOSTILE, NAMES, account_at, setting_of

CONTRIB = Path(__file__).parents[2] / "contrib"
GOLDEN = Path(__file__).parent / "golden"
MODULES = {"systemd": systemd, "launchd": launchd, "cron": cron}
ANN = account_at(Path("/home/ann"))
PAIRS = [(name, stem) for name in MODULES for stem in stems()]
PAIRS = [pair for pair in PAIRS if pair[0] != "launchd" or not pair[1].endswith(DEVBOX)]


def template_of(scheduler: str, stem: str, path: Path) -> bytes:
    name = f"mempalace-{stem}.cron" if scheduler == "cron" else path.name
    return (CONTRIB / scheduler / name).read_bytes()


@pytest.mark.parametrize(("scheduler", "stem"), PAIRS)
def test_what_is_rendered_differs_from_the_template_as_recorded(scheduler: str, stem: str) -> None:
    """Rewrite the records by REWRITE_GOLDEN=1."""
    prefix = "/opt/O'Neil & Söhne 100%/$x\\"
    setting = setting_of(stem, prefix, parse_when("Thu,Sun 05:07"))
    shown = ""
    for path, content in MODULES[scheduler].render(setting, ANN).items():
        shipped = template_of(scheduler, stem, path)
        if scheduler == "launchd":
            shipped = plistlib.dumps(plistlib.loads(shipped), sort_keys=False)
        before, after = (text.decode().splitlines() for text in (shipped, content))
        diff = difflib.unified_diff(before, after, "template", str(path), lineterm="", n=0)
        shown += "\n".join(diff) + "\n"
    shown = re.sub(r"sha256=[0-9a-f]{64}", "sha256=…", shown)
    record = GOLDEN / f"{scheduler}-{stem}.diff"
    if os.environ.get("REWRITE_GOLDEN") == "1":
        record.parent.mkdir(exist_ok=True)
        record.write_text(shown)
    assert shown == record.read_text()


@pytest.mark.parametrize(("scheduler", "stem"), PAIRS)
def test_an_edit_is_seen_and_an_untouched_file_is_not_edited(scheduler: str, stem: str) -> None:
    for path, content in MODULES[scheduler].render(setting_of(stem), ANN).items():
        shipped = template_of(scheduler, stem, path)
        assert not is_edited(content, shipped)
        assert not is_edited(shipped, shipped)
        for there in (content, shipped):
            lines = there.splitlines(keepends=True)
            for place in range(len(lines) + 1):
                assert is_edited(b"".join([*lines[:place], b"\n", *lines[place:]]), shipped)
            assert is_edited(b"", shipped)


@pytest.mark.parametrize(("scheduler", "stem"), PAIRS)
def test_the_template_says_what_the_job_is_by_default(scheduler: str, stem: str) -> None:
    """Rendered for ~/.local with its own schedule, each template keeps every value."""
    home = str(ANN.home)
    setting = setting_of(stem, f"{home}/.local")
    for path, content in MODULES[scheduler].render(setting, ANN).items():
        text, shipped = content.decode(), template_of(scheduler, stem, path).decode()
        if scheduler == "launchd":
            filled = shipped.replace("/Users/USER", home)
            assert plistlib.loads(content) == plistlib.loads(filled.encode())
            continue
        for form in ("%h", '"$HOME', f"'{home}"):
            shipped, text = (one.replace(form, home) for one in (shipped, text))
        kept = [re.sub(r"['\"]| (?=#)", "", line) for line in shipped.splitlines()]
        lines = [re.sub(r"['\"]", "", line) for line in text.splitlines()]
        differing = [line for line in kept if line not in lines]
        assert all(line.startswith(("Description=", "# Take", "# Repair")) for line in differing)


TYPES: dict[str, Any] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "WorkingDirectory": str,
    "StartCalendarInterval": dict,
    "RunAtLoad": bool,
    "ProcessType": str,
    "LowPriorityIO": bool,
    "Nice": int,
    "Umask": int,
    "ExitTimeOut": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}


@pytest.mark.parametrize(
    "path", sorted((CONTRIB / "launchd").iterdir()), ids=lambda path: path.name
)
def test_an_agent_has_the_keys_that_launchd_knows_with_their_types(path: Path) -> None:
    values = plistlib.loads(path.read_bytes())
    assert {key: type(value) for key, value in values.items()} == TYPES
    assert values["Label"] == path.stem
    assert all(isinstance(word, str) for word in values["ProgramArguments"])
    assert set(values["StartCalendarInterval"]) <= {"Weekday", "Hour", "Minute"}
    assert values["ProcessType"] == "Background"
    assert not values["RunAtLoad"]
    assert values["ExitTimeOut"] <= 60
    assert values["Umask"] == 0o077
    paths = [values[key] for key in TYPES if key.endswith(("Path", "Directory"))]
    for one in (*paths, values["ProgramArguments"][0]):
        assert one.startswith("/Users/USER/") or one == "/Users/USER"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_home_and_prefix_stand_in_the_agent_as_they_are(name: str) -> None:
    home = Path("/Users", name)
    setting = setting_of("session", f"{home}/.local")
    ((path, content),) = launchd.render(setting, account_at(home)).items()
    values = plistlib.loads(content)
    assert path.parent == home / "Library/LaunchAgents"
    program, *arguments = values["ProgramArguments"]
    assert program == f"/Users/{name}/.local/bin/mempalace-session"
    assert arguments == ["--time-limit", "7200"]  # launchd itself has no ceiling
    assert values["WorkingDirectory"] == str(home)
    assert values["StandardOutPath"] == f"/Users/{name}/Library/Logs/mempalace-session.log"
    assert values["StandardErrorPath"] == f"/Users/{name}/Library/Logs/mempalace-session.err.log"


@pytest.mark.parametrize(
    "path", sorted((CONTRIB / "launchd").iterdir()), ids=lambda path: path.name
)
def test_the_command_line_of_earlier_templates_fills_in_an_agent(path: Path) -> None:
    """`sed "s|USER|$USER|g"`, as people have it in their notes."""
    filled = subprocess.run(
        ["sed", "s|USER|ann|g", str(path)], capture_output=True, text=True, check=True
    ).stdout
    values = plistlib.loads(filled.encode())
    assert values["ProgramArguments"][0].startswith("/Users/ann/.local/bin/mempalace-")
    assert values == plistlib.loads(path.read_bytes().replace(b"/Users/USER", b"/Users/ann"))
    assert "USER" not in filled


@pytest.mark.parametrize("stem", stems())
def test_the_name_of_a_job_stands_in_its_crontab_entry(stem: str) -> None:
    """`crontab -l | grep mempalace-session-devbox` finds the line that runs."""
    (block,) = cron.render(setting_of(stem), ANN).values()
    for text in (block, (CONTRIB / "cron" / f"mempalace-{stem}.cron").read_bytes()):
        assert re.search(rf"(?<![\w-])mempalace-{stem}(?![\w-])", cron_command(text))


def cron_command(block: bytes) -> str:
    """The command that cron gives to sh: up to the first bare `%`, the others without backslash."""
    (line,) = [line for line in block.decode().splitlines() if not line.startswith("#")]
    command = line.split(None, 5)[5]
    return re.split(r"(?<!\\)%", command)[0].replace("\\%", "%")


def run_by_sh(command: str, home: Path) -> str:
    variables = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LOGNAME": "ann"}
    subprocess.run(["/bin/sh", "-c", command], env=variables, check=True, cwd=home)
    return (home / ".cache/mempalace-session/cron.log").read_text()


@pytest.mark.parametrize("name", HOSTILE)
def test_cron_runs_a_program_under_a_hostile_prefix_and_keeps_its_log(
    tmp_path: Path, name: str
) -> None:
    home = tmp_path / name
    program = home / "pre" / name / "bin" / "mempalace-session"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "[%s]" "$0" "$@"; echo err >&2\n')
    program.chmod(0o755)
    (block,) = cron.render(setting_of("session-daily", str(program.parents[1])), ANN).values()
    log = run_by_sh(cron_command(block), home)
    assert log == f"[{program}][--no-repair]err\n"
    assert (home / ".cache/mempalace-session").stat().st_mode & 0o777 == 0o700
    assert (home / ".cache/mempalace-session/cron.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(shutil.which("crontab") is None, reason="no crontab here")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_real_crontab_takes_what_is_rendered(name: str) -> None:
    crontab = b""
    for stem in stems():
        setting = setting_of(stem, f"/home/{name}")
        setting = replace(setting, variables=() if setting.container else (("OPENCODE_DB", name),))
        crontab += b"".join(cron.render(setting, ANN).values())
    usage = subprocess.run(["crontab", "-h"], capture_output=True, text=True)
    if "dry run" not in usage.stderr + usage.stdout:
        pytest.skip("this crontab has no dry run")
    checked = subprocess.run(["crontab", "-n", "-"], input=crontab, capture_output=True)
    if b"crontabs" in checked.stderr and checked.returncode:
        pytest.skip("this machine keeps no crontabs")
    assert checked.returncode == 0, checked.stderr
    assert re.search(rb"(?<!\\)%", crontab) is None


def words_of(value: str) -> list[str]:
    """The words that systemd.service(5) reads in an ExecStart= value."""
    words, rest = [], value.removeprefix(":").strip()
    while rest:
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"(?:\s+|$)|(\S+)(?:\s+|$)', rest)
        assert quoted is not None, rest
        inside = quoted[2] if quoted[1] is None else re.sub(r"\\(.)", r"\1", quoted[1])
        assert re.fullmatch(r"(?:[^%]|%%)*", inside), "a specifier"
        words.append(inside.replace("%%", "%"))
        rest = rest[quoted.end() :]
    assert value.startswith(":") or "$" not in value, "a variable"
    return words


@given(NAMES)
def test_systemd_reads_the_words_that_were_meant(name: str) -> None:
    program = f"/opt/{name}/bin/x"
    read = words_of(exec_line([program, "repair", "--yes"]))
    if read[0] == "/bin/sh":
        assert read[1:3] == ["-c", 'exec "$0" "$@"']
        read = read[3:]
    assert read == [program, "repair", "--yes"]
    assert words_of(":" + unit_word(f"NAME={name}")) == [f"NAME={name}"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("stem", stems())
def test_systemd_verifies_the_units_of_a_hostile_prefix(tmp_path: Path, stem: str) -> None:
    prefix = tmp_path.joinpath(*HOSTILE[:6], *HOSTILE[6:14])
    (prefix / "bin").mkdir(parents=True)
    setting = replace(setting_of(stem, str(prefix)), variables=())
    setting.program.write_text("#!/bin/sh\n")
    setting.program.chmod(0o755)
    if not setting.container:
        setting = replace(setting, variables=(("OPENCODE_DB", " ".join(HOSTILE)),))
    account = account_at(tmp_path / "home")
    files = systemd.render(setting, account)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    variables = {"HOME": str(account.home), "XDG_RUNTIME_DIR": str(tmp_path), "LC_ALL": "C"}
    said = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--recursive-errors=no", *map(str, files)],
        env={**variables, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_settings_of_ones_own_are_passed_on_and_conditions_do_not_look_elsewhere() -> None:
    setting = replace(setting_of("session"), variables=(("XDG_DATA_HOME", "/data/50 % x"),))
    service, _ = systemd.render(setting, ANN).values()
    assert b'Environment="XDG_DATA_HOME=/data/50 %% x"\nExecStart=' in service
    assert b"ConditionPath" not in service
    (agent,) = launchd.render(setting, ANN).values()
    variables = plistlib.loads(agent)["EnvironmentVariables"]
    assert variables["XDG_DATA_HOME"] == "/data/50 % x"
    assert "/usr/bin" in variables["PATH"]


def test_the_devbox_units_name_container_user_and_engine() -> None:
    setting = replace(setting_of("session-devbox"), container="b.x-1", container_user="1000:100")
    setting = replace(setting, engine="podman")
    service, _ = systemd.render(setting, ANN).values()
    wanted = ["ENGINE=podman", "CONTAINER=b.x-1", "CONTAINER_USER=1000:100"]
    assert re.findall(r"^Environment=(.*)$", service.decode(), re.MULTILINE) == wanted
    (block,) = cron.render(setting, ANN).values()
    assert set(wanted) <= {word.rstrip(";") for word in shlex.split(cron_command(block))}


@pytest.mark.parametrize("limiter", ["timeout", "gtimeout", ""])
@pytest.mark.parametrize("stem", stems())
def test_an_entry_runs_with_the_ceiling_that_the_machine_has(
    tmp_path: Path, stem: str, limiter: str
) -> None:
    """macOS has no `timeout` in its base system; with coreutils it is called gtimeout."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "grep", "nice"):
        (tools / name).symlink_to(shutil.which(name) or "/bin/false")
    for name in ("docker", "mempalace-session", "mempalace-pi-session", "mempalace-toolkit"):
        (tools / name).write_text(
            f"#!/bin/sh\necho opencode-devbox; echo {name} $* >>{tmp_path}/ran\n"
        )
    if limiter:
        (tools / limiter).write_text(
            f'#!/bin/sh\necho limited >>{tmp_path}/ran\nshift 3; exec "$@"\n'
        )
    for tool in tools.iterdir():
        if not tool.is_symlink():
            tool.chmod(0o755)
    setting = setting_of(stem, str(tmp_path))
    (block,) = cron.render(setting, ANN).values()
    command = re.sub(r'PATH="[^"]*"', f'PATH="{tools}"', cron_command(block), count=1)
    command = command.replace(str(setting.program), str(tools / setting.program.name))
    ended = subprocess.run(
        ["/bin/sh", "-c", command], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    )
    ran = (tmp_path / "ran").read_text()
    assert ended.returncode == 0
    assert ("limited" in ran) is bool(limiter)
    assert ("docker exec" if stem.endswith(DEVBOX) else setting.program.name) in ran


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "\x7f", "\udcff"])
def test_a_name_that_no_file_can_hold_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        setting_of("session", f"/home/{name}")
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("stem", "change"),
    [
        ("session", {"container": "a b"}),
        ("session", {"container": "-x"}),
        ("session", {"container": "x", "container_user": "-u root"}),
        ("session", {"container": "x", "container_user": "a;b"}),
        ("session", {"container": "x", "engine": "lxc"}),
        ("repair", {"container": "x"}),
        ("session-daily", {"container": "x"}),
    ],
)
def test_a_container_that_cannot_be_is_refused(stem: str, change: dict[str, str]) -> None:
    setting = setting_of(stem)
    with pytest.raises(UsageError):
        replace(setting, **change)  # type: ignore[arg-type]


def test_a_line_longer_than_cron_reads_is_refused() -> None:
    with pytest.raises(UsageError, match="no line that long"):
        cron.render(setting_of("session", "/" + "x" * 900), ANN)


def test_launchd_is_not_for_containers() -> None:
    with pytest.raises(UsageError, match="container"):
        launchd.render(setting_of("session-devbox"), ANN)


def test_every_template_belongs_to_a_job() -> None:
    wanted = {path.name for name, stem in PAIRS for path in _paths(name, setting_of(stem))}
    shipped = {path.name for name in MODULES for path in (CONTRIB / name).iterdir()}
    assert shipped == wanted


def _paths(scheduler: str, setting: JobSetting) -> list[Path]:
    if scheduler == "cron":
        return [Path(f"mempalace-{setting.stem}.cron")]
    return list(MODULES[scheduler].render(setting, ANN))


def test_the_daily_schedule_has_no_day() -> None:
    assert setting_of("session-daily").when == When(3, 0)
