"""HTTP in: machines that watch us, and the practice receiver."""
