"""The training loop (`loop`), what each stage minimises (`objectives`), how weights learn (`optimizer`), and how a run
is kept (`state`) and shared among processes (`processes`)."""
