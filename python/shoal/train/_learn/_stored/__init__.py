"""Records prepared for learning: read once, stored on disk, and made into features."""
