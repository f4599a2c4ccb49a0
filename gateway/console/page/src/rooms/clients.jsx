import { useSignal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, link, sentence } from "../connection.js";
import { change, href, route } from "../route.js";
import { now } from "../state.js";
import { bytes, count } from "../words.js";

const ROW = 64;
const PAGE = 50;
const EVERY = 2000;
const SORTS = { cid: "by number", last: "last active", msgs_from: "most sent", msgs_to: "most received", pending: "most waiting", subs: "most subscriptions" };

export function Clients() {
  const cid = Number(route.value.item);
  return cid ? <One key={cid} cid={cid} /> : <List />;
}

function List() {
  const text = route.value.query.get("text") ?? "";
  const sort = SORTS[route.value.query.get("sort")] ? route.value.query.get("sort") : "cid";
  const state = route.value.query.get("state") === "closed" ? "closed" : "open";
  const box = useRef(null);
  const [top, setTop] = useState(0);
  const [total, setTotal] = useState(null);
  const [problem, setProblem] = useState("");
  const [rows, setRows] = useState(new Map());
  const height = box.current?.clientHeight ?? 480;
  const first = Math.max(0, Math.floor(top / ROW) - 5);
  const last = Math.ceil((top + height) / ROW) + 5;
  const pages = `${Math.floor(first / PAGE)} ${Math.floor(last / PAGE)}`;

  useEffect(() => {
    let stopped = false;
    const look = async () => {
      if (link.value !== "up") return;
      try {
        const [from, to] = pages.split(" ").map(Number);
        // Rows beyond those in sight are forgotten.
        const found = new Map();
        let all = 0;
        for (let page = from; page <= to; page++) {
          const told = await ask("clients", { text, sort, state, offset: page * PAGE, limit: PAGE });
          told.connections.forEach((one, index) => found.set(page * PAGE + index, one));
          all = told.total;
          if (all <= (page + 1) * PAGE) break;
        }
        if (stopped) return;
        setRows(found);
        setTotal(all);
        setProblem("");
      } catch (error) {
        if (!stopped) setProblem(sentence(error));
      }
    };
    look();
    const timer = setInterval(look, EVERY);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, [text, sort, state, pages]);

  const shown = [];
  for (let index = first; index < Math.min(last, total ?? 0); index++) shown.push([index, rows.get(index)]);
  return (
    <section class="filling">
      <h2>Clients</h2>
      <form class="tools" onSubmit={(event) => event.preventDefault()}>
        <label>Search<input type="search" value={text} placeholder="name, user, account, address" onInput={(event) => change({ text: event.currentTarget.value })} /></label>
        <label>Order
          <select value={sort} onChange={(event) => change({ sort: event.currentTarget.value })}>
            {Object.entries(SORTS).map(([key, label]) => <option key={key} value={key}>{label}</option>)}
          </select>
        </label>
        <label>Which
          <select value={state} onChange={(event) => change({ state: event.currentTarget.value })}>
            <option value="open">connected</option>
            <option value="closed">the last that left</option>
          </select>
        </label>
      </form>
      {problem && <p role="alert">{problem}</p>}
      <p aria-live="polite">{total === null ? "Looking …" : `${count(total)} ${state === "closed" ? "that left" : "connected"}${text ? ` with “${text}”` : ""}.`}</p>
      <div class="scroll" ref={box} tabIndex={0} role="region" aria-label="List of clients" onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
        <ul class="rows" style={{ height: `${(total ?? 0) * ROW}px` }}>
          {shown.map(([index, one]) => (
            <li key={index} style={{ top: `${index * ROW}px` }}>{one ? <Row one={one} /> : <span class="row">…</span>}</li>
          ))}
        </ul>
      </div>
    </section>
  );
}

function nameOf(one) {
  return one.mqtt_client || one.name || one.authorized_user || `client ${one.cid}`;
}

function Row({ one }) {
  return (
    <a class="row" href={href("clients", one.cid)}>
      <b>{nameOf(one)}</b>
      <span>{one.type}{one.authorized_user ? `, ${one.authorized_user}` : ""}{one.account ? ` in ${one.account}` : ""}, {one.ip}</span>
      <span class="numbers">
        {count(one.in_msgs)} in, {count(one.out_msgs)} out{one.pending_bytes > 0 ? `, ${bytes(one.pending_bytes)} wait` : ""}{one.reason ? `, ${one.reason}` : ""}
      </span>
    </a>
  );
}

function One({ cid }) {
  const one = useSignal(null);
  const problem = useSignal("");
  const asked = useSignal(false);
  const before = useRef(null);
  const rates = useRef([0, 0]);
  useEffect(() => {
    const look = async () => {
      if (link.value !== "up") return;
      try {
        const told = await ask("clients", { cid });
        const found = told.connections[0];
        if (!found) {
          problem.value = "There is no such client, or it left long ago.";
          return;
        }
        const at = Date.parse(told.now) / 1000;
        const last = before.current;
        if (last && at > last.at) rates.current = ["in_msgs", "out_msgs"].map((key) => (found[key] - last.found[key]) / (at - last.at));
        before.current = { at, found };
        one.value = { ...found };
        problem.value = "";
      } catch (error) {
        problem.value = sentence(error);
      }
    };
    look();
    const timer = setInterval(look, EVERY);
    return () => clearInterval(timer);
  }, [cid]);

  const close = async () => {
    asked.value = false;
    try {
      await ask("close", { cid });
    } catch (error) {
      problem.value = sentence(error);
    }
  };
  const found = one.value;
  return (
    <section>
      <p><a href={href("clients")}>← All clients</a></p>
      <h2>{found ? nameOf(found) : `Client ${cid}`}</h2>
      {problem.value && <p role="alert">{problem.value}</p>}
      {found && (
        <>
          <dl>
            {facts(found, rates.current).filter(([, value]) => value).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
          </dl>
          <h3>Subscriptions</h3>
          {(found.subscriptions_list_detail ?? []).length === 0 ? <p>None.</p> : (
            <ul class="plain">
              {found.subscriptions_list_detail.map((told) => (
                <li key={told.sid}><a href={href("subjects", "", { filter: told.subject })}>{told.subject}</a>{told.qgroup ? ` in the group ${told.qgroup}` : ""}, {count(told.msgs)} messages</li>
              ))}
            </ul>
          )}
          {now.value.you.may.close && !found.reason && (asked.value ? (
            <p class="confirm" role="alertdialog" aria-label="Close the connection?">
              Its connection ends now; most clients come back by themselves.{" "}
              <button class="danger" onClick={close}>Close it</button> <button onClick={() => { asked.value = false; }}>Leave it</button>
            </p>
          ) : <p><button class="danger" onClick={() => { asked.value = true; }}>Close the connection …</button></p>)}
        </>
      )}
    </section>
  );
}

function facts(one, [incoming, outgoing]) {
  return [
    ["State", one.reason ? `left: ${one.reason}` : "connected"],
    ["Protocol", [one.type, one.lang, one.version].filter(Boolean).join(", ")],
    ["User", one.authorized_user],
    ["Account", one.account],
    ["Address", `${one.ip}:${one.port}`],
    ["Connected for", one.uptime],
    ["Idle for", one.idle],
    ["Sends", `${incoming.toFixed(1)} messages a second; ${count(one.in_msgs)}, ${bytes(one.in_bytes)}`],
    ["Receives", `${outgoing.toFixed(1)} messages a second; ${count(one.out_msgs)}, ${bytes(one.out_bytes)}`],
    ["Waits for it", bytes(one.pending_bytes)],
    ["Round trip", one.rtt],
    ["TLS", one.tls_version && `${one.tls_version}, ${one.tls_cipher_suite}`],
  ];
}
