"""What users pass to transformations and get from them: checked, flattened, and named in errors."""
