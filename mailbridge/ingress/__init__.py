"""Incoming mail: every ingress makes Envelopes and passes them to the intake."""
