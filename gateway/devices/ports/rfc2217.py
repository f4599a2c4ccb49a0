"""RFC 2217: serial port settings inside telnet. The client's half of the byte stream, without its socket."""

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0, 3, 44
# Subnegotiations of COM-PORT-OPTION (RFC 2217, 3); the server answers with 100 more.
SET_BAUDRATE, SET_DATASIZE, SET_PARITY, SET_STOPSIZE, SET_CONTROL = 1, 2, 3, 4, 5
NO_PARITY = ONE_STOP_BIT = NO_FLOW_CONTROL = 1
DTR_OFF, RTS_OFF = 9, 12
OURS = (BINARY, SUPPRESS_GO_AHEAD, COM_PORT)
THEIRS = (BINARY, SUPPRESS_GO_AHEAD)
LONGEST_SUBNEGOTIATION = 64


class TelnetPort:
    """`receive` takes what the server sends and returns the port's bytes; `to_send` collects answers for it."""

    def __init__(self) -> None:
        self.to_send = bytearray()
        self.refused = False
        self._data = bytearray()
        self._command: bytearray | None = None
        self._asked = {(WILL, option) for option in OURS} | {(DO, option) for option in THEIRS}
        for verb, option in sorted(self._asked):
            self.to_send += bytes((IAC, verb, option))

    def configure(self, baud: int) -> bytes:
        """8N1 at `baud`, no flow control, DTR and RTS low."""
        return b"".join(
            (
                self.set_baud(baud),
                subnegotiation(SET_DATASIZE, b"\x08"),
                subnegotiation(SET_PARITY, bytes((NO_PARITY,))),
                subnegotiation(SET_STOPSIZE, bytes((ONE_STOP_BIT,))),
                subnegotiation(SET_CONTROL, bytes((NO_FLOW_CONTROL,))),
                subnegotiation(SET_CONTROL, bytes((DTR_OFF,))),
                subnegotiation(SET_CONTROL, bytes((RTS_OFF,))),
            )
        )

    def set_baud(self, baud: int) -> bytes:
        return subnegotiation(SET_BAUDRATE, baud.to_bytes(4, "big"))

    def receive(self, data: bytes) -> bytes:
        """The bytes of the port in `data`; negotiation is acted on."""
        rest = bytes(data)
        while rest:
            if self._command is None:
                plain, mark, rest = rest.partition(b"\xff")
                self._data += plain
                if mark:
                    self._command = bytearray()
            else:
                self._command.append(rest[0])
                rest = rest[1:]
                self._continue(self._command)
        out, self._data = bytes(self._data), bytearray()
        return out

    def _continue(self, command: bytearray) -> None:
        """One more byte of what follows an IAC."""
        verb = command[0]
        if verb == IAC:
            self._data.append(IAC)
        elif verb in (DO, DONT, WILL, WONT):
            if len(command) < 2:
                return
            self._negotiate(verb, command[1])
        elif verb == SB and command[-2:] != bytes((IAC, SE)) and len(command) < LONGEST_SUBNEGOTIATION:
            return  # The server's answer to a setting: nobody waits for it.
        self._command = None

    def _negotiate(self, verb: int, option: int) -> None:
        if verb == DONT and option == COM_PORT:
            self.refused = True
        elif verb in (DO, WILL):
            accepted = (WILL if verb == DO else DO, option)
            known = option in (OURS if verb == DO else (*THEIRS, COM_PORT))
            if accepted not in self._asked:
                refusal = WONT if verb == DO else DONT
                self.to_send += bytes((IAC, accepted[0] if known else refusal, option))
                self._asked.add(accepted)


def escape(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xff\xff")


def subnegotiation(command: int, value: bytes) -> bytes:
    return bytes((IAC, SB, COM_PORT, command)) + escape(value) + bytes((IAC, SE))
