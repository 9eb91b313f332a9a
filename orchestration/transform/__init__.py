"""Transform: from landing to marts, by dbt."""
