"""The OpenAPI documents of all services as files, and what breaks between two editions of one."""
