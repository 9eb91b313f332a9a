"""The Python side of Pollux that everything else may import.

Belongs here: the gateway to customers and, in `runtime`, what every process shares. Does not
belong here: anything that imports dagster, dbt, fastapi or the packages above this one.
"""
