"""Files that can be downloaded: which there are, and fetching them."""
