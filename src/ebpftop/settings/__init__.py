"""Settings that stay: what they are, where they are kept, how they are read and written. docs/settings.md."""
