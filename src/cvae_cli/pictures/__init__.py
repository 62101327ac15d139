"""Pictures: opening, encoding as files, grids, previews in a terminal, and conversion from and to tensors."""
