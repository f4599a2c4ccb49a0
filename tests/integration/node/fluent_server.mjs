// A receiver of events: node fluent_server.mjs fluent://HOST:PORT OPTIONS (JSON, as FluentServer has them; of `tls` the
// files). It tells each event as a message.
import { readFileSync } from "node:fs";
import { FluentServer } from "@fluent-org/logger";
import { serve, tell } from "./commands.mjs";

const { hostname, port } = new URL(process.argv[2]);
const { tls, ...options } = JSON.parse(process.argv[3] ?? "{}");
const files = tls && { cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
const server = new FluentServer({ listenOptions: { host: hostname, port: Number(port) }, tlsOptions: files, ...options });
server.on("entry", (tag, time, record) => tell({ message: { tag, time: time.toString(), record } }));
await server.listen();

await serve({}, () => server.close());
