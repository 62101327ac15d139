"""The metrics: what one is (`metric`), one module for each family, and which there are (`catalog`)."""
