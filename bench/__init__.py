"""Benchmarks: CPU time per request as a ratio to peers and to the bare limit, interleaved in one run.

`python -m bench` runs every case, `python -m bench http_text` one; `--quick` runs few rounds and decides nothing.
"""
