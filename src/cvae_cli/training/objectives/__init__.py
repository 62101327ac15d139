"""What a training minimises: the bound, the bound with a discriminator or a frozen network, or the loss of a prior."""
