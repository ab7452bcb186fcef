"""mempalace-toolkit: keeps a coding agent's memory fresh and sound, unattended."""

__version__ = "0.2.0"
