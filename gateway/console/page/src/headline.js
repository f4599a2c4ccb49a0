// The state of the gateway in sentences. The first one is the worst, and the top line of the page.
// Each is { level: "well" | "warning" | "fault", text, todo, room }; `todo` says what to do, `room` where to look.
import { bytes, clients, count, since, span } from "./words.js";

const DAY = 86400;
const CERTIFICATE_DAYS = 14;
const FULL = 0.9;
const WORST = ["fault", "warning", "well"];

export function headlines(now) {
  const found = [...faults(now), ...uplinks(now), ...bridges(now), ...held(now), ...others(now)];
  found.sort((one, other) => WORST.indexOf(one.level) - WORST.indexOf(other.level));
  return found.length > 0 ? found : [{ level: "well", text: allWell(now), todo: "", room: "" }];
}

function allWell(now) {
  const up = now.uplinks.filter((one) => one.state === "up");
  const links = up.map((one) => `uplink to ${one.name || one.hub || one.url} for ${since(one.since, now.server.now)}`);
  return `All well: ${[clients(now.server.clients), ...links].join(", ")}.`;
}

function* faults({ fault, storage }) {
  if (fault) yield { level: "fault", text: `The gateway cannot serve: ${fault.error}.`, todo: fault.hint, room: "now" };
  else if (storage?.fault) {
    yield { level: "fault", text: `Nothing can be stored: ${storage.fault}.`, todo: "See to the disk.", room: "now" };
  }
}

function* uplinks({ uplinks, buffers, server }) {
  for (const link of uplinks) {
    if (link.state !== "down") continue;
    const why = link.last_error ? `: ${plainly(link.last_error)}` : "";
    const text = `Uplink ${link.name ? `${link.name} ` : ""}down for ${since(link.since, server.now)}${why}. ${stored(buffers.filter((one) => one.uplink === link.name))}`;
    yield { level: "warning", text: text.trim(), todo: `It is tried again by itself. Check the way to ${link.url}.`, room: "now" };
  }
}

function* bridges({ bridges, server }) {
  for (const link of bridges) {
    if (link.up) continue;
    const why = link.last_error ? `: ${plainly(link.last_error)}` : "";
    const text = `Bridge ${link.name} down for ${since(link.since, server.now)}${why}. ${waiting(link)}`;
    yield { level: "warning", text: text.trim(), todo: `It is tried again by itself. Check the way to ${link.url}.`, room: "now" };
  }
}

// Without the system's own words in brackets, which Now shows.
function plainly(error) {
  return error.replace(/ \(\[Errno .*\)$/, "");
}

// What waits on the disk for an uplink.
function stored(buffers) {
  const sum = (key) => buffers.reduce((total, one) => total + (one[key] ?? 0), 0);
  const messages = sum("messages");
  if (!messages) return "";
  const room = sum("room");
  const part = room ? ` (${Math.ceil((100 * sum("bytes")) / room)} % of the room)` : "";
  return `${count(messages)} messages wait ${buffers.every((one) => one.memory) ? "in memory" : "on disk"}${part}. ${lost(buffers)}`;
}

export function lost(buffers) {
  const dropped = buffers.flatMap((one) => Object.values(one.dropped)).reduce((total, one) => total + one, 0);
  return dropped > 0 ? `${count(dropped)} were lost.` : "Nothing is lost.";
}

function* held({ buffers }) {
  for (const buffer of buffers) {
    if (buffer.state !== "held") continue;
    const text = `The hub does not take what waits in ${buffer.name}${buffer.last_error ? `: ${plainly(buffer.last_error)}` : ""}. ${stored([buffer])}`;
    yield { level: "warning", text: text.trim(), todo: "See to the stream at the hub.", room: "now" };
  }
}

function waiting(link) {
  if (!link.queued_msgs) return "";
  const lost = link.dropped_msgs ? `${count(link.dropped_msgs)} were lost.` : "Nothing is lost.";
  return `${count(link.queued_msgs)} messages wait (${bytes(link.queued_bytes)}). ${lost}`;
}

function* others({ degraded, server, memory }) {
  for (const [name, why] of Object.entries(degraded.serial ?? {})) {
    yield { level: "warning", text: `Serial port ${name}: ${why}.`, todo: "Check the cable and the port.", room: "devices" };
  }
  for (const [name, why] of Object.entries(degraded.listeners ?? {})) {
    yield { level: "warning", text: `Nobody can come in at ${name}: ${why}.`, todo: "Free the address.", room: "now" };
  }
  for (const part of ["configuration", "retained", "storage"]) {
    if (degraded[part]) yield { level: "warning", text: `${part[0].toUpperCase()}${part.slice(1)}: ${degraded[part]}.`, todo: HINTS[part], room: "now" };
  }
  const left = server.certificates_end ? (Date.parse(server.certificates_end) - Date.parse(server.now)) / 1000 : Infinity;
  if (left < CERTIFICATE_DAYS * DAY) {
    const text = left > 0 ? `A certificate ends in ${span(left)}.` : "A certificate has ended.";
    yield { level: left > 0 ? "warning" : "fault", text, todo: "Put a new one in its place; it is read by itself.", room: "now" };
  }
  if (memory.used > FULL * memory.limit) {
    const text = `Clients make the gateway keep ${bytes(memory.used)} of ${bytes(memory.limit)}.`;
    yield { level: "warning", text, todo: "Look for clients that fall behind.", room: "clients" };
  }
}

const HINTS = {
  configuration: "The one before is in force. Mend the file; it is read again by itself.",
  retained: "Raise the limit, or delete what nobody needs.",
  storage: "The log says what could not be written.",
};

const TROUBLES = {
  slow_consumers: ["client was closed because it did not read", "clients were closed because they did not read"],
  stale_connections: ["connection was silent for too long", "connections were silent for too long"],
  refused_logins: ["login was refused", "logins were refused"],
  failed_handshakes: ["TLS handshake failed", "TLS handshakes failed"],
  protocol_errors: ["connection broke its protocol", "connections broke their protocol"],
  memory_refusals: ["time there was no memory for a client", "times there was no memory for a client"],
  not_retained: ["message was not retained", "messages were not retained"],
  not_stored: ["message was not stored", "messages were not stored"],
  storage_faults: ["time the disk failed", "times the disk failed"],
  not_bridged: ["message did not go over a bridge", "messages did not go over a bridge"],
  not_forwarded: ["stored message was dropped", "stored messages were dropped"],
  not_uplinked: ["message did not go over an uplink", "messages did not go over an uplink"],
};

// What went wrong within the last hour, a sentence for each kind.
export function troubles(lastHour) {
  return Object.entries(lastHour).map(([kind, number]) => {
    const [one, many] = TROUBLES[kind] ?? [kind, kind];
    return `${count(number)} ${number === 1 ? one : many}.`;
  });
}
