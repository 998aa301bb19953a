"""A trained model on held-out patients and requests, from what is asked to what is reported.

`held_out`, `asked` (the requests) -> `views`, `poses` (how a slice is shown) -> `evaluation` (one row a case, judged by
`grading`, `stacks`, `metrics`) -> `scoring`, `statistics` (figures and intervals), `drawing` (pictures). `robustness`
asks again with one thing changed, by `perturbations`. `requests/` and plain_requests.yaml measure language alone.
"""
