"""What panes and screens share: lines of Strips, columns, the state line, badges."""
