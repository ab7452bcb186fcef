"""Jobs that someone installed for the whole machine are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mempalace_toolkit.schedule.job import stems
from mempalace_toolkit.schedule.status.machine_wide import system_states
from tests.schedule.rendering import account_at

CONTRIB = Path(__file__).parents[2] / "contrib"


def seen(root: Path) -> list[tuple[str, str, bool, str]]:
    account = replace(account_at(root / "home"), root=root)
    states = system_states(account)
    assert all(state.scope == "system" and state.installed for state in states)
    return [(state.scheduler, state.job, state.enabled, state.when) for state in states]


def test_a_machine_without_them_has_none(tmp_path: Path) -> None:
    assert seen(tmp_path) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_a_systems_unit_is_seen_with_its_schedule(tmp_path: Path, enabled: bool) -> None:
    folder = tmp_path / "etc/systemd/system"
    (folder / "timers.target.wants").mkdir(parents=True)
    timer = folder / "mempalace-session.timer"
    timer.write_bytes((CONTRIB / "systemd" / timer.name).read_bytes())
    (folder / "mempalace-other.timer").write_text("")
    if enabled:
        (folder / "timers.target.wants" / timer.name).symlink_to(timer)
    assert seen(tmp_path) == [("systemd", "session", enabled, "Mon 03:00")]


def test_a_systems_agent_is_seen(tmp_path: Path) -> None:
    agent = tmp_path / "Library/LaunchDaemons/se.jordbo.mempalace-pi-session.plist"
    agent.parent.mkdir(parents=True)
    agent.write_bytes((CONTRIB / "launchd" / agent.name).read_bytes())
    assert seen(tmp_path) == [("launchd", "pi-session", True, "")]


@pytest.mark.parametrize("stem", stems())
def test_every_entry_of_ours_is_known_again_in_cron_d(tmp_path: Path, stem: str) -> None:
    entry = tmp_path / "etc/cron.d/mempalace"
    entry.parent.mkdir(parents=True)
    entry.write_bytes((CONTRIB / "cron" / f"mempalace-{stem}.cron").read_bytes())
    assert seen(tmp_path) == [("cron", stem, True, "")]


@pytest.mark.parametrize(
    ("line", "job"),
    [
        ("0 3 * * 1 ann /usr/bin/mempalace-session", "session"),
        ("0 3 * * 1 ann '/a b/mempalace-pi-session' -q", "pi-session"),
        ("0 3 * * 1 ann mempalace-toolkit repair --yes", "repair"),
        ("0 3 * * 1 ann mempalace-toolkit repair --no-repair", "repair"),
        ("0 3 * * 1 root docker exec box mempalace-session", "session-devbox"),
        ("# 0 3 * * 1 ann mempalace-session", None),
        ("0 3 * * 1 ann rm ~/.cache/mempalace-session/cron.log", None),
        ("0 3 * * 1 ann my-mempalace-session", None),
        ("0 3 * * 1 ann mempalace-sessions", None),
        ("0 3 * * 1 ann mempalace-toolkit check", None),
        ("\udcff\x00", None),
    ],
)
def test_a_line_of_the_systems_crontab(tmp_path: Path, line: str, job: str | None) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/crontab").write_bytes(line.encode(errors="surrogateescape") + b"\n")
    assert [found[1] for found in seen(tmp_path)] == ([job] if job else [])
