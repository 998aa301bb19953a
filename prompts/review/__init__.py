"""Prompts before people: the review sheet (`sheet`), one reviewer at work on it (`desk`), and their decisions, CSV
files in `decisions/` (`decision_files`)."""
