"""What learns: FLanS, put together in `flans` from the canonicalizer, the encoders, the heads and the mask decoder.

`data` and `texts` bring the data set, `training/` fits the parts to it, `inference` uses what came out, `testing/` says
how good that is on held-out patients, and `studies/` beside what.
"""
