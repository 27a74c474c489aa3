"""Situations in which no code comes, staged with the real daemon by somebody who had not read how `why` finds its causes."""
