"""The dashboard: pages for the people who decide, over the services' routes."""
