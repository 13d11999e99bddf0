"""The file formats: each module defines one."""
