"""Image and text encoders: one interface of each, several builders (`image`, `text`), and what they are made of."""
