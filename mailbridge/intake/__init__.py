"""The one door: an Envelope is understood, written to the store, and only then answered for."""
