#!/usr/bin/env bash
# Installs mempalace-toolkit into an environment of its own. Builds it beside the old one and swaps a
# link, so that a run that fails or is killed leaves the installed commands working.
# shellcheck disable=SC2016  # awk programs name their own fields
set -euo pipefail
export LC_ALL=C

usage() {
  cat <<'TEXT'
Usage: install.sh [--prefix DIR] [--yes] [--demo] [--no-model] [--python PYTHON]

Installs mempalace-session, mempalace-pi-session and mempalace-toolkit into DIR/bin (default
~/.local), with their own virtual environment under DIR/share/mempalace-toolkit. Run it again to
upgrade or to heal. uninstall.sh removes exactly what it recorded.

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
TAB=$(printf '\t')
# The kernel releases it however this ends. A file system without locks is no reason to refuse.
lock_fd_9='
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
except OSError:
    pass
'

say() { printf '%s\n' "$*" >&2; }
fail() {
  code=$1
  shift
  printf 'install.sh: %s\n' "$@" >&2
  exit "$code"
}

parse_arguments() {
  prefix='' wanted_python='' yes=0 demo=0 model=1
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix | --python)
        [ $# -ge 2 ] || fail 2 "$1 needs a value" "See --help."
        if [ "$1" = --prefix ]; then prefix=$2; else wanted_python=$2; fi
        shift
        ;;
      --prefix=*) prefix=${1#*=} ;;
      --python=*) wanted_python=${1#*=} ;;
      --yes | -y) yes=1 ;;
      --demo) demo=1 ;;
      --no-model) model=0 ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) fail 2 "unknown argument: $1" "See --help." ;;
    esac
    shift
  done
  if [ -z "$prefix" ]; then
    [ -n "${HOME:-}" ] || fail 2 "HOME is not set" "Say where to install: --prefix DIR."
    prefix=$HOME/.local
  fi
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  case $prefix in *"$TAB"* | *$'\n'*) fail 2 "the prefix has a tab or a line break in its name" ;; esac
}

# Asks at a terminal; elsewhere, and with --yes, the answer is $2.
confirm() {
  local answer
  if [ "$yes" = 1 ] || [ ! -t 0 ]; then return "$2"; fi
  printf '%s [y/N] ' "$1" >&2
  read -r answer || answer=
  case $answer in [yY]*) return 0 ;; *) return 1 ;; esac
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1; }

find_python() {
  local name folder
  if [ -n "$wanted_python" ]; then
    is_new_enough "$wanted_python" || fail 69 "$wanted_python is not a Python 3.11 or newer"
    python=$(command -v "$wanted_python")
    return 0
  fi
  for name in python3 python3.13 python3.12 python3.11 python3.14; do
    for folder in '' /opt/homebrew/bin/ /usr/local/bin/; do
      if is_new_enough "$folder$name"; then
        python=$(command -v "$folder$name")
        return 0
      fi
    done
  done
  fail 69 "no Python 3.11 or newer found" \
    "Debian 12: apt-get install python3 python3-venv. macOS: brew install python." \
    "Or name one: --python /path/to/python3"
}

