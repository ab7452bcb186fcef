"""How chromadb names a segment, and MemPalace the folder of one that was set aside."""

from __future__ import annotations

import re

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

SEGMENT_NAME = re.compile(UUID)
"""What names a collection, a segment and the folder of one; nothing else ever becomes a path."""

QUARANTINED_NAME = re.compile(rf"({UUID})\.(drift|corrupt)-(.+)")
"""The segment, why it was set aside, and when: YYYYMMDD-HHMMSS, or what a person wrote."""
