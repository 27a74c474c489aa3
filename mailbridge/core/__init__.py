"""The pure floor: no I/O, no clock, no dice, no log."""
