"""From a configuration to a package with its report."""
