"""The load step: turns a dataset's files into typed Parquet in the landing zone, and rejects."""
