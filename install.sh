#!/usr/bin/env bash
# Installs mempalace-toolkit into an environment of its own. Builds it beside the old one, then swaps
# one link, so that a run that fails or is killed leaves the installed commands working.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: install.sh [--prefix DIR] [--yes] [--demo] [--no-model] [--python PYTHON]

Installs mempalace-session, mempalace-pi-session and mempalace-toolkit into DIR/bin (default
~/.local), with an environment of their own under DIR/share/mempalace-toolkit. MemPalace's commands
mempalace and mempalace-mcp are linked beside them where you have no MemPalace. Uses uv where it is
installed, else pip. Run it again to upgrade or to heal; uninstall.sh removes what it installed.

  --prefix DIR     where to install
  --yes            do not ask: install Debian's python3-venv if it is needed, refuse foreign files
  --demo           then mine two sample stores into a throwaway palace and search them
  --no-model       do not fetch the embedding model now
  --python PYTHON  the Python to use (3.11 or newer) instead of the first one found
  --help           this text

Exit codes: 0 installed; 2 usage; 69 Python, its venv module or a package is not to be had; 73 the
folder cannot be written, or DIR/bin holds a foreign file of one of those names; 75 another
install.sh is at work there. After the installation itself, the code of the model or of the demo.
TEXT
}

commands='mempalace-session mempalace-pi-session mempalace-toolkit'
share=share/mempalace-toolkit
prefix=${HOME:+$HOME/.local} wanted_python='' yes=0 demo=0 model=1
stage=0 made='' environment=''

say() { printf '%s\n' "$@" >&2; }
announce() { stage=$((stage + 1)) && say "[$stage/$((3 + model + demo))] $1"; }
fail() {
  printf 'install.sh: %s\n' "${@:2}" >&2
  exit "$1"
}

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
    case $1 in
      --prefix | --python)
        [ $# -ge 2 ] || fail 2 "$1 needs a value" "See --help."
        if [ "$1" = --prefix ]; then prefix=$2; else wanted_python=$2; fi
        shift
        ;;
      --yes | -y) yes=1 ;;
      --demo) demo=1 ;;
      --no-model) model=0 ;;
      --help | -h) usage && exit 0 ;;
      *) fail 2 "unknown argument: $1" "See --help." ;;
    esac
    shift
  done
  [ -n "$prefix" ] || fail 2 "no folder to install into" "Say where: --prefix DIR."
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  case $prefix in *$'\t'* | *$'\n'*) fail 2 "the prefix has a tab or a line break in its name" ;; esac
}

# Asks at a terminal; elsewhere, and with --yes, the answer is $2.
confirm() {
  local answer=''
  if [ "$yes" = 1 ] || [ ! -t 0 ]; then return "$2"; fi
  read -r -p "$1 [y/N] " answer || true
  [[ $answer == [yY]* ]]
}

find_python() {
  local name
  for name in ${wanted_python:+"$wanted_python"} python3 python3.1{3,2,1,4} \
    {/opt/homebrew,/usr/local}/bin/python3{,.1{3,2,1}} "$(uv python find '>=3.11' 2>/dev/null || true)"; do
    python=$(command -v "$name") &&
      "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1 && return
    [ -z "$wanted_python" ] || fail 69 "$name is not there, or not a Python 3.11 or newer"
  done
  fail 69 "no Python 3.11 or newer found" \
    "Debian 12: apt-get install python3 python3-venv. macOS: brew install python." \
    "Or name one: --python /path/to/python3"
}

# Keeps the folders that it makes: uninstall.sh removes those, once empty, and no others.
make_folder() {
  if [ -d "$1" ]; then return; fi
  make_folder "$(dirname "$1")"
  mkdir "$1" 2>/dev/null || [ -d "$1" ] || fail 73 "cannot make $1" "Choose a folder you may write: --prefix DIR."
  made=$1$'\n'$made
}

# The kernel releases it however this ends. A file system without locks is no reason to refuse.
lock() {
  exec 9<"$share"
  "$python" -c 'import fcntl, sys
try: fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: sys.exit(1)
except OSError: pass' || fail 75 "another install.sh or uninstall.sh is at work in $prefix" "Try again when it has ended."
}

is_free() { # NAME: nothing lies there, or a link into our environment
  case $(readlink "bin/$1" || true) in "../$share/venv/"* | "$prefix/$share/venv/"*) return 0 ;; esac
  [ ! -e "bin/$1" ] && [ ! -L "bin/$1" ]
}

