"""The kinds of survey sites: each module defines one, named like the option of a survey that chooses it."""
