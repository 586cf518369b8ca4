"""One folder per room, the laws every implementation obeys, and whole programs end to end."""
