"""Which embedder MemPalace would use: found by what it is, not only by its name.

For a child process: it loads chromadb. Vectors that are kept for later belong to one identity:
the model's files, and the versions of all that turns a text into a vector.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import json
import platform
from pathlib import Path
from typing import Any

from mempalace_toolkit.model.encode import TOKENS

_PLACE = "chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2"
_PACKAGES = ("mempalace", "chromadb", "onnxruntime", "tokenizers", "numpy")


def stock_class() -> Any | None:
    """chromadb's MiniLM, None where it is not the class that this module knows."""
    try:
        found = importlib.import_module(_PLACE).ONNXMiniLM_L6_V2
        parameters = list(inspect.signature(found._forward).parameters)
        known = (
            found.__module__ == _PLACE
            and found.MODEL_NAME == "all-MiniLM-L6-v2"
            and parameters == ["self", "documents", "batch_size"]
            and found.max_tokens(None) == TOKENS
        )
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    return found if known else None


def is_plain(embedder: Any, folder: Path) -> bool:
    """Whether an embedder is that class or made from it, computes on the processor, and reads
    the model in `folder`."""
    stock = stock_class()
    if stock is None or not isinstance(embedder, stock):
        return False
    try:
        place = Path(embedder.DOWNLOAD_PATH) / embedder.EXTRACTED_FOLDER_NAME
        providers = embedder._preferred_providers
        return bool(providers == ["CPUExecutionProvider"] and place.samefile(folder))
    except (OSError, AttributeError, TypeError):
        return False


def identity_of(folder: Path) -> str:
    """A name for the model in `folder` and the versions here. Raises OSError."""
    parts: dict[str, str] = {"machine": platform.machine()}
    for name in ("model.onnx", "tokenizer.json"):
        with (folder / name).open("rb") as file:
            parts[name] = hashlib.file_digest(file, "sha256").hexdigest()
    for package in _PACKAGES:
        parts[package] = importlib.metadata.version(package)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
