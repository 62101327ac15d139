"""Data sets: pictures with a class or captions for each, as arrays. `catalog` lists them."""
