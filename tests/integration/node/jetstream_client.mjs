// A JetStream client over WebSocket: node jetstream_client.mjs URL
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { startFastIngest } from "@nats-io/jetstream/internal";
import { Kvm } from "@nats-io/kv";
import { headers, wsconnect } from "@nats-io/nats-core";
import { Objm } from "@nats-io/obj";
import WebSocket from "ws";
import { PATIENCE_MILLISECONDS, serve, tell } from "./commands.mjs";

globalThis.WebSocket ??= WebSocket;

const connection = await wsconnect({ servers: process.argv[2], reconnect: false });
const manager = await jetstreamManager(connection, { timeout: PATIENCE_MILLISECONDS });
const js = jetstream(connection, { timeout: PATIENCE_MILLISECONDS });
const kvm = new Kvm(js);
const objm = new Objm(js);
const text = (data) => new TextDecoder().decode(data);

function describe(entry) {
  return entry && { key: entry.key, value: text(entry.value), revision: entry.revision, operation: entry.operation };
}

const commands = {
  addStream: async ({ config }) => (await manager.streams.add(config)).config.name,
  streamInfo: async ({ name }) => {
    const { state } = await manager.streams.info(name);
    return { messages: state.messages, first: state.first_seq, last: state.last_seq };
  },
  deleteStream: ({ name }) => manager.streams.delete(name),
  publish: async ({ subject, payload, options }) => {
    const { seq, duplicate } = await js.publish(subject, payload, options ?? {});
    return { seq, duplicate };
  },
  batch: async ({ subject, payloads }) => {
    const batch = await js.startBatch(subject, payloads[0]);
    for (const payload of payloads.slice(1, -1)) batch.add(subject, payload);
    const { seq, count } = await batch.commit(subject, payloads.at(-1));
    return { seq, count };
  },
  fastIngest: async ({ subject, count }) => {
    const ingest = await startFastIngest(connection, subject, "1", { allowGaps: false, ackInterval: 20 });
    for (let number = 2; number < count; number++) await ingest.add(subject, `${number}`);
    const { seq, count: stored } = await ingest.last(subject, `${count}`);
    return { seq, count: stored };
  },
  increment: async ({ subject, by }) => {
    const told = headers();
    told.set("Nats-Incr", by);
    return (await js.publish(subject, "", { headers: told })).val;
  },
  schedule: async ({ subject, payload, target, seconds }) => {
    const at = new Date(Date.now() + seconds * 1000);
    return (await js.publish(subject, payload, { schedule: { specification: at, target } })).seq;
  },
  refused: async ({ subject, payload, options }) => {
    try {
      await js.publish(subject, payload, options ?? {});
    } catch (error) {
      return error.code ?? error.name;
    }
    return "stored";
  },
  directGet: async ({ stream, query }) => {
    const message = await manager.direct.getMessage(stream, query);
    return message && { subject: message.subject, seq: message.seq, data: text(message.data) };
  },
  directBatch: async ({ stream, query }) => {
    const found = [];
    for await (const message of await manager.direct.getBatch(stream, query)) found.push(message.seq);
    return found;
  },
  addConsumer: async ({ stream, config }) => (await manager.consumers.add(stream, config)).name,
  fetch: async ({ stream, consumer, count }) => {
    const messages = await (await js.consumers.get(stream, consumer)).fetch({ max_messages: count, expires: 2000 });
    const found = [];
    for await (const message of messages) {
      found.push({ seq: message.seq, data: message.string(), pending: message.info.pending });
      await message.ackAck();
    }
    return found;
  },
  consume: async ({ stream, consumer, count }) => {
    const messages = await (await js.consumers.get(stream, consumer)).consume({ max_messages: 100 });
    const found = [];
    for await (const message of messages) {
      found.push(message.seq);
      message.ack();
      if (found.length === count) break;
    }
    return found;
  },
  ordered: async ({ stream, count, options }) => {
    const messages = await (await js.consumers.get(stream, options)).consume();
    const found = [];
    for await (const message of messages) {
      found.push(message.seq);
      if (found.length === count) break;
    }
    return found;
  },
  pushed: async ({ stream, config, count }) => {
    const { name } = await manager.consumers.add(stream, config);
    const messages = await (await js.consumers.getPushConsumer(stream, name)).consume();
    const found = [];
    for await (const message of messages) {
      found.push(message.seq);
      message.ack();
      if (found.length === count) break;
    }
    return found;
  },
  bucket: async ({ name, options }) => {
    const kv = await kvm.create(name, options);
    return (await kv.status()).bucket;
  },
  put: async ({ name, key, value, options }) => (await kvm.open(name)).put(key, value, options),
  get: async ({ name, key }) => describe(await (await kvm.open(name)).get(key)),
  create: async ({ name, key, value, ttl }) => {
    try {
      return await (await kvm.open(name)).create(key, value, ttl);
    } catch (error) {
      return error.message;
    }
  },
  update: async ({ name, key, value, revision }) => {
    try {
      return await (await kvm.open(name)).update(key, value, revision);
    } catch (error) {
      return error.message;
    }
  },
  remove: async ({ name, key }) => (await kvm.open(name)).delete(key),
  purge: async ({ name, key }) => (await kvm.open(name)).purge(key),
  keys: async ({ name }) => {
    const found = [];
    for await (const key of await (await kvm.open(name)).keys()) found.push(key);
    return found.sort();
  },
  history: async ({ name, key }) => {
    const found = [];
    for await (const entry of await (await kvm.open(name)).history({ key })) found.push(describe(entry));
    return found;
  },
  watch: async ({ name }) => {
    const entries = await (await kvm.open(name)).watch();
    (async () => {
      for await (const entry of entries) tell({ message: describe(entry) });
    })();
  },
  store: async ({ name, key, size }) => {
    const objects = await objm.create(name);
    const info = await objects.putBlob({ name: key }, new Uint8Array(size).fill(7));
    return { size: info.size, chunks: info.chunks };
  },
  load: async ({ name, key }) => {
    const objects = await objm.open(name);
    const data = await objects.getBlob(key);
    return data && { size: data.length, sum: data.reduce((sum, byte) => sum + byte, 0) };
  },
  listObjects: async ({ name }) => (await (await objm.open(name)).list()).map((one) => one.name),
  removeObject: async ({ name, key }) => (await (await objm.open(name)).delete(key)).success,
};

await serve(commands, () => connection.close());
