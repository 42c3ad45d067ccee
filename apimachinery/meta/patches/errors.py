"""What is wrong with a patch."""


class PatchError(ValueError):
    """A patch that cannot be used. `malformed`: it is no patch at all (400); else it does not apply here (422)."""

    def __init__(self, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.malformed = malformed
