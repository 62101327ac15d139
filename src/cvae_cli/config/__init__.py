"""Settings: what a model is, and how it is trained."""
