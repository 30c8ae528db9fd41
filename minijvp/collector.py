"""The collector of garbage, which has nothing to do while modules are imported: all that they make is to stay."""

from __future__ import annotations

import gc


class Rest:
    """The collector rests as long as this exists, if it was on: an import that fails ends it too."""

    def __init__(self) -> None:
        self.was_on = gc.isenabled()
        gc.disable()

    def __del__(self) -> None:
        if self.was_on:
            gc.enable()
