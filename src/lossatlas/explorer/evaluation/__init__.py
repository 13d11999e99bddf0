"""What is computed at points of a run on demand. Nothing here knows of pages; torch is imported when it is used."""
