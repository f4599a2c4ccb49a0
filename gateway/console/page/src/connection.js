// The connection to the gateway: an ordinary NATS client over the WebSocket that the page itself came from.
import { headers as makeHeaders, wsconnect } from "@nats-io/nats-core";
import { signal } from "@preact/signals";

const PREFIX = "$LEAFGATE.console.";
const ANSWER_MILLISECONDS = 5000;
const PEEK_MILLISECONDS = 10000;

// "unknown", "login", "connecting", "up", "lost"
export const link = signal("unknown");
export const trouble = signal("");
// When the link was lost, in milliseconds since 1970.
export const lostAt = signal(0);

let client = null;

// The page is at …/console/, the WebSocket where that begins.
function serverUrl() {
  const url = new URL("..", location.href.split("#")[0]);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// Whether the gateway wants to know who comes; it says so before anybody logs in, so that nobody is refused for asking.
function askWhetherLoginIsNeeded() {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(serverUrl());
    const decoder = new TextDecoder();
    let text = "";
    const patience = setTimeout(() => socket.close(), PEEK_MILLISECONDS);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => {
      text += typeof event.data === "string" ? event.data : decoder.decode(event.data, { stream: true });
      const end = text.indexOf("\r\n");
      if (end < 0) return;
      clearTimeout(patience);
      resolve(JSON.parse(text.slice("INFO ".length, end)).auth_required === true);
      socket.close();
    };
    socket.onclose = () => {
      clearTimeout(patience);
      reject(new Error("The gateway does not answer."));
    };
  });
}

export async function begin() {
  try {
    if (await askWhetherLoginIsNeeded()) link.value = "login";
    else await connect({});
  } catch {
    trouble.value = "The gateway does not answer. Is it running, and is this device in its network?";
    link.value = "login";
  }
}

export async function connect(login) {
  link.value = "connecting";
  trouble.value = "";
  try {
    client = await wsconnect({
      servers: serverUrl(),
      name: "leafgate console",
      maxReconnectAttempts: -1,
      reconnectTimeWait: 1000,
      ignoreServerUpdates: true,
      ...login,
    });
    // Who may come in may still not be one who sees the console.
    await ask("now");
    link.value = "up";
    follow(client);
  } catch (error) {
    client?.close();
    client = null;
    trouble.value = sentence(error);
    link.value = "login";
  }
}

export async function leave() {
  const left = client;
  client = null;
  link.value = "login";
  await left?.close();
}

async function follow(followed) {
  followed.closed().then((error) => {
    if (followed !== client) return;
    client = null;
    trouble.value = error ? sentence(error) : "";
    link.value = "login";
  });
  for await (const event of followed.status()) {
    if (followed !== client) return;
    if (event.type === "disconnect") {
      lostAt.value = Date.now();
      link.value = "lost";
    } else if (event.type === "reconnect") link.value = "up";
  }
}

export class Refusal extends Error {
  constructor({ code, description }) {
    super(description);
    this.code = code;
  }
}

// What the console's service answers; throws Refusal where it says no.
export async function ask(name, question = {}) {
  if (client === null) throw new Error("not connected");
  const answer = await client.request(PREFIX + name, JSON.stringify(question), { timeout: ANSWER_MILLISECONDS });
  const told = answer.json();
  if (told.error) throw new Refusal(told.error);
  return told;
}

// Any other request of the page's user; the answer is a message.
export function request(subject, payload, lines = [], timeout = ANSWER_MILLISECONDS) {
  return client.request(subject, payload, { timeout, headers: headersOf(lines) });
}

export function publish(subject, payload, lines = []) {
  client.publish(subject, payload, { headers: headersOf(lines) });
  return client.flush();
}

// At most `most` messages in a second, so that a busy subject costs as much as a calm one.
export function watch(subject, hear, most = 1) {
  let stopped = false;
  let waiting = null;
  const next = () => {
    if (stopped || client === null) return;
    let heard = 0;
    waiting = client.subscribe(subject, {
      max: most,
      callback: (error, message) => {
        if (stopped) return;
        heard += 1;
        if (error) hear(null, sentence(error));
        else {
          hear(message, "");
          if (heard === most) setTimeout(next, 1000);
        }
      },
    });
  };
  next();
  return () => {
    stopped = true;
    waiting?.unsubscribe();
  };
}

function headersOf(lines) {
  if (lines.length === 0) return undefined;
  const made = makeHeaders();
  for (const [name, value] of lines) made.append(name, value);
  return made;
}

// What a person is told of an error.
export function sentence(error) {
  const text = String(error?.message ?? error);
  if (error instanceof Refusal) return error.code === 403 ? `${text}: ask whoever configured the gateway.` : text;
  if (/authorization violation|authentication/i.test(text)) return "There is no such user, or the password is another one.";
  if (/permissions violation/i.test(text)) return `This user may not do that: ${text}`;
  if (/no responders/i.test(text)) return "Nobody answers on that subject.";
  if (/timeout/i.test(text)) return "There was no answer in time.";
  if (/connection refused|closed|websocket/i.test(text)) return "The gateway does not answer. Is it running, and is this device in its network?";
  return text;
}
