"""Settings to render, and names that break what does not quote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from mempalace_toolkit.schedule.calendar import When, parse_when
from mempalace_toolkit.schedule.job import DEVBOX, JobSetting, job_of
from mempalace_toolkit.schedule.programs import Account

HOSTILE = [
    "a b",
    "a  b",
    "R&D",
    "a|b",
    "it's",
    'say "x"',
    "100%",
    "%h",
    "$HOME",
    "${HOME}",
    "$$",
    "`id`",
    "$(id)",
    "back\\slash",
    "\\\\",
    "\\%",
    "\\n",
    "a;b",
    "a#b",
    "=x",
    "a=b",
    "*?[x]",
    "~",
    "-n",
    "åäö 日本 ع",
    "@HOME@",
    "USER",
    "{{.Names}}",
    "!!",
]
"""Names of a folder on the way to the program."""

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/"),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))


def account_at(home: Path, environment: dict[str, str] | None = None) -> Account:
    """An account at home in `home`."""
    return Account(
        name="ann",
        uid=501,
        home=home,
        config=home / ".config",
        data=home / ".local/share",
        environment=environment or {"PATH": "/usr/bin:/bin", "HOME": str(home)},
        now_ms=1_795_222_812_360,
        root=home / "no-root",
    )


def setting_of(stem: str, prefix: str = "/home/ann/.local", when: When | None = None) -> JobSetting:
    """A job as it is installed where nobody says otherwise."""
    job = job_of(stem)
    setting = JobSetting(job, Path(prefix, "bin", job.program), when or job.when)
    return replace(setting, container="opencode-devbox") if stem.endswith(DEVBOX) else setting


__all__ = ["HOSTILE", "NAMES", "account_at", "parse_when", "setting_of"]
