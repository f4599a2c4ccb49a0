// A NATS client over WebSocket: node nats_client.mjs URL; it brings the header fields that $WS_HEADERS holds as JSON.
import { headers, wsconnect } from "@nats-io/nats-core";
import WebSocket from "ws";
import { PATIENCE_MILLISECONDS, serve, tell } from "./commands.mjs";

// Node has a WebSocket of its own only from version 22 on, and that one does not tell about extensions.
let socket;
globalThis.WebSocket = class extends WebSocket {
  constructor(url, subprotocols) {
    super(url, subprotocols, { headers: JSON.parse(process.env.WS_HEADERS ?? "{}") });
    socket = this;
  }
};

const connection = await wsconnect({ servers: process.argv[2], reconnect: false });
const subscriptions = new Map();

function describe(message) {
  const fields = {};
  for (const [key, values] of message.headers ?? []) fields[key] = values.join();
  return { subject: message.subject, payload: message.string(), headers: fields };
}

function build(fields) {
  const built = headers();
  for (const [key, value] of Object.entries(fields ?? {})) built.set(key, value);
  return built;
}

const commands = {
  extensions: () => socket.extensions,
  async subscribe({ subject, queue }) {
    const callback = (_, message) => tell({ message: describe(message) });
    subscriptions.set(subject, connection.subscribe(subject, { queue, callback }));
    await connection.flush();
  },
  async answer({ subject, lead }) {
    const callback = (_, message) => message.respond(lead + message.string(), { headers: message.headers });
    subscriptions.set(subject, connection.subscribe(subject, { callback }));
    await connection.flush();
  },
  async unsubscribe({ subject }) {
    subscriptions.get(subject).unsubscribe();
    await connection.flush();
  },
  async publish({ subject, payload, fields }) {
    connection.publish(subject, payload, fields ? { headers: build(fields) } : {});
    await connection.flush();
  },
  async publishMany({ subject, count, size }) {
    for (let number = 0; number < count; number++) {
      connection.publish(subject, String(number).padStart(size, "."));
    }
    await connection.flush();
  },
  async request({ subject, payload, fields }) {
    return describe(await connection.request(subject, payload, { timeout: PATIENCE_MILLISECONDS, headers: build(fields) }));
  },
};

await serve(commands, () => connection.close());
