// One device: what it says of itself, an update as it goes on, and what it logs, from its own subjects.
import { useEffect, useState } from "preact/hooks";
import { watch } from "../connection.js";
import { href } from "../route.js";
import { bytes } from "../words.js";

const SAID_ELSEWHERE = ["subject", "state"];
const MOST_LINES = 500;
const MOST_IN_A_SECOND = 100;
const SIGNATURE_BYTES = 64;

export function State({ of }) {
  const online = of === "online";
  return <span class={online ? "state-well" : "state-quiet"}><span aria-hidden="true">{online ? "●" : "◌"}</span> {of}</span>;
}

export function Facts({ device }) {
  const told = Object.entries(device).filter(([name]) => !SAID_ELSEWHERE.includes(name));
  return told.length > 0 && <dl>{told.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{String(value)}</dd></div>)}</dl>;
}

export function Device({ subject, device, asked }) {
  // Presence is on a subject of the device's own, beside the others.
  const own = subject.replace(/\.presence$/, "");
  return (
    <>
      <section>
        <p><a href={href("devices")}>← All devices</a></p>
        <h2>{own} {device && <State of={device.state} />}</h2>
        {device ? <Facts device={device} /> : <p>{asked ? "None." : "Looking …"}</p>}
      </section>
      <Update own={own} />
      <Log own={own} />
    </>
  );
}

function Update({ own }) {
  const [update, setUpdate] = useState(null);
  useEffect(() => {
    const stops = [
      watch(`${own}.update`, (message) => message && setUpdate(offered(message.data)), MOST_IN_A_SECOND),
      watch(`${own}.update.chunk`, (message) => message && setUpdate((known) => fetched(known, message.string())), 10 * MOST_IN_A_SECOND),
      watch(`${own}.update.status`, (message) => message && setUpdate((known) => ended(known, message)), MOST_IN_A_SECOND),
    ];
    return () => stops.forEach((stop) => stop());
  }, [own]);
  return (
    <section>
      <h2>Update</h2>
      {update === null ? <p>None is going on: <code>leafgate device update</code> sends one.</p> : (
        <>
          <p role="status">{update.text}</p>
          {update.going && <progress aria-label="Of the release" max={update.total || undefined} value={update.total ? update.done : undefined} />}
          {update.total > 0 && <p class="numbers">{bytes(update.done)} of {bytes(update.total)} at most.</p>}
        </>
      )}
    </section>
  );
}

// A signature, and a manifest behind it: what is to be fetched at most.
function offered(data) {
  try {
    const manifest = JSON.parse(new TextDecoder().decode(data.subarray(SIGNATURE_BYTES)));
    const total = Object.values(manifest.files).reduce((sum, [size]) => sum + size, 0);
    return { going: true, release: manifest.release, total, done: 0, text: `Release ${manifest.release} is offered.` };
  } catch {
    return { going: true, total: 0, done: 0, text: "Release ? is offered." };
  }
}

// The device asks for a piece: digest, offset, size.
function fetched(known, asked) {
  const size = Number(asked.split(" ")[2]) || 0;
  const before = known?.going ? known : { total: 0, done: 0 };
  const done = before.total ? Math.min(before.done + size, before.total) : before.done + size;
  return { ...before, going: true, done, text: `The device fetches release ${before.release ?? ""}.` };
}

function ended(known, message) {
  let told;
  try {
    told = message.json();
  } catch {
    return known;
  }
  const text = told.state === "installed" ? "Installed: the device starts it, on trial." : `Failed: ${told.detail}`;
  return { ...known, going: false, total: 0, text };
}

function Log({ own }) {
  const [lines, setLines] = useState([]);
  useEffect(() => watch(`${own}.log`, (message) => {
    if (!message) return;
    const at = new Date().toLocaleTimeString();
    const added = message.string().trimEnd().split("\n").map((line) => `${at}  ${line}`);
    setLines((before) => [...before, ...added].slice(-MOST_LINES));
  }, MOST_IN_A_SECOND), [own]);
  return (
    <section class="filling">
      <h2>Log</h2>
      {lines.length === 0 ? <p>Waiting …</p> : <pre tabIndex={0} role="region" aria-label="Log of the device">{lines.join("\n")}</pre>}
    </section>
  );
}
