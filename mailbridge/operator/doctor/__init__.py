"""Everything that can be wrong with a bridge, one finding each with the line that fixes it: small checks, all run at once."""
