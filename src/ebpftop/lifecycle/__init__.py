"""The process itself: how it starts, stops and ends, its limits, its helper processes, its terminal."""
