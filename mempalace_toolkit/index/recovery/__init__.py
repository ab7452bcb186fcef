"""Reads a damaged database page by page and rebuilds it."""
