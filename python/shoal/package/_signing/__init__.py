"""Who signed a package, and whether that holds."""
