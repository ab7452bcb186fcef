"""Asking a palace: MemPalace's own search, and where each hit was said."""
