"""The Dagster code: assets, checks, jobs, schedules and sensors around the pipeline's steps."""
