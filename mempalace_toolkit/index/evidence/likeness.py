"""When two vectors count as those of one text."""

from __future__ import annotations

ALIKE = 0.999
"""Their least cosine. Another machine's vector of a text differs in the last digits only."""
