"""A page to play with models, served on this machine: `cvae explore`."""
