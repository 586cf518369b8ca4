"""From a fitted pipeline to a package, with proof."""
