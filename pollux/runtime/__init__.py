"""What every process of an installation shares: settings, database, warehouse lock."""
