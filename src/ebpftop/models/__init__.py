"""Pure state of the panes: fed with records, read by widgets; no clock, no kernel, no Textual."""
