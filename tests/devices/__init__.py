"""Scripts that need several devices, and the tests that run them."""

from tests.contexts import share

share()  # also in the processes of the scripts
