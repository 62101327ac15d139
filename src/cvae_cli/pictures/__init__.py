"""Pictures: opening, writing, grids, a terminal preview, and pixels as numbers."""
