"""The load step: files of a dataset to typed Parquet in the landing zone, bad rows to rejects."""
