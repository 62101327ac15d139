"""Files that can be downloaded: the registry, and the downloads themselves."""
