"""The machine: types, traces, primitives and programs. It knows no primitive and no mathematics."""
