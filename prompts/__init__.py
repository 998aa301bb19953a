"""What is said about a mask.

What is true of it (`facts`, `relations`, `rules`, `targets`); who asks for it (`generator` fills the `bank`, by
`providers/` or the offline grammar: `grammar`, `composer`, `phrases`); whether the words are right (`checks/`,
`wording/`) and the bank is good (`quality`, `duplicates`); people's say (`review/`); the data set (`dataset`,
`splits`).
"""
