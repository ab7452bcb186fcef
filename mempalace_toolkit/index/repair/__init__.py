"""Plans a repair of the index and applies it, step by step, with undo."""
