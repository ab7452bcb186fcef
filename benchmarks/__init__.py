"""What the project promises in figures, as commands that print them."""
