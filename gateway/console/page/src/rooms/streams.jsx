import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { link, request, sentence } from "../connection.js";
import { change, href, route } from "../route.js";
import { bytes, count } from "../words.js";
import { isBucket, Keys } from "./keys.jsx";
import { Payload } from "./message.jsx";
import { messageOf, stored } from "./stored.js";

const EVERY = 5000;
const API = "$JS.API.";

export function Streams() {
  const name = route.value.item;
  return name ? <One key={name} name={name} /> : <List />;
}

// What JetStream answers, as any client asks it.
async function asked(subject, question = {}) {
  const told = (await request(API + subject, JSON.stringify(question))).json();
  if (told.error) throw new Error(told.error.description);
  return told;
}

// Looks at once and now and then; `told` gets what `look` finds, `problem` what is wrong.
function useLooking(look, told, problem) {
  useEffect(() => {
    const again = async () => {
      if (link.value !== "up") return;
      try {
        told.value = await look();
        problem.value = "";
      } catch (error) {
        const none = /no responders/i.test(error.message);
        problem.value = none ? "There is no JetStream for this account, here or at its hub." : sentence(error);
      }
    };
    again();
    const timer = setInterval(again, EVERY);
    return () => clearInterval(timer);
  }, []);
}

function List() {
  const told = useSignal(null);
  const problem = useSignal("");
  useLooking(() => asked("STREAM.LIST"), told, problem);
  const streams = told.value?.streams ?? [];
  return (
    <section>
      <h2>Streams</h2>
      {problem.value && <p>{problem.value}</p>}
      {told.value && streams.length === 0 && !problem.value && <p>There is no stream yet.</p>}
      {told.value?.total > streams.length && <p>The first {count(streams.length)} of {count(told.value.total)}.</p>}
      <ul class="cards">
        {streams.map(({ config, state }) => (
          <li key={config.name}>
            <h3><a href={href("streams", config.name)}>{config.name}</a></h3>
            <p>{(config.subjects ?? []).join(", ")}</p>
            <p>{size(state)}; {count(state.consumer_count)} consumers.</p>
          </li>
        ))}
      </ul>
    </section>
  );
}

function size(state) {
  return `${count(state.messages)} messages, ${bytes(state.bytes)}, ${state.first_seq} to ${state.last_seq}`;
}

function One({ name }) {
  const told = useSignal(null);
  const problem = useSignal("");
  useLooking(
    async () => {
      const [{ state, config }, { consumers = [] }] = await Promise.all([asked(`STREAM.INFO.${name}`), asked(`CONSUMER.LIST.${name}`)]);
      return { state, config, consumers };
    },
    told,
    problem,
  );
  return (
    <section>
      <p><a href={href("streams")}>← All streams</a></p>
      <h2>{name}</h2>
      {problem.value && <p role="alert">{problem.value}</p>}
      {told.value && (
        <>
          <p>{(told.value.config.subjects ?? []).join(", ")}: {size(told.value.state)}.</p>
          {isBucket(name) && <Keys name={name} asked={asked} lastSequence={told.value.state.last_seq} />}
          <h3>Consumers</h3>
          {told.value.consumers.length === 0 ? <p>None.</p> : (
            <ul class="plain">
              {told.value.consumers.map((one) => (
                <li key={one.name}>{one.name}: {count(one.num_pending)} to come, {count(one.num_ack_pending)} unacknowledged, {count(one.num_redelivered)} sent again.</li>
              ))}
            </ul>
          )}
          <h3>Messages</h3>
          <Browser name={name} state={told.value.state} />
        </>
      )}
    </section>
  );
}

// One message at a time, by its sequence.
function Browser({ name, state }) {
  const found = useSignal(null);
  const problem = useSignal("");
  const sequence = Number(route.value.query.get("seq")) || state.last_seq;
  useEffect(() => {
    let stopped = false;
    stored(asked, name, { seq: sequence }).then(
      (message) => {
        if (stopped) return;
        found.value = messageOf(message);
        problem.value = "";
      },
      (error) => {
        if (stopped) return;
        found.value = null;
        problem.value = sentence(error);
      },
    );
    return () => {
      stopped = true;
    };
  }, [sequence]);
  if (state.messages === 0) return <p>There is none.</p>;
  return (
    <>
      <div class="tools">
        <button disabled={sequence <= state.first_seq} onClick={() => change({ seq: sequence - 1 })}>Before</button>
        <label>Sequence<input type="number" min={state.first_seq} max={state.last_seq} value={sequence} onChange={(event) => change({ seq: event.currentTarget.value })} /></label>
        <button disabled={sequence >= state.last_seq} onClick={() => change({ seq: sequence + 1 })}>Next</button>
      </div>
      {problem.value && <p role="alert">{problem.value}</p>}
      {found.value && <h3>{found.value.subject}</h3>}
      {found.value && <Payload heard={found.value} form="text" />}
    </>
  );
}
