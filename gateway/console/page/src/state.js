// What the page knows of the gateway: the last snapshot, and rates of the last quarter of an hour.
import { computed, signal } from "@preact/signals";
import { ask, link, sentence } from "./connection.js";
import { headlines } from "./headline.js";

const MOST_POINTS = 900;
export const PROTOCOLS = ["nats", "mqtt", "websocket", "leafnode"];

export const now = signal(null);
export const notice = signal("");
export const series = signal(empty());
export const lines = computed(() => (now.value === null ? [] : headlines(now.value)));

let before = null;

function empty() {
  const rates = () => Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, []]));
  return { times: [], in: rates(), out: rates(), fsync: [], answered: [] };
}

// Asks each second while somebody looks; what it showed stays where there is no answer.
export async function keepAsking() {
  for (;;) {
    const began = performance.now();
    if (link.value === "up" && document.visibilityState === "visible") {
      try {
        const told = await ask("now");
        take(told, performance.now() - began);
        notice.value = "";
      } catch (error) {
        if (link.value === "up") notice.value = sentence(error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(100, 1000 - (performance.now() - began))));
  }
}

function take(told, answered) {
  now.value = told;
  const at = Date.parse(told.server.now) / 1000;
  const last = before;
  before = { at, told };
  if (last === null || at <= last.at) return;
  const seconds = at - last.at;
  const restarted = last.told.server.id !== told.server.id;
  const added = { ...series.value };
  added.times = push(added.times, at);
  for (const way of ["in", "out"]) {
    added[way] = { ...added[way] };
    for (const protocol of PROTOCOLS) {
      const counted = (of) => of.protocols[protocol]?.[`${way}_msgs`] ?? 0;
      const grown = restarted ? null : Math.max(0, counted(told) - counted(last.told)) / seconds;
      added[way][protocol] = push(added[way][protocol], grown);
    }
  }
  added.answered = push(added.answered, answered);
  added.fsync = push(added.fsync, restarted ? null : fsync(last.told, told));
  series.value = added;
}

// Milliseconds that a commit took on average; none where there was none.
function fsync(last, told) {
  if (!told.storage || !last.storage) return null;
  const commits = told.storage.commits - last.storage.commits;
  return commits > 0 ? (1000 * (told.storage.commit_seconds - last.storage.commit_seconds)) / commits : null;
}

function push(list, value) {
  const grown = list.length < MOST_POINTS ? [...list] : list.slice(list.length - MOST_POINTS + 1);
  grown.push(value);
  return grown;
}
