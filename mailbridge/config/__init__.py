"""What the operator wants: typed settings, where each came from, and every mistake at once."""
