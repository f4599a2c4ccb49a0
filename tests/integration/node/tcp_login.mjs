// One login by nats.js over TCP: node tcp_login.mjs URL '{"user": …, "pass": …, "ca": FILE}' (or token, seed, creds; cert
// and key). It tells who it is there, or what it was told instead.
import {
  connect,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { PATIENCE_MILLISECONDS, tell } from "./commands.mjs";

const { user, pass, token, seed, creds, ca, cert, key } = JSON.parse(process.argv[3]);
const bytes = (text) => new TextEncoder().encode(text);
let authenticator;
if (creds) authenticator = credsAuthenticator(bytes(creds));
else if (seed) authenticator = nkeyAuthenticator(bytes(seed));
else if (token) authenticator = tokenAuthenticator(token);
else if (user) authenticator = usernamePasswordAuthenticator(user, pass);

const tls = { caFile: ca, ...(cert && { certFile: cert, keyFile: key }) };
try {
  const connection = await connect({ servers: process.argv[2], reconnect: false, timeout: PATIENCE_MILLISECONDS, authenticator, tls });
  const answer = await connection.request("$SYS.REQ.USER.INFO", "", { timeout: PATIENCE_MILLISECONDS });
  tell({ result: answer.json().data.user ?? "" });
  await connection.close();
} catch (error) {
  tell({ error: `${error} ${error.cause ?? ""}` });
}
process.exit(0);
