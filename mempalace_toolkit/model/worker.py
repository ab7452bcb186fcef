"""Builds and checks the model in a child process: `python -m mempalace_toolkit.model.worker`.

A child, because its 300 MB go back when it ends and because a damaged model may kill the native
runtime. `build WEIGHTS MODEL` writes the graph, `verify FOLDER` compares vectors. The answer is
one JSON object on stdout, with an `error` where it failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mempalace_toolkit.children import CHILD_FOLDER, own_command
from mempalace_toolkit.errors import ModelError, ToolkitError, WriteUndoneError

LIMIT_SECONDS = 600


def build(weights: Path, model: Path) -> None:
    """Write model.onnx from model.safetensors. Raises ModelError or WriteUndoneError."""
    _call("build", str(weights), str(model))


def verify(folder: Path) -> None:
    """Raise ModelError unless the folder's model gives the stored vectors."""
    _call("verify", str(folder))


def _call(*arguments: str) -> None:
    command = own_command("model.worker", *arguments)
    try:
        done = subprocess.run(
            command, cwd=CHILD_FOLDER, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired as expired:
        raise ModelError(f"{arguments[0]} took over {LIMIT_SECONDS} s") from expired
    try:
        error = json.loads(done.stdout)["error"]
    except (ValueError, KeyError) as cut:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        raise ModelError(
            f"{arguments[0]} of the model died with status {done.returncode}: {last[0]}"
        ) from cut
    if error is not None:
        kind = WriteUndoneError if error["kind"] == WriteUndoneError.kind else ModelError
        raise kind(error["message"], error["hint"])


def _build(weights: str, model: str) -> None:
    from mempalace_toolkit.model.graph import write_graph
    from mempalace_toolkit.model.weights import read_weights

    try:
        write_graph(read_weights(Path(weights)), Path(model))
    except OSError as error:
        raise WriteUndoneError(
            f"{model}: {error.strerror or error}", "Make room and try again."
        ) from error


def _verify(folder: str) -> None:
    from mempalace_toolkit.model.verify import TOLERANCE, difference, read_reference

    reference = read_reference()
    try:
        found = difference(Path(folder), reference)
    except Exception as error:  # the runtime's own exceptions share no narrower base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder}: the model cannot be used: {first}") from error
    if not found <= TOLERANCE:
        raise ModelError(
            f"{folder}: the model gives other vectors than it should: "
            f"off by {found:.1e}, allowed {TOLERANCE:.0e}"
        )


def main(arguments: list[str]) -> int:
    """Do one task and print its outcome."""
    tasks: dict[str, Callable[..., None]] = {"build": _build, "verify": _verify}
    try:
        tasks[arguments[0]](*arguments[1:])
    except ToolkitError as error:
        print(json.dumps({"error": error.as_json()}))
        return int(error.exit_code)
    print(json.dumps({"error": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
