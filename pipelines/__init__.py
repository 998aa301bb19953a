"""One thin module per DVC stage (`python -m pipelines.<stage>`) and the `flans` command line (`cli`, `bench`), whose
longer commands have a module each. What several share is in `stage`, `commands`, `runs`, `experiments` and `sources`.
"""
