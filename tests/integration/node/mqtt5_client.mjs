// An MQTT 5.0 client that connects when it is told to, and again: node mqtt5_client.mjs URL (mqtt://… or ws://…)
import mqtt from "mqtt";
import { serve, tell } from "./commands.mjs";

let client;

function plain(properties = {}) {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, Buffer.isBuffer(value) ? value.toString() : value]),
  );
}

function connect({ options }) {
  client = mqtt.connect(process.argv[2], { protocolVersion: 5, reconnectPeriod: 0, ...options });
  client.on("message", (topic, payload, packet) => {
    const { qos, retain, dup } = packet;
    tell({ message: { topic, payload: payload.toString(), qos, retain, dup, properties: plain(packet.properties) } });
  });
  return new Promise((resolve, reject) => {
    client.once("connect", ({ sessionPresent, properties }) => resolve({ sessionPresent, properties }));
    client.once("error", reject);
  });
}

const commands = {
  connect,
  async subscribe({ filter, ...options }) {
    const granted = await client.subscribeAsync(filter, options);
    return granted.map((one) => one.qos);
  },
  async publish({ topic, payload, ...options }) {
    const { correlationData } = options.properties ?? {};
    if (correlationData) options.properties.correlationData = Buffer.from(correlationData);
    const answer = await client.publishAsync(topic, payload, options);
    return answer?.reasonCode ?? 0;
  },
  leave: async () => void (await client.endAsync()),
  break: () =>
    new Promise((resolve) => {
      client.once("close", () => resolve(null));
      client.stream.destroy();
    }),
};

await serve(commands, () => client?.endAsync(true));
