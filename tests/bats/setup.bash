# Loaded by every bats file: the checkout, a home of the test's own, and the packages fetched once.
# shellcheck disable=SC2034,SC2154  # used by the files that load this; $output is what `run` kept

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
COMMANDS='mempalace-session mempalace-pi-session mempalace-toolkit'

own_home() {
  export HOME=$BATS_FILE_TMPDIR/home
  export XDG_CONFIG_HOME=$HOME/.config XDG_DATA_HOME=$HOME/.local/share XDG_CACHE_HOME=$HOME/.cache
  mkdir -p "$HOME"
}

# Downloads the package's dependencies, and those given, once; every install then reads from there.
# .venv keeps them from one `make test` to the next.
fetch_packages() {
  local python=$ROOT/.venv/bin/python wheels=$ROOT/.venv/wheels
  if [ ! -x "$python" ]; then
    python3 -m venv "$BATS_FILE_TMPDIR/fetch"
    python=$BATS_FILE_TMPDIR/fetch/bin/python
    wheels=$BATS_FILE_TMPDIR/wheels
  fi
  (cd "$ROOT" && "$python" -m pip download -q --disable-pip-version-check --no-input \
    -d "$wheels" . 'hatchling>=1.25' pip "$@") </dev/null 2>"$BATS_FILE_TMPDIR/fetch.log" ||
    { tail -n 5 "$BATS_FILE_TMPDIR/fetch.log" >&2 && return 1; }
  export PIP_NO_INDEX=1 PIP_FIND_LINKS=$wheels PIP_NO_COMPILE=1
  export UV_NO_INDEX=1 UV_FIND_LINKS=$wheels
}

# From then on every install takes an empty mempalace and an empty onnx: with them a prefix holds 550 MB,
# without them 90, and to the installer it is all the same. packaging.bats installs the real ones.
light_packages() {
  local light=$BATS_FILE_TMPDIR/light
  mkdir "$light"
  ln -s "$PIP_FIND_LINKS"/* "$light"
  rm "$light"/mempalace-* "$light"/onnx-*
  python3 - "$light" <<'PY'
import sys, zipfile
for name, version in (("mempalace", "3.11.0"), ("onnx", "1.17.0")):
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
PY
  export PIP_FIND_LINKS=$light
}

says() { # each word is in the output that `run` kept
  local word
  for word in "$@"; do
    case $output in
      *"$word"*) ;;
      *) printf 'not said: %s\nbut: %s\n' "$word" "$output" && return 1 ;;
    esac
  done
}

answer() { # BIN: the three commands start, from anywhere, with next to no environment.
  local name
  for name in $COMMANDS; do
    (cd / && env -i HOME="$HOME" PATH=/usr/bin:/bin "$1/$name" --help) | grep -q "$name"
    (cd / && env -i HOME="$HOME" PATH=/usr/bin:/bin "$1/$name" --version) | grep -q '[0-9]'
  done
}

entries() { # every path under a folder, without what Python compiles as it runs
  (cd "$1" && find . ! -path '*/__pycache__*' | LC_ALL=C sort)
}
