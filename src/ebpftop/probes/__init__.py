"""The probes: each a C file, an attach ladder, and how its map or buffer becomes records."""
