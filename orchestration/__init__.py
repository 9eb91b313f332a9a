"""The pipeline: load, transform, learn, release, and `build`, the chain of them.

No step imports a later one. Dagster is imported in `defs` and `instance` only; nothing here imports
`services`, `cli` or `sample`.
"""
