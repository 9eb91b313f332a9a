"""All that Dagster sees: assets, checks, jobs, schedules and sensors over the pipeline's steps."""
