"""Made-up raw files in the formats of the real ones, for a first look and for tests."""
