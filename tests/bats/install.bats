#!/usr/bin/env bats
# install.sh and uninstall.sh, in prefixes with spaces and an ampersand in their names.

load setup

setup_file() {
  own_home
  fetch_light_packages
  export FIRST="$BATS_FILE_TMPDIR/first & only"
  bash "$ROOT/install.sh" --prefix "$FIRST" --no-model </dev/null
}

setup() { prefix="$BATS_TEST_TMPDIR/my prefix & more"; }

teardown() { rm -rf "$prefix"; }

# shellcheck disable=SC2120,SC2119  # its arguments come through bats' run
install() { bash "$ROOT/install.sh" --prefix "$prefix" --no-model "$@"; }

# A test that changes an installation works on a copy: the launchers find their environment from
# where they lie. Only the record names the prefix.
copy_first() {
  local record=$prefix/share/mempalace-toolkit/installed
  cp -al "$FIRST" "$prefix"
  sed "s|^$FIRST|${prefix//&/\\&}|" "$record" >"$record.copy"
  mv "$record.copy" "$record"
}

program() { # FILE LINE...: a shell script
  printf '%s\n' '#!/bin/sh' "${@:2}" >"$1"
  chmod +x "$1"
}

# A PATH with the tools install.sh calls and no Python, uv, virtualenv or apt-get.
bare_path() {
  local name folder=$BATS_TEST_TMPDIR/bare
  mkdir -p "$folder"
  for name in bash sh env dirname basename readlink awk sed sort find xargs sha256sum shasum cut cp mv \
    rm ln mkdir rmdir date id chmod cat head tail grep tr uname; do
    if command -v "$name" >/dev/null; then ln -s "$(command -v "$name")" "$folder/$name"; fi
  done
  printf '%s' "$folder"
}

fake_python() { # FOLDER BODY: a python3 that BODY may answer for before the real one does
  printf '#!/usr/bin/env bash\n%s\nexec "%s" "$@"\n' "$2" "$(command -v python3)" >"$1/python3"
  chmod +x "$1/python3"
}

