"""Messages that are longer than the code which raises them: what happened, why, and what to do."""