check_foreign_files() {
  local name file
  [ ! -e "$share/venv" ] || [ -L "$share/venv" ] ||
    fail 73 "$prefix/$share/venv is not what install.sh made" "Move it away, or choose another --prefix."
  for name in $commands; do
    file=$prefix/bin/$name
    is_free "$name" && continue
    confirm "$file is not from here. Rename it to $name.replaced?" 1 ||
      fail 73 "$file exists and is not from here; it was left as it is" "Move it away, or choose another --prefix."
    [ ! -e "$file.replaced" ] || fail 73 "$file.replaced exists too" "Move one away."
  done
}

# Debian ships python3 without ensurepip. What needs no change to the system is tried first.
make_environment() {
  local package
  "$python" -c 'import ensurepip, venv' 2>/dev/null && "$python" -m venv "$environment" && return
  command -v uv >/dev/null && uv venv -q --clear --seed --python "$python" "$environment" && return
  "$python" -m venv --clear --without-pip "$environment" 2>/dev/null &&
    "$python" -m pip --python "$environment/bin/python" install -q pip >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
    confirm "Python's venv module is missing. Install Debian's python3-venv?" 0; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    say "      Installing Debian's $package: $python cannot make environments without it"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -y -q "$package" || { apt-get update -q && apt-get install -y -q "$package"; }; } >&2 &&
      "$python" -m venv --clear "$environment" && return
  fi
  fail 69 "$python cannot make a virtual environment" \
    "Debian and Ubuntu: sudo apt-get install python3-venv, then run install.sh again."
}

# Beside pip: the seconds and pip's last line, at a terminal in place, elsewhere every 15 seconds.
show_life() { # LOG
  local seconds=0 line
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    seconds=$((seconds + 1))
    line=$(tail -n 1 "$1" | tr -cd ' -~' | cut -c 1-60)
    if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then
      printf '\r%4d s  %-60s\r' "$seconds" "$line" >&2
    elif [ $((seconds % 15)) = 0 ]; then
      say "      $seconds s: $line"
    fi
  done
}

install_packages() {
  local log=$environment/install.log life status=0
  true >"$log"
  show_life "$log" 3>&- 9<&- &
  life=$!
  { # "." is the one name of the checkout that pip and uv read alike
    cd "$source"
    { command -v uv && uv pip install --python "$environment/bin/python" .; } ||
      "$environment/bin/python" -I -m pip install --disable-pip-version-check --no-input --progress-bar off . || status=$?
    cd "$prefix"
  } </dev/null >"$log" 2>&1
  kill "$life" || true
  wait "$life" 2>/dev/null || true
  if [ -t 2 ]; then printf '\r%70s\r' '' >&2; fi
  [ "$status" != 0 ] || return 0
  grep -v '^WARNING: Location' "$log" | tail -n 20 >&2 || true
  fail 69 "pip could not install the package; what was installed before is as it was" \
    "The lines above say why. Is a package index within reach?"
}

build() {
  local name
  announce "Making an environment with $("$python" --version) ($python)"
  make_environment </dev/null
  announce "Installing the packages, about 700 MB: one to two minutes"
  install_packages
  mkdir "$environment/launch"
  cp "$source/bin/mempalace-toolkit" "$environment/launch/"
  for name in $commands; do
    [ "$name" = mempalace-toolkit ] || ln -s mempalace-toolkit "$environment/launch/$name"
    "$environment/launch/$name" --version </dev/null >/dev/null ||
      fail 70 "the new $name does not start; what was installed before is as it was"
  done
}

replace() { "$python" -c 'import os, sys; os.replace(*sys.argv[1:])' "$1" "$2"; }
link() { ln -s "../$share/venv/$1/$2" "bin/$2.$$" && replace "bin/$2.$$" "bin/$2"; } # FOLDER NAME

switch_to_environment() {
  local name
  announce "Linking the commands into $prefix/bin"
  cp "$source/uninstall.sh" "$share/uninstall.sh.next"
  replace "$share/uninstall.sh.next" "$share/uninstall.sh"
  ln -s "${environment##*/}" "$share/venv.next"
  replace "$share/venv.next" "$share/venv"
  for name in $commands; do
    is_free "$name" || mv "bin/$name" "bin/$name.replaced"
    link launch "$name"
  done
}

