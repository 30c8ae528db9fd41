#!/bin/sh
# scipy.sparse.csgraph.maximum_flow takes capacities of dtype int64 and computes with their lowest 32 bits, without an
# error or a warning (SciPy 1.17.1, Python 3.12): an edge of capacity 2**40 lets nothing through, one of 2**32 + 5 lets
# five through, and one of 2**31 nothing. Up to 2**31 - 1 the flow is right. Capacities in bytes are soon beyond that.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "scipy==1.17.1" "numpy==2.3.5"
"$folder/env/bin/python" - <<'END'
import warnings

import numpy as np
import scipy
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

warnings.simplefilter("error")
print("scipy", scipy.__version__)
found = {}
for capacity in (2**30, 2**31 - 1, 2**31, 2**32 + 5, 2**40):
    graph = csr_array(np.array([[0, capacity], [0, 0]], dtype=np.int64))
    found[capacity] = int(maximum_flow(graph, 0, 1).flow_value)
    print(f"capacity {capacity}: flow {found[capacity]}")
assert found[2**30] == 2**30
assert found[2**31 - 1] == 2**31 - 1
if (found[2**31], found[2**32 + 5], found[2**40]) != (0, 5, 0):
    raise SystemExit("it has changed")
END
