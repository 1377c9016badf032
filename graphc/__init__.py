"""graphc: a deep-learning library whose engine is a compiler you can read."""