# The record lists folders with a name of their own, so that only folders made here are removed.
make_folder() {
  local path=$1 name=$2
  [ -d "$path" ] && return 0
  case $path in "$prefix"/*) ;; *) make_folder "$(dirname "$path")" "$(dirname "$path")" ;; esac
  mkdir "$path" 2>/dev/null || [ -d "$path" ] ||
    fail 73 "cannot make $path" "Choose a folder that you may write: --prefix DIR."
  made=${made}d$TAB-$TAB$name$'\n'
}

lock() {
  exec 9<"$share"
  "$python" -c "$lock_fd_9" ||
    fail 75 "another install.sh or uninstall.sh is at work in $prefix" "Try again when it has ended."
}

link_target() { printf '../%s/venv/launch/%s' "$share" "$1"; }

is_foreign() {
  { [ -e "bin/$1" ] || [ -L "bin/$1" ]; } && [ "$(readlink "bin/$1" || true)" != "$(link_target "$1")" ]
}

check_foreign_files() {
  local name
  if [ -e "$share/venv" ] && [ ! -L "$share/venv" ]; then
    fail 73 "$prefix/$share/venv is not what install.sh made" "Move it away, or choose another --prefix."
  fi
  for name in $commands; do
    is_foreign "$name" || continue
    confirm "$prefix/bin/$name is not from here. Rename it to $name.replaced?" 1 ||
      fail 73 "$prefix/bin/$name exists and is not from here; it was left as it is" \
        "Move it away, or choose another --prefix."
    [ ! -e "bin/$name.replaced" ] || fail 73 "$prefix/bin/$name.replaced exists too" "Move one away."
  done
}

# A build notes its name and the folders made for it before it begins: kill -9 leaves the note.
remove_unfinished_build() {
  local build
  [ -f "$share/building" ] || return 0
  build=$(head -n 1 "$share/building")
  made=$made$(tail -n +2 "$share/building")$'\n'
  case $build in
    venv.[0-9]*) [ "$build" = "$(readlink "$share/venv" || true)" ] || rm -rf -- "${share:?}/$build" ;;
  esac
  rm -f "$share/building"
}

has_venv() { "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Debian ships python3 without ensurepip. What needs no change to the system is tried first.
make_environment() {
  if has_venv; then
    "$python" -m venv "$1" && return 0
  elif "$python" -m venv --without-pip "$1" 2>/dev/null &&
    "$python" -m pip --python "$1/bin/python" install -q pip >/dev/null 2>&1; then
    return 0
  elif command -v uv >/dev/null && rm -rf "$1" && uv venv -q --seed --python "$python" "$1"; then
    return 0
  elif command -v virtualenv >/dev/null && rm -rf "$1" && virtualenv -q -p "$python" "$1"; then
    return 0
  elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
    confirm "Python's venv module is missing. Install Debian's python3-venv?" 0; then
    say "Installing Debian's python3-venv: $python cannot make virtual environments without it"
    rm -rf "$1"
    install_debian_venv && "$python" -m venv "$1" && return 0
  fi
  fail 69 "$python cannot make a virtual environment" \
    "Debian and Ubuntu: sudo apt-get install python3-venv, then run install.sh again."
}

install_debian_venv() {
  local package
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "$package" </dev/null >/dev/null 2>&1 ||
    { apt-get update -q </dev/null >&2 && apt-get install -y -q --no-install-recommends "$package" </dev/null >&2; }
}

build() {
  local name log=$share/building.log
  printf '%s\n%s' "$1" "$made" >"$share/building"
  make_environment "$prefix/$share/$1" </dev/null
  say "Installing into $prefix (a minute or two) ..."
  if ! (CDPATH='' cd -- "$source" && "$prefix/$share/$1/bin/python" -I -m pip install \
    --disable-pip-version-check --no-input --progress-bar off . </dev/null) >"$log" 2>&1; then
    grep -v '^WARNING: Location' "$log" | tail -n 20 >&2
    rm -f "$log"
    fail 69 "pip could not install the package; what was installed before is as it was" \
      "The lines above say why. Is a package index within reach?"
  fi
  rm -f "$log"
  mkdir "$share/$1/launch"
  cp "$source/bin/mempalace-toolkit" "$share/$1/launch/mempalace-toolkit"
  chmod 755 "$share/$1/launch/mempalace-toolkit"
  for name in $commands; do
    [ "$name" = mempalace-toolkit ] || ln -s mempalace-toolkit "$share/$1/launch/$name"
    "$share/$1/launch/$name" --version </dev/null >/dev/null ||
      fail 70 "the new $name does not start; what was installed before is as it was"
  done
}

digests() { if command -v sha256sum >/dev/null; then xargs -0 sha256sum; else xargs -0 shasum -a 256; fi; }

# "f digest path", "l target path", "d - path", "m renamed-to path", tab-separated, paths from the
# prefix. Compiled files are left out: Python rewrites them, and uninstall.sh knows them by their source.
record() {
  find "$@" -type f ! -path '*/__pycache__/*.pyc' -print0 | digests |
    awk '{ digest = $1; sub(/^[0-9a-f]+ [ *]/, ""); print "f\t" digest "\t" $0 }'
  find "$@" -type l | while IFS= read -r path; do printf 'l\t%s\t%s\n' "$(readlink "$path")" "$path"; done
  find "$@" -type d | awk '{ print "d\t-\t" $0 }'
}

earlier() { if [ -f "$share/installed" ]; then awk -F '\t' "$1" "$share/installed"; fi; }

replace() { "$python" -c 'import os, sys; os.replace(*sys.argv[1:])' "$1" "$2"; }

put_link() {
  rm -f "$2.next"
  ln -s "$1" "$2.next"
  replace "$2.next" "$2"
}

# The record is widened before anything is swapped in and narrowed after the old is gone: whenever
# this is killed, it lists all that is there.
switch_to() {
  local name new
  cp "$source/uninstall.sh" "$share/uninstall.sh.next"
  replace "$share/uninstall.sh.next" "$share/uninstall.sh"
  new=$(
    record "$share/$1" "$share/uninstall.sh"
    printf 'l\t%s\t%s\n' "$1" "$share/venv"
    for name in $commands; do
      printf 'l\t%s\t%s\n' "$(link_target "$name")" "bin/$name"
      if is_foreign "$name"; then printf 'm\t%s\t%s\n' "bin/$name.replaced" "bin/$name"; fi
    done
    printf '%s' "$made"
    earlier '($1 == "d" && $3 !~ /\/venv\.[0-9]/) || $1 == "m"'
  )
  {
    printf '%s\n' "$new"
    earlier '$3 ~ /\/venv\.[0-9]/'
  } | sort -u >"$share/installed.next"
  old=$(earlier '$1 == "d" && $3 ~ /\/venv\.[0-9.]+$/ { print $3 }')
  replace "$share/installed.next" "$share/installed"

  put_link "$1" "$share/venv"
  for name in $commands; do
    if is_foreign "$name"; then mv "bin/$name" "bin/$name.replaced"; fi
    put_link "$(link_target "$name")" "bin/$name"
  done
  rm -f "$share/building"

  printf '%s\n' "$old" | while IFS= read -r folder; do
    [ -n "$folder" ] || continue
    bash "$share/uninstall.sh" --prefix "$prefix" --only "$folder" </dev/null
  done
  printf '%s\n' "$new" | sort -u >"$share/installed.next"
  replace "$share/installed.next" "$share/installed"
}

# Runs on every exit: an unfinished build goes, and so does a folder made for nothing.
# shellcheck disable=SC2317,SC2329  # called by trap
clean_up() {
  [ -n "$made$unfinished" ] || return 0
  cd "$prefix" 2>/dev/null || return 0
  if [ -n "$unfinished" ]; then
    rm -f "$share/building.log" "$share/installed.next"
    remove_unfinished_build
  fi
  if [ ! -f "$share/installed" ]; then
    printf '%s' "$made" | cut -f 3 | sort -r | while IFS= read -r path; do rmdir "$path" 2>/dev/null || true; done
  fi
}

main() {
  parse_arguments "$@"
  source=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
  [ -f "$source/pyproject.toml" ] || fail 2 "no pyproject.toml beside install.sh" "Run it from a checkout."
  # What a shell, another environment or a pip configuration for another purpose may have set.
  unset PYTHONHOME PYTHONPATH VIRTUAL_ENV __PYVENV_LAUNCHER__ PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER \
    PIP_REQUIRE_VIRTUALENV
  find_python

  made='' unfinished=''
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  make_folder "$prefix" "$prefix"
  CDPATH='' cd -- "$prefix" && prefix=$(pwd)
  make_folder "$prefix/share" share
  make_folder "$prefix/$share" "$share"
  make_folder "$prefix/bin" bin
  { [ -w "$share" ] && [ -w bin ]; } || fail 73 "$prefix is not writable" "Choose another --prefix."
  lock
  check_foreign_files
  remove_unfinished_build
  unfinished=1
  generation=venv.$(date +%Y%m%d%H%M%S).$$
  build "$generation"
  switch_to "$generation"
  unfinished=''
  trap - EXIT INT TERM HUP
  exec 9<&-

  say "Installed: $prefix/bin/mempalace-session, mempalace-pi-session, mempalace-toolkit"
  case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) say "$prefix/bin is not on your PATH. Add it: export PATH=\"$prefix/bin:\$PATH\"" ;;
  esac
  if [ "$model" = 1 ]; then
    "$prefix/bin/mempalace-toolkit" model ensure </dev/null >&2 || {
      code=$?
      say "The commands are installed, the embedding model is not. Try again later:" \
        "$prefix/bin/mempalace-toolkit model ensure"
      exit "$code"
    }
  fi
  if [ "$demo" = 1 ]; then "$prefix/bin/mempalace-toolkit" demo </dev/null; fi
}

main "$@"
exit
