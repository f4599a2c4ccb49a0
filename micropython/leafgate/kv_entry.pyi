class Entry:
    key: str
    value: bytes | bytearray
    revision: int
    operation: str
    def __init__(self, key: str, value: bytes | bytearray, revision: int, headers: dict[str, str]) -> None: ...
