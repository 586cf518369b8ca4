"""Files through a package into a folder: `shoal score`."""
