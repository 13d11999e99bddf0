"""Presets: each module defines one, named as on the command line, by the settings that differ from the defaults."""
