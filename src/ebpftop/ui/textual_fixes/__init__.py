"""What Textual does not do, or does otherwise than a terminal program should."""
