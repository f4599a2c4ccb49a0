// One login by an authenticator of the NATS client, over WebSocket: node nats_login.mjs URL '{"user": …, "pass": …}' (or token, seed, creds)
// It tells "connected" and whom it is there, or what it was told instead.
import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
  wsconnect,
} from "@nats-io/nats-core";
import WebSocket from "ws";
import { PATIENCE_MILLISECONDS, tell } from "./commands.mjs";

globalThis.WebSocket ??= WebSocket;

const { user, pass, token, seed, creds } = JSON.parse(process.argv[3]);
const authenticator = creds
  ? credsAuthenticator(new TextEncoder().encode(creds))
  : seed
    ? nkeyAuthenticator(new TextEncoder().encode(seed))
    : token
      ? tokenAuthenticator(token)
      : usernamePasswordAuthenticator(user, pass);

try {
  const connection = await wsconnect({ servers: process.argv[2], reconnect: false, authenticator });
  const answer = await connection.request("$SYS.REQ.USER.INFO", "", { timeout: PATIENCE_MILLISECONDS });
  tell({ result: answer.json().data.user });
  await connection.close();
} catch (error) {
  tell({ error: String(error) });
}
process.exit(0);
