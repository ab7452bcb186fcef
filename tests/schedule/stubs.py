"""Stand-ins for the schedulers' programs: they keep state, log every call, and can fail.

`calls` is their log; with a number in `fail-at`, the call of that number fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.schedule.programs import Account
from tests.conftest import Answer, Sandbox
from tests.schedule.rendering import account_at

HEAD = """#!/bin/sh
PATH=/usr/bin:/bin
state=@STATE@
name=${0##*/}
echo "$name $*" >>"$state/calls"
if [ -e "$state/fail-at" ] && [ "$(wc -l <"$state/calls")" = "$(cat "$state/fail-at")" ]; then
  echo "told to fail" >&2
  exit 1
fi
unknown() { echo "$name: not expected: $*" >&2; exit 64; }
"""

CRONTAB = """
case "$*" in
  -l) cat "$state/crontab" 2>/dev/null || { echo "no crontab for ann" >&2; exit 1; } ;;
  -r) rm "$state/crontab" ;;
  -h) echo "-n (dry run: checks the syntax, then bails out)" >&2 ;;
  "-n -") ! grep -q 'bad minute' ;;
  -) cat >"$state/new" && mv "$state/new" "$state/crontab" ;;
  *) unknown "$*" ;;
esac
"""

SYSTEMCTL = """
units=$HOME/.config/systemd/user
[ "$1" = --user ] || unknown "$*"
shift
for timer; do :; done
case "$1 $2" in
  "show --property=Version") echo Version=252 ;;
  "show "*.timer)
    timer=$2
    [ ! -L "$units/timers.target.wants/$timer" ] || echo UnitFileState=enabled
    [ ! -e "$state/active-$timer" ] || echo ActiveState=active ;;
  "show "*.service) ;;
  "daemon-reload "*) ;;
  "enable --now")
    [ -e "$units/$timer" ] || exit 1
    mkdir -p "$units/timers.target.wants"
    ln -sf "$units/$timer" "$units/timers.target.wants/$timer"
    : >"$state/active-$timer" ;;
  "disable --now")
    [ -e "$units/$timer" ] || exit 1
    rm -f "$units/timers.target.wants/$timer" "$state/active-$timer"
    rmdir "$units/timers.target.wants" 2>/dev/null || : ;;
  "restart "*) [ -e "$state/active-$timer" ] ;;
  "reset-failed "*) ;;
  *) unknown "$*" ;;
esac
"""

LAUNCHCTL = """
loaded=$state/loaded-
label=${2##*/}
case "$1" in
  version) ;;
  print)
    [ -e "$loaded$label" ] || { echo "Could not find service" >&2; exit 113; }
    code=$(cat "$state/last" 2>/dev/null || echo "(never exited)")
    printf '\\tstate = not running\\n\\tlast exit code = %s\\n' "$code" ;;
  print-disabled)
    [ ! -e "$state/disabled" ] || printf '\\t\\t"%s" => disabled\\n' "$(cat "$state/disabled")" ;;
  enable) [ "$(cat "$state/disabled")" = "$label" ] && rm "$state/disabled" ;;
  disable) echo "$label" >"$state/disabled" ;;
  bootout)
    [ -e "$loaded$label" ] || exit 113
    mv "$loaded$label" "$state/leaving" ;;
  bootstrap)
    case $2 in gui/[0-9]*) ;; *) unknown "$*" ;; esac
    case $3 in /*.plist) ;; *) unknown "$*" ;; esac
    if [ -e "$state/leaving" ]; then rm "$state/leaving"; exit 37; fi
    label=${3##*/} label=${label%.plist}
    [ ! -e "$state/disabled" ] || [ "$(cat "$state/disabled")" != "$label" ] || exit 5
    [ -f "$3" ] && [ ! -e "$loaded$label" ] || exit 5
    cp "$3" "$loaded$label" ;;
  *) unknown "$*" ;;
esac
"""

LOGINCTL = '\n[ "$1" = show-user ] && echo yes\n'
PROGRAMS = {
    "crontab": CRONTAB,
    "systemctl": SYSTEMCTL,
    "launchctl": LAUNCHCTL,
    "loginctl": LOGINCTL,
    "docker": '\n[ -e "$state/containers" ] && cat "$state/containers"\n',
}


@dataclass(frozen=True)
class StubMachine:
    """A home, and the programs that it finds; `state` is where they keep theirs."""

    sandbox: Sandbox
    state: Path

    @classmethod
    def made(cls, sandbox: Sandbox, folder: Path, *programs: str) -> StubMachine:
        """One with these programs and no others."""
        state, found = folder / "state", folder / "stubs"
        state.mkdir()
        found.mkdir()
        for name in programs:
            (found / name).write_text(HEAD.replace("@STATE@", f"'{state}'") + PROGRAMS[name])
            (found / name).chmod(0o755)
        sandbox.environment["PATH"] = str(found)
        return cls(sandbox, state)

    def schedule(self, *arguments: str) -> Answer:
        """`mempalace-toolkit schedule`."""
        return self.sandbox.run("mempalace-toolkit", "schedule", *arguments)

    def done(self, *arguments: str) -> Answer:
        """The same, which has to succeed."""
        answer = self.schedule(*arguments)
        assert answer.code == 0, answer
        return answer

    def account(self) -> Account:
        """The home's account, as the schedulers' modules take it."""
        return account_at(self.sandbox.home, self.sandbox.variables())

    @property
    def crontab(self) -> Path:
        """The user's crontab."""
        return self.state / "crontab"

    def calls(self) -> list[str]:
        """What was called since this was last asked."""
        log = self.state / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def fail_at(self, number: int) -> None:
        """Let the call of this number fail, counted from now; 0: none."""
        (self.state / "calls").unlink(missing_ok=True)
        (self.state / "fail-at").write_text(str(number))
