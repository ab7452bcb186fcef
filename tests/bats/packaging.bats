#!/usr/bin/env bats
# The package with all its real dependencies: install.sh, pipx and uv make the three commands of it,
# and bin/ starts them in place.

load setup

setup_file() {
  own_home
  fetch_packages wheels . pipx uv
  python3 -m venv "$BATS_FILE_TMPDIR/tools"
  "$BATS_FILE_TMPDIR/tools/bin/python" -m pip install -q --disable-pip-version-check pipx uv
}

@test "install.sh gives the three commands, and their environment has a mempalace that runs" {
  prefix="$BATS_TEST_TMPDIR/real & whole"
  run -0 bash "$ROOT/install.sh" --prefix "$prefix" --no-model </dev/null
  answer "$prefix/bin"
  run -0 "$prefix/share/mempalace-toolkit/venv/bin/python" -m mempalace --version
  says "MemPalace"
  rm -rf "$prefix"
}

@test "pipx install . gives the three commands" {
  export PIPX_HOME="$BATS_TEST_TMPDIR/pipx" PIPX_BIN_DIR="$BATS_TEST_TMPDIR/bin"
  run -0 "$BATS_FILE_TMPDIR/tools/bin/pipx" install "$ROOT"
  answer "$PIPX_BIN_DIR"
  rm -rf "$PIPX_HOME"
}

@test "uv tool install . gives the three commands" {
  export UV_TOOL_DIR="$BATS_TEST_TMPDIR/uv" UV_TOOL_BIN_DIR="$BATS_TEST_TMPDIR/bin"
  export UV_CACHE_DIR="$BATS_TEST_TMPDIR/cache"
  run -0 "$BATS_FILE_TMPDIR/tools/bin/uv" tool install --no-config --python "$(command -v python3)" "$ROOT"
  answer "$UV_TOOL_BIN_DIR"
  rm -rf "$UV_TOOL_DIR" "$UV_CACHE_DIR"
}

@test "bin/ starts the commands from the checkout, also through a link of another name" {
  if [ ! -x "$ROOT/.venv/bin/python" ]; then skip "no .venv here: make .venv"; fi
  answer "$ROOT/bin"
  ln -s "$ROOT/bin/mempalace-pi-session" "$BATS_TEST_TMPDIR/mine pi"
  cd /
  run -0 "$BATS_TEST_TMPDIR/mine pi" --help
  says 'Usage: mempalace-pi-session'
}

@test "a copy of bin/ without an environment names the remedy and exits 78" {
  mkdir "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/path"
  cp "$ROOT/bin/mempalace-toolkit" "$BATS_TEST_TMPDIR/bin/"
  printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/path/python3"
  chmod +x "$BATS_TEST_TMPDIR/path/python3"
  PATH=$BATS_TEST_TMPDIR/path:$PATH run -78 "$BATS_TEST_TMPDIR/bin/mempalace-toolkit" --help
  says "make .venv"
}
