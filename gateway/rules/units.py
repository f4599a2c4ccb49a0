"""Units that `convert(x, "from", "to")` knows: what each of a kind is, in the first of that kind."""

from gateway.rules.errors import ExpressionError

# By kind: factor and offset, so that value * factor + offset is in the kind's own unit.
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {"C": (1, 0), "K": (1, -273.15), "F": (5 / 9, -160 / 9)},
    "pressure": {
        "Pa": (1, 0),
        "hPa": (100, 0),
        "kPa": (1e3, 0),
        "MPa": (1e6, 0),
        "mbar": (100, 0),
        "bar": (1e5, 0),
        "psi": (6894.757293168, 0),
        "mmHg": (133.322387415, 0),
        "inHg": (3386.388640341, 0),
        "atm": (101_325, 0),
    },
    "length": {
        "m": (1, 0),
        "mm": (1e-3, 0),
        "cm": (1e-2, 0),
        "km": (1e3, 0),
        "in": (0.0254, 0),
        "ft": (0.3048, 0),
        "yd": (0.9144, 0),
        "mi": (1609.344, 0),
        "nmi": (1852, 0),
    },
    "speed": {"m/s": (1, 0), "km/h": (1 / 3.6, 0), "mph": (0.44704, 0), "kn": (1852 / 3600, 0)},
    "mass": {
        "kg": (1, 0),
        "g": (1e-3, 0),
        "mg": (1e-6, 0),
        "t": (1e3, 0),
        "lb": (0.45359237, 0),
        "oz": (0.028349523125, 0),
    },
    "volume": {"m3": (1, 0), "l": (1e-3, 0), "ml": (1e-6, 0), "gal": (3.785411784e-3, 0), "ft3": (0.028316846592, 0)},
    "flow": {"m3/h": (1, 0), "l/min": (0.06, 0), "l/s": (3.6, 0), "gpm": (0.2271247, 0)},
    "energy": {"J": (1, 0), "kJ": (1e3, 0), "MJ": (1e6, 0), "Wh": (3600, 0), "kWh": (3.6e6, 0), "MWh": (3.6e9, 0)},
    "power": {"W": (1, 0), "mW": (1e-3, 0), "kW": (1e3, 0), "MW": (1e6, 0), "hp": (745.69987158227, 0)},
    "voltage": {"V": (1, 0), "mV": (1e-3, 0), "kV": (1e3, 0)},
    "current": {"A": (1, 0), "mA": (1e-3, 0), "uA": (1e-6, 0)},
    "frequency": {"Hz": (1, 0), "kHz": (1e3, 0), "MHz": (1e6, 0), "rpm": (1 / 60, 0)},
    "angle": {"deg": (1, 0), "rad": (57.29577951308232, 0)},
    "time": {"s": (1, 0), "ms": (1e-3, 0), "us": (1e-6, 0), "min": (60, 0), "h": (3600, 0), "d": (86_400, 0)},
    "data": {"B": (1, 0), "kB": (1e3, 0), "MB": (1e6, 0), "KiB": (1024, 0), "MiB": (1024**2, 0), "GiB": (1024**3, 0)},
    "share": {"1": (1, 0), "%": (0.01, 0), "ppm": (1e-6, 0)},
}


def conversion(source: str, target: str) -> tuple[float, float]:
    """Factor and offset that make a value in one unit one in another. Raises ExpressionError."""
    for units in KINDS.values():
        if source in units and target in units:
            factor, offset = units[source]
            divisor, subtracted = units[target]
            return factor / divisor, (offset - subtracted) / divisor
    known = {name for units in KINDS.values() for name in units}
    for unit in (source, target):
        if unit not in known:
            raise ExpressionError(f"there is no unit {unit!r}; there are {', '.join(sorted(known))}")
    raise ExpressionError(f"{source} and {target} are units of different things")
