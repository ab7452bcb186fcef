#!/usr/bin/env bash
# Removes what install.sh made: an environment and the links into it. Before that, what needs them.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: uninstall.sh [--prefix DIR] [--yes]

Removes what install.sh made under DIR (default ~/.local): the environment in
DIR/share/mempalace-toolkit and the links in DIR/bin that lead into it. First it removes, if you
agree, what would fail without them: scheduled jobs (as `mempalace-toolkit schedule remove` does) and
what `mempalace-toolkit connect --write` put into agents. Palaces, pages, logs, configuration and the
embedding model stay; it says where they are.

  --prefix DIR   where it was installed (the copy in DIR/share/mempalace-toolkit knows)
  --yes          do not ask; remove scheduled jobs and agents' entries, too
  --help         this text

Exit codes: 0 removed, or nothing was installed; 1 you said no; 2 usage, also jobs are scheduled and
there is neither a terminal nor --yes; 75 install.sh is running. Where the jobs cannot be removed:
the code of that, and nothing is removed.
TEXT
}

share=share/mempalace-toolkit
prefix='' yes=0

say() { printf '%s\n' "$@"; }
fail() {
  printf 'uninstall.sh: %s\n' "${@:2}" >&2
  exit "$1"
}

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
    case $1 in
      --prefix)
        [ -n "${2:-}" ] || fail 2 "$1 needs a value" "See --help."
        prefix=$2
        shift
        ;;
      --yes | -y) yes=1 ;;
      --help | -h) usage && exit 0 ;;
      *) fail 2 "unknown argument: $1" "See --help." ;;
    esac
    shift
  done
  if [ -z "$prefix" ] && [ -L "$(dirname "$0")/venv" ]; then prefix=$(dirname "$0")/../..; fi
  prefix=${prefix:-${HOME:+$HOME/.local}}
  [ -n "$prefix" ] || fail 2 "HOME is not set" "Say where it was installed: --prefix DIR."
}

is_ours() { # LINK: it leads into our environment
  case $(readlink "$1" || true) in "../$share/venv/"* | "$prefix/$share/venv/"*) ;; *) return 1 ;; esac
}

lock() {
  local python
  for python in "$share/venv/bin/python" python3; do
    "$python" -c '' 2>/dev/null || continue
    exec 9<"$share"
    "$python" -c 'import fcntl, sys
try: fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: sys.exit(1)
except OSError: pass' || fail 75 "install.sh is at work in $prefix" "Try again when it has ended."
    return
  done
}

toolkit() { "$prefix/bin/mempalace-toolkit" "$@" </dev/null; }

find_jobs() {
  local answer
  jobs=''
  is_ours bin/mempalace-toolkit || return 0
  answer=$(toolkit schedule remove --dry-run --json 2>/dev/null) || true
  case $answer in
    *'"status": "noop"'*) ;;
    '{'*) jobs=1 && { toolkit schedule remove --dry-run || true; } ;;
    *) say "The installed mempalace-toolkit does not start: it cannot be asked for scheduled jobs." ;;
  esac
}

ask() {
  local answer=''
  if [ "$yes" = 1 ]; then return; fi
  if [ -t 0 ]; then
    read -r -p "Remove mempalace-toolkit from $prefix${jobs:+, and these jobs}? [y/N] " answer || true
    [[ $answer == [yY]* ]] || fail 1 "nothing was removed"
  elif [ -n "$jobs" ]; then
    fail 2 "jobs are scheduled that start these programs; nothing was removed" \
      "Add --yes to remove them, too, or first: mempalace-toolkit schedule remove"
  fi
}

remove_dependents() {
  if [ -n "$jobs" ]; then toolkit schedule remove || fail $? "jobs are still scheduled; nothing was removed"; fi
  is_ours bin/mempalace-toolkit && { [ "$yes" = 1 ] || [ -t 0 ]; } || return 0
  if toolkit connect --remove --json 2>/dev/null | grep -q '"changed": true'; then
    say "Agents no longer search through it. Their settings as they were are kept beside the new ones."
  fi
}

remove_programs() {
  local path folders
  for path in bin/*; do
    if is_ours "$path"; then rm -f "$path"; fi
  done
  for path in bin/mempalace*.replaced; do # what install.sh was allowed to rename
    if [ -e "$path" ] && [ ! -e "${path%.replaced}" ]; then mv "$path" "${path%.replaced}"; fi
  done
  folders=$(awk -F '\t' 'NF == 1; $1 == "d" && $3 !~ /venv[.]/ { print $3 }' "$share/installed" 2>/dev/null |
    awk -v prefix="$prefix" '!/^\// { $0 = prefix "/" $0 } { print }' | sort -ru)
  if [ -L "$share/venv" ]; then rm -f "$share/venv"; fi
  rm -rf "$share"/venv.[0-9]* "$share"/building* "$share"/*.next
  rm -f "$share/installed" "$share/uninstall.sh"
  cd /
  while IFS= read -r path; do rmdir "$path" 2>/dev/null || true; done <<<"$folders"
}

tell_what_stays() {
  local path
  say "Removed mempalace-toolkit from $prefix." "Yours, and left as it is:"
  for path in "${XDG_CONFIG_HOME:-$HOME/.config}"/mempalace{,-toolkit} "$HOME/.mempalace" \
    "${XDG_DATA_HOME:-$HOME/.local/share}/mempalace-toolkit" "${XDG_STATE_HOME:-$HOME/.local/state}/mempalace-toolkit" \
    "$HOME/Library/Application Support/mempalace-toolkit" "$HOME/.cache/chroma"; do
    if [ -e "$path" ]; then say "  $path"; fi
  done
}

main() {
  parse_arguments "$@"
  unset CDPATH
  if ! cd -- "$prefix" 2>/dev/null || [ -z "$(ls -d "$share/installed" "$share/venv" "$share"/venv.[0-9]* 2>/dev/null)" ]; then
    say "Nothing is installed under $prefix."
    exit
  fi
  prefix=$(pwd)
  find_jobs
  ask
  lock
  remove_dependents
  remove_programs
  tell_what_stays
}

main "$@"
