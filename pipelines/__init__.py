"""One thin module per DVC stage (`python -m pipelines.<stage>`) and the `flans` command line (`cli`, `bench`), whose
longer commands have a module each. The first line of every module says which it is."""
