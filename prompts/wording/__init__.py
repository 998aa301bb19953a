"""What a text's words say, without a model: for the checks (`claims`, `sides`, `lexicon`), for the language model that
reads requests (`spelling`, `cues`, `associations`, `renaming`), and for a baseline (`keywords`)."""
