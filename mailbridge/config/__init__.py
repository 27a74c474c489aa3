"""The operator's configuration: typed settings, where each value came from, and all mistakes reported at once."""
