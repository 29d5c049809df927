"""The process itself: how it starts, is stopped and ends, its limits, its helper processes, its terminal."""
