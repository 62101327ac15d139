"""Training models: from a recipe to a model folder."""
