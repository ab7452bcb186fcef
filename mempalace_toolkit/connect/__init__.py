"""Gives a coding agent the way to the palace: an MCP entry where it has MCP, and a skill."""
