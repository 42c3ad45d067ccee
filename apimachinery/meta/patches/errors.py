"""What is wrong with a patch."""


class PatchError(ValueError):
    """A patch that cannot be used. `malformed`: it is no patch at all (400); `unforeseen`: upstream's server has no
    answer of its own for that, and gives its library's words; else it does not apply here (422)."""

    def __init__(self, message: str, *, malformed: bool = False, unforeseen: bool = False) -> None:
        super().__init__(message)
        self.malformed, self.unforeseen = malformed, unforeseen
