"""Fetches and unpacks chromadb's own archive of the model, within short time limits.

Address and hash are read out of the installed chromadb's source, which is not imported for it.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import http.client
import importlib.util
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model.location import FILES

_BLOCK = 1 << 16
_LARGEST_FILE = 200_000_000  # model.onnx has 90 million bytes


@dataclass(frozen=True, slots=True)
class Archive:
    """A gzipped tar that holds the six files in `onnx/`."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds: to be connected, for the next bytes, for everything."""

    connect: float = 5
    stall: float = 20
    total: float = 1800


def chromadb_archive() -> Archive:
    """The archive the installed chromadb would fetch. Raises ModelError if it names none."""
    found = importlib.util.find_spec("chromadb")
    if found is None or found.origin is None:
        raise ModelError("chromadb is not installed", "Install mempalace, which brings it.")
    source = Path(found.origin).parent / "utils/embedding_functions/onnx_mini_lm_l6_v2.py"
    values: dict[str, object] = {}
    try:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [name.id for name in node.targets if isinstance(name, ast.Name)]
                values.update(dict.fromkeys(names, node.value.value))
        return Archive(str(values["MODEL_DOWNLOAD_URL"]), str(values["_MODEL_SHA256"]))
    except (OSError, SyntaxError, KeyError) as error:
        raise ModelError(f"{source}: names no archive of the model") from error


def fetch_archive(archive: Archive, path: Path, limits: Limits) -> None:
    """Write the archive to path. Raises ModelError: no answer, stalled, cut, another hash."""
    end = time.monotonic() + limits.total
    digest = hashlib.sha256()
    with _connect(archive.url, limits) as response, path.open("wb") as file:
        while block := _read(response, archive.url, limits):
            digest.update(block)
            file.write(block)
            if time.monotonic() > end:
                raise ModelError(f"{archive.url}: not done after {limits.total:g} s")
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != file.tell():
            raise ModelError(f"{archive.url}: cut off after {file.tell()} of {length} bytes")
    if digest.hexdigest() != archive.sha256:
        raise ModelError(f"{archive.url}: sha256 is {digest.hexdigest()}, not {archive.sha256}")


def unpack_archive(path: Path, folder: Path) -> None:
    """Copy the six files into folder, and nothing else. Raises ModelError if one is missing."""
    wanted = {f"onnx/{name}": name for name in FILES}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = wanted.get(member.name.removeprefix("./"))
                if name is None or not member.isreg() or member.size > _LARGEST_FILE:
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    with content, (folder / name).open("wb") as file:
                        shutil.copyfileobj(content, file, _BLOCK)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ModelError(f"{path}: not a readable archive: {error}") from error
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{path}: holds no {', '.join(missing)}")


def _connect(url: str, limits: Limits) -> http.client.HTTPResponse:
    """The response to a GET. In a thread: neither resolving a name nor trying one address after
    another heeds a socket's time-out."""
    connected = threading.Event()
    answer: list[http.client.HTTPResponse | Exception] = []

    def run() -> None:
        try:
            answer.append(_opener(limits, connected.set).open(url, timeout=limits.connect))
        except Exception as error:
            answer.append(error)
        connected.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not connected.wait(limits.connect):
        raise ModelError(f"{url}: {_late(limits)}")
    thread.join()
    if isinstance(answer[0], Exception):
        raise ModelError(f"{url}: {_reason(answer[0], limits)}") from answer[0]
    return answer[0]


def _read(response: http.client.HTTPResponse, url: str, limits: Limits) -> bytes:
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(f"{url}: {_reason(error, limits)}") from error


def _opener(limits: Limits, connected: Callable[[], None]) -> urllib.request.OpenerDirector:
    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(limits.stall)
            connected()

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(limits.stall)
            connected()

    class PlainOpener(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, request)

    class SecureOpener(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, request)

    return urllib.request.build_opener(PlainOpener, SecureOpener)


def _late(limits: Limits) -> str:
    return f"no connection within {limits.connect:g} s"


def _reason(error: Exception, limits: Limits) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        if isinstance(error.reason, TimeoutError):  # the socket's own limit was first
            return _late(limits)
        return f"no connection: {error.reason}"
    if isinstance(error, TimeoutError):
        return f"no bytes for {limits.stall:g} s"
    return f"the connection broke: {error or type(error).__name__}"
