"""What is said about a mask: facts, intents, generation, checks and review."""
