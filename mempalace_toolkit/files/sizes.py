"""Sizes and room on a disk, for a person: in decimal units, as disks are sold and tools say."""

from __future__ import annotations


def in_bytes(size: int) -> str:
    """`900 kB`, `12.4 MB`, `40 MB`, `1.2 GB`."""
    if size >= 1e9:
        return f"{size / 1e9:,.1f} GB"
    if size >= 1e6:
        return f"{size / 1e6:.1f} MB" if size < 2e7 else f"{size / 1e6:.0f} MB"
    return f"{max(1, round(size / 1e3))} kB"