# What a killed run began goes, and what was replaced, unless a program runs in it, such as an agent's
# search server: it has libraries of it mapped.
remove_other_environments() {
  local path
  rm -rf "$share"/building* "$share"/*.next
  for path in "$share"/venv.[0-9]*; do
    [ "${path##*/}" != "$(readlink "$share/venv" || true)" ] || continue
    if ! grep -qsF "/$path/" /proc/[0-9]*/maps; then
      rm -rf "$path"
    else
      say "      A running program still uses the version before; the next install.sh removes that."
    fi
  done
}

version_of() { # MEMPALACE: as it says itself
  "$python" -c 'import subprocess, sys
print(subprocess.run([sys.argv[1], "--version"], capture_output=True, text=True, timeout=60).stdout.split()[-1])' \
    "$1" </dev/null 2>/dev/null || echo 'which does not say its version'
}

# MemPalace's own commands, where that takes nobody's place.
link_mempalace() {
  local name other own=$share/venv/bin/mempalace
  [ -x "$own" ] || return 0
  while IFS= read -r other; do
    if [ "$other" -ef "$own" ] || { [ ! -e "$other" ] && [ ! -L "$other" ]; }; then continue; fi
    say "      mempalace is your own: $other ($(version_of "$other")). It stays." \
      "      The toolkit's: $prefix/$own ($(version_of "$own"))"
    return
  done < <(printf '%s\n' "$prefix/bin/mempalace" && type -aP mempalace)
  for name in mempalace mempalace-mcp; do
    if is_free "$name"; then
      link bin "$name"
      commands="$commands $name"
    else
      say "      $prefix/bin/$name is your own. It stays."
    fi
  done
}

# Runs on every exit but the good one: an unfinished environment goes, and so do folders made for nothing.
# shellcheck disable=SC2317,SC2329  # called by trap
clean_up() {
  cd "$prefix" 2>/dev/null || return 0
  if [ -n "$environment" ]; then rm -rf "$environment" "$share"/*.next; fi
  [ ! -L "$share/venv" ] || return 0
  if [ -n "$environment" ]; then rm -f "$share/installed" "$share/uninstall.sh"; fi
  printf '%s' "$made" | while IFS= read -r path; do rmdir "$path" 2>/dev/null || true; done
}

tell_next() {
  say "" "Installed in $prefix/bin: ${commands// /, }."
  case :$PATH: in *":$prefix/bin:"*) say "Next: mempalace-session --dry-run" && return ;; esac
  say "$prefix/bin is not on your PATH. Put the export of the next line into your shell's startup file, too." \
    "Next: export PATH=\"$(printf '%s' "$prefix/bin" | sed 's/[\\"$`]/\\&/g'):\$PATH\" && mempalace-session --dry-run"
}

main() {
  local code=0
  parse_arguments "$@"
  # What a shell, another environment or a pip configuration for another purpose may have set.
  unset CDPATH PYTHONHOME PYTHONPATH VIRTUAL_ENV __PYVENV_LAUNCHER__ PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER \
    PIP_REQUIRE_VIRTUALENV
  export UV_COMPILE_BYTECODE=${UV_COMPILE_BYTECODE:-1}
  source=$(cd -- "$(dirname "$0")" && pwd)
  [ -f "$source/pyproject.toml" ] || fail 2 "no pyproject.toml beside install.sh" "Run it from a checkout."
  find_python

  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  make_folder "$prefix"
  cd -- "$prefix" && prefix=$(pwd)
  make_folder "$prefix/$share"
  make_folder "$prefix/bin"
  { [ -w "$share" ] && [ -w bin ]; } || fail 73 "$prefix is not writable" "Choose another --prefix."
  lock
  check_foreign_files
  remove_other_environments
  environment=$prefix/$share/venv.$(date +%Y%m%d%H%M%S).$$
  { cat "$share/installed" 2>/dev/null || true; printf '%s' "$made"; } >"$share/installed.next"
  replace "$share/installed.next" "$share/installed"
  build
  switch_to_environment
  trap - EXIT INT TERM HUP
  remove_other_environments
  link_mempalace
  exec 9<&-

  if [ "$model" = 1 ]; then
    announce "Fetching the embedding model, about 90 MB, unless it is there"
    bin/mempalace-toolkit model ensure </dev/null >&2 || {
      code=$?
      say "The embedding model could not be had. Try again later: $prefix/bin/mempalace-toolkit model ensure"
    }
  fi
  if [ "$demo" = 1 ] && [ "$code" = 0 ]; then
    announce "Demonstration"
    "$prefix/bin/mempalace-toolkit" demo </dev/null || code=$?
  fi
  tell_next
  exit "$code"
}

main "$@"
