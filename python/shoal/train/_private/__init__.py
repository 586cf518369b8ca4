"""Differentially private training: budgets, mechanisms, trainers, and what was spent."""
