// Makes NATS' JWTs with npm's @nats-io/jwt, of keys given as seeds.
import { createRequire } from "node:module";
import { serve } from "./commands.mjs";

const require = createRequire(import.meta.url);
const jwt = require("@nats-io/jwt");
const { fromSeed } = require("@nats-io/nkeys");

const key = (seed) => (seed ? fromSeed(new TextEncoder().encode(seed)) : undefined);
const options = ({ signer, exp, nbf, aud, v1, scoped }) => {
  const made = { exp, nbf, aud, signer: key(signer), scopedUser: scoped };
  if (v1) made.algorithm = jwt.Algorithms.v1;
  return made;
};

await serve(
  {
    operator: ({ name, seed, claims, ...more }) => jwt.encodeOperator(name, key(seed), claims, options(more)),
    account: ({ name, seed, claims, ...more }) => jwt.encodeAccount(name, key(seed), claims, options(more)),
    user: ({ name, seed, issuer, claims, ...more }) =>
      jwt.encodeUser(name, key(seed), key(issuer), claims, options(more)),
    activation: ({ name, seed, issuer, kind, claims, ...more }) =>
      jwt.encodeActivation(name, key(seed), key(issuer), kind, claims, options(more)),
    generic: ({ name, seed, kind, claims, ...more }) => jwt.encodeGeneric(name, key(seed), kind, claims, options(more)),
    credentials: ({ token, seed }) => new TextDecoder().decode(jwt.fmtCreds(token, key(seed))),
  },
  async () => {},
);
