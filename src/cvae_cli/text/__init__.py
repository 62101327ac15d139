"""Prompts and captions, and the conditions that are made from them."""
