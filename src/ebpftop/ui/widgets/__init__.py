"""What panes and screens share: lines of Strips, columns, the status bar, badges."""
