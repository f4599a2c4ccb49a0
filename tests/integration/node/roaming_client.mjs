// A NATS client that goes to another server when its own is gone: node roaming_client.mjs URL
import { wsconnect } from "@nats-io/nats-core";
import WebSocket from "ws";
import { serve, tell } from "./commands.mjs";

globalThis.WebSocket ??= WebSocket;

const connection = await wsconnect({
  servers: process.argv[2],
  reconnectTimeWait: 50,
  maxReconnectAttempts: -1,
});

const commands = {
  async subscribe({ subject }) {
    connection.subscribe(subject, { callback: (_, message) => tell({ message: { payload: message.string() } }) });
    await connection.flush();
  },
  publish: ({ subject, payload }) => connection.publish(subject, payload),
  server: () => connection.getServer(),
};

await serve(commands, () => connection.close());
