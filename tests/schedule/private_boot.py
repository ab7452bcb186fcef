"""What the first process of a private machine does, and what it has to open for its account."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

# Its first process. /run and what the daemons write are its own; the accounts, too.
BOOT = """
set -eu
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/first
echo 0 >/sys/fs/cgroup/first/cgroup.procs
for folder in /run /var/log /var/spool/cron /var/lib/systemd; do
  mkdir -p "$folder" && mount -t tmpfs -o mode=755 tmpfs "$folder"
done
# What only root gets at is shown in an open folder instead, in the same place.
mkdir /run/hold
number=0
printf %s "$REACHABLE" | while IFS=: read -r closed wanted; do
  number=$((number + 1))
  mkdir "/run/hold/$number"
  mount --bind "$wanted" "/run/hold/$number"
done
printf %s "$REACHABLE" | cut -d: -f1 | sort -u | while read -r closed; do
  mount -t tmpfs -o mode=755 tmpfs "$closed"
done
number=0
printf %s "$REACHABLE" | while IFS=: read -r closed wanted; do
  number=$((number + 1))
  mkdir -p "$wanted"
  mount --bind "/run/hold/$number" "$wanted"
done
if [ "$HOME_INSIDE" != "$HOME_OUTSIDE" ]; then
  mkdir -p "$HOME_INSIDE" && mount --bind "$HOME_OUTSIDE" "$HOME_INSIDE"
fi
for name in passwd shadow; do mount --bind "$ETC/$name" "/etc/$name"; done
mkdir -p -m 700 "/run/user/$ACCOUNT_ID"
chown "$ACCOUNT_ID" /run/user "/run/user/$ACCOUNT_ID"
"""
READY = """
: >"$ETC/ready"
while :; do wait; sleep 1; done
"""


def closed_paths(folder: Path) -> Iterator[str]:
    """What an account needs below folders that only root may enter, as lines `FOLDER:NEEDED`.

    These are the programs, this checkout and, where it lies in the same place, the test's folder.
    """
    covered: set[Path] = set()
    for wanted in dict.fromkeys((sys.base_prefix, str(CHECKOUT), sys.prefix, str(folder))):
        parents = list(reversed(Path(wanted).parents))
        closed = next((path for path in parents if not path.stat().st_mode & 0o001), None)
        if closed and (wanted != str(folder) or covered & set(parents)):
            covered.add(closed)
            yield f"{closed}:{wanted}\n"
