// The keys of a bucket: a stream KV_BUCKET on the subjects $KV.BUCKET.KEY, of each the last message.
import { useEffect, useState } from "preact/hooks";
import { sentence } from "../connection.js";
import { change, route } from "../route.js";
import { count } from "../words.js";
import { messageOf, stored } from "./stored.js";
import { Payload } from "./message.jsx";

const MOST_SHOWN = 200;
export const isBucket = (name) => name.startsWith("KV_");

export function Keys({ name, asked, lastSequence }) {
  const prefix = `$KV.${name.slice("KV_".length)}.`;
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState("");
  const filter = route.value.query.get("keys") ?? "";
  const chosen = route.value.query.get("key") ?? "";
  useEffect(() => {
    asked(`STREAM.INFO.${name}`, { subjects_filter: `${prefix}>` }).then(
      ({ state, total }) => {
        setFound({ keys: Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length)), total: total || 0 });
        setProblem("");
      },
      (error) => setProblem(sentence(error)),
    );
  }, [name, lastSequence]);
  const matching = (found?.keys ?? []).filter((key) => key.includes(filter));
  return (
    <>
      <h3>Keys</h3>
      {problem && <p role="alert">{problem}</p>}
      <label>Find a key<input type="search" value={filter} onInput={(event) => change({ keys: event.currentTarget.value })} /></label>
      <p>{found === null ? "Looking …" : `${count(matching.length)} of ${count(Math.max(found.total, found.keys.length))} keys, at most ${MOST_SHOWN} shown.`}</p>
      <ul class="plain">
        {matching.slice(0, MOST_SHOWN).map((key) => (
          <li key={key}>
            <button aria-expanded={key === chosen} onClick={() => change({ key: key === chosen ? "" : key })}>{key}</button>
            {key === chosen && <Value name={name} subject={prefix + key} asked={asked} sequence={lastSequence} />}
          </li>
        ))}
      </ul>
    </>
  );
}

function Value({ name, subject, asked, sequence }) {
  const [heard, setHeard] = useState(null);
  useEffect(() => {
    let stopped = false;
    const told = (found) => stopped || setHeard(found);
    stored(asked, name, { last_by_subj: subject }).then(messageOf).then(told, (error) => told({ problem: sentence(error) }));
    return () => {
      stopped = true;
    };
  }, [subject, sequence]);
  if (heard === null || heard.problem) return <p role="status">{heard?.problem}</p>;
  const isDeleted = heard.headers.some(([field, value]) => field === "KV-Operation" && value !== "PUT");
  return isDeleted ? <p>Deleted.</p> : <Payload heard={heard} form="text" label={`Value of ${subject}`} />;
}
