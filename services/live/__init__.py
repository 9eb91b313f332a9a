"""Live rows: what customers just did, by the release's own models, in seconds."""
