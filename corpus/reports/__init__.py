"""Clinical text: readers, de-identification, passages, and the index that prompts are retrieved from."""
