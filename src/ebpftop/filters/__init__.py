"""What a filter is, apart from who applies it."""