# Types an answer at a terminal.
at_terminal() { # ANSWER COMMAND...
  python3 - "$@" <<'PY'
import os, pty, sys
typed, command = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
os.write(terminal, typed.encode() + b"\n")
while True:
    try:
        said = os.read(terminal, 4096)
    except OSError:
        break
    if not said:
        break
    os.write(1, said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
PY
}

@test "the three commands answer --help and --version" {
  answer "$FIRST/bin"
}

@test "nothing but the toolkit's commands and MemPalace's is put into bin" {
  run ls "$FIRST/bin"
  [ "$output" = $'mempalace\nmempalace-mcp\nmempalace-pi-session\nmempalace-session\nmempalace-toolkit' ]
  run -0 "$FIRST/bin/mempalace" --version
  says 3.11.0
}

@test "the record lists the folders that were made, and only those" {
  diff "$FIRST/share/mempalace-toolkit/installed" - <<END
$FIRST/bin
$FIRST/share/mempalace-toolkit
$FIRST/share
$FIRST
END
}

@test "installing twice leaves the same files as once" {
  copy_first
  run -0 install </dev/null
  answer "$prefix/bin"
  generation='s/venv\.[0-9.]*/venv.X/'
  diff <(entries "$FIRST" | sed "$generation") <(entries "$prefix" | sed "$generation")
}

@test "installing over an environment that lost its Python heals it" {
  copy_first
  rm "$prefix/share/mempalace-toolkit/venv/bin/python"
  run ! answer "$prefix/bin"
  run -0 install </dev/null
  answer "$prefix/bin"
}

@test "an install killed half-way leaves the old one working, and the next one heals" {
  copy_first
  share=$prefix/share/mempalace-toolkit
  before=$(readlink "$share/venv")
  set -m
  # shellcheck disable=SC2119
  install </dev/null >/dev/null 2>&1 3>&- &
  set +m
  until [ -n "$(find "$share" -path '*/site-packages/pip' ! -path "*/$before/*" -prune)" ]; do
    kill -0 $! || { echo "it ended before it was killed" && return 1; }
    sleep 0.1
  done
  kill -9 -- -$!
  wait $! || true
  [ "$(readlink "$share/venv")" = "$before" ]
  answer "$prefix/bin"

  run -0 install </dev/null
  answer "$prefix/bin"
  [ "$(find "$share" -maxdepth 1 -type d -name 'venv.*' | wc -l)" -eq 1 ]
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" </dev/null
  [ ! -e "$prefix" ]
}

@test "a MemPalace of your own stays, in bin or elsewhere on the PATH, and is told with its version" {
  copy_first
  rm "$prefix/bin/mempalace" "$prefix/bin/mempalace-mcp"
  program "$prefix/bin/mempalace" 'echo MemPalace 3.12.7'
  run -0 install </dev/null
  says "$prefix/bin/mempalace (3.12.7). It stays." "/venv/bin/mempalace (3.11.0)"
  [ ! -e "$prefix/bin/mempalace-mcp" ]
  [ "$("$prefix/bin/mempalace")" = "MemPalace 3.12.7" ]

  mkdir "$BATS_TEST_TMPDIR/path"
  mv "$prefix/bin/mempalace" "$BATS_TEST_TMPDIR/path"
  PATH=$BATS_TEST_TMPDIR/path:$PATH run -0 install </dev/null
  says "$BATS_TEST_TMPDIR/path/mempalace (3.12.7). It stays."
  [ ! -e "$prefix/bin/mempalace" ]
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" </dev/null
  [ -x "$BATS_TEST_TMPDIR/path/mempalace" ]
}

@test "a mempalace-mcp of your own stays beside the toolkit's mempalace" {
  copy_first
  rm "$prefix/bin/mempalace" "$prefix/bin/mempalace-mcp"
  ln -s nowhere "$prefix/bin/mempalace-mcp"
  run -0 install </dev/null
  says "$prefix/bin/mempalace-mcp is your own. It stays."
  [ "$(readlink "$prefix/bin/mempalace-mcp")" = nowhere ]
  run -0 "$prefix/bin/mempalace" --version
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" </dev/null
  [ "$(ls "$prefix/bin")" = mempalace-mcp ]
}

@test "an environment that a program still uses stays until the next install" {
  if [ ! -r /proc/self/maps ]; then skip "no /proc here"; fi
  copy_first
  share=$prefix/share/mempalace-toolkit
  before=$(readlink "$share/venv")
  # As an agent's search server does: it has a library of the environment in memory.
  "$share/$before/bin/python" -c 'import orjson, time; time.sleep(900)' 3>&- &
  until grep -qF "/$before/" "/proc/$!/maps"; do kill -0 $! && sleep 0.1; done
  run -0 install </dev/null
  kill $!
  says "still uses the version before"
  [ -d "$share/$before" ]
  wait $! || true
  run -0 install </dev/null
  [ ! -e "$share/$before" ]
}

@test "a package that cannot be had is said, exits 69, and leaves the old install working" {
  copy_first
  before=$(entries "$prefix")
  PIP_FIND_LINKS=$BATS_TEST_TMPDIR run -69 install </dev/null
  says "as it was"
  [ "$(entries "$prefix")" = "$before" ]
  answer "$prefix/bin"
}

@test "a first install that fails leaves nothing, not even its folders" {
  PIP_FIND_LINKS=$BATS_TEST_TMPDIR run -69 install </dev/null
  [ ! -e "$prefix" ]
}

@test "a foreign file of a command's name is refused and kept" {
  mkdir -p "$prefix/bin"
  echo theirs >"$prefix/bin/mempalace-session"
  before=$(entries "$prefix")
  for arguments in '' --yes; do
    # shellcheck disable=SC2086  # no argument, or one
    run -73 install $arguments </dev/null
    says "$prefix/bin/mempalace-session" "Move it away"
    [ "$(cat "$prefix/bin/mempalace-session")" = theirs ]
    [ "$(entries "$prefix")" = "$before" ]
  done
}

@test "a foreign link that points nowhere is refused too" {
  mkdir -p "$prefix/bin"
  ln -s nowhere "$prefix/bin/mempalace-toolkit"
  run -73 install </dev/null
  [ "$(readlink "$prefix/bin/mempalace-toolkit")" = nowhere ]
}

@test "a no at the terminal keeps the foreign file" {
  mkdir -p "$prefix/bin"
  echo theirs >"$prefix/bin/mempalace-session"
  run -73 at_terminal n bash "$ROOT/install.sh" --prefix "$prefix" --no-model
  [ "$(cat "$prefix/bin/mempalace-session")" = theirs ]
}

@test "a yes at the terminal renames the foreign file, and uninstall brings it back" {
  copy_first
  rm "$prefix/bin/mempalace-session"
  echo theirs >"$prefix/bin/mempalace-session"
  run -0 at_terminal y bash "$ROOT/install.sh" --prefix "$prefix" --no-model
  answer "$prefix/bin"
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" </dev/null
  [ "$(cat "$prefix/bin/mempalace-session")" = theirs ]
  [ "$(ls "$prefix/bin")" = mempalace-session ]
}

@test "uninstall leaves what was there before, the user's own files among it" {
  copy_first
  echo mine >"$prefix/bin/my own"
  mkdir "$prefix/share/mempalace-toolkit/spool"
  answer "$prefix/bin"
  run -0 bash "$prefix/share/mempalace-toolkit/uninstall.sh" --yes
  [ "$(entries "$prefix")" = $'.\n./bin\n./bin/my own\n./share\n./share/mempalace-toolkit\n./share/mempalace-toolkit/spool' ]
}

@test "uninstall removes the prefix that install.sh made" {
  copy_first
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" </dev/null
  [ ! -e "$prefix" ]
  [ -d "$FIRST/bin" ]
}

@test "uninstall takes scheduled jobs away with --yes, and without a terminal refuses with 2" {
  copy_first
  # A crontab of the test's own: the machine's is not touched.
  mkdir "$BATS_TEST_TMPDIR/cron"
  export TABLE=$BATS_TEST_TMPDIR/table PATH=$BATS_TEST_TMPDIR/cron:$PATH
  # shellcheck disable=SC2016  # the script's own words
  program "$BATS_TEST_TMPDIR/cron/crontab" 'if [ "$1" = -l ]; then exec cat "$TABLE"; fi' \
    'if [ "$1" = -r ]; then exec rm "$TABLE"; fi' 'cat "$@" >"$TABLE.new" && mv "$TABLE.new" "$TABLE"'
  echo '0 5 * * * mine' >"$TABLE"
  "$prefix/bin/mempalace-toolkit" schedule install session --scheduler cron
  grep mempalace-session "$TABLE"
  before=$(entries "$prefix") scheduled=$(cat "$TABLE")

  run -2 bash "$ROOT/uninstall.sh" --prefix "$prefix" </dev/null
  says "session" "--yes" "nothing was removed"
  [ "$(entries "$prefix")" = "$before" ]
  run -1 at_terminal n bash "$ROOT/uninstall.sh" --prefix "$prefix"
  [ "$(cat "$TABLE")" = "$scheduled" ]
  answer "$prefix/bin"

  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" --yes </dev/null
  [ "$(cat "$TABLE")" = '0 5 * * * mine' ]
  [ ! -e "$prefix" ]
}

@test "uninstalling where nothing is says so and exits 0" {
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix"
  says "Nothing is installed"
  [ ! -e "$prefix" ]
}

@test "a no at the terminal uninstalls nothing" {
  run -1 at_terminal n bash "$ROOT/uninstall.sh" --prefix "$FIRST"
  answer "$FIRST/bin"
}

@test "a second installer on the same prefix is refused with 75" {
  mkdir -p "$prefix/share/mempalace-toolkit"
  exec 8<"$prefix/share/mempalace-toolkit"
  python3 -c 'import fcntl; fcntl.flock(8, fcntl.LOCK_EX)'
  run -75 install </dev/null
  says "at work"
}

@test "without a Python 3.11 the message names the packages" {
  for folder in /usr/local/bin /opt/homebrew/bin; do
    if [ -x "$folder/python3" ]; then skip "$folder has a Python, where install.sh looks too"; fi
  done
  path=$(bare_path)
  fake_python "$path" 'exit 1'
  PATH=$path run -69 install </dev/null
  says "no Python 3.11" "apt-get install python3"
  [ ! -e "$prefix" ]
}

@test "a --python that is too old is refused" {
  mkdir "$BATS_TEST_TMPDIR/old"
  fake_python "$BATS_TEST_TMPDIR/old" 'exit 1'
  run -69 install --python "$BATS_TEST_TMPDIR/old/python3" </dev/null
  says "not a Python 3.11"
}

@test "a Python without ensurepip is served by the pip it has" {
  path=$(bare_path)
  fake_python "$path" 'case "$*" in *ensurepip*) exit 1 ;; esac'
  PATH=$path run -0 install --python "$path/python3" </dev/null
  answer "$prefix/bin"
}

@test "a Python without ensurepip and pip gets the command that adds them" {
  path=$(bare_path)
  fake_python "$path" 'case "$*" in *ensurepip* | *"-m pip"*) exit 1 ;; esac'
  PATH=$path run -69 install --python "$path/python3" </dev/null
  says "apt-get install python3-venv"
  [ ! -e "$prefix" ]
}

@test "a prefix that cannot be made exits 73" {
  touch "$BATS_TEST_TMPDIR/file"
  run -73 bash "$ROOT/install.sh" --prefix "$BATS_TEST_TMPDIR/file/prefix" --no-model </dev/null
  says "--prefix"
}

@test "a closed stdin is no terminal: nothing waits" {
  mkdir -p "$prefix/bin"
  echo theirs >"$prefix/bin/mempalace-session"
  run -73 install <&-
  run -0 bash "$ROOT/uninstall.sh" --prefix "$prefix" <&-
}

@test "--help says every option and touches nothing" {
  for script in install.sh uninstall.sh; do
    HOME=$BATS_TEST_TMPDIR/none run -0 bash "$ROOT/$script" --help
    says "--prefix" "--yes" "Exit codes"
  done
  [ ! -e "$BATS_TEST_TMPDIR/none" ]
}

@test "wrong arguments exit 2" {
  for script in install.sh uninstall.sh; do
    run -2 bash "$ROOT/$script" --nonsense
    run -2 bash "$ROOT/$script" --prefix
  done
}
