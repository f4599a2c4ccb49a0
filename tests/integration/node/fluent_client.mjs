// A sender of events: node fluent_client.mjs fluent://HOST:PORT OPTIONS (JSON, as FluentClient has them). It asks for an
// acknowledgement of every chunk; `emit` is answered once it is there.
import { EventTime, FluentClient } from "@fluent-org/logger";
import { PATIENCE_MILLISECONDS, serve } from "./commands.mjs";

const { hostname, port } = new URL(process.argv[2]);
const options = JSON.parse(process.argv[3] ?? "{}");
const client = new FluentClient(null, {
  ack: { ackTimeout: PATIENCE_MILLISECONDS },
  disableAutoconnect: true,
  ...options,
  socket: { host: hostname, port: Number(port), disableReconnect: true, timeout: PATIENCE_MILLISECONDS, ...options.socket },
});
let failed = null;
client.socketOn("error", (error) => (failed = error));
await client.connect();

const commands = {
  async emit({ tag, records, seconds, nanoseconds }) {
    const time = new EventTime(seconds, nanoseconds);
    const sent = Promise.all(records.map((record) => client.emit(tag, record, time)));
    const broken = new Promise((_, reject) => {
      const look = setInterval(() => failed && (clearInterval(look), reject(failed)), 20);
      sent.finally(() => clearInterval(look));
    });
    await Promise.race([sent, broken]);
  },
};

await serve(commands, () => client.shutdown());
