"""The main screen and what opens above it: details, help, columns, diagnostics."""
