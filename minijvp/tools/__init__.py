"""What looks at functions and their derivatives from outside: checks, and rules for functions of other libraries."""
