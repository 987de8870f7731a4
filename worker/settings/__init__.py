"""Settings: one frozen tree, and how it is read (flag > environment > TOML file > default)."""
