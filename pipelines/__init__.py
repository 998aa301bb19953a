"""One thin module per DVC stage (`python -m pipelines.<stage>`) and the `flans` command line."""
