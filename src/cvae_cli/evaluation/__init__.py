"""Measuring models: reconstructions, the bound, and samples."""
