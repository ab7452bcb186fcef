"""Acknowledged writes, kept on the disk until the palace has them."""
