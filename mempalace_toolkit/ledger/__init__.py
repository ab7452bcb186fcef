"""Remembers sessions, pages, and what each palace holds of them."""
