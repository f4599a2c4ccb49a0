import { lost, troubles } from "../headline.js";
import { Plot, Sparkline } from "../plot.jsx";
import { href } from "../route.js";
import { lines, now, PROTOCOLS, series } from "../state.js";
import { bytes, clients, count, rate, since, span } from "../words.js";

const NAMES = { nats: "NATS", mqtt: "MQTT", websocket: "WebSocket", leafnode: "Leafnode" };
const SHOWN = PROTOCOLS.map((protocol) => [protocol, NAMES[protocol], `--${protocol}`]);
const STATES = { up: ["well", "●", "up"], down: ["fault", "■", "down"], standby: ["quiet", "◌", "standing by"] };

export function Now() {
  const told = now.value;
  return (
    <>
      <Warnings />
      <Rates way="in" title="Messages in" />
      <Rates way="out" title="Messages out" />
      <section>
        <h2>Links</h2>
        <Buffers buffers={told.buffers} />
        <Links links={[...told.uplinks.map((one) => ({ ...one, kind: "Uplink" })), ...told.bridges.map((one) => ({ ...one, kind: "Bridge", state: one.up ? "up" : "down" }))]} />
      </section>
      <section>
        <h2>Last hour</h2>
        <LastHour />
      </section>
      <section>
        <h2>The gateway</h2>
        <Facts />
      </section>
    </>
  );
}

function Warnings() {
  const found = lines.value.filter((one) => one.level !== "well");
  if (found.length < 2) return null;
  return (
    <section>
      <h2>What needs somebody</h2>
      <ul class="plain">
        {found.map((one) => (
          <li key={one.text} class={`state-${one.level}`}>
            <span aria-hidden="true">{one.level === "fault" ? "■" : "▲"}</span> {one.room ? <a href={href(one.room)}>{one.text}</a> : one.text} {one.todo}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Rates({ way, title }) {
  const { times, [way]: values } = series.value;
  const shown = SHOWN.filter(([protocol]) => now.value.protocols[protocol]);
  const latest = (protocol) => values[protocol].at(-1) ?? 0;
  const words = shown.map(([protocol, name]) => `${name} ${rate(latest(protocol))} a second`).join(", ");
  return (
    <section>
      <h2>{title}</h2>
      <ul class="legend">
        {shown.map(([protocol, name]) => (
          <li key={protocol}>
            <span class="swatch" style={{ background: `var(--${protocol})` }} />
            {name} <b>{rate(latest(protocol))}</b>/s
          </li>
        ))}
      </ul>
      <Plot key={shown.length} label={`${title}, the last 15 minutes: now ${words}`} shown={shown} times={times} values={values} group="rates" />
    </section>
  );
}

function Links({ links }) {
  if (links.length === 0) return <p>This gateway has no uplink and no bridge: it stands for itself.</p>;
  return (
    <ul class="cards">
      {links.map((link) => {
        const [level, shape, word] = STATES[link.state];
        return (
          <li key={`${link.kind} ${link.name}`}>
            <h3>
              {link.kind} {link.name}{" "}
              <span class={`state-${level}`}>
                <span aria-hidden="true">{shape}</span> {word}
              </span>
            </h3>
            <p>
              {link.url} {link.account ? `for the account ${link.account}, ` : ""}for {since(link.since, now.value.server.now)}. {link.flaps > 0 && `It was lost ${count(link.flaps)} times.`}
            </p>
            {link.last_error && link.state !== "up" && <p class="state-fault">{link.last_error}</p>}
            {link.kind === "Bridge" && <p>{link.queued_msgs ? `${count(link.queued_msgs)} messages wait, ${bytes(link.queued_bytes)}.` : "No message waits."} {link.dropped_msgs > 0 && `${count(link.dropped_msgs)} were dropped.`}</p>}
          </li>
        );
      })}
    </ul>
  );
}

const BUFFERS = { flowing: ["well", "●", "flowing"], waiting: ["warning", "▲", "waiting for the link"], held: ["fault", "■", "held by the hub"], unconfigured: ["warning", "▲", "not configured any more"] };

function Buffers({ buffers }) {
  if (buffers.length === 0) return null;
  return (
    <ul class="cards">
      {buffers.map((one) => {
        const [level, shape, word] = BUFFERS[one.state] ?? ["quiet", "◌", one.state];
        return (
          <li key={one.name}>
            <h3>
              Buffer {one.name}{" "}
              <span class={`state-${level}`}>
                <span aria-hidden="true">{shape}</span> {word}
              </span>
            </h3>
            {one.room && <meter min={0} max={one.room} high={0.8 * one.room} value={one.bytes} aria-label={`Room that is taken in ${one.name}`} />}
            <p>
              {one.messages > 0 ? `${count(one.messages)} messages wait, ${bytes(one.bytes)}${one.room ? ` of ${bytes(one.room)}` : ""}, the oldest for ${span(one.oldest_seconds)}.` : "No message waits."}{" "}
              {count(one.forwarded)} were forwarded. {lost([one])}
            </p>
            {one.last_error && one.state !== "flowing" && <p class={`state-${level}`}>{one.last_error}</p>}
          </li>
        );
      })}
    </ul>
  );
}

function LastHour() {
  const found = troubles(now.value.last_hour);
  if (found.length === 0) return <p>Nothing went wrong.</p>;
  return <ul class="plain">{found.map((one) => <li key={one}>{one}</li>)}</ul>;
}

function Facts() {
  const { server, storage, mqtt, memory } = now.value;
  const facts = [
    ["Version", server.version],
    ["Up for", since(server.start, server.now)],
    ["Connected", clients(server.clients)],
    ["Subscriptions", count(server.subscriptions)],
    ["MQTT sessions", `${count(mqtt.sessions)}, ${count(mqtt.clients)} of them here`],
    ["Retained", `${count(mqtt.retained_messages)} (${bytes(mqtt.retained_bytes)})`],
    ["Answers within", <>
      <Sparkline values={series.value.answered} label="How long the gateway took to answer" /> {last(series.value.answered)}
    </>],
    ["Processor", `${server.cpu.toFixed(1)} %`],
    ["Memory", `${bytes(server.mem)}, ${bytes(memory.used)} kept for clients`],
    ["Waits for the disk", storage ? bytes(storage.pending_bytes) : "nothing is kept on a disk"],
  ];
  return (
    <dl>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
      {storage && (
        <div>
          <dt>Until it is on the disk</dt>
          <dd><Sparkline values={series.value.fsync} label="How long commits took" /> {last(series.value.fsync)}</dd>
        </div>
      )}
    </dl>
  );
}

function last(values) {
  const known = values.findLast((value) => value !== null);
  return known === undefined ? "–" : `${known.toFixed(1)} ms`;
}
