// An MQTT client over WebSocket: node mqtt_client.mjs URL
import mqtt from "mqtt";
import { serve, tell } from "./commands.mjs";

const client = await mqtt.connectAsync(process.argv[2], { protocolVersion: 4, reconnectPeriod: 0 });
client.on("message", (topic, payload, packet) => {
  tell({ message: { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain } });
});

const commands = {
  async subscribe({ filter, qos }) {
    const granted = await client.subscribeAsync(filter, { qos });
    return granted.map((one) => one.qos);
  },
  unsubscribe: async ({ filter }) => void (await client.unsubscribeAsync(filter)),
  publish: async ({ topic, payload, qos, retain }) => void (await client.publishAsync(topic, payload, { qos, retain })),
};

await serve(commands, () => client.endAsync());
