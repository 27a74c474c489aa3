"""Mail comes in: every ingress makes Envelopes and hands them to the one door."""
