"""An agent's settings file with our MCP entry put in or taken out. All pure: text to text."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from mempalace_toolkit.connect.clients import SERVER, Client
from mempalace_toolkit.errors import ConfigurationError

_BEGIN = "# >>> mempalace-toolkit"
_END = "# <<< mempalace-toolkit"
_BLOCK = re.compile(rf"\n?{re.escape(_BEGIN)}\n.*?{re.escape(_END)}\n", re.DOTALL)


def with_server(client: Client, text: str, entry: Mapping[str, object]) -> str:
    """The file's text with our entry; unchanged where it stands there already.

    Raises ConfigurationError where the file cannot be edited without risk to what is in it.
    """
    if client.form == "toml":
        return _toml_with(client, text, entry)
    settings = _parsed_json(client, text)
    servers = settings.get(client.table, {})
    if not isinstance(servers, dict):
        raise _by_hand(client, f"`{client.table}` is not an object")
    if servers.get(SERVER) == entry:
        return text
    if SERVER in servers:
        raise _by_hand(client, f"it has another `{client.table}.{SERVER}`")
    return _dumped({**settings, client.table: {**servers, SERVER: dict(entry)}}, text)


def without_server(client: Client, text: str, entry: Mapping[str, object]) -> str:
    """The file's text without our entry; unchanged where there is none, or another's."""
    if client.form == "toml":
        return _BLOCK.sub("", text)
    settings = _parsed_json(client, text)
    servers = settings.get(client.table)
    if not isinstance(servers, dict) or servers.get(SERVER) != entry:
        return text
    rest = {name: value for name, value in servers.items() if name != SERVER}
    left = {**settings, client.table: rest}
    if not rest:
        del left[client.table]
    return _dumped(left, text) if left else ""


def shown_entry(client: Client, entry: Mapping[str, object]) -> str:
    """What a person pastes into the file."""
    if client.form == "toml":
        return _toml_block(client, entry)
    return json.dumps({client.table: {SERVER: entry}}, indent=2)


def _parsed_json(client: Client, text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise _by_hand(client, f"it is not plain JSON ({error})") from error
    if not isinstance(settings, dict):
        raise _by_hand(client, "it is not a JSON object")
    return settings


def _dumped(settings: Mapping[str, object], before: str) -> str:
    """JSON in the indentation that the file had."""
    indented = re.search(r"^([ \t]+)\S", before, re.MULTILINE)
    return json.dumps(settings, indent=indented[1] if indented else 2, ensure_ascii=False) + "\n"


def _toml_with(client: Client, text: str, entry: Mapping[str, object]) -> str:
    rest = _BLOCK.sub("", text)
    try:
        settings = tomllib.loads(rest)
    except tomllib.TOMLDecodeError as error:
        raise _by_hand(client, f"it is not valid TOML ({error})") from error
    servers = settings.get(client.table, {})
    if isinstance(servers, dict) and servers.get(SERVER) == entry:
        return text
    if isinstance(servers, dict) and SERVER in servers:
        raise _by_hand(client, f"it has another `{client.table}.{SERVER}`")
    gap = "" if not rest or rest.endswith("\n") else "\n"
    return f"{rest}{gap}\n{_BEGIN}\n{_toml_block(client, entry)}{_END}\n"


def _toml_block(client: Client, entry: Mapping[str, object]) -> str:
    values = "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items())
    return f"[{client.table}.{SERVER}]\n{values}"


def _by_hand(client: Client, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{client.settings}: {why}; it was left as it is",
        f"put the entry in by hand: mempalace-toolkit connect {client.name} shows it",
    )
