"""What learns: the canonicalizer, the encoders, the heads, the mask decoder; their training and use."""
