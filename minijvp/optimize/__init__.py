"""What makes programs faster or smaller, and changes no result. The machine runs without it."""
