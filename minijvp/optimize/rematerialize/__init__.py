"""Which residuals reverse mode keeps, and which it computes again: linearization by a plan."""
