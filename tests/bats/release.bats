#!/usr/bin/env bats
# .ci/release refuses what is not that version, before it builds or tags anything.

load setup

setup() {
  export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
  cd "$BATS_TEST_TMPDIR" || return 1
  mkdir .ci mempalace_toolkit
  cp "$ROOT/.ci/release" .ci/
  echo '__version__ = "1.2.3"' >mempalace_toolkit/__init__.py
  printf '# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-25\n' >CHANGELOG.md
  git init -q
  git add -A
  git commit -qm first
}

refuses() { # VERSION WORDS
  run -2 .ci/release "$1"
  says "$2"
  [ -z "$(git tag --list "v$1")" ]
}

@test "a release needs a version, and the one that the package says" {
  refuses "" "VERSION=x.y.z"
  refuses 1.2.4 "the package says 1.2.3"
}

@test "a release refuses a tree with changes" {
  touch new
  refuses 1.2.3 "not committed"
}

@test "a release refuses a changelog without the version's date" {
  printf '# Changelog\n\n## 1.2.3\n' >CHANGELOG.md
  git commit -qam undated
  refuses 1.2.3 "no dated entry"
}

@test "a version is released once" {
  git tag v1.2.3
  run -2 .ci/release 1.2.3
  says "exists"
}
