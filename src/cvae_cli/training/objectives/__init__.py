"""What a training minimises: the bound, the bound with a discriminator, or the loss of a prior."""
