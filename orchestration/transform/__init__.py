"""Transform: dbt builds marts from the landing zone."""
