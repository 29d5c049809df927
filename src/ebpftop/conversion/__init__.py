"""What recordings become for other programs: a file for each format, which yields bytes as it reads records."""
