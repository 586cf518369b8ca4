"""A look as one page, made of the parts of `shoal.evaluate`."""
