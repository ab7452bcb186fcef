"""Recall: a written corpus with questions, and how often they are answered."""
