"""The measures: each module defines one."""
