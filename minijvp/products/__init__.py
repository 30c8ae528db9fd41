"""Products with Jacobians, Hessians and their kin, and traces of them, without the matrices."""
