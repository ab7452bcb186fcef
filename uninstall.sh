#!/usr/bin/env bash
# Removes exactly what install.sh recorded, and nothing that was changed or added since.
set -euo pipefail
export LC_ALL=C # sha256sum and shasum translate their "OK"; sort needs bytes

usage() {
  cat <<'TEXT'
Usage: uninstall.sh [--prefix DIR] [--yes]

Removes what install.sh wrote under DIR (default ~/.local), as its record lists it. A file that was
changed since, and every file that install.sh did not write, stays. Palaces, transcripts,
configuration and the embedding model are not touched.

  --prefix DIR   where it was installed (the copy in DIR/share/mempalace-toolkit knows)
  --yes          do not ask
  --help         this text

Exit codes: 0 removed, or nothing was installed; 1 something could not be removed; 2 usage;
75 install.sh is running.
TEXT
}

say() { printf '%s\n' "$*"; }
fail() {
  code=$1
  shift
  printf 'uninstall.sh: %s\n' "$@" >&2
  exit "$code"
}

digest_check() {
  if command -v sha256sum >/dev/null; then sha256sum -c 2>/dev/null; else shasum -a 256 -c 2>/dev/null; fi
}

# Reads lines, gives them to a command as arguments; failures of single arguments are its own affair.
each() { tr '\n' '\0' | xargs -0 "$@" 2>/dev/null || true; }

# records KIND: "value TAB path" of each entry of that kind that lies in the wanted part.
records() {
  awk -F '\t' -v kind="$1" -v part="$only" \
    '$1 == kind && (part == "" || index($3 "/", part "/") == 1) { print $2 "\t" $3 }' "$manifest"
}

# Python writes X/__pycache__/NAME.<tag>.pyc beside X/NAME.py whenever it likes: those are ours too.
compiled() {
  records f | cut -f 2 | awk '
    NR == FNR { if (sub(/\.py$/, "")) ours[$0] = 1; next }
    {
      source = $0
      sub(/__pycache__\//, "", source)
      sub(/\.[^\/.]*(\.opt-[12])?\.pyc$/, "", source)
      if (source in ours) print
    }' - <(find "${only:-$share}" -path '*/__pycache__/*.pyc' 2>/dev/null)
}

remove_files() {
  compiled | each rm -f --
  records f | awk -F '\t' '{ print $1 "  " $2 }' | { digest_check || true; } |
    sed -n 's/: OK$//p' | each rm -f --
}

remove_links() {
  records l | while IFS=$'\t' read -r target path; do
    if [ -L "$path" ] && [ "$(readlink "$path")" = "$target" ]; then rm -f -- "$path"; fi
  done
}

# A file that install.sh was allowed to replace was renamed aside.
restore_replaced() {
  records m | while IFS=$'\t' read -r aside path; do
    if [ -e "$aside" ] && [ ! -e "$path" ] && [ ! -L "$path" ]; then mv -- "$aside" "$path"; fi
  done
}

remove_folders() {
  {
    records d | cut -f 2
    records d | cut -f 2 | sed 's|$|/__pycache__|'
  } | sort -r | each rmdir --
}

report_kept() {
  {
    records f
    records l
  } | cut -f 2 | while IFS= read -r path; do
    if [ -e "$path" ] || [ -L "$path" ]; then say "Kept, because it was changed: $prefix/$path"; fi
  done
}

# A build that was killed half-way has no record; install.sh noted its name before it began.
remove_unfinished() {
  local build
  [ -f "$share/building" ] || return 0
  build=$(head -n 1 "$share/building")
  unfinished_folders=$(tail -n +2 "$share/building" | cut -f 3)
  case $build in
    venv.[0-9]*) [ "$build" = "$(readlink "$share/venv" || true)" ] || rm -rf -- "${share:?}/$build" ;;
  esac
  rm -f -- "$share/building"
}

lock_fd_9='
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
except OSError:
    pass
'
lock() {
  local python
  for python in "$share/venv/bin/python" python3; do
    "$python" -c '' 2>/dev/null || continue
    exec 9<"$share"
    "$python" -c "$lock_fd_9" || fail 75 "install.sh is at work in $prefix" "Try again when it has ended."
    return 0
  done
}

ask() {
  local answer
  if [ "$yes" = 1 ] || [ ! -t 0 ]; then return 0; fi
  printf 'Remove mempalace-toolkit from %s? [y/N] ' "$prefix" >&2
  read -r answer || answer=
  case $answer in [yY]*) ;; *) fail 1 "nothing removed" ;; esac
}

main() {
  prefix=
  only=
  yes=0
  unfinished_folders=
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix | --only)
        [ $# -ge 2 ] || fail 2 "$1 needs a value" "See --help."
        if [ "$1" = --prefix ]; then prefix=$2; else only=$2; fi
        shift
        ;;
      --prefix=*) prefix=${1#*=} ;;
      --yes | -y) yes=1 ;;
      --help | -h)
        usage
        return 0
        ;;
      *) fail 2 "unknown argument: $1" "See --help." ;;
    esac
    shift
  done
  # The copy that install.sh left beside its record knows its prefix.
  if [ -z "$prefix" ] && [ -f "$(dirname "$0")/installed" ]; then
    prefix=$(CDPATH='' cd -- "$(dirname "$0")/../.." && pwd)
  fi
  if [ -z "$prefix" ]; then
    [ -n "${HOME:-}" ] || fail 2 "HOME is not set" "Say where it was installed: --prefix DIR."
    prefix=$HOME/.local
  fi

  share=share/mempalace-toolkit
  manifest=$share/installed
  if ! CDPATH='' cd -- "$prefix" 2>/dev/null || { [ ! -f "$manifest" ] && [ ! -f "$share/building" ]; }; then
    say "Nothing is installed under $prefix."
    return 0
  fi
  prefix=$(pwd)

  # --only is install.sh removing the environment it has just replaced; it holds the lock already.
  if [ -n "$only" ]; then
    remove_files
    remove_links
    remove_folders
    return 0
  fi

  ask
  lock
  remove_unfinished
  folders=$unfinished_folders
  if [ -f "$manifest" ]; then
    remove_files
    remove_links
    restore_replaced
    report_kept
    remove_folders
    folders=$(records d | cut -f 2)$'\n'$folders
    rm -f -- "$manifest"
  fi
  # Once more for the folders that held the record itself, and for the prefix.
  printf '%s\n' "$folders" | awk -v prefix="$prefix" '!/^\// { $0 = prefix "/" $0 } { print }' |
    sort -r | { cd / && each rmdir --; }
  say "Removed mempalace-toolkit from $prefix."
  say "Palaces, transcripts, configuration, scheduled jobs and the embedding model were left as they are:"
  say "  ~/.config/mempalace, ~/.config/mempalace-toolkit, ~/.cache/chroma and the toolkit's data folder"
}

main "$@"
exit
