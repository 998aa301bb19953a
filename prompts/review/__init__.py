"""Prompts before people: the review sheet (`sheet`), one reviewer at work on it (`desk`), and the decisions that lie as
CSV files in `decisions/` (`decided`)."""
