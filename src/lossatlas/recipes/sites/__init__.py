"""Where a survey can lie: one module per option of a survey that says so, named like it."""
