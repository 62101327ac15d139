"""Settings of models and of trainings."""
