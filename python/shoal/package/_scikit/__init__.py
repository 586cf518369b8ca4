"""Fitted scikit-learn estimators: their parts, their rows, and their export."""
