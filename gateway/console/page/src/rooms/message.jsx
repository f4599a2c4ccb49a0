import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { watch } from "../connection.js";
import { change, href, route } from "../route.js";
import { bytes } from "../words.js";

const MOST_SHOWN = 65536;
const FORMS = { text: "Text", json: "JSON", hex: "Hex" };

// The messages of one subject as they come, one in a second at most.
export function Message({ subject }) {
  const heard = useSignal(null);
  const problem = useSignal("");
  const form = route.value.query.get("as") ?? "text";
  useEffect(() => watch(subject, (message, complaint) => {
    problem.value = complaint;
    if (message) heard.value = { data: message.data, headers: headersOf(message), at: new Date() };
  }), [subject]);
  const others = Object.fromEntries(route.value.query);
  return (
    <section>
      <p><a href={href("subjects", "", others)}>← All subjects</a></p>
      <h2>{subject}</h2>
      <div class="tools" role="group" aria-label="Shown as">
        {Object.entries(FORMS).map(([key, label]) => <button key={key} aria-pressed={form === key} onClick={() => change({ as: key })}>{label}</button>)}
      </div>
      {problem.value && <p role="alert">{problem.value}</p>}
      {heard.value === null ? <p>Waiting for the next message …</p> : <Payload heard={heard.value} form={form} />}
    </section>
  );
}

export function Payload({ heard, form, label = "Payload" }) {
  return (
    <>
      {heard.headers.length > 0 && <dl>{heard.headers.map(([name, value], index) => <div key={index}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>}
      <pre tabIndex={0} role="region" aria-label={label}>{written(heard.data.subarray(0, MOST_SHOWN), form)}</pre>
      <p class="quiet">{bytes(heard.data.length)} at {heard.at.toLocaleString()}{heard.data.length > MOST_SHOWN ? ", the beginning is shown" : ""}</p>
    </>
  );
}

export function headersOf(message) {
  return message.headers ? message.headers.keys().flatMap((name) => message.headers.values(name).map((value) => [name, value])) : [];
}

function written(data, form) {
  if (form === "hex") return hex(data);
  const text = new TextDecoder().decode(data);
  if (form !== "json") return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return `This is no JSON:\n${text}`;
  }
}

function hex(data) {
  const lines = [];
  for (let start = 0; start < data.length; start += 16) {
    const row = [...data.subarray(start, start + 16)];
    const codes = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${start.toString(16).padStart(6, "0")}  ${codes.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
