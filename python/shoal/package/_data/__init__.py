"""Packages that hold no model, but records."""
