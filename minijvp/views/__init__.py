"""Programs and their gradients as people look at them: tables, pictures, Python."""
