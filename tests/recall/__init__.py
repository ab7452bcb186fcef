"""Tests of recall/: asking a palace without chromadb."""
