"""Why a derivative is what it is: values that make it zero, and the user's lines."""
