"""Model cards: what a model is, as the Hugging Face Hub shows it."""
