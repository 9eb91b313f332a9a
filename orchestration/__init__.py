"""The pipelines: load, transform, release, each with its pure modules in a room of its own.

Never imports `services` or `cli`.
"""
