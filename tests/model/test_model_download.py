"""The archive is fetched from a server that may do anything, and unpacked whatever is in it."""

from __future__ import annotations

import ast
import gzip
import hashlib
import importlib.util
import io
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model.download import (
    Archive,
    Limits,
    chromadb_archive,
    fetch_archive,
    unpack_archive,
)
from mempalace_toolkit.model.location import FILES

BODY = bytes(range(256)) * 4000
GOOD_HASH = hashlib.sha256(BODY).hexdigest()
SHORT = Limits(connect=5, stall=0.5, total=60)
Answer = Callable[[BaseHTTPRequestHandler, threading.Event], None]


def _send(handler: BaseHTTPRequestHandler, body: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(BODY) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def good(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    _send(handler, BODY)


def moved(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    if handler.path == "/there":
        return _send(handler, BODY)
    handler.send_response(302)
    handler.send_header("Location", "/there")
    handler.end_headers()
    return None


def not_found(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    handler.send_error(404)


def other_content(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    _send(handler, BODY[:-1] + b"!")


def cut(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    _send(handler, BODY[:300_000])


def cut_without_length(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(BODY[:300_000])


def cut_in_a_chunk(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"1000\r\n" + BODY[:100])


def stalled_at_once(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    over.wait(60)


def stalled_midway(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    _send(handler, BODY[:300_000])
    over.wait(60)


def not_http(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
    handler.wfile.write(b"SSH-2.0-nothing\r\n\r\n")


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server whose every GET gets that answer; its address."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            answer(self, over)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/onnx.tar.gz"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("answer", [good, moved])
def test_an_archive_with_the_right_hash_is_fetched(answer: Answer, tmp_path: Path) -> None:
    with serving(answer) as url:
        fetch_archive(Archive(url, GOOD_HASH), tmp_path / "a", SHORT)
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (not_found, "answered 404"),
        (other_content, "sha256 is"),
        (cut, "cut off after 300000 of 1024000"),
        (cut_without_length, "sha256 is"),
        (cut_in_a_chunk, "connection broke"),
        (stalled_at_once, "no bytes for 0.5 s"),
        (stalled_midway, "no bytes for 0.5 s"),
        (not_http, "connection broke"),
    ],
)
def test_any_other_answer_is_refused_and_named(answer: Answer, said: str, tmp_path: Path) -> None:
    with serving(answer) as url, pytest.raises(ModelError) as raised:
        fetch_archive(Archive(url, GOOD_HASH), tmp_path / "a", SHORT)
    assert said in raised.value.message and url in raised.value.message


def test_a_pause_longer_than_connecting_may_take_is_waited_for(tmp_path: Path) -> None:
    def pausing(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
        over.wait(1.5)
        _send(handler, BODY[:1000])
        over.wait(1.5)
        handler.wfile.write(BODY[1000:])

    with serving(pausing) as url:
        fetch_archive(Archive(url, GOOD_HASH), tmp_path / "a", Limits(connect=1, stall=30))
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_port_nobody_listens_on_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ModelError, match="no connection"):
        fetch_archive(Archive(f"http://127.0.0.1:{port}/", GOOD_HASH), tmp_path / "a", SHORT)


def test_a_server_that_takes_no_connection_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(ModelError, match=r"no connection within 0\.3 s"):
            fetch_archive(Archive(url, GOOD_HASH), tmp_path / "a", Limits(connect=0.3))
        for filler in fillers:
            filler.close()


def test_a_server_that_drips_is_left_at_the_total_limit(tmp_path: Path) -> None:
    def dripping(handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
        _send(handler, BODY[:1])
        try:
            while not over.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            return

    with serving(dripping) as url, pytest.raises(ModelError, match=r"not done after 0\.4 s"):
        fetch_archive(Archive(url, GOOD_HASH), tmp_path / "a", Limits(5, 5, 0.4))


def test_the_installed_chromadb_names_its_archive_and_exactly_our_files() -> None:
    archive = chromadb_archive()
    assert archive.url.startswith("https://") and archive.url.endswith("/onnx.tar.gz")
    assert len(bytes.fromhex(archive.sha256)) == 32
    found = importlib.util.find_spec("chromadb")
    assert found is not None and found.origin is not None
    module = Path(found.origin).parent / "utils/embedding_functions/onnx_mini_lm_l6_v2.py"
    lists = [
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "onnx_files"
    ]
    assert [sorted(names) for names in lists] == [sorted(FILES)]


def test_only_the_six_files_leave_an_archive_that_holds_more(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    members = [_file(f"onnx/{name}", name.encode()) for name in FILES]
    members += [_file("../outside", b"x"), _file(str(outside), b"x"), _file("onnx/more", b"x")]
    members += [_link("onnx/link", str(outside)), _file("onnx/link/inner", b"x")]
    folder = tmp_path / "deep/out"
    folder.mkdir(parents=True)
    unpack_archive(_pack(tmp_path / "a.tar.gz", members), folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {n: n for n in FILES}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "deep"]


def test_an_archive_with_a_link_for_a_file_is_refused(tmp_path: Path) -> None:
    members = [_file(f"onnx/{name}", b"x") for name in FILES if name != "model.onnx"]
    members.append(_link("onnx/model.onnx", "/etc/passwd"))
    with pytest.raises(ModelError, match=r"holds no model\.onnx"):
        unpack_archive(_pack(tmp_path / "a.tar.gz", members), _out(tmp_path))


@pytest.mark.parametrize("content", ["empty", "text", "gzip of text", "cut", "noise"])
def test_a_file_that_is_no_whole_archive_is_refused(content: str, tmp_path: Path) -> None:
    whole = _pack(tmp_path / "w", [_file(f"onnx/{name}", BODY) for name in FILES]).read_bytes()
    path = tmp_path / "a.tar.gz"
    path.write_bytes(
        {
            "empty": b"",
            "text": b"<html></html>",
            "gzip of text": gzip.compress(b"text" * 500),
            "cut": whole[: len(whole) // 2],
            "noise": whole[:100] + bytes(range(256)) + whole[356:],
        }[content]
    )
    with pytest.raises(ModelError):
        unpack_archive(path, _out(tmp_path))


def _out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def _link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type = tarfile.SYMTYPE
    member.linkname = target
    return member, b""


def _pack(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for member, content in members:
            packed.addfile(member, io.BytesIO(content))
    return path
