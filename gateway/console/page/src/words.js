// Numbers and times as people say them.
const UNITS = [
  [86400, "day"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

export function count(number) {
  return Math.round(number).toLocaleString("en");
}

export function span(seconds) {
  for (const [size, name] of UNITS) {
    if (seconds >= size) {
      const whole = Math.floor(seconds / size);
      return `${whole} ${name}${name === "day" && whole > 1 ? "s" : ""}`;
    }
  }
  return "a moment";
}

// For how long something is so, by the gateway's clock.
export function since(text, now) {
  return span((Date.parse(now) - Date.parse(text)) / 1000);
}

export function bytes(number) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (Math.abs(number) < 1024) return `${unit === "B" ? Math.round(number) : number.toFixed(1)} ${unit}`;
    number /= 1024;
  }
  return `${number.toFixed(1)} GiB`;
}

export function rate(number) {
  return number >= 10 || number === 0 ? count(number) : number.toFixed(1);
}

export function clients(number) {
  return `${count(number)} ${number === 1 ? "client" : "clients"}`;
}

// A filter or a subject in either notation becomes NATS's.
export function asSubject(text) {
  const trimmed = text.trim();
  if (!/[/#+]/.test(trimmed)) return trimmed;
  return trimmed
    .split("/")
    .map((level) => (level === "+" ? "*" : level === "#" ? ">" : level))
    .join(".");
}
