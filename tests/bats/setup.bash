# Loaded by every bats file: the checkout, a home of the test's own, and the packages fetched once.
# shellcheck disable=SC2034,SC2154  # used by the files that load this; $output is what `run` kept

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
COMMANDS='mempalace-session mempalace-pi-session mempalace-toolkit'

own_home() {
  export HOME=$BATS_FILE_TMPDIR/home
  export XDG_CONFIG_HOME=$HOME/.config XDG_DATA_HOME=$HOME/.local/share XDG_CACHE_HOME=$HOME/.cache
  mkdir -p "$HOME"
  PATH=${PATH//":$ROOT/.venv/bin"/} # its mempalace is none that a user put there
}

# Downloads what is named, with its dependencies, once; every install then reads from there alone.
# .venv keeps it from one `make test` to the next.
fetch_packages() { # FOLDER PACKAGE...
  local python=$ROOT/.venv/bin/python wheels=$ROOT/.venv/$1
  if [ ! -x "$python" ]; then
    python3 -m venv "$BATS_FILE_TMPDIR/fetch"
    python=$BATS_FILE_TMPDIR/fetch/bin/python
    wheels=$BATS_FILE_TMPDIR/$1
  fi
  if [ ! "$wheels/complete" -nt "$ROOT/pyproject.toml" ] || [ "$(cat "$wheels/complete")" != "$*" ]; then
    (cd "$ROOT" && "$python" -m pip download -q --disable-pip-version-check --no-input \
      -d "$wheels" 'hatchling>=1.25' pip "${@:2}") </dev/null 2>"$BATS_FILE_TMPDIR/fetch.log" ||
      { tail -n 5 "$BATS_FILE_TMPDIR/fetch.log" >&2 && return 1; }
    printf '%s' "$*" >"$wheels/complete"
  fi
  export PIP_NO_INDEX=1 PIP_FIND_LINKS=$wheels PIP_NO_COMPILE=1
  export UV_NO_INDEX=1 UV_FIND_LINKS=$wheels UV_COMPILE_BYTECODE=0
}

# The package with what its commands need to start; of the rest an empty package each. A prefix holds
# 40 MB then, not 700, and to the installer it is all the same. packaging.bats installs the real ones.
fetch_light_packages() {
  fetch_packages light-wheels orjson platformdirs rich typer
  local light=$BATS_FILE_TMPDIR/light
  mkdir "$light"
  ln -s "$PIP_FIND_LINKS"/*.whl "$light"
  python3 - "$light" "$ROOT/pyproject.toml" <<'PY'
import os, re, sys, tomllib, zipfile
folder, project = sys.argv[1:]
with open(project, "rb") as file:
    wanted = [re.match(r"([\w-]+)\W*([\d.]*)", line).groups() for line in tomllib.load(file)["project"]["dependencies"]]
there = {name.split("-")[0].replace("_", "-").lower() for name in os.listdir(folder)}
program = "import sys\ndef main():\n    print('MemPalace', '3.11.0', *sys.argv[2:])\n"
for name, version in wanted:
    if name.lower() in there:
        continue
    version = "3.11.0" if name == "mempalace" else version or "1"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name.replace('-', '_')}/__init__.py", program if name == "mempalace" else "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        if name == "mempalace":
            scripts = ["mempalace = mempalace:main", "mempalace-mcp = mempalace:main"]
            wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\n" + "\n".join(scripts) + "\n")
        wheel.writestr(f"{info}/RECORD", "")
PY
  export PIP_FIND_LINKS=$light UV_FIND_LINKS=$light
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
    run -0 env -C / -i HOME="$HOME" PATH=/usr/bin:/bin "$1/$name" --help
    says "$name"
    run -0 env -C / -i HOME="$HOME" PATH=/usr/bin:/bin "$1/$name" --version
    [[ $output =~ [0-9]\.[0-9] ]]
  done
}

entries() { # every path under a folder, without what Python compiles as it runs
  (cd "$1" && find . ! -path '*/__pycache__*' | LC_ALL=C sort)
}
